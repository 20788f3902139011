//! A server and what is known of it, shared by all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::url::ServerUrl;

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
    /// Set aside until this moment of the monotonic clock, in nanoseconds.
    aside_until: AtomicU64,
}

/// When a server that cannot be reached is set aside without a health check. Traefik v1 knows no such thing, so it is off
/// unless configured: `200 502 200 502` is what its users expect of one dead server out of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passive {
    /// Failed connects in a row that set a server aside.
    pub failures: u32,
    pub aside: Duration,
}

impl Default for ServerState {
    fn default() -> Self {
        ServerState {
            up: AtomicBool::new(true),
            active: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            aside_until: AtomicU64::new(0),
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

    pub fn note_connected(&self) {
        // Mostly it is zero already: then no cache line is taken from another worker.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A connect failed. With a `passive` policy the server may be set aside.
    pub fn note_connect_failed(&self, passive: Option<Passive>, now_nanos: u64) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if let Some(passive) = passive.filter(|passive| failures >= passive.failures) {
            let aside = u64::try_from(passive.aside.as_nanos()).unwrap_or(u64::MAX);
            self.aside_until.store(now_nanos.saturating_add(aside), Ordering::Relaxed);
        }
    }

    /// Whether connect failures keep the server out at this moment.
    pub fn is_aside(&self, now_nanos: u64) -> bool {
        self.aside_until.load(Ordering::Relaxed) > now_nanos
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
