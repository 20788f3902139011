//! Names of a certificate: whether they cover a server's name, and whether the constraints of an authority allow them. The rules are those of
//! Go's crypto/x509.

use std::net::IpAddr;

use rustls::pki_types::ServerName;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints, ParsedExtension};

/// The alternative names of a certificate. The common name is no name: Go ignores it.
pub fn alternative_names<'a, 'c>(certificate: &'c X509Certificate<'a>) -> &'c [GeneralName<'a>] {
    let found = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(names.general_names.as_slice()),
        _ => None,
    });
    found.unwrap_or_default()
}

/// Whether one of `names` covers the server.
pub fn covers(names: &[GeneralName<'_>], server: &ServerName<'_>) -> bool {
    names.iter().any(|name| match (name, server) {
        (GeneralName::DNSName(pattern), ServerName::DnsName(host)) => host_matches(pattern, host.as_ref()),
        (GeneralName::IPAddress(bytes), ServerName::IpAddress(address)) => {
            address_of(bytes).is_some_and(|own| own.to_canonical() == IpAddr::from(*address).to_canonical())
        }
        _ => false,
    })
}

/// The address of an alternative name, or `None` if its length is wrong.
pub fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Whether a pattern, which may begin with the label `*`, covers a host.
fn host_matches(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.strip_suffix('.').unwrap_or(pattern), host.strip_suffix('.').unwrap_or(host));
    if pattern.is_empty() || host.is_empty() {
        return false;
    }
    if let Some(parent) = pattern.strip_prefix("*.") {
        let rest = host.split_once('.').filter(|(label, _)| !label.is_empty());
        return rest.is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent));
    }
    pattern.eq_ignore_ascii_case(host)
}

