//! The zone of a record, the CNAMEs that lead to another record, and the name servers of a zone.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::error::DnsError;
use super::message::{Data, Response, rcode, rtype};
use super::resolver::{Resolver, ask, rcode_text};

/// The longest chain of CNAMEs that is followed.
const CNAMES_MAX: usize = 16;

/// A zone's name server and its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameServer {
    /// The name as the NS record writes it.
    pub name: String,
    /// Empty if the name has none.
    pub addresses: Vec<SocketAddr>,
}

/// The name to which the CNAMEs of `fqdn` lead; `fqdn` itself if it has none. A name that cannot be looked up has none.
///
/// # Errors
/// The chain is too long or leads in a circle.
pub async fn follow_cnames(resolver: &Resolver, fqdn: &str) -> Result<String, DnsError> {
    let mut name = fqdn.to_owned();
    for _ in 0..CNAMES_MAX {
        let target = match resolver.query(&name, rtype::CNAME).await {
            Ok(response) => cname_of(&response, &name),
            Err(error) => {
                tracing::warn!("{error}: a CNAME of the name is not followed");
                None
            }
        };
        match target {
            Some(target) => name = target,
            None => return Ok(name),
        }
    }
    Err(DnsError(format!("the CNAMEs of {fqdn} do not end after {CNAMES_MAX}: remove the circle")))
}

fn cname_of(response: &Response, name: &str) -> Option<String> {
    response.answers.iter().find_map(|answer| match &answer.data {
        Data::Cname(target) if answer.name.eq_ignore_ascii_case(name) => Some(target.clone()),
        _ => None,
    })
}

/// The zone that `fqdn` is in: the nearest name upwards that has a SOA record.
///
/// # Errors
/// No name upwards has one, or the resolvers do not answer.
pub async fn find_zone(resolver: &Resolver, fqdn: &str) -> Result<String, DnsError> {
    let mut failure = None;
    for name in upwards(fqdn) {
        match resolver.query(name, rtype::SOA).await {
            Ok(response) if has_soa(&response, name) => return Ok(name.to_ascii_lowercase()),
            Ok(_) => {}
            Err(error) => failure = Some(error),
        }
    }
    Err(no_zone(fqdn, failure.map(|error| error.0)))
}

/// The zone that `fqdn` is in, as one server, `host:port`, tells it.
///
/// # Errors
/// The server does not answer or serves no zone for the name.
pub async fn find_zone_at(server: &str, fqdn: &str) -> Result<String, DnsError> {
    let mut failure = None;
    for name in upwards(fqdn) {
        match ask(server, name, rtype::SOA, true).await {
            Ok(response) if has_soa(&response, name) => return Ok(name.to_ascii_lowercase()),
            Ok(response) if matches!(response.rcode, rcode::NO_ERROR | rcode::NAME_ERROR) => {}
            Ok(response) => failure = Some(format!("{server} answers {} for {name}", rcode_text(response.rcode))),
            // A server that does not answer would be waited for at each name upwards.
            Err(reason) => return Err(no_zone(fqdn, Some(reason))),
        }
    }
    Err(no_zone(fqdn, failure))
}

fn no_zone(fqdn: &str, reason: Option<String>) -> DnsError {
    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
    DnsError(format!("no zone is found for {fqdn}{reason}"))
}

/// Whether the answer has the SOA record of `name`. A CNAME excludes it: a zone's top has none (RFC 1034 3.6.2).
fn has_soa(response: &Response, name: &str) -> bool {
    let answers = || response.answers.iter();
    answers().all(|answer| !matches!(answer.data, Data::Cname(_)))
        && answers().any(|answer| answer.data == Data::Soa && answer.name.eq_ignore_ascii_case(name))
}

/// The name and its parents, down to the top-level domain.
fn upwards(fqdn: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(fqdn);
    std::iter::from_fn(move || {
        let name = rest.filter(|name| !name.is_empty())?;
        rest = name.split_once('.').map(|(_, parent)| parent);
        Some(name)
    })
}

/// The name servers of `zone` with their addresses, each name once.
///
/// # Errors
/// The zone has no NS records, or the resolvers do not answer.
pub async fn name_servers(resolver: &Resolver, zone: &str) -> Result<Vec<NameServer>, DnsError> {
    let response = resolver.query(zone, rtype::NS).await?;
    let names: BTreeSet<&String> = response
        .answers
        .iter()
        .filter_map(|answer| match &answer.data {
            Data::Ns(name) => Some(name),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return Err(DnsError(format!("the zone {zone} has no NS records")));
    }
    let found = names.into_iter().map(|name| async move {
        let (v4, v6) = tokio::join!(addresses(resolver, name, rtype::A), addresses(resolver, name, rtype::AAAA));
        let port = resolver.authority_port;
        let addresses = v4.into_iter().chain(v6).map(|ip| SocketAddr::new(ip, port)).collect();
        NameServer { name: name.clone(), addresses }
    });
    Ok(futures_util::future::join_all(found).await)
}

async fn addresses(resolver: &Resolver, name: &str, record_type: u16) -> Vec<IpAddr> {
    let answers = resolver.query(name, record_type).await.map_or(Vec::new(), |response| response.answers);
    let ip = |data| match data {
        Data::A(ip) => Some(IpAddr::V4(ip)),
        Data::Aaaa(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    };
    answers.into_iter().filter_map(|answer| ip(answer.data)).collect()
}

/// The part of `fqdn` that stands before `zone`, `@` for the zone itself; `None` if the name is not in the zone.
pub fn name_in_zone<'a>(fqdn: &'a str, zone: &str) -> Option<&'a str> {
    let (fqdn, zone) = (fqdn.trim_end_matches('.'), zone.trim_end_matches('.'));
    if fqdn.eq_ignore_ascii_case(zone) {
        return Some("@");
    }
    let start = fqdn.len().checked_sub(zone.len())?;
    let (name, end) = (fqdn.get(..start)?, fqdn.get(start..)?);
    name.strip_suffix('.').filter(|_| end.eq_ignore_ascii_case(zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_upwards_end_with_the_top_level_domain() {
        let names: Vec<&str> = upwards("_acme-challenge.a.example.com.").collect();
        assert_eq!(names, ["_acme-challenge.a.example.com.", "a.example.com.", "example.com.", "com."]);
    }

    #[test]
    fn name_in_zone_is_the_part_before_the_zone() {
        assert_eq!(name_in_zone("_acme-challenge.a.example.com.", "example.com."), Some("_acme-challenge.a"));
        assert_eq!(name_in_zone("_acme-challenge.a.Example.com", "example.com."), Some("_acme-challenge.a"));
        assert_eq!(name_in_zone("example.com.", "example.com."), Some("@"));
        assert_eq!(name_in_zone("badexample.com.", "example.com."), None);
        assert_eq!(name_in_zone("com.", "example.com."), None);
    }
}
