//! The connection limit of a TCP frontend: how many connections may be open at once (docs/reference/layer4.md#options).

use std::net::IpAddr;
use std::sync::Arc;

use super::request_permit::{ConnState, RequestPermit};
use super::source_extractor::{SourceExtractor, address_key};

/// A limit of open connections, of each client address or of all clients together.
#[derive(Debug)]
pub struct TcpMaxConn {
    amount: i64,
    per_client: bool,
    state: Arc<ConnState>,
}

impl TcpMaxConn {
    /// With the source `client.ip` the limit is one of each client address, with `request.host` one of the whole frontend. A negative
    /// `amount` refuses all connections, as it refuses all requests of an HTTP frontend.
    ///
    /// # Errors
    /// The source is a header field, which a TCP connection does not have.
    pub fn new(amount: i64, source: &SourceExtractor, state: Arc<ConnState>) -> Result<Self, &'static str> {
        let per_client = match source {
            SourceExtractor::ClientIp => true,
            SourceExtractor::Host => false,
            SourceExtractor::Header(_) => return Err("a TCP connection has no header: use client.ip or request.host"),
        };
        Ok(TcpMaxConn { amount, per_client, state })
    }

    /// A permit for one more connection of this client, or `None` if the limit is reached.
    pub fn try_acquire(&self, peer: IpAddr) -> Option<RequestPermit> {
        self.state.try_acquire(self.key(peer), self.amount)
    }

    /// Whether a connection of this client would get a permit now.
    pub fn has_room(&self, peer: IpAddr) -> bool {
        self.state.has_room(self.key(peer), self.amount)
    }

    fn key(&self, peer: IpAddr) -> u64 {
        if self.per_client { address_key(&self.state.hasher, peer) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_counts_each_client_or_all_clients() {
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let state = Arc::<ConnState>::default();
        let per_client = TcpMaxConn::new(1, &SourceExtractor::ClientIp, Arc::clone(&state)).unwrap();
        let first = per_client.try_acquire(a).expect("the first connection");
        assert!(per_client.try_acquire(a).is_none() && per_client.try_acquire(b).is_some());
        drop(first);
        assert!(per_client.try_acquire(a).is_some());
        let total = TcpMaxConn::new(1, &SourceExtractor::Host, state).unwrap();
        let _first = total.try_acquire(a).expect("the first connection");
        assert!(total.try_acquire(b).is_none());
        assert!(TcpMaxConn::new(1, &SourceExtractor::Header("X".to_owned()), Arc::default()).is_err());
    }
}
