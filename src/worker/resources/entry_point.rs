//! An entry point's part of the static configuration, as the workers need it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::snapshot::{ServerEndpoint, TrustedPeers};
use crate::http::host_name::{split_port, without_trailing_dot};
use crate::middleware::Chain;
use crate::observe::status::ExposedRoutes;
use crate::tls::resolver::Resolver;

pub struct EntryPoint {
    pub name: String,
    /// The configured address. Its port is 0 if the kernel chooses one.
    pub address: SocketAddr,
    /// Whether the entry point takes datagrams, and no connections.
    pub is_udp: bool,
    /// Redirect, authentication, compression and white list, for requests that go to frontends.
    pub chain: Chain,
    /// White list and authentication, for the internal routes (API, ping, health, metrics, dashboard).
    pub internal_chain: Chain,
    /// The authentication server of both chains, if forward authentication is configured.
    pub auth: Option<Box<ServerEndpoint>>,
    /// The internal routes that this entry point serves, if it serves any.
    pub exposed: Option<ExposedRoutes>,
    /// Whether the entry point answers ACME's HTTP-01 challenges.
    pub serves_challenges: bool,
    /// Whether the entry point accepts documents of the REST provider.
    pub serves_rest: bool,
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Selects the certificates of `tls`.
    pub resolver: Option<Arc<Resolver>>,
    /// Whether clients may speak HTTP/2 (`http2`).
    pub http2: bool,
    /// Whether requests get an `X-Request-Id` (`requestId`).
    pub request_id: bool,
    /// The peers whose `X-Forwarded-*` headers are trusted.
    pub trust: TrustedPeers,
    /// The idle time after which UDP sessions end (`udp.timeout`).
    pub udp_timeout: Duration,
    /// The peers whose PROXY header is trusted; `None` if connections do not begin with one.
    pub proxy_protocol: Option<TrustedPeers>,
}

impl EntryPoint {
    /// The proxies in front whose forwarding headers are trusted; empty if those of every peer are.
    pub fn proxies(&self) -> &[IpNet] {
        match &self.trust {
            TrustedPeers::Only(networks) => networks,
            TrustedPeers::Everyone => &[],
        }
    }

    /// Whether a request for `authority` (`host[:port]`) is misdirected on a connection whose client named `server_name` in its TLS
    /// handshake: the reply is 421 (docs/reference/entry-points.md#http2). The usual case, equal names, is decided first.
    pub fn is_misdirected(&self, server_name: &str, authority: &[u8]) -> bool {
        let host = without_trailing_dot(split_port(authority).0);
        if host.eq_ignore_ascii_case(server_name.as_bytes()) {
            return false;
        }
        let host = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host);
        let Ok(host) = std::str::from_utf8(host) else { return false };
        self.resolver.as_ref().is_some_and(|resolver| resolver.is_misdirected(server_name, host))
    }
}
