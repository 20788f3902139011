//! An entry point's part of the static configuration, as the workers need it.

use std::sync::Arc;

use crate::config::snapshot::{ServerEndpoint, TrustedPeers};
use crate::middleware::Chain;
use crate::observe::status::ExposedRoutes;

pub struct EntryPoint {
    pub name: String,
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
    /// Whether clients may speak HTTP/2 (`http2`).
    pub http2: bool,
    pub trust: TrustedPeers,
}
