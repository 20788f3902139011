//! The compiled configuration: immutable, read by the workers without a lock. All texts of the written configuration are parsed here.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::Rejected;
use super::dynamic::{Documents, FrontendAccessLog};
use super::middleware_states::MiddlewareStates;
use crate::backend::{BackendState, Balancer, HealthCheck, Server};
use crate::detect::ProxyVersion;
use crate::middleware::Chain;
use crate::middleware::buffering::Buffering;
use crate::middleware::retry::RetryPolicy;
use crate::middleware::tcp_max_conn::TcpMaxConn;
use crate::middleware::white_list::WhiteList;
use crate::rule::sni::SniRoutes;
use crate::rule::{Router, RouterOptions};

/// The whole dynamic configuration, compiled.
pub struct Snapshot {
    /// The routers of the entry points, in the order of the static configuration.
    pub routers: Vec<Router<Arc<Frontend>>>,
    /// The TCP routes of the entry points, in the same order.
    pub tcp: Vec<TcpRoutes>,
    /// The UDP frontends of the entry points, in the same order; only those of `/udp` addresses have one.
    pub udp: Vec<Option<Arc<UdpFrontend>>>,
    /// The providers' documents, with defaults filled in: the API shows them.
    pub providers: Documents,
    /// The objects that are not applied, or not as written, and why.
    pub rejected: Vec<Rejected>,
    /// Provider and name of all HTTP frontends, each at the index [`Frontend::number`].
    pub frontends: Vec<(String, String)>,
    /// The access logs of frontends, each at the index [`Frontend::number`]; empty if no frontend has its own.
    pub frontend_logs: Vec<Option<Arc<FrontendLog>>>,
    /// All backends, each at the index `number`.
    pub backends: Vec<Arc<Backend>>,
    /// The state of the middlewares; the next snapshot carries it over.
    pub states: MiddlewareStates,
    /// Whether a server gets PROXY headers: then connections of clients note what the headers say.
    pub sends_proxy_headers: bool,
}

/// A frontend: the middlewares that its requests pass, and the backend that they go to.
pub struct Frontend {
    pub name: String,
    /// The frontend's index in [`Snapshot::frontends`], the same on all its entry points.
    pub number: usize,
    /// The frontend's name in the access log: without a leading `frontend-` (docs/reference/logs.md#clf).
    pub log_name: String,
    pub pass_host: bool,
    pub backend: Arc<Backend>,
    /// The frontend's own middlewares; they run once per request.
    pub outer: Chain,
    /// Circuit breaker and buffering; they run once per request, after `outer` and before the first attempt.
    pub inner: Arc<Chain>,
    /// Connection limit and rate limit; they run once per attempt, inside retry (docs/reference/middlewares.md#order).
    pub attempt: Arc<Chain>,
    /// The policy of `[retry]`; without it, the next server is tried only if no connection can be made.
    pub retry: Option<RetryPolicy>,
    /// The server that forward authentication sends its requests to.
    pub auth: Option<Box<ServerEndpoint>>,
    /// The options that need more than forwarding bytes; most frontends have none of them.
    pub slow: Option<Box<SlowPath>>,
}

/// The access log of a frontend.
#[derive(Debug, Clone, PartialEq)]
pub struct FrontendLog {
    pub written: FrontendAccessLog,
    /// `None`: the lines go to the common log.
    pub file: Option<Arc<Path>>,
}

/// The TCP routes of an entry point.
pub type TcpRoutes = SniRoutes<Arc<TcpFrontend>>;

/// A TCP frontend: the backend that its connections go to, and what is decided about each of them before.
pub struct TcpFrontend {
    pub name: String,
    /// The frontend's name in the access log, as [`Frontend::log_name`].
    pub log_name: String,
    pub backend: Arc<Backend>,
    /// Whether the client's TLS goes on to the server untouched. Otherwise TLS ends here, if the entry point has it.
    pub passthrough: bool,
    pub white_list: Option<WhiteList>,
    pub max_conn: Option<TcpMaxConn>,
    /// The protocols of which one is agreed on if the client offers it (RFC 7301). Without any, none is, whatever the client offers.
    pub alpn: Vec<Vec<u8>>,
}

/// A UDP frontend: the backend that all datagrams of its entry point go to.
pub struct UdpFrontend {
    pub name: String,
    /// The frontend's name in the access log, as [`Frontend::log_name`].
    pub log_name: String,
    pub backend: Arc<Backend>,
    pub white_list: Option<WhiteList>,
}

/// Options under which messages are buffered in memory or replaced by others.
#[derive(Default)]
pub struct SlowPath {
    pub buffering: Option<Buffering>,
    /// The sources of the error pages, one per backend that serves some.
    pub pages: Vec<ErrorPageSource>,
}

/// The backend of an error page, and the chains through which the page is fetched: those of the backend's first frontend on the same entry
/// point (docs/reference/middlewares.md#error-pages).
#[derive(Clone)]
pub struct ErrorPageSource {
    /// The backend's name.
    pub name: Arc<str>,
    /// `None` if no frontend leads to the backend and it has no server named `error`: the page is 500.
    pub backend: Option<Arc<Backend>>,
    pub inner: Arc<Chain>,
    pub attempt: Arc<Chain>,
    pub buffering: Option<Buffering>,
    pub retry: Option<RetryPolicy>,
    pub pass_host: bool,
    /// Whether no frontend leads to the backend: its server named `error` gets the page request, with its own name as Host
    /// (docs/reference/middlewares.md#error-pages).
    pub is_unrouted: bool,
}

