//! The notes that a chain keeps for one request.

use super::gzip::CompressionPlan;
use super::request_permit::RequestPermit;

/// Notes of one request's walk, kept per connection: clearing keeps the memory.
#[derive(Debug, Default)]
pub struct ChainState {
    /// The authenticated user, for the access log and for `headerField`; empty if none.
    pub user: Vec<u8>,
    /// Places held in connection limits until the response has ended. Dropping gives them back.
    pub leases: Vec<RequestPermit>,
    /// The chain's decision about the response body; [`super::gzip::Gzip`] carries it out.
    pub body: CompressionPlan,
    pub(super) breaker_entered_nanos: u64,
    pub(super) counts_as_tls: bool,
    pub(super) takes_gzip: bool,
}

impl ChainState {
    /// Forgets the request. Its leases are given back.
    pub fn clear(&mut self) {
        self.user.clear();
        self.leases.clear();
        self.body = CompressionPlan::default();
        self.breaker_entered_nanos = 0;
        self.counts_as_tls = false;
        self.takes_gzip = false;
    }

    /// The last bytes of the answer are about to leave. Whoever has them may ask again at once, on any worker: the places under connection
    /// limits are free before that, as in Traefik.
    pub fn release_permits(&mut self) {
        self.leases.clear();
    }

    /// Gives back what belongs to one try; called before the next one (rate limit and connections sit inside retry).
    pub fn begin_attempt(&mut self, held_before: usize) {
        self.leases.truncate(held_before);
    }
}
