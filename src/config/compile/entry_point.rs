//! Compiles an entry point of the static configuration, once at the start. An error here ends the process
//! (docs/reference/static-configuration.md#errors).

use ipnet::IpNet;

use super::auth::auth;
use super::frontend::redirect_middleware;
use super::{CompileContext, EndpointInterner, EntryPointInfo};
use crate::config::middleware_states::FrontendStates;
use crate::config::snapshot::{ServerEndpoint, TrustedPeers};
use crate::config::static_config;
use crate::diagnostics::Diagnostic;
use crate::middleware::white_list::WhiteList;
use crate::middleware::{Chain, ChainScope, Middleware};

/// The parts of an entry point that come from its own table.
pub struct EntryPointParts {
    /// The middlewares in front of the frontends.
    pub chain: Chain,
    /// The middlewares in front of the proxy's own pages: white list and authentication.
    pub internal_chain: Chain,
    /// The server that forward authentication sends its requests to.
    pub auth: Option<Box<ServerEndpoint>>,
    /// The peers whose `X-Forwarded-*` headers are trusted.
    pub trust: TrustedPeers,
    /// The peers whose PROXY header is trusted; `None` if connections do not begin with one.
    pub proxy_protocol: Option<TrustedPeers>,
}

/// An entry point that cannot be used, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidEntryPoint {
    pub name: String,
    pub reason: String,
}

/// Compiles the chains and the trusted peers of entry point `name`.
///
/// # Errors
/// A redirect to an unknown entry point, an invalid address range, authentication without a method, a user line or file that cannot be
/// read, an authentication server that is no URL.
pub fn entry_point(
    ctx: &CompileContext,
    name: &str,
    written: &static_config::EntryPoint,
    interner: &mut EndpointInterner,
) -> Result<EntryPointParts, InvalidEntryPoint> {
    let invalid = |reason: String| InvalidEntryPoint { name: name.to_owned(), reason };
    let scope = ChainScope::EntryPoint(name);
    let mut states = FrontendStates::default();
    let mut chain = Vec::new();
    if let Some(redirect) = &written.redirect {
        let redirect = redirect_middleware(ctx, redirect, None, scope);
        chain.extend(redirect.map_err(|diagnostic| invalid(diagnostic.text))?);
    }
    let invalid_auth = |diagnostic: Diagnostic| invalid(diagnostic.text);
    let frontend_auth = auth(ctx, written.auth.as_ref(), scope, &mut states, interner).map_err(invalid_auth)?;
    chain.extend(frontend_auth.middleware);
    if written.compress {
        chain.push(Middleware::Compress);
    }
    if let Some(list) = white_list(written, scope).map_err(invalid)? {
        chain.push(Middleware::EntryWhiteList(list));
    }
    let mut internal = Vec::new();
    internal.extend(white_list(written, scope).map_err(invalid)?.map(Middleware::WhiteList));
    internal.extend(auth(ctx, written.auth.as_ref(), scope, &mut states, interner).map_err(invalid_auth)?.middleware);
    Ok(EntryPointParts {
        chain: Chain::new(chain),
        internal_chain: Chain::new(internal),
        auth: frontend_auth.server,
        trust: trusted_peers(written),
        proxy_protocol: written.proxy_protocol.as_ref().map(proxy_peers),
    })
}

fn white_list(written: &static_config::EntryPoint, scope: ChainScope<'_>) -> Result<Option<WhiteList>, String> {
    match &written.white_list {
        Some(list) => {
            WhiteList::new(&list.source_range, list.use_x_forwarded_for, scope).map(Some).map_err(|e| e.to_string())
        }
        None => Ok(None),
    }
}

/// Compiles `forwardedHeaders`. Without the table every peer is trusted, as in v1. A table without addresses trusts no peer.
/// The check of the configuration has named entries that are no ranges: such an entry trusts no peer, the others count.
fn trusted_peers(written: &static_config::EntryPoint) -> TrustedPeers {
    let Some(table) = written.forwarded_headers.as_ref().filter(|table| !table.insecure) else {
        return TrustedPeers::Everyone;
    };
    TrustedPeers::Only(table.trusted_ips.iter().filter_map(|text| network(text)).collect())
}

/// Compiles `proxyProtocol`. The check of the configuration has refused entries that are no ranges.
fn proxy_peers(table: &static_config::ProxyProtocol) -> TrustedPeers {
    match table.insecure {
        true => TrustedPeers::Everyone,
        false => TrustedPeers::Only(table.trusted_ips.iter().filter_map(|text| network(text)).collect()),
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

impl EntryPointInfo {
    /// The facts about an entry point of the static configuration.
    pub fn new(name: &str, written: &static_config::EntryPoint) -> Self {
        EntryPointInfo {
            name: name.to_owned(),
            port: listen_port(written),
            is_local: listens_locally(written),
            has_tls: written.tls.is_some(),
            is_udp: written.is_udp(),
            white_list: written.white_list.as_ref().map(|list| list.source_range.clone()).unwrap_or_default(),
            has_auth: written.auth.is_some(),
            sanitize_path: written.sanitize_path,
        }
    }
}

fn listens_locally(written: &static_config::EntryPoint) -> bool {
    let Ok(listen) = written.listen() else { return false };
    let address = listen.host.parse::<std::net::IpAddr>();
    listen.host.is_empty() || address.map_or(listen.host == "localhost", |a| a.is_unspecified() || a.is_loopback())
}

/// The port that redirects to this entry point put into their URL.
fn listen_port(written: &static_config::EntryPoint) -> u16 {
    written.listen().map_or(80, |address| address.port)
}
