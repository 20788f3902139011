//! A server and its state, shared by all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::url::ServerUrl;
use crate::limits;

const EJECTION_NANOS: u64 = limits::EJECTION_SECS * 1_000_000_000;

/// A server of a backend.
#[derive(Debug)]
pub struct Server {
    pub name: String,
    pub url: ServerUrl,
    /// The configured weight, see [`super::effective_weight`].
    pub weight: u32,
    pub state: Arc<ServerState>,
}

/// The state of a server. A reload of the configuration keeps it as long as the server's URL stays the same.
#[derive(Debug)]
pub struct ServerState {
    /// The result of the last health check; true before the first one.
    up: AtomicBool,
    /// Requests in flight.
    active: AtomicU32,
    /// Connect failures in a row.
    failures: AtomicU32,
    /// The time (monotonic clock, in nanoseconds) from which on the next request may probe the ejected server; 0 unless it is ejected.
    probe_at: AtomicU64,
    /// The deviations from HTTP that have been logged.
    deviations: AtomicU16,
}

impl Default for ServerState {
    fn default() -> Self {
        ServerState {
            up: AtomicBool::new(true),
            active: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            probe_at: AtomicU64::new(0),
            deviations: AtomicU16::new(0),
        }
    }
}

// Each value is independent and orders no other memory, so relaxed loads and stores are enough.
impl ServerState {
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Stores the result of a health check. Returns whether it has changed.
    pub fn set_up(&self, up: bool) -> bool {
        self.up.swap(up, Ordering::Relaxed) != up
    }

    /// Requests in flight.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Connect failures in a row.
    #[cfg(test)]
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Records a successful connect, which ends an ejection.
    pub fn note_connected(&self) {
        // Usually both values are 0; without a store, no cache line is taken from another worker. A single value may differ from 0 if
        // another worker was recording a failure during the previous call.
        if self.failures.load(Ordering::Relaxed) != 0 || self.is_ejected() {
            self.failures.store(0, Ordering::Relaxed);
            self.probe_at.store(0, Ordering::Relaxed);
        }
    }

    /// Records a connect failure. `CONNECT_FAILURES_MAX` in a row eject the server: it gets only probes until one of them connects.
    pub fn note_connect_failed(&self, now_nanos: u64) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= limits::CONNECT_FAILURES_MAX {
            self.probe_at.store(now_nanos.saturating_add(EJECTION_NANOS), Ordering::Relaxed);
        }
    }

    /// Whether the server is ejected because of connect failures.
    pub fn is_ejected(&self) -> bool {
        self.probe_at.load(Ordering::Relaxed) != 0
    }

    /// Whether this request is to probe an ejected server: one request of all workers in each `EJECTION_SECS`.
    pub(super) fn try_claim_probe(&self, now_nanos: u64) -> bool {
        let due = self.probe_at.load(Ordering::Relaxed);
        let next = now_nanos.saturating_add(EJECTION_NANOS);
        is_due(due, now_nanos)
            && self.probe_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether [`try_claim_probe`](Self::try_claim_probe) would claim the probe now.
    pub(super) fn is_probe_due(&self, now_nanos: u64) -> bool {
        is_due(self.probe_at.load(Ordering::Relaxed), now_nanos)
    }

    /// Adds a set of deviations, and returns the set before.
    pub fn note_deviations(&self, bits: u16) -> u16 {
        let seen = self.deviations.load(Ordering::Relaxed);
        if seen & bits == bits { seen } else { self.deviations.fetch_or(bits, Ordering::Relaxed) }
    }

    pub(super) fn enter(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }
}

fn is_due(probe_at: u64, now_nanos: u64) -> bool {
    probe_at != 0 && probe_at <= now_nanos
}

/// A request in flight on a server; dropping the lease ends it.
#[derive(Debug)]
pub struct Lease {
    pub server: Arc<Server>,
    /// The index of the server in its balancer, for [`super::TriedServers`].
    pub index: usize,
    /// The response gets the sticky cookie, because the client has none that names a usable server.
    pub set_cookie: bool,
    /// The request probes the ejected server and must open a new connection: a pooled one would not prove that the server can be reached.
    pub is_probe: bool,
}

impl Lease {
    pub(super) fn new(server: Arc<Server>, index: usize, set_cookie: bool, is_probe: bool) -> Self {
        server.state.enter();
        Lease { server, index, set_cookie, is_probe }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server.state.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_ends_ejection_of_half_recorded_failure() {
        // The third failure was counted, a success cleared both values, then the failure ejected the server.
        let state = ServerState { probe_at: AtomicU64::new(1), ..ServerState::default() };
        assert_eq!((state.failures(), state.is_ejected()), (0, true));
        state.note_connected();
        assert!(!state.is_ejected(), "a reachable server stays ejected indefinitely");
    }
}
