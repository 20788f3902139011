//! The module `rule` against recorded responses of the real v1.7.20 router: every rule and request, without path sanitising.
//!
//! The recordings are not part of this package; without them the module's own tests still cover all of this.

use std::collections::BTreeMap;

use ringway::rule::{
    FieldEdit, PathOutcome, Route, RouteOutcome, RouteRequest, Router, RouterOptions, Rule, Scratch, parse_domains,
};
use serde::Deserialize;

/// Rows with an intended difference: rule, host, target, reason. A row that agrees after all fails the test.
const DIFFERENCES: [(&str, &str, &str, &str); 5] = [
    ("Host:foo.bar , bar.foo ", "foo.bar.", "/", "a trailing dot does not make another name"),
    ("HostRegexp:foo.bar", "foo.bar.", "/", "a trailing dot does not make another name"),
    ("HostRegexp:foo.bar;HostRegexp:{x}.bar", "foo.bar.", "/", "a trailing dot does not make another name"),
    (
        "HostRegexp:foo.bar",
        "other.host",
        "http://foo.bar/x",
        "the recording sends the absolute form on; the whole of Traefik, like Ringway, forwards the origin form",
    ),
    (
        "HostRegexp:foo.bar",
        "other.host",
        "http://foo.bar:81/x",
        "v1 leaves the port of an absolute-form target in the host; Ringway routes it as it routes the same Host field",
    ),
];

#[derive(Deserialize)]
struct Recorded {
    cases: Vec<Case>,
    #[serde(rename = "upstreamTests")]
    upstream_tests: Vec<UpstreamTest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    rule: String,
    keep_trailing_slash: bool,
    request: Request,
    parse_error: Option<String>,
    matched: Option<bool>,
    priority: Option<i64>,
    status: Option<u16>,
    location: Option<String>,
    upstream: Option<Upstream>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(default)]
    method: String,
    host: String,
    target: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Upstream {
    path: String,
    /// Internal to Go's URL type; `request_uri` shows its meaning.
    #[serde(rename = "rawPath")]
    _raw_path: Option<String>,
    #[serde(rename = "requestURI")]
    request_uri: String,
    #[serde(default)]
    x_forwarded_prefix: Vec<String>,
    #[serde(default)]
    x_replaced_path: Vec<String>,
}

#[derive(Deserialize)]
struct UpstreamTest {
    test: String,
    case: serde_json::Value,
}

/// The proxy's result for a request, in the terms of the recordings.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    status: Option<u16>,
    location: Option<String>,
    request_uri: Option<String>,
    forwarded_prefix: Vec<String>,
    replaced_path: Vec<String>,
}

fn recorded() -> Option<Recorded> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/cases/rules.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: no shared cases");
        return None;
    };
    Some(serde_json::from_str(&text).expect("the shared cases have the known form"))
}

fn answer(rule: Rule, keep_trailing_slash: bool, request: &Request) -> Answer {
    let route = Route { rule, priority: 0, provider: String::new(), name: String::new(), value: () };
    let options = RouterOptions { keep_trailing_slash, sanitize_path: false };
    let router = Router::build(vec![route], options);
    let headers: Vec<(&str, &[u8])> = request.headers.iter().map(|(k, v)| (k.as_str(), v.as_bytes())).collect();
    // An absolute-form target is split here into its host and its origin form, as the parser of heads does.
    let (host, target) = match request.target.strip_prefix("http://") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => (&*request.host, &*request.target),
    };
    let method = if request.method.is_empty() { "GET" } else { &request.method };
    let facts =
        RouteRequest { method: method.as_bytes(), host: host.as_bytes(), target: target.as_bytes(), headers: &headers };
    let mut scratch = Scratch::default();
    let status = |status| Answer { status: Some(status), ..Answer::default() };
    let modifiers = match router.route(&facts, &mut scratch) {
        RouteOutcome::NotFound => return status(404),
        RouteOutcome::Refused => return status(400),
        RouteOutcome::Redirect { location } => return Answer { location: Some(text(&location)), ..status(301) },
        RouteOutcome::Found { modifiers, .. } => modifiers,
    };
    match modifiers.apply(target.as_bytes(), &mut scratch) {
        PathOutcome::Unchanged => Answer { request_uri: Some(target.to_owned()), ..Answer::default() },
        PathOutcome::NotFound => status(404),
        PathOutcome::Empty => status(200),
        PathOutcome::Refused => status(400),
        PathOutcome::Forward(new) => {
            let mut answer = Answer { request_uri: Some(text(new.target)), ..Answer::default() };
            for (name, value, edit) in new.fields() {
                match (name, edit) {
                    ("X-Forwarded-Prefix", FieldEdit::Add) => answer.forwarded_prefix.push(text(value)),
                    ("X-Replaced-Path", FieldEdit::Set) => answer.replaced_path = vec![text(value)],
                    other => panic!("unknown field edit {other:?}"),
                }
            }
            answer
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the cases are text")
}

/// The difference of a case, if any.
fn verdict(case: &Case) -> Result<(), String> {
    let rule = match (Rule::parse(&case.rule), &case.parse_error) {
        (Err(_), Some(_)) => return Ok(()),
        (Ok(_), Some(error)) => return Err(format!("accepted; v1 says {error}")),
        (Err(error), None) => return Err(format!("not accepted: {error}")),
        (Ok(rule), None) => rule,
    };
    if Some(rule.default_priority()) != case.priority {
        return Err(format!("priority {} instead of {:?}", rule.default_priority(), case.priority));
    }
    let given = answer(rule, case.keep_trailing_slash, &case.request);
    let expected = Answer {
        status: case.status,
        location: case.location.clone(),
        request_uri: case.upstream.as_ref().map(|upstream| upstream.request_uri.clone()),
        forwarded_prefix: case.upstream.as_ref().map(|u| u.x_forwarded_prefix.clone()).unwrap_or_default(),
        replaced_path: case.upstream.as_ref().map(|u| u.x_replaced_path.clone()).unwrap_or_default(),
    };
    if given != expected {
        return Err(format!("{given:?} instead of {expected:?}"));
    }
    if case.matched == Some(true) && given.status.is_some() {
        return Err("matched but answered locally".to_owned());
    }
    match &case.upstream {
        Some(upstream) => same_path(&upstream.request_uri, &upstream.path),
        None => Ok(()),
    }
}

/// Checks the reading of the recording itself: the recorded decoded path must be the decoded recorded request URI. After a strip by
/// template the URI got its leading slash but the path did not.
fn same_path(request_uri: &str, path: &str) -> Result<(), String> {
    let raw = request_uri.split('?').next().unwrap_or_default();
    let mut decoded = Vec::new();
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digits: String = bytes.by_ref().take(2).map(char::from).collect();
        decoded.push(u8::from_str_radix(&digits, 16).map_err(|error| error.to_string())?);
    }
    let decoded = String::from_utf8_lossy(&decoded);
    if decoded == path || decoded == format!("/{path}") {
        return Ok(());
    }
    Err(format!("path {path} is not that of {request_uri}"))
}

