//! Waits until every name server of the zone answers with a new TXT record: the authority may ask any of them.

use std::time::Duration;

use tokio::time::Instant;

use super::error::DnsError;
use super::message::{Data, Response, rcode, rtype};
use super::resolver::{Resolver, ask, rcode_text};
use super::zone::{self, NameServer};

/// The time for one look at least.
const LOOK_MIN: Duration = Duration::from_secs(2);

/// Waits until the zone's name servers have `value` at `fqdn`, a name without a CNAME: until `start + limit`, but looks once in any case.
///
/// # Errors
/// After that time: which server does not have the record, and what it answers instead.
pub async fn wait(
    resolver: &Resolver,
    fqdn: &str,
    value: &str,
    start: Instant,
    limit: Duration,
    interval: Duration,
) -> Result<(), DnsError> {
    let end = (start + limit).max(Instant::now() + LOOK_MIN);
    let too_late = |reason: &str| {
        DnsError(format!("{fqdn} is not visible at the name servers of its zone after {} s: {reason}", limit.as_secs()))
    };
    let mut reason = "no name server has answered".to_owned();
    loop {
        match tokio::time::timeout_at(end, check(resolver, fqdn, value)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => reason = error.0,
            Err(_) => return Err(too_late(&reason)),
        }
        if Instant::now() + interval >= end {
            return Err(too_late(&reason));
        }
        tracing::debug!("{fqdn} is not visible yet: {reason}");
        tokio::time::sleep(interval).await;
    }
}

/// Looks once.
async fn check(resolver: &Resolver, fqdn: &str, value: &str) -> Result<(), DnsError> {
    let zone = zone::find_zone(resolver, fqdn).await?;
    let servers = zone::name_servers(resolver, &zone).await?;
    let checks = servers.iter().map(|server| check_server(server, fqdn, value));
    let reasons: Vec<String> =
        futures_util::future::join_all(checks).await.into_iter().filter_map(Result::err).collect();
    if reasons.is_empty() { Ok(()) } else { Err(DnsError(reasons.join("; "))) }
}

/// Asks a name server at all its addresses. One must have the record; an address that cannot be reached from here, as those of IPv6 often
/// cannot, is no reason to wait if another one answers.
async fn check_server(server: &NameServer, fqdn: &str, value: &str) -> Result<(), String> {
    if server.addresses.is_empty() {
        return Err(format!("{} has no address", server.name));
    }
    let asked = server
        .addresses
        .iter()
        .map(|address| async move { (address, ask(&address.to_string(), fqdn, rtype::TXT, false).await) });
    let (mut is_visible, mut unreachable) = (false, String::new());
    for (address, response) in futures_util::future::join_all(asked).await {
        match response {
            Ok(response) => {
                missing(&response, value)
                    .map_or(Ok(()), |found| Err(format!("{} ({address}) answers {found}", server.name)))?;
                is_visible = true;
            }
            Err(reason) => unreachable = reason,
        }
    }
    if is_visible { Ok(()) } else { Err(format!("{}: {unreachable}", server.name)) }
}

/// A text for the records that the response has instead of the value; `None` if it has the value.
fn missing(response: &Response, value: &str) -> Option<String> {
    let texts: Vec<String> = response
        .answers
        .iter()
        .filter_map(|answer| match &answer.data {
            Data::Txt(text) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        })
        .collect();
    if texts.iter().any(|text| text == value) {
        return None;
    }
    Some(match (response.rcode, texts.is_empty()) {
        (rcode::NO_ERROR, false) => format!("with {} other TXT records", texts.len()),
        (rcode::NO_ERROR, true) => "without a TXT record".to_owned(),
        (code, _) => rcode_text(code),
    })
}
