//! What the configuration means: compiled once, immutable, read by the workers without a lock. No text here still needs parsing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::Rejected;
use super::dynamic::Documents;
use super::middleware_states::MiddlewareStates;
use crate::backend::{BackendState, Balancer, HealthCheck, Server};
use crate::middleware::Chain;
use crate::middleware::buffering::Buffering;
use crate::middleware::retry::RetryPolicy;
use crate::rule::{Router, RouterOptions};

/// One state of the whole dynamic configuration.
pub struct Snapshot {
    /// By entry point, in the order of the fixed configuration.
    pub routers: Vec<Router<Arc<Frontend>>>,
    /// What the providers wrote, with defaults filled in: the API shows it.
    pub providers: Documents,
    /// What was left out, and why.
    pub rejected: Vec<Rejected>,
    /// All backends, each at the place that its `number` says.
    pub backends: Vec<Arc<Backend>>,
    /// What the steps remember; the next snapshot takes it over.
    pub states: MiddlewareStates,
}

/// A frontend: what happens to its requests, and where they go.
pub struct Frontend {
    pub name: String,
    pub provider: String,
    /// The access log's name: without a leading `frontend-` (docs/reference/logs.md#clf).
    pub log_name: String,
    pub pass_host: bool,
    pub backend: Arc<Backend>,
    /// Steps taken once per request.
    pub outer: Chain,
    /// Circuit breaker and buffering, between the frontend's own steps and its tries.
    pub inner: Arc<Chain>,
    /// Steps taken once per try: rate limit and connections sit inside retry (docs/reference/middlewares.md#order).
    pub attempt: Arc<Chain>,
    /// `[retry]`; without it only servers that cannot be connected to are passed over.
    pub retry: Option<RetryPolicy>,
    /// The server that forward authentication asks.
    pub auth: Option<Box<ServerEndpoint>>,
    /// What makes an exchange more than passing bytes on; most frontends have nothing of it.
    pub slow: Option<Box<SlowPath>>,
}

/// Options under which messages are held in memory or exchanged for others.
#[derive(Default)]
pub struct SlowPath {
    pub buffering: Option<Buffering>,
    /// Where the error pages come from, by the name of their backend.
    pub pages: Vec<ErrorPageSource>,
}

/// The way to an error page: the backend's inner chain, as its first frontend on the same entry point has it (docs/reference/middlewares.md#error-pages).
#[derive(Clone)]
pub struct ErrorPageSource {
    pub name: Arc<str>,
    /// `None`: no frontend leads there; the page is 500.
    pub backend: Option<Arc<Backend>>,
    pub inner: Arc<Chain>,
    pub attempt: Arc<Chain>,
    pub buffering: Option<Buffering>,
    pub retry: Option<RetryPolicy>,
    pub pass_host: bool,
    /// A server named `error` that no frontend leads to: it is called by its own name (docs/reference/middlewares.md#error-pages).
    pub is_unrouted: bool,
}

/// A backend: its servers and how to choose one.
pub struct Backend {
    pub name: String,
    pub provider: String,
    /// Its place in [`Snapshot::backends`].
    pub number: usize,
    pub balancer: Balancer,
    /// Where each of the balancer's servers is, in the same order.
    pub endpoints: Vec<ServerEndpoint>,
    /// What the next snapshot takes over.
    pub state: BackendState,
    pub health_check: Option<HealthCheck>,
}

/// Where a server is and how to get there.
pub struct ServerEndpoint {
    pub server: Arc<Server>,
    /// `host:port` as the backend's own Host.
    pub authority: String,
    pub url: String,
    pub addresses: Arc<ResolvedAddresses>,
    /// Connections with the same number are interchangeable.
    pub pool: usize,
    /// The client's side of TLS, for an https server.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// The addresses of one `host:port`. Names are resolved by the control plane: a look-up would block a worker's ring.
#[derive(Debug)]
pub struct ResolvedAddresses {
    pub host: String,
    pub port: u16,
    known: ArcSwap<Vec<SocketAddr>>,
    looked_up: AtomicBool,
}

impl ResolvedAddresses {
    /// An IP address is known at once; a name has no address until it is resolved.
    pub fn new(host: &str, port: u16) -> Self {
        let known = host.parse::<IpAddr>().map(|ip| vec![SocketAddr::new(ip, port)]).unwrap_or_default();
        let looked_up = (!known.is_empty()).into();
        ResolvedAddresses { host: host.to_owned(), port, known: ArcSwap::from_pointee(known), looked_up }
    }

    pub fn is_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }

    pub fn load(&self) -> arc_swap::Guard<Arc<Vec<SocketAddr>>> {
        self.known.load()
    }

    /// Publishes what a look-up gave. An empty answer keeps the old addresses: a resolver's hiccup must not stop a backend.
    pub fn resolved(&self, addresses: Vec<SocketAddr>) {
        if !addresses.is_empty() && **self.known.load() != addresses {
            self.known.store(Arc::new(addresses));
        }
        self.looked_up.store(true, Relaxed);
    }

    /// A look-up has ended, with an address or without.
    pub fn is_looked_up(&self) -> bool {
        self.looked_up.load(Relaxed)
    }
}

/// Whose X-Forwarded-* words count (docs/reference/entry-points.md#forwarded-headers): judged by the socket's address alone, never by what a header says.
#[derive(Debug, Clone)]
pub enum TrustedPeers {
    Everyone,
    Only(Vec<IpNet>),
}

impl TrustedPeers {
    pub fn includes(&self, peer: IpAddr) -> bool {
        match self {
            TrustedPeers::Everyone => true,
            TrustedPeers::Only(networks) => networks.iter().any(|network| network.contains(&peer)),
        }
    }
}

impl Snapshot {
    /// The state before any provider has spoken.
    pub fn empty(entry_points: usize) -> Self {
        Snapshot {
            routers: (0..entry_points).map(|_| Router::build(Vec::new(), RouterOptions::default())).collect(),
            providers: BTreeMap::new(),
            rejected: Vec::new(),
            backends: Vec::new(),
            states: MiddlewareStates::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_at_once_and_a_name_only_when_resolved() {
        let literal = ResolvedAddresses::new("10.0.0.7", 80);
        assert_eq!(literal.load().as_slice(), ["10.0.0.7:80".parse().unwrap()]);
        assert_eq!(ResolvedAddresses::new("::1", 80).load().len(), 1);
        let name = ResolvedAddresses::new("db.internal", 5432);
        assert!(name.is_name() && name.load().is_empty());
        name.resolved(vec!["10.0.0.8:5432".parse().unwrap()]);
        name.resolved(Vec::new());
        assert_eq!(name.load().len(), 1, "an empty answer keeps the old one");
    }
}
