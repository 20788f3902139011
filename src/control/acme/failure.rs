//! Why an order failed: which names the authority refuses, and until when it wants no further attempt.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::{Error, Identifier, Problem};

use super::http::notes;
use super::time_text;
use super::trust::explain;

/// The prefix of the authority's problem types (RFC 8555 6.7).
const PROBLEM: &str = "urn:ietf:params:acme:error:";
/// The pause after a rate limit whose end the authority does not name.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(3600);

/// Why an order failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderError {
    /// A sentence for the log.
    pub reason: String,
    /// The names that failed, each with its reason. Empty if the failure is not one of names.
    pub names: Vec<(String, String)>,
    /// The pause that the authority asks for.
    pub retry_after: Option<Duration>,
    /// Whether the authority does not know the account: a new one must be registered before the next attempt.
    pub account_is_gone: bool,
    /// Whether the order can be continued by the next attempt.
    pub is_resumable: bool,
}

impl OrderError {
    /// An error with this reason, which is not one of names.
    pub fn because(reason: impl Into<String>) -> OrderError {
        OrderError { reason: reason.into(), ..OrderError::default() }
    }

    /// An error of these names.
    pub fn of_names(names: Vec<(String, String)>) -> OrderError {
        let texts: Vec<String> = names.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
        OrderError { reason: texts.join("; "), names, ..OrderError::default() }
    }

    /// The error of a request about an order for `names`.
    pub fn of_request(error: &Error, names: &[String]) -> OrderError {
        let mut failure = OrderError::because(explain(error));
        let notes = notes();
        let asked = notes.refused_until.and_then(|at| at.duration_since(SystemTime::now()).ok());
        let Error::Api(problem) = error else {
            // The connection failed, or a server in front of the authority answered: the order may be continued.
            return OrderError { retry_after: asked, is_resumable: true, ..failure };
        };
        let kind = kind(problem);
        failure.account_is_gone = kind == "accountDoesNotExist";
        failure.is_resumable = matches!(kind, "serverInternal" | "badNonce" | "rateLimited");
        failure.names = blamed_names(problem, names);
        failure.retry_after = match kind {
            "rateLimited" => asked.or_else(|| named_end(problem)).or(Some(RATE_LIMIT_PAUSE)),
            _ => asked,
        };
        failure
    }
}

/// Whether a request failed because of its nonce: it was not processed, and can be sent again (RFC 8555 6.5).
pub fn is_bad_nonce(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if kind(problem) == "badNonce")
}

/// Whether the authority refuses the reference to the certificate that an order replaces (RFC 9773 5).
pub fn is_refused_replacement(error: &Error) -> bool {
    match error {
        Error::Api(problem) => {
            let detail = problem.detail.as_deref().unwrap_or_default().to_ascii_lowercase();
            kind(problem) == "alreadyReplaced" || detail.contains("replace")
        }
        Error::Unsupported(_) => true,
        other => other.to_string().contains("replaces field mismatch"),
    }
}

/// Whether the authority refuses the profile of an order.
pub fn is_refused_profile(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if kind(problem) == "invalidProfile")
}

fn kind(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix(PROBLEM).unwrap_or(kind)
}

/// The names of an order that a problem is about: those of its subproblems, else those that its text mentions, else all of them if the
/// authority refuses the identifiers without saying which.
fn blamed_names(problem: &Problem, names: &[String]) -> Vec<(String, String)> {
    const ABOUT_NAMES: [&str; 11] = [
        "rejectedIdentifier",
        "unsupportedIdentifier",
        "caa",
        "dns",
        "connection",
        "unauthorized",
        "incorrectResponse",
        "tls",
        "malformed",
        "compound",
        "rateLimited",
    ];
    let kind = kind(problem);
    if !ABOUT_NAMES.contains(&kind) {
        return Vec::new();
    }
    let mut blamed: Vec<(String, String)> = Vec::new();
    for sub in &problem.subproblems {
        let Some(identifier) = &sub.identifier else { continue };
        let reason = sub.detail.clone().unwrap_or_else(|| sub.to_string());
        let is_meant =
            |name: &&String| is_identifier(identifier, name) && !blamed.iter().any(|(known, _)| known == *name);
        let meant: Vec<_> = names.iter().filter(is_meant).map(|name| (name.clone(), reason.clone())).collect();
        blamed.extend(meant);
    }
    let detail = problem.detail.clone().unwrap_or_else(|| problem.to_string());
    if blamed.is_empty() {
        let mentioned = names.iter().filter(|name| mentions(&detail, name));
        blamed.extend(mentioned.map(|name| (name.clone(), detail.clone())));
    }
    if blamed.is_empty() && matches!(kind, "rejectedIdentifier" | "unsupportedIdentifier" | "caa" | "dns") {
        blamed.extend(names.iter().map(|name| (name.clone(), detail.clone())));
    }
    blamed
}

