//! How a worker opens connections to servers.

use std::future::Future;
use std::pin::Pin;

use super::client_info::ClientInfo;
use crate::config::snapshot::ServerEndpoint;
use crate::error::Cause;
use crate::net::{TimeLimit, Transport};

/// Opens connections to servers; tests implement it without a network.
pub trait Dial: 'static {
    type Io: Transport + 'static;

    /// Opens a connection, TLS included, within `limit`. `client`: the client for whom the connection is made.
    fn dial(
        &self,
        endpoint: &ServerEndpoint,
        client: Option<&ClientInfo>,
        offer: VersionOffer,
        limit: TimeLimit<'_>,
    ) -> impl Future<Output = Result<Dialled<Self::Io>, Cause>>;

    /// Runs the task of a connection that requests share, beside the tasks of the requests.
    fn run(&self, task: ConnectionTask);
}

/// Receives and sends for a connection that requests share.
pub type ConnectionTask = Pin<Box<dyn Future<Output = ()>>>;

/// The HTTP versions that a new connection may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionOffer {
    /// All that the server may speak.
    All,
    /// HTTP/1.1 alone.
    Http1,
}

/// A connection that has been opened.
#[derive(Debug)]
pub struct Dialled<C> {
    pub io: C,
    /// The connection speaks HTTP/2; HTTP/1.1 if not.
    pub is_http2: bool,
}

impl<C> Dialled<C> {
    #[cfg_attr(reachability, expect(dead_code, reason = "tests and fuzz targets open connections without a network"))]
    pub fn http1(io: C) -> Self {
        Dialled { io, is_http2: false }
    }

    #[cfg_attr(reachability, expect(dead_code, reason = "tests and fuzz targets open connections without a network"))]
    pub fn http2(io: C) -> Self {
        Dialled { io, is_http2: true }
    }
}
