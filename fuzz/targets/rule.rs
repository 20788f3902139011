//! Rule texts. First line: a rule; second: a host; third: a target. An accepted rule has the same result alone and among others, never
//! matches a host that it does not name, and never makes a target that a request line cannot hold.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringway::http::forward::{ForwardPlan, write_request};
use ringway::http::h1::progress::{HeadLimits, ParseProgress};
use ringway::http::h1::request_head::parse_request;
use ringway::http::{Edits, RequestHead, RequestView};
use ringway::rule::{
    PathOutcome, Route, RouteOutcome, RouteRequest, Router, RouterOptions, Rule, Scratch, canonical_host,
};

static OTHERS: LazyLock<[Rule; 3]> = LazyLock::new(|| {
    ["Host:other.example", "PathPrefix:/", "HostRegexp:{any:[a-z]}"].map(|text| Rule::parse(text).expect(text))
});

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let (rule, host, target) = (lines.next().unwrap_or_default(), lines.next(), lines.next());
    let rule = match Rule::parse(rule) {
        Ok(rule) => rule,
        Err(invalid) => return assert!(!invalid.to_string().is_empty()),
    };
    assert!(rule.hosts().iter().all(|host| *host == host.to_lowercase()));
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\nX-A: b\r\n\r\n", target.unwrap_or("/"), host.unwrap_or("a"));
    let mut head = RequestHead::default();
    if parse_request(request.as_bytes(), &HeadLimits::default(), &mut head) != Ok(ParseProgress::Complete) {
        return;
    }
    for sanitize_path in [true, false] {
        for keep_trailing_slash in [true, false] {
            check(&rule, &head, request.as_bytes(), RouterOptions { sanitize_path, keep_trailing_slash });
        }
    }
});

/// The fuzzed rule has route number 0; the other routes stand for other frontends.
fn router(rules: &[&Rule], options: RouterOptions) -> Router<usize> {
    let route = |(value, rule): (usize, &&Rule)| Route {
        rule: (*rule).clone(),
        priority: if value == 0 { 1_000_000 } else { 1 },
        provider: "file".to_owned(),
        name: format!("frontend{value}"),
        value,
    };
    Router::build(rules.iter().enumerate().map(route).collect(), options)
}

fn check(rule: &Rule, head: &RequestHead, bytes: &[u8], options: RouterOptions) {
    let alone = router(&[rule], options);
    let crowd = router(&[rule, &OTHERS[0], &OTHERS[1], &OTHERS[2]], options);
    let headers = RequestView { head, bytes, edits: &Edits::new() };
    let (host, target) = (head.host.of(bytes), head.target.of(bytes));
    let facts = RouteRequest { method: b"GET", host, target, headers: &headers };
    let (mut scratch, mut second) = (Scratch::default(), Scratch::default());
    match (alone.route(&facts, &mut scratch), crowd.route(&facts, &mut second)) {
        (RouteOutcome::Found { modifiers, .. }, RouteOutcome::Found { value: 0, .. }) => {
            let mut canonical = Vec::new();
            let host = canonical_host(host, &mut canonical);
            let named = rule.hosts().iter().any(|name| name.as_bytes() == host);
            assert!(rule.hosts().is_empty() || named, "{} is none of {:?}", host.escape_ascii(), rule.hosts());
            let first = made(modifiers.apply(target, &mut scratch), &headers, options);
            assert_eq!(first, made(modifiers.apply(target, &mut scratch), &headers, options), "a second time");
        }
        (RouteOutcome::NotFound, RouteOutcome::Found { value, .. }) => assert_ne!(*value, 0),
        (RouteOutcome::NotFound, RouteOutcome::NotFound | RouteOutcome::Redirect { .. })
        | (RouteOutcome::Refused, RouteOutcome::Refused) => {}
        (RouteOutcome::Redirect { location }, RouteOutcome::Redirect { location: same }) => {
            assert_eq!(location, same);
            assert!(!location.iter().any(|byte| matches!(byte, b'\r' | b'\n')), "{}", location.escape_ascii());
        }
        (alone, crowd) => panic!("alone {alone:?}, in a crowd {crowd:?}"),
    }
}

/// Returns the rewritten target, if there is one, in the form that is forwarded.
fn made(applied: PathOutcome<'_>, view: &RequestView<'_>, options: RouterOptions) -> Option<Vec<u8>> {
    let PathOutcome::Forward(rewritten) = applied else { return None };
    let mut out = Vec::new();
    write_request(&mut out, *view, &ForwardPlan { target: rewritten.target, ..ForwardPlan::default() });
    let mut head = RequestHead::default();
    let verdict = parse_request(&out, &HeadLimits::default(), &mut head);
    assert!(verdict == Ok(ParseProgress::Complete) && head.len == out.len(), "{verdict:?}: {}", out.escape_ascii());
    let target = head.target.of(&out);
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let climbs = |segment: &[u8]| matches!(segment, b"." | b"..");
    assert!(!options.sanitize_path || !path.split(|byte| *byte == b'/').any(climbs), "{}", target.escape_ascii());
    Some(target.to_vec())
}