/// A backend: its servers and the balancer that chooses among them.
pub struct Backend {
    pub name: String,
    pub provider: String,
    /// The backend's index in [`Snapshot::backends`].
    pub number: usize,
    pub balancer: Balancer,
    /// The endpoints of the balancer's servers, in the same order.
    pub endpoints: Vec<ServerEndpoint>,
    /// The state that the next snapshot carries over.
    pub state: BackendState,
    pub health_check: Option<HealthCheck>,
    /// The PROXY protocol header with which connections to the servers begin.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Whether a part of it is ignored or replaced. Each compilation reports that, so the next one compiles the backend again.
    pub is_reported: bool,
}

/// A server's addresses, connection pool and TLS configuration.
pub struct ServerEndpoint {
    pub server: Arc<Server>,
    /// The server's index in [`Backend::endpoints`]; 0 for a server that belongs to no backend.
    pub number: usize,
    /// `host:port`, the Host of requests that do not keep the client's.
    pub authority: String,
    pub url: String,
    pub addresses: Arc<ResolvedAddresses>,
    /// The number of the connection pool; servers with the same number share connections.
    pub pool: usize,
    pub speaks: ServerProtocol,
    /// For an https server.
    pub tls: Option<ServerTls>,
    /// The version of its backend's [`Backend::proxy_protocol`]. Such connections carry the requests of one client only: they speak HTTP/1.1
    /// and are neither pooled nor shared.
    pub proxy_protocol: Option<ProxyVersion>,
}

impl ServerEndpoint {
    /// Whether the server can get a request that asks for an upgrade: a protocol other than WebSocket needs HTTP/1.1.
    pub fn takes_upgrade(&self, is_websocket: bool) -> bool {
        is_websocket || self.speaks != ServerProtocol::Http2
    }
}

/// Protocol of a server: for requests the versions of HTTP, for layer 4 the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerProtocol {
    Http1,
    /// HTTP/2 without TLS: the URL says that the server speaks it (`h2c://`).
    Http2,
    /// The version on which the TLS handshake agrees: HTTP/2 if the server supports it.
    Negotiated,
    /// The bytes of a client's connection. No request goes to such a server.
    Tcp,
    /// A client's datagrams. No request goes to such a server.
    Udp,
}

/// How TLS connections to a server are made.
pub struct ServerTls {
    /// The name that the server's certificate must have.
    pub name: ServerName<'static>,
    pub configs: TlsConfigs,
    /// The number of the pool of connections that were made with [`TlsConfigs::http1`] although the server may speak HTTP/2. A request that
    /// may go over HTTP/2 takes none of these connections.
    pub http1_pool: usize,
}

/// The TLS client configurations of a server. They differ in the protocols that they offer, and share no sessions.
#[derive(Debug, Clone)]
pub struct TlsConfigs {
    /// Offers all versions that the server may speak.
    pub any: Arc<ClientConfig>,
    /// Offers HTTP/1.1 alone, for requests that need an HTTP/1.1 connection.
    pub http1: Arc<ClientConfig>,
}

/// The addresses of one `host:port`. The control plane resolves names, because a look-up would block a worker's ring.
#[derive(Debug)]
pub struct ResolvedAddresses {
    pub host: String,
    pub port: u16,
    current: ArcSwap<Vec<SocketAddr>>,
    looked_up: AtomicBool,
}

impl ResolvedAddresses {
    /// Makes the entry for `host:port`. An IP address needs no look-up; a name has no address until it is resolved.
    pub fn new(host: &str, port: u16) -> Self {
        let addresses = host.parse::<IpAddr>().map(|ip| vec![SocketAddr::new(ip, port)]).unwrap_or_default();
        let looked_up = (!addresses.is_empty()).into();
        ResolvedAddresses { host: host.to_owned(), port, current: ArcSwap::from_pointee(addresses), looked_up }
    }

    pub fn is_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }

    pub fn load(&self) -> arc_swap::Guard<Arc<Vec<SocketAddr>>> {
        self.current.load()
    }

    /// Stores the result of a look-up. An empty result keeps the old addresses, so that a resolver's short failure does not stop a backend.
    pub fn resolved(&self, addresses: Vec<SocketAddr>) {
        if !addresses.is_empty() && **self.current.load() != addresses {
            self.current.store(Arc::new(addresses));
        }
        self.looked_up.store(true, Relaxed);
    }

    /// Whether a look-up has ended, with an address or without.
    pub fn is_looked_up(&self) -> bool {
        self.looked_up.load(Relaxed)
    }
}

/// The peers whose X-Forwarded-* fields are trusted (docs/reference/entry-points.md#forwarded-headers). The socket's address alone decides,
/// never a header field.
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
    /// The snapshot before any provider has delivered a configuration.
    pub fn empty(entry_points: usize) -> Self {
        Snapshot {
            routers: (0..entry_points).map(|_| Router::build(Vec::new(), RouterOptions::default())).collect(),
            tcp: (0..entry_points).map(|_| TcpRoutes::default()).collect(),
            udp: vec![None; entry_points],
            providers: BTreeMap::new(),
            rejected: Vec::new(),
            frontends: Vec::new(),
            frontend_logs: Vec::new(),
            backends: Vec::new(),
            states: MiddlewareStates::default(),
            sends_proxy_headers: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_has_no_address_until_resolved_and_keeps_the_last() {
        let literal = ResolvedAddresses::new("10.0.0.7", 80);
        assert_eq!(literal.load().as_slice(), ["10.0.0.7:80".parse().unwrap()]);
        assert_eq!(ResolvedAddresses::new("::1", 80).load().len(), 1);
        let name = ResolvedAddresses::new("db.internal", 5432);
        assert!(name.is_name() && name.load().is_empty());
        name.resolved(vec!["10.0.0.8:5432".parse().unwrap()]);
        name.resolved(Vec::new());
        assert_eq!(name.load().len(), 1, "an empty result keeps the old address");
    }
}
