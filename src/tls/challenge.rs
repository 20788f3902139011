//! Responses to HTTP-01 and TLS-ALPN-01 challenges, published by the control plane and read by the data plane.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::ServerConfig;

/// The application protocol of a TLS-ALPN-01 validation (RFC 8737 6.2).
pub const ALPN_PROTOCOL: &[u8] = b"acme-tls/1";

/// The path in front of the token (RFC 8555 8.3).
pub const HTTP01_PREFIX: &str = "/.well-known/acme-challenge/";

/// The key authorisation to send for a token and a host. A published table is immutable: every change makes a new table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChallengeTable {
    /// The pending HTTP-01 challenges by token.
    challenges: HashMap<Box<str>, Vec<Challenge>>,
    /// The pending TLS-ALPN-01 challenges by SNI name.
    alpn: HashMap<Box<str>, AlpnChallenge>,
}

/// The configuration for the validation of one name by TLS-ALPN-01.
#[derive(Debug, Clone)]
struct AlpnChallenge(Arc<ServerConfig>);

impl PartialEq for AlpnChallenge {
    fn eq(&self, other: &AlpnChallenge) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for AlpnChallenge {}

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
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
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

    /// Whether no HTTP-01 challenge is pending, which is the usual case.
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

    /// Whether a TLS-ALPN-01 challenge is pending.
    pub fn has_alpn(&self) -> bool {
        !self.alpn.is_empty()
    }

    /// The configuration for a handshake with the name `server_name` and the application protocols `offered`, if it is the validation of a
    /// pending TLS-ALPN-01 challenge: a client that offers `acme-tls/1` and nothing else (RFC 8737 3). All other handshakes are ordinary.
    pub fn alpn_config<'a>(
        &self,
        server_name: Option<&str>,
        mut offered: impl Iterator<Item = &'a [u8]>,
    ) -> Option<Arc<ServerConfig>> {
        let is_validation = offered.next() == Some(ALPN_PROTOCOL) && offered.next().is_none();
        let name = server_name.filter(|_| is_validation)?.to_ascii_lowercase();
        self.alpn.get(name.trim_end_matches('.')).map(|challenge| Arc::clone(&challenge.0))
    }

    /// A copy of this table with a TLS-ALPN-01 challenge for `name`, which replaces an earlier one.
    pub fn with_alpn(&self, name: &str, config: &Arc<ServerConfig>) -> ChallengeTable {
        let mut next = self.clone();
        next.alpn.insert(validation_name(name).into(), AlpnChallenge(Arc::clone(config)));
        next
    }

    /// A copy of this table without the TLS-ALPN-01 challenge for `name`.
    pub fn without_alpn(&self, name: &str) -> ChallengeTable {
        let mut next = self.clone();
        next.alpn.remove(&*validation_name(name));
        next
    }
}

/// The SNI name with which an authority validates `name`: an address has the name of its reverse look-up (RFC 8738 6).
fn validation_name(name: &str) -> String {
    match name.parse() {
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(address)) => {
            let digits = address.octets().into_iter().rev().flat_map(|byte| [byte & 0x0f, byte >> 4]);
            digits.map(|digit| format!("{digit:x}.")).collect::<String>() + "ip6.arpa"
        }
        Err(_) => name.trim_end_matches('.').to_ascii_lowercase(),
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
    fn only_acme_tls_for_a_pending_name_is_a_validation() {
        let config = crate::tls::alpn_challenge::config("a.example", &[7; 32]).expect("a configuration");
        let table = ChallengeTable::default().with_alpn("A.example.", &config);
        assert!(table.has_alpn() && table.is_empty());
        let is_found =
            |name: Option<&str>, offered: &[&[u8]]| table.alpn_config(name, offered.iter().copied()).is_some();
        assert!(is_found(Some("a.Example"), &[b"acme-tls/1"]));
        assert!(!is_found(Some("b.example"), &[b"acme-tls/1"]), "not pending");
        assert!(!is_found(None, &[b"acme-tls/1"]));
        assert!(!is_found(Some("a.example"), &[b"h2", b"http/1.1"]), "an ordinary client");
        assert!(!is_found(Some("a.example"), &[b"acme-tls/1", b"h2"]), "RFC 8737 3: the only protocol");
        assert!(!is_found(Some("a.example"), &[]));
        assert_eq!(table.without_alpn("a.example"), ChallengeTable::default());
    }

    #[test]
    fn address_is_validated_by_the_name_of_its_reverse_look_up() {
        assert_eq!(validation_name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        let loopback = format!("1.{}ip6.arpa", "0.".repeat(31));
        assert_eq!(validation_name("::1"), loopback);
    }

    #[test]
    fn address_in_brackets_is_the_host_of_its_challenge() {
        let table = ChallengeTable::default().with("tok", "::1", "tok.thumb");
        assert_eq!(table.lookup("tok", "[::1]:80"), Some("tok.thumb"));
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