fn is_identifier(identifier: &Identifier, name: &str) -> bool {
    let text = identifier.authorized(false).to_string();
    let text = text.trim_end_matches('.');
    text.eq_ignore_ascii_case(name) || name.strip_prefix("*.").is_some_and(|base| text.eq_ignore_ascii_case(base))
}

/// Whether `text` has `name` as a name of its own, not as a part of another one.
fn mentions(text: &str, name: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'*' | b'_');
    text.match_indices(name).any(|(at, _)| {
        let before = text.as_bytes()[..at].last().copied();
        let mut after = text.as_bytes()[at + name.len()..].iter().copied();
        let goes_on = match after.next() {
            Some(b'.') => after.next().is_some_and(|byte| byte.is_ascii_alphanumeric()),
            Some(byte) => is_part(byte),
            None => false,
        };
        !goes_on && !before.is_some_and(is_part)
    })
}

/// The end of a rate limit as Let's Encrypt writes it into the text: `retry after 2026-12-02 10:00:00 UTC`.
fn named_end(problem: &Problem) -> Option<Duration> {
    let detail = problem.detail.as_deref()?;
    let (_, rest) = detail.split_once("retry after ")?;
    let end = time_text::parse(rest.trim_start())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    u64::try_from(end).ok()?.checked_sub(now).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Error {
        Error::Api(serde_json::from_str(text).expect("a problem"))
    }

    fn blamed(text: &str, names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        OrderError::of_request(&problem(text), &names).names.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn names_of_subproblems_are_blamed_alone() {
        let text = r#"{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"a.x and others","subproblems":[
            {"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"no","identifier":{"type":"dns","value":"B.x"}},
            {"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"no","identifier":{"type":"dns","value":"w.x"}}]}"#;
        assert_eq!(blamed(text, &["a.x", "b.x", "*.w.x"]), ["b.x", "*.w.x"]);
    }

    #[test]
    fn names_in_the_text_are_blamed_as_whole_names() {
        let text =
            |detail: &str| format!(r#"{{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"{detail}"}}"#);
        let names = ["x.example", "www.x.example", "y.example"];
        assert_eq!(blamed(&text("forbidden by policy: 'www.x.example'"), &names), ["www.x.example"]);
        assert_eq!(blamed(&text("no x.example."), &names), ["x.example"]);
        assert_eq!(blamed(&text("forbidden by policy"), &names), names, "one of them, nobody knows which");
    }

    #[test]
    fn failures_of_the_authority_blame_no_name() {
        for kind in ["serverInternal", "badCSR", "accountDoesNotExist", "externalAccountRequired"] {
            let text = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"a.x"}}"#);
            assert_eq!(blamed(&text, &["a.x"]), [""; 0], "{kind}");
        }
        let lost = OrderError::of_request(&Error::Str("connection lost"), &["a.x".to_owned()]);
        assert!(lost.names.is_empty() && lost.is_resumable);
    }

    #[test]
    fn rate_limit_has_the_pause_of_its_text_or_an_hour() {
        let of = |detail: &str| {
            let text = format!(r#"{{"type":"urn:ietf:params:acme:error:rateLimited","detail":"{detail}"}}"#);
            OrderError::of_request(&problem(&text), &["a.x".to_owned()]).retry_after
        };
        assert_eq!(of("too many certificates"), Some(RATE_LIMIT_PAUSE));
        let pause = of("too many, retry after 2999-01-01 00:00:00 UTC: see the page").expect("a pause");
        assert!(pause > Duration::from_secs(900 * 365 * 86_400));
    }
}
