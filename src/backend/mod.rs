//! Backends: balancing, sticky sessions and the health of servers (docs/reference/backends.md#balancing). The module performs no I/O.
//! Workers share a backend through atomics. The state of a server outlives a reload of the configuration if its URL stays the same.

pub mod balance;
pub mod health;
pub mod server;
pub mod sticky;
pub mod url;

mod client_affinity;
mod drr;
mod rotation;

use std::collections::HashMap;
use std::sync::Arc;

pub use balance::{
    BalanceMethod, Balancer, BalancerSettings, Choice, PickError, PickReason, TriedServers, effective_weight,
};
pub use health::{CheckMethod, ConnectTarget, HealthCheck};
pub use server::{Lease, Server, ServerState};
pub use sticky::StickyCookie;
pub use url::{InvalidUrl, Scheme, ServerUrl};

/// The states of a backend's servers by the text of their URLs, which a reload of the configuration carries over.
#[derive(Debug, Clone, Default)]
pub struct BackendState {
    servers: HashMap<String, Arc<ServerState>>,
}

impl BackendState {
    /// The states for the servers with these URLs: the previous state if the URL is known, else a new one.
    pub fn carry<'a>(previous: Option<&BackendState>, urls: impl IntoIterator<Item = &'a str>) -> Self {
        let state = |url: &str| previous.and_then(|states| states.servers.get(url)).cloned().unwrap_or_default();
        BackendState { servers: urls.into_iter().map(|url| (url.to_owned(), state(url))).collect() }
    }

    /// The state of one server; a new one if its URL was not among those carried.
    pub fn server(&self, url: &str) -> Arc<ServerState> {
        self.servers.get(url).cloned().unwrap_or_default()
    }
}
