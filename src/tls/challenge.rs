//! Answers to HTTP-01 challenges, published by the control plane and read by the data plane.

use std::collections::HashMap;

/// The path in front of the token (RFC 8555 8.3).
pub const HTTP01_PREFIX: &str = "/.well-known/acme-challenge/";

/// Which key authorisation to answer for a token and a host. Immutable once published: every change is a new table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChallengeTable {
    /// By token.
    answers: HashMap<Box<str>, Vec<Answer>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    host: Box<str>,
    key_authorisation: Box<str>,
}

impl ChallengeTable {
    /// The key authorisation for `token` on `host`. `host` is compared without port and case, as Traefik does
    /// (docs/reference/acme.md#http-challenge).
    pub fn lookup(&self, token: &str, host: &str) -> Option<&str> {
        let host = without_port(host);
        let answers = self.answers.get(token)?;
        answers.iter().find(|answer| answer.host.eq_ignore_ascii_case(host)).map(|answer| &*answer.key_authorisation)
    }

    /// The answer for a request: `path` below [`HTTP01_PREFIX`] and `host` as the client sent it. `None` both for
    /// other paths and for unknown tokens; [`ChallengeTable::is_challenge_path`] tells them apart.
    pub fn answer(&self, path: &str, host: &str) -> Option<&str> {
        self.lookup(path.strip_prefix(HTTP01_PREFIX)?, host)
    }

    /// Is this a path that a challenge could have? An empty token is none (docs/reference/acme.md#http-challenge).
    pub fn is_challenge_path(path: &str) -> bool {
        path.strip_prefix(HTTP01_PREFIX).is_some_and(|token| !token.is_empty())
    }

    /// No challenge is pending: the common case, one comparison.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// This table with one more answer.
    pub fn with(&self, token: &str, host: &str, key_authorisation: &str) -> ChallengeTable {
        let mut next = self.clone();
        let entry = next.answers.entry(token.into()).or_default();
        entry.retain(|answer| !answer.host.eq_ignore_ascii_case(host));
        entry.push(Answer { host: host.into(), key_authorisation: key_authorisation.into() });
        next
    }

    /// This table without the answer for `token` on `host`.
    pub fn without(&self, token: &str, host: &str) -> ChallengeTable {
        let mut next = self.clone();
        if let Some(entry) = next.answers.get_mut(token) {
            entry.retain(|answer| !answer.host.eq_ignore_ascii_case(host));
            if entry.is_empty() {
                next.answers.remove(token);
            }
        }
        next
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // An IPv6 literal has colons of its own; its port stands behind the bracket.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') => name,
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && name.ends_with(']') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_by_token_and_host_without_port_and_case() {
        let table = ChallengeTable::default().with("tok", "a.example", "tok.thumb").with("tok", "b.example", "other");
        assert_eq!(table.lookup("tok", "A.Example:80"), Some("tok.thumb"));
        assert_eq!(table.lookup("tok", "b.example"), Some("other"));
        assert_eq!(table.lookup("tok", "c.example"), None);
        assert_eq!(table.lookup("to", "a.example"), None);
        assert_eq!(table.answer("/.well-known/acme-challenge/tok", "a.example"), Some("tok.thumb"));
        assert_eq!(table.answer("/other/tok", "a.example"), None);
    }

    #[test]
    fn an_answer_taken_back_leaves_no_trace() {
        let table = ChallengeTable::default().with("tok", "a.example", "x");
        assert!(!table.is_empty());
        assert_eq!(table.without("tok", "b.example"), table);
        assert!(table.without("tok", "a.example").is_empty());
    }

    #[test]
    fn a_path_needs_a_token() {
        assert!(ChallengeTable::is_challenge_path("/.well-known/acme-challenge/x"));
        assert!(!ChallengeTable::is_challenge_path("/.well-known/acme-challenge/"));
        assert!(!ChallengeTable::is_challenge_path("/.well-known/acme-challenge"));
    }

    #[test]
    fn ports_and_brackets() {
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("::1"), "::1");
        assert_eq!(without_port("a:80"), "a");
        assert_eq!(without_port("a"), "a");
    }
}