/// Checks alternative names of a certificate against the constraints of an authority above it.
///
/// # Errors
/// The name that is not allowed.
pub fn check_constraints(names: &[GeneralName<'_>], constraints: &NameConstraints<'_>) -> Result<(), String> {
    let excluded = constraints.excluded_subtrees.as_deref().unwrap_or_default();
    let permitted = constraints.permitted_subtrees.as_deref().unwrap_or_default();
    for name in names {
        let refused = || shown(name);
        if matches!(name, GeneralName::Invalid(..)) {
            return Err(refused());
        }
        // A name that cannot be compared with a constraint is refused, by either list.
        let within = |tree: &GeneralSubtree<'_>| is_within(name, &tree.base).ok_or_else(refused);
        for tree in excluded.iter().filter(|tree| is_same_kind(name, &tree.base)) {
            if within(tree)? {
                return Err(refused());
            }
        }
        let (mut has_permitted, mut is_permitted) = (false, false);
        for tree in permitted.iter().filter(|tree| is_same_kind(name, &tree.base)) {
            has_permitted = true;
            is_permitted |= within(tree)?;
        }
        if has_permitted && !is_permitted {
            return Err(refused());
        }
    }
    Ok(())
}

/// Whether the constraints have a kind that is not compared with names. Such constraints must be refused if they are critical.
pub fn has_other_kinds(constraints: &NameConstraints<'_>) -> bool {
    let trees = constraints.excluded_subtrees.iter().chain(&constraints.permitted_subtrees).flatten();
    trees.into_iter().any(|tree| !is_compared(&tree.base))
}

fn is_compared(name: &GeneralName<'_>) -> bool {
    matches!(
        name,
        GeneralName::DNSName(_) | GeneralName::IPAddress(_) | GeneralName::RFC822Name(_) | GeneralName::URI(_)
    )
}

fn is_same_kind(name: &GeneralName<'_>, base: &GeneralName<'_>) -> bool {
    is_compared(name) && std::mem::discriminant(name) == std::mem::discriminant(base)
}

/// Whether a name is in the subtree of a constraint; `None` if either cannot be read.
fn is_within(name: &GeneralName<'_>, base: &GeneralName<'_>) -> Option<bool> {
    match (name, base) {
        (GeneralName::DNSName(name), GeneralName::DNSName(domain)) => is_in_domain(name, domain),
        (GeneralName::IPAddress(address), GeneralName::IPAddress(network)) => is_in_network(address, network),
        (GeneralName::RFC822Name(mailbox), GeneralName::RFC822Name(constraint)) => {
            let (local, host) = mailbox.rsplit_once('@')?;
            match constraint.rsplit_once('@') {
                Some((own_local, own_host)) => Some(own_local == local && own_host.eq_ignore_ascii_case(host)),
                None => is_in_domain(host, constraint),
            }
        }
        (GeneralName::URI(uri), GeneralName::URI(domain)) => is_in_domain(host_of(uri)?, domain),
        _ => None,
    }
}

/// The host of a URI; `None` without one, and for an address, which no constraint covers.
fn host_of(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.starts_with('[') {
        return None;
    }
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    (!host.is_empty() && host.parse::<IpAddr>().is_err()).then_some(host)
}

/// Whether a name is the domain or below it. A domain that begins with a dot covers only names below it.
fn is_in_domain(name: &str, domain: &str) -> Option<bool> {
    if domain.is_empty() {
        return Some(true);
    }
    let (domain, only_below) = domain.strip_prefix('.').map_or((domain, false), |domain| (domain, true));
    let (name, domain) = (labels(name)?, labels(domain)?);
    if name.len() < domain.len() || (only_below && name.len() == domain.len()) {
        return Some(false);
    }
    Some(name.iter().rev().zip(domain.iter().rev()).all(|(a, b)| a.eq_ignore_ascii_case(b)))
}

fn labels(name: &str) -> Option<Vec<&str>> {
    let labels: Vec<&str> = name.split('.').collect();
    let is_label = |label: &&str| !label.is_empty() && label.bytes().all(|byte| (33..=126).contains(&byte));
    labels.iter().all(is_label).then_some(labels)
}

/// Whether an address is in a network, which is an address followed by its mask. An address of the other family is not.
fn is_in_network(address: &[u8], network: &[u8]) -> Option<bool> {
    address_of(address)?;
    let (base, mask) = network.split_at(network.len() / 2);
    address_of(base).filter(|_| base.len() == mask.len())?;
    let is_same = |((own, base), mask): ((&u8, &u8), &u8)| own & mask == base & mask;
    Some(address.len() == base.len() && address.iter().zip(base).zip(mask).all(is_same))
}

/// A name as text for a message.
pub fn shown(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => (*text).to_owned(),
        GeneralName::IPAddress(bytes) => {
            address_of(bytes).map_or_else(|| "an address of wrong length".to_owned(), |address| address.to_string())
        }
        _ => "a name of another kind".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &'static str) -> ServerName<'static> {
        ServerName::try_from(name).unwrap()
    }

    #[test]
    fn host_is_covered_by_its_own_name_and_by_a_wildcard_for_its_first_label() {
        let rows = [
            ("a.test", "A.TEST", true),
            ("A.test.", "a.test", true),
            ("a.test", "a.test.", true),
            ("*.test", "a.test", true),
            ("*.test", "a.b.test", false),
            ("*.test", "test", false),
            ("a*.test", "ab.test", false),
            ("*.*.test", "a.b.test", false),
            ("", "a.test", false),
            ("b.test", "a.test", false),
        ];
        for (pattern, host, expected) in rows {
            assert_eq!(covers(&[GeneralName::DNSName(pattern)], &server(host)), expected, "{pattern} {host}");
        }
        // An address is looked up among the addresses only.
        assert!(!covers(&[GeneralName::DNSName("127.0.0.1")], &server("127.0.0.1")));
        assert!(covers(&[GeneralName::IPAddress(&[127, 0, 0, 1])], &server("127.0.0.1")));
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
        assert!(covers(&[GeneralName::IPAddress(&mapped)], &server("127.0.0.1")));
        assert!(!covers(&[GeneralName::IPAddress(&[127, 0, 0])], &server("127.0.0.1")));
    }

    #[test]
    fn constraints_permit_and_exclude_names_by_kind() {
        use GeneralName::{DNSName as Dns, IPAddress as Ip, RFC822Name as Mail, URI as Uri};
        let trees = |bases: &[GeneralName<'static>]| {
            Some(bases.iter().map(|base| GeneralSubtree { base: base.clone() }).collect())
        };
        let permitted = NameConstraints {
            permitted_subtrees: trees(&[
                Dns("a.test"),
                Ip(&[10, 0, 0, 0, 255, 0, 0, 0]),
                Mail("a.test"),
                Uri(".a.test"),
            ]),
            excluded_subtrees: trees(&[Dns("no.a.test"), Mail("root@a.test")]),
        };
        let rows = [
            (Dns("a.test"), true),
            (Dns("b.A.test"), true),
            (Dns("*.a.test"), true),
            (Dns("ba.test"), false),
            (Dns("x.no.a.test"), false),
            (Dns("a..test"), false),
            (Ip(&[10, 1, 2, 3]), true),
            (Ip(&[11, 1, 2, 3]), false),
            (Ip(&[0; 16]), false),
            (Mail("me@a.test"), true),
            (Mail("root@A.test"), false),
            (Mail("nothing"), false),
            (Uri("spiffe://b.a.test:1/x"), true),
            (Uri("https://a.test/"), false),
            (Uri("https://10.0.0.1/"), false),
            (GeneralName::Invalid(x509_parser::der_parser::asn1_rs::Tag(2), &[]), false),
        ];
        for (name, expected) in rows {
            assert_eq!(check_constraints(std::slice::from_ref(&name), &permitted).is_ok(), expected, "{name:?}");
        }
        // A list of one kind does not restrict the other kinds.
        let only_dns = NameConstraints { permitted_subtrees: trees(&[Dns("a.test")]), excluded_subtrees: None };
        assert!(check_constraints(&[Ip(&[1, 2, 3, 4]), Mail("x@b.test")], &only_dns).is_ok());
        assert!(!has_other_kinds(&only_dns));
    }
}
