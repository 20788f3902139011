//! Rows about path modifiers and hosts, run through a rule as in a configuration.

use ringway::rule::{
    FieldEdit, PathOutcome, Route, RouteOutcome as Routed, RouteRequest, Router, RouterOptions, Rule, Scratch,
    canonical_host,
};
use serde_json::Value;

use super::{CaseResult, same, string, texts};

/// The request at the backend: the target, X-Forwarded-Prefix and X-Replaced-Path; or the status instead.
type Forwarded = Result<(String, String, String), u16>;

fn forwarded(rule: &str, path: &str) -> Result<Forwarded, String> {
    let rule = Rule::parse(rule).map_err(|error| error.to_string())?;
    let route = Route { rule, priority: 0, provider: String::new(), name: String::new(), value: () };
    let router = Router::build(vec![route], RouterOptions { sanitize_path: false, keep_trailing_slash: true });
    let no_headers: [(&str, &[u8]); 0] = [];
    let info = RouteRequest { method: b"GET", host: b"h", target: path.as_bytes(), headers: &no_headers };
    let mut scratch = Scratch::default();
    let Routed::Found { modifiers, .. } = router.route(&info, &mut scratch) else { return Ok(Err(404)) };
    let mut fields = (String::new(), String::new());
    let target = match modifiers.apply(path.as_bytes(), &mut scratch) {
        PathOutcome::Forward(new) => {
            for (name, value, edit) in new.fields() {
                let value = String::from_utf8_lossy(value).into_owned();
                match (name, edit) {
                    ("X-Forwarded-Prefix", FieldEdit::Add) => fields.0 = value,
                    ("X-Replaced-Path", FieldEdit::Set) => fields.1 = value,
                    other => return Err(format!("unknown edit {other:?}")),
                }
            }
            String::from_utf8_lossy(new.target).into_owned()
        }
        PathOutcome::Unchanged => path.to_owned(),
        PathOutcome::NotFound => return Ok(Err(404)),
        other => return Err(format!("{other:?}")),
    };
    Ok(Ok((target, fields.0, fields.1)))
}

/// The raw path where the row has one, otherwise the decoded one.
fn path_of(case: &Value) -> &str {
    Some(string(&case["expectedRawPath"])).filter(|raw| !raw.is_empty()).unwrap_or(string(&case["expectedPath"]))
}

pub fn add_prefix(case: &Value) -> CaseResult {
    let given = forwarded(&format!("AddPrefix:{}", string(&case["prefix"])), string(&case["path"]))?;
    same(given.map(|given| given.0), Ok(path_of(case).to_owned()))
}

pub fn replace_path(case: &Value) -> CaseResult {
    let given = forwarded("ReplacePath:/replacement-path", string(case))?;
    same(given, Ok(("/replacement-path".to_owned(), String::new(), string(case).to_owned())))
}

pub fn replace_path_regex(case: &Value) -> CaseResult {
    let rule = format!("ReplacePathRegex:{} {}", string(&case["regex"]), string(&case["replacement"]));
    let given = forwarded(&rule, string(&case["path"]))?;
    same(given, Ok((path_of(case).to_owned(), String::new(), string(&case["expectedHeader"]).to_owned())))
}

pub fn strip_prefix(case: &Value) -> CaseResult {
    let prefixes = texts(&case["prefixes"]);
    if prefixes.is_empty() {
        // A rule cannot be written without a prefix; the row's middleware then responds with 404.
        return same(Rule::parse("PathPrefixStrip:").is_err(), case["expectedStatusCode"] == 404);
    }
    stripped(&format!("PathPrefixStrip:{}", prefixes.join(",")), case)
}

/// The prefixes of the tables, which are not in the rows.
pub fn strip_prefix_regex(case: &Value) -> CaseResult {
    stripped("PathPrefixStripRegex:/a/api/,/b/{regex}/,/c/{category}/{id:[0-9]+}/", case)
}

fn stripped(rule: &str, case: &Value) -> CaseResult {
    let expected = match case["expectedStatusCode"].as_u64() {
        Some(200) => Ok((format!("/{}", path_of(case).trim_start_matches('/')), string(&case["expectedHeader"]))),
        status => Err(status.unwrap_or_default() as u16),
    };
    let given = forwarded(rule, string(&case["path"]))?;
    // The field has no trailing slash (docs/reference/rules.md#path-modifiers): the rows have the middleware's argument unchanged.
    let expected = expected.map(|(path, prefix)| (path, prefix.trim_end_matches('/').to_owned()));
    same(given.map(|given| (given.0, given.1.trim_end_matches('/').to_owned())), expected)
}

pub fn host(case: &Value) -> CaseResult {
    let host = case["host"].as_str().unwrap_or(string(&case["url"]).trim_start_matches("http://"));
    let mut scratch = Vec::new();
    same(canonical_host(host.as_bytes(), &mut scratch), string(&case["expected"]).as_bytes())
}
