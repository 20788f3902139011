//! The notes that a chain keeps for one request.

use super::gzip::CompressionPlan;
use super::request_permit::RequestPermit;

/// The notes of a chain about one request. A connection reuses them for each request: clearing keeps the memory.
#[derive(Debug, Default)]
pub struct ChainState {
    /// The authenticated user, for the access log and for `headerField`; empty if none.
    pub user: Vec<u8>,
    /// Permits of connection limits, held until the response has ended. Dropping them releases the permits.
    pub permits: Vec<RequestPermit>,
    /// The chain's decision about the response body; the worker carries it out with [`super::gzip::Gzip`].
    pub body: CompressionPlan,
    pub(super) breaker_entered_nanos: u64,
    pub(super) counts_as_tls: bool,
    pub(super) takes_gzip: bool,
}

impl ChainState {
    /// Forgets the request and releases its permits.
    pub fn clear(&mut self) {
        self.user.clear();
        self.permits.clear();
        self.body = CompressionPlan::default();
        self.breaker_entered_nanos = 0;
        self.counts_as_tls = false;
        self.takes_gzip = false;
    }

    /// Releases the request's permits just before the last response bytes are sent: a client that has them may send its next request at
    /// once, possibly to another worker, and must not be refused because of this one. As in Traefik.
    pub fn release_permits(&mut self) {
        self.permits.clear();
    }

    /// Releases the permits of the last attempt before the next one: the connection limit is inside retry. `held_before` is the number of
    /// permits that the request held before its first attempt.
    pub fn begin_attempt(&mut self, held_before: usize) {
        self.permits.truncate(held_before);
    }
}
