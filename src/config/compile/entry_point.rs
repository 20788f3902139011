//! An entry point of the fixed configuration, compiled once at the start. What is wrong here stops the process (docs/reference/static-configuration.md#errors).

use ipnet::IpNet;

use super::auth::auth;
use super::frontend::redirect_step;
use super::{CompileContext, EndpointInterner};
use crate::config::middleware_states::FrontendStates;
use crate::config::snapshot::{ServerEndpoint, TrustedPeers};
use crate::config::static_config;
use crate::middleware::white_list::WhiteList;
use crate::middleware::{Chain, ChainScope, Middleware};

/// The parts of an entry point that come from its own table.
pub struct EntryPointParts {
    pub chain: Chain,
    pub guard: Chain,
    /// The server that forward authentication asks.
    pub auth: Option<Box<ServerEndpoint>>,
    pub trust: TrustedPeers,
}

/// Why an entry point cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidEntryPoint {
    pub name: String,
    pub reason: String,
}

/// Compiles the chains and the trust of entry point `name`.
///
/// # Errors
/// A redirect to nowhere, a bad address range, authentication without a method, a user line or file that cannot be read, an authentication
/// server that is no URL.
pub fn entry_point(
    fixture: &CompileContext,
    name: &str,
    written: &static_config::EntryPoint,
    interned: &mut EndpointInterner,
) -> Result<EntryPointParts, InvalidEntryPoint> {
    let invalid = |reason: String| InvalidEntryPoint { name: name.to_owned(), reason };
    let place = ChainScope::EntryPoint(name);
    let mut states = FrontendStates::default();
    let mut chain = Vec::new();
    if let Some(redirect) = &written.redirect {
        chain.extend(redirect_step(fixture, redirect, None, place).map_err(|remark| invalid(remark.text))?);
    }
    let for_frontends = auth(fixture, written.auth.as_ref(), place, &mut states, interned).map_err(invalid)?;
    chain.extend(for_frontends.step);
    if written.compress {
        chain.push(Middleware::Compress);
    }
    if let Some(list) = white_list(written, place).map_err(invalid)? {
        chain.push(Middleware::EntryWhiteList(list));
    }
    let mut guard = Vec::new();
    guard.extend(white_list(written, place).map_err(invalid)?.map(Middleware::WhiteList));
    guard.extend(auth(fixture, written.auth.as_ref(), place, &mut states, interned).map_err(invalid)?.step);
    Ok(EntryPointParts {
        chain: Chain::new(chain),
        guard: Chain::new(guard),
        auth: for_frontends.server,
        trust: trust(written).map_err(invalid)?,
    })
}

fn white_list(written: &static_config::EntryPoint, place: ChainScope<'_>) -> Result<Option<WhiteList>, String> {
    match &written.white_list {
        Some(list) => {
            WhiteList::new(&list.source_range, list.use_x_forwarded_for, place).map(Some).map_err(|e| e.to_string())
        }
        None => Ok(None),
    }
}

/// No table: everybody is trusted, as in v1. A table that trusts nobody means just that.
fn trust(written: &static_config::EntryPoint) -> Result<TrustedPeers, String> {
    let Some(table) = &written.forwarded_headers else { return Ok(TrustedPeers::Everyone) };
    if table.insecure {
        return Ok(TrustedPeers::Everyone);
    }
    let networks = table.trusted_ips.iter().map(|text| network(text)).collect::<Result<Vec<_>, _>>()?;
    Ok(TrustedPeers::Only(networks))
}

fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
    parsed.ok_or_else(|| {
        format!("forwardedHeaders.trustedIPs: {text:?} is neither an IP address nor a range such as 10.0.0.0/8")
    })
}

/// The port that redirects to this entry point name.
pub fn listen_port(written: &static_config::EntryPoint) -> u16 {
    written.listen().map_or(80, |address| address.port)
}
