//! How a worker opens connections to servers.

use std::future::Future;

use crate::config::snapshot::ServerEndpoint;
use crate::error::Cause;
use crate::net::{TimeLimit, Transport};

/// Opens connections to servers; tests implement it without a network.
pub trait Dial: 'static {
    type Io: Transport + 'static;

    /// Opens a connection, TLS included, within `limit`.
    fn dial(&self, endpoint: &ServerEndpoint, limit: TimeLimit<'_>) -> impl Future<Output = Result<Self::Io, Cause>>;
}
