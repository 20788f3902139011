//! How a worker opens connections to servers.

use std::future::Future;

use crate::config::snapshot::ServerEndpoint;
use crate::error::Cause;
use crate::net::{TimeLimit, Transport};

/// A connection that has just been opened.
pub struct Dialled<C> {
    pub io: C,
    /// HTTP/2 is spoken on it: known beforehand, or agreed on by ALPN.
    pub is_http2: bool,
}

/// The versions of HTTP that a new connection offers to a server that chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    All,
    /// HTTP/1.1 only. A server that speaks HTTP/2 with prior knowledge is not asked, so this does not concern it.
    Http1,
}

/// Opens connections to servers; tests implement it without a network.
pub trait Dial: 'static {
    type Io: Transport + 'static;

    /// Opens a connection, TLS included, within `limit`.
    fn dial(
        &self,
        endpoint: &ServerEndpoint,
        offer: Offer,
        limit: TimeLimit<'_>,
    ) -> impl Future<Output = Result<Dialled<Self::Io>, Cause>>;
}
