//! An entry point as the workers see it: fixed for the life of the process.

use std::sync::Arc;

use crate::config::snapshot::{ServerEndpoint, TrustedPeers};
use crate::middleware::Chain;
use crate::observe::status::ExposedRoutes;

pub struct EntryPoint {
    pub name: String,
    /// Redirect, authentication, compression and white list, for requests that go to frontends.
    pub chain: Chain,
    /// White list and authentication, for the proxy's own pages.
    pub internal_chain: Chain,
    /// The server that both ask, with forward authentication.
    pub auth: Option<Box<ServerEndpoint>>,
    /// Which of the proxy's own pages it carries; `None` if none.
    pub exposed: Option<ExposedRoutes>,
    /// It answers ACME's HTTP-01 challenges.
    pub serves_challenges: bool,
    /// It takes the REST provider's documents.
    pub serves_rest: bool,
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub trust: TrustedPeers,
}
