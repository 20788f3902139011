//! A session: what one client has with one server.

use std::net::SocketAddr;
use std::sync::Arc;

use super::held::Held;
use super::server::ChosenServer;
use crate::backend::TriedServers;
use crate::config::snapshot::{ServerEndpoint, UdpFrontend};
use crate::limits;
use crate::observe::metrics::BackendMetrics;

/// A session with so many answers is worth the system calls that a few answers are not: the kernel merges them, and says what it dropped,
/// which needs more of them waiting in the socket than this.
pub const MANY_ANSWERS: u64 = 64;
const HELD_NANOS: u64 = limits::UDP_HELD_SECS * 1_000_000_000;

/// A client's datagrams to one server, and the server's to that client.
pub struct Session {
    /// The client's address as people write it.
    pub client: SocketAddr,
    pub frontend: Arc<UdpFrontend>,
    pub server: ChosenServer,
    /// Servers that have refused the session since one has answered last.
    pub tried: TriedServers,
    /// The servers before this one.
    pub retries: u32,
    pub held: Held,
    /// Whether this server has sent anything.
    pub has_answer: bool,
    /// Whether the last datagram was the client's.
    pub awaits_answer: bool,
    /// Whether the session only passes its last answers on.
    pub is_retired: bool,
    pub start_nanos: u64,
    pub start_unix_nanos: u64,
    /// The time of the client's last datagram.
    pub asked_nanos: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Datagrams of the server.
    pub answers: u64,
    /// The counters in which the session is counted as open.
    pub counters: Option<Arc<BackendMetrics>>,
}

impl Session {
    pub fn endpoint(&self) -> Option<&ServerEndpoint> {
        self.frontend.backend.endpoints.get(self.server.lease.index)
    }

    /// Goes over to a frontend of a new configuration, if that has this server and lets it take part.
    pub fn rebind(&mut self, frontend: &Arc<UdpFrontend>) -> bool {
        let backend = &frontend.backend;
        let Some(url) = self.endpoint().map(|endpoint| endpoint.url.as_str()) else { return false };
        let index = backend.endpoints.iter().position(|endpoint| endpoint.url == url);
        let lease = index.and_then(|index| backend.balancer.pick_server(index, &TriedServers::default()));
        let Some(lease) = lease else { return false };
        self.server.lease = lease;
        self.tried = TriedServers::default();
        self.frontend = Arc::clone(frontend);
        true
    }

    /// Whether a datagram that the server gets now may have to be sent to another one.
    pub fn may_be_refused(&self, now_nanos: u64) -> bool {
        !self.has_answer && now_nanos.saturating_sub(self.start_nanos) < HELD_NANOS
    }

    /// Notes `count` datagrams of the server, of so many bytes together. Returns whether they are the first ones.
    pub fn note_answers(&mut self, count: usize, bytes: usize, now_nanos: u64) -> bool {
        let before = self.answers;
        self.answers += count as u64;
        if before < MANY_ANSWERS && self.answers >= MANY_ANSWERS {
            self.server.socket.merge_datagrams();
        }
        self.bytes_out += bytes as u64;
        self.awaits_answer = false;
        let is_first = !std::mem::replace(&mut self.has_answer, true);
        if is_first {
            self.server.lease.server.state.note_connected();
            self.frontend.backend.balancer.record(&self.server.lease, 200, now_nanos);
            self.tried = TriedServers::default();
        }
        is_first
    }
}
