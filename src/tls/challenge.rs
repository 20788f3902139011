//! Responses to HTTP-01 challenges, published by the control plane and read by the data plane.

use std::collections::HashMap;

/// The path in front of the token (RFC 8555 8.3).
pub const HTTP01_PREFIX: &str = "/.well-known/acme-challenge/";

/// The key authorisation to send for a token and a host. A published table is immutable: every change makes a new table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChallengeTable {
    /// The pending challenges by token.
    challenges: HashMap<Box<str>, Vec<Challenge>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Challenge {
    host: Box<str>,
    key_authorisation: Box<str>,
}

impl ChallengeTable {
    /// The key authorisation for `token` on `host`. `host` is compared without port and case, as Traefik does
    /// (docs/reference/acme.md#http-challenge).
    pub fn lookup(&self, token: &str, host: &str) -> Option<&str> {
        let host = without_port(host);
        let host = host.strip_suffix('.').unwrap_or(host);
        let challenges = self.challenges.get(token)?;
        challenges
            .iter()
            .find(|challenge| challenge.host.eq_ignore_ascii_case(host))
            .map(|challenge| &*challenge.key_authorisation)
    }

    /// The key authorisation for a request: `path` below [`HTTP01_PREFIX`] and `host` as the client sent it. `None` both for other paths
    /// and for unknown tokens; [`ChallengeTable::is_challenge_path`] distinguishes them.
    pub fn answer(&self, path: &str, host: &str) -> Option<&str> {
        self.lookup(path.strip_prefix(HTTP01_PREFIX)?, host)
    }

    /// Whether this is the path of a challenge, pending or not: an empty token does not count (docs/reference/acme.md#http-challenge).
    pub fn is_challenge_path(path: &str) -> bool {
        path.strip_prefix(HTTP01_PREFIX).is_some_and(|token| !token.is_empty())
    }

    /// Whether no challenge is pending, which is the usual case.
    pub fn is_empty(&self) -> bool {
        self.challenges.is_empty()
    }

    /// A copy of this table with one more challenge, which replaces that for the same token and host.
    pub fn with(&self, token: &str, host: &str, key_authorisation: &str) -> ChallengeTable {
        let mut next = self.clone();
        let entry = next.challenges.entry(token.into()).or_default();
        entry.retain(|challenge| !challenge.host.eq_ignore_ascii_case(host));
        entry.push(Challenge { host: host.into(), key_authorisation: key_authorisation.into() });
        next
    }

    /// A copy of this table without the challenge for `token` on `host`.
    pub fn without(&self, token: &str, host: &str) -> ChallengeTable {
        let mut next = self.clone();
        if let Some(entry) = next.challenges.get_mut(token) {
            entry.retain(|challenge| !challenge.host.eq_ignore_ascii_case(host));
            if entry.is_empty() {
                next.challenges.remove(token);
            }
        }
        next
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // An IPv6 literal contains colons: a port follows only after its bracket.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') => name,
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && name.ends_with(']') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup_ignores_port_case_and_trailing_dot_of_the_host() {
        let table = ChallengeTable::default().with("tok", "a.example", "tok.thumb").with("tok", "b.example", "other");
        assert_eq!(table.lookup("tok", "A.Example:80"), Some("tok.thumb"));
        assert_eq!(table.lookup("tok", "b.example"), Some("other"));
        assert_eq!(table.lookup("tok", "b.example.:80"), Some("other"));
        assert_eq!(table.lookup("tok", "c.example"), None);
        assert_eq!(table.lookup("to", "a.example"), None);
        assert_eq!(table.answer("/.well-known/acme-challenge/tok", "a.example"), Some("tok.thumb"));
        assert_eq!(table.answer("/other/tok", "a.example"), None);
    }

    #[test]
    fn removed_challenge_leaves_an_equal_table() {
        let table = ChallengeTable::default().with("tok", "a.example", "x");
        assert!(!table.is_empty());
        assert_eq!(table.without("tok", "b.example"), table);
        assert!(table.without("tok", "a.example").is_empty());
    }

    #[test]
    fn challenge_path_needs_a_token() {
        assert!(ChallengeTable::is_challenge_path("/.well-known/acme-challenge/x"));
        assert!(!ChallengeTable::is_challenge_path("/.well-known/acme-challenge/"));
        assert!(!ChallengeTable::is_challenge_path("/.well-known/acme-challenge"));
    }

    #[test]
    fn port_is_removed_from_names_and_bracketed_addresses() {
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("::1"), "::1");
        assert_eq!(without_port("a:80"), "a");
        assert_eq!(without_port("a"), "a");
    }
}
