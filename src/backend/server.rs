//! A server and what is known of it, shared by all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::url::ServerUrl;
use crate::limits;

const EJECTION_NANOS: u64 = limits::EJECTION_SECS * 1_000_000_000;

/// One server of a backend.
#[derive(Debug)]
pub struct Server {
    pub name: String,
    pub url: ServerUrl,
    /// As configured, at least 0.
    pub weight: u32,
    pub state: Arc<ServerState>,
}

/// What is known of a server; lives across reloads as long as its URL stays the same.
#[derive(Debug)]
pub struct ServerState {
    /// The health check's word; servers count as up until it says otherwise.
    up: AtomicBool,
    active: AtomicU32,
    requests: AtomicU64,
    /// Failed connects without a successful one between them.
    failures: AtomicU32,
    /// Set aside: the moment of the monotonic clock, in nanoseconds, when the next request may try it. 0 while it is not.
    probe_at: AtomicU64,
    /// A request was chosen to try it, and has not begun to.
    is_probed: AtomicBool,
}

impl Default for ServerState {
    fn default() -> Self {
        ServerState {
            up: AtomicBool::new(true),
            active: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            probe_at: AtomicU64::new(0),
            is_probed: AtomicBool::new(false),
        }
    }
}

// Every value stands for itself and orders no other memory, so relaxed loads and stores are enough.
impl ServerState {
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// The health check's result. Gives whether that is news.
    pub fn set_up(&self, up: bool) -> bool {
        self.up.swap(up, Ordering::Relaxed) != up
    }

    /// Requests under way.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Requests ever sent here.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// A connect succeeded: the server is back among the others.
    pub fn note_connected(&self) {
        // Mostly both are zero already: then no cache line is taken from another worker. One alone may be left of a failure that another
        // worker was noting while this was called the last time.
        if self.failures.load(Ordering::Relaxed) != 0 || self.is_ejected() {
            self.failures.store(0, Ordering::Relaxed);
            self.probe_at.store(0, Ordering::Relaxed);
        }
    }

    /// A connect failed. After a few in a row the server is set aside; only probes go there until one succeeds.
    pub fn note_connect_failed(&self, now_nanos: u64) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= limits::CONNECT_FAILURES_MAX {
            self.probe_at.store(now_nanos.saturating_add(EJECTION_NANOS), Ordering::Relaxed);
        }
    }

    /// Whether connect failures keep the server out.
    pub fn is_ejected(&self) -> bool {
        self.probe_at.load(Ordering::Relaxed) != 0
    }

    /// Whether this request is the one that tries a server that was set aside: one per period, whichever worker it is on.
    pub(super) fn try_claim_probe(&self, now_nanos: u64) -> bool {
        let due = self.probe_at.load(Ordering::Relaxed);
        let next = now_nanos.saturating_add(EJECTION_NANOS);
        let is_taken = due != 0
            && due <= now_nanos
            && self.probe_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_taken {
            self.is_probed.store(true, Ordering::Relaxed);
        }
        is_taken
    }

    /// Whether this request is to take a new connection: it is the probe, and a kept one would not tell whether the server is back.
    pub fn needs_new_connection(&self) -> bool {
        self.is_probed.load(Ordering::Relaxed) && self.is_probed.swap(false, Ordering::Relaxed)
    }

    pub(super) fn enter(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One request's hold on a server; dropping ends it.
#[derive(Debug)]
pub struct Lease {
    pub server: Arc<Server>,
    /// The server's place in its balancer, for [`super::Tried`].
    pub index: usize,
    /// The client gets the sticky cookie: it had none that names a server in use.
    pub set_cookie: bool,
}

impl Lease {
    pub(super) fn new(server: Arc<Server>, index: usize, set_cookie: bool) -> Self {
        server.state.enter();
        Lease { server, index, set_cookie }
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
    fn a_connection_also_ends_what_is_left_of_a_failure_that_was_half_noted() {
        // The third failure was counted, a success cleared both values, then the failure set the server aside.
        let state = ServerState { probe_at: AtomicU64::new(1), ..ServerState::default() };
        assert_eq!((state.failures(), state.is_ejected()), (0, true));
        state.note_connected();
        assert!(!state.is_ejected(), "a server that can be reached is left out for ever");
    }
}
