//! Which names an authority can sign.

use std::net::IpAddr;

use crate::tls::certificate::name_covers;

use super::desired::{DesiredCertificates, DomainRequest};

/// The kinds of names that the configured challenge and profile allow to order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Obtainable {
    /// Wildcards: with the DNS challenge.
    pub wildcards: bool,
    /// IP addresses: with the profile `shortlived`, by the HTTP or TLS challenge (RFC 8738).
    pub addresses: bool,
}

/// The address that a name is, also in brackets.
pub fn address(name: &str) -> Option<IpAddr> {
    name.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Why no certificate for `name` can be obtained; `None` if one can.
pub fn unobtainable_reason(name: &str, obtainable: Obtainable) -> Option<String> {
    if let Some(base) = name.strip_prefix("*.") {
        return match (base.contains('*'), obtainable.wildcards) {
            (true, _) => Some("no authority signs two wildcards in one name: use one".into()),
            (false, false) => Some("a wildcard needs acme.dnsChallenge: configure it, or list the names".into()),
            (false, true) => unobtainable_reason(base, obtainable),
        };
    }
    if name.contains('*') {
        return Some("a wildcard stands for the first label: write *.example.com".into());
    }
    if address(name).is_some() {
        return match obtainable.addresses && !name.starts_with('[') {
            true => None,
            false => Some(
                "it is an address: only with acme.profile = \"shortlived\", and not by acme.dnsChallenge, certificates \
                 for addresses are requested"
                    .into(),
            ),
        };
    }
    if name.contains('_') {
        return Some("no authority signs a name with an underscore".into());
    }
    let is_label = |label: &str| {
        let has_label_bytes = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        has_label_bytes && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    match name.len() <= 253 && name.split('.').all(is_label) {
        true => None,
        false => {
            Some("it is not a DNS name: write it without a port, and international names in their xn-- form".into())
        }
    }
}

/// Last labels of names that exist in one network or on one machine only (RFC 2606, RFC 6761, RFC 6762 and custom).
const LOCAL_DOMAINS: [&str; 11] =
    ["localhost", "local", "internal", "lan", "home", "corp", "intranet", "test", "example", "invalid", "localdomain"];

/// Takes names that no public authority signs out of the requests: names of one label, and of local domains. One of them makes a public
/// authority refuse the whole order. Returns the other requests, and the names with the reason.
pub fn without_local_names(desired: &DesiredCertificates) -> (DesiredCertificates, Vec<(String, String)>) {
    let mut refused = Vec::new();
    let mut requests = Vec::new();
    for request in &desired.requests {
        let (local, public): (Vec<String>, Vec<String>) = request.names().into_iter().partition(|name| is_local(name));
        let reason = "it is a name of a local network, which a public authority does not sign".to_owned();
        let is_served =
            |name: &String| desired.covered.iter().any(|covered| name_covers(&covered.to_lowercase(), name));
        refused.extend(local.into_iter().filter(|name| !is_served(name)).map(|name| (name, reason.clone())));
        let mut names = public.into_iter();
        if let Some(main) = names.next() {
            requests.push(DomainRequest { main, sans: names.collect() });
        }
    }
    (DesiredCertificates { requests, covered: desired.covered.clone() }, refused)
}

fn is_local(name: &str) -> bool {
    if let Some(address) = address(name) {
        return is_local_address(address);
    }
    // What is no name at all is refused by `unobtainable_reason`, which knows more of it.
    let is_name = unobtainable_reason(name, Obtainable { wildcards: true, addresses: true }).is_none();
    is_name && name.trim_start_matches("*.").rsplit_once('.').is_none_or(|(_, last)| LOCAL_DOMAINS.contains(&last))
}

/// Whether an address has a meaning in one network or on one machine only.
fn is_local_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