#[test]
fn recorded_rule_cases_match_v1() {
    let Some(recorded) = recorded() else { return };
    let mut wrong = Vec::new();
    let mut differing = 0;
    for case in &recorded.cases {
        let row = (&*case.rule, &*case.request.host, &*case.request.target);
        let known = DIFFERENCES.iter().find(|(rule, host, target, _)| (*rule, *host, *target) == row);
        let place = format!("{} {} {}{}", case.rule, case.request.method, case.request.host, case.request.target);
        match (verdict(case), known) {
            (Ok(()), None) => {}
            (Err(_), Some(_)) => differing += 1,
            (Ok(()), Some((.., reason))) => wrong.push(format!("{place}: agrees, though listed: {reason}")),
            (Err(problem), None) => wrong.push(format!("{place}: {problem}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), recorded.cases.len(), wrong.join("\n"));
    assert_eq!(differing, DIFFERENCES.len(), "every listed difference is a recorded case");
    assert!(recorded.cases.len() >= 1019, "{} cases only", recorded.cases.len());
    println!("{} cases, {differing} listed differences", recorded.cases.len());
}

#[test]
fn unit_tables_of_v1_match() {
    let Some(recorded) = recorded() else { return };
    assert!(recorded.upstream_tests.len() >= 21, "{} rows only", recorded.upstream_tests.len());
    for UpstreamTest { test, case } in &recorded.upstream_tests {
        match test.as_str() {
            "TestParseDomains" => domains(case),
            "TestHostRegexp" => urls(case, &format!("HostRegexp:{}", field(case, "hostExp"))),
            "TestPathPrefix" => urls(case, &format!("PathPrefix:{}", field(case, "path"))),
            "TestServerMultipleFrontendRules" => forwards(case),
            other => panic!("unknown table {other}"),
        }
    }
}

fn field<'a>(case: &'a serde_json::Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} in {case}"))
}

fn domains(case: &serde_json::Value) {
    let parsed = parse_domains(field(case, "expression"));
    let expected: Option<Vec<String>> = serde_json::from_value(case["domain"].clone()).expect("names");
    match case["errorExpected"].as_bool() {
        Some(true) => assert!(parsed.is_err(), "{case}"),
        _ => assert_eq!(parsed.expect("accepted"), expected.unwrap_or_default(), "{case}"),
    }
}

fn get(url: &str) -> Request {
    let rest = url.strip_prefix("http://").expect("an http URL");
    let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Request { method: "GET".into(), host: host.into(), target: target.into(), headers: BTreeMap::new() }
}

fn urls(case: &serde_json::Value, rule: &str) {
    for (url, expected) in case["urls"].as_object().expect("a table of URLs") {
        let answer = answer(Rule::parse(rule).expect(rule), true, &get(url));
        assert_eq!(Some(answer.status.is_none()), expected.as_bool(), "{rule} {url}");
    }
}

fn forwards(case: &serde_json::Value) {
    let request = get(field(case, "requestURL"));
    let answer = answer(Rule::parse(field(case, "expression")).expect("valid"), true, &request);
    let path = answer.request_uri.expect("forwarded");
    // A target always has a path, the table's URLs do not: `http://foo.bar` stands for its `/`.
    let wanted = field(case, "expectedURL").strip_prefix("http://foo.bar").expect("the tables' one host");
    assert_eq!(path, if wanted.is_empty() { "/" } else { wanted }, "{case}");
}
