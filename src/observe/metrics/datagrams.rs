//! The counters of the datagrams of UDP entry points (docs/reference/metrics.md#layer-4).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Why a datagram was not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// No UDP frontend belongs to the entry point.
    NoFrontend,
    /// The white list does not contain the client's address.
    WhiteList,
    /// The source is the entry point itself, or port 0: it is forged, and the answer would come back.
    ForgedSource,
    /// The backend has no server that is up, or none whose name has an address.
    NoServer,
    /// No descriptor or no port is left for a session's socket.
    Shortage,
    /// No server can be reached, or the system refuses to send the datagram to it.
    ServerFailed,
    /// An answer that the system refuses to send to the client.
    ClientUnreachable,
    /// The send buffer of a socket stayed full.
    SendBuffer,
    /// The receive buffer of the entry point's socket was full.
    ReceiveBuffer,
    /// The receive buffer of a session's socket was full.
    AnswerBuffer,
}

/// The counters of one entry point in one worker. Aligned so that two workers never write to one cache line.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct DatagramCounters {
    /// Whether the entry point takes datagrams at all.
    is_used: AtomicBool,
    passed_in: AtomicU64,
    passed_out: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
}

/// The totals of one entry point over all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatagramTotals {
    /// Datagrams of clients that were passed on, and answers that were.
    pub passed_in: u64,
    pub passed_out: u64,
    /// In the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
}

impl DropReason {
    /// All reasons, in the order in which `/metrics` lists them.
    pub const ALL: [DropReason; 10] = [
        DropReason::NoFrontend,
        DropReason::WhiteList,
        DropReason::ForgedSource,
        DropReason::NoServer,
        DropReason::Shortage,
        DropReason::ServerFailed,
        DropReason::ClientUnreachable,
        DropReason::SendBuffer,
        DropReason::ReceiveBuffer,
        DropReason::AnswerBuffer,
    ];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        match self {
            DropReason::NoFrontend => "no_frontend",
            DropReason::WhiteList => "white_list",
            DropReason::ForgedSource => "forged_source",
            DropReason::NoServer => "no_server",
            DropReason::Shortage => "shortage",
            DropReason::ServerFailed => "server_failed",
            DropReason::ClientUnreachable => "client_unreachable",
            DropReason::SendBuffer => "send_buffer",
            DropReason::ReceiveBuffer => "receive_buffer",
            DropReason::AnswerBuffer => "answer_buffer",
        }
    }
}

impl DatagramCounters {
    /// Lists the entry point among those that take datagrams.
    pub(super) fn begin(&self) {
        self.is_used.store(true, Relaxed);
    }

    pub(super) fn add_in(&self, count: u64) {
        self.passed_in.fetch_add(count, Relaxed);
    }

    pub(super) fn add_out(&self, count: u64) {
        self.passed_out.fetch_add(count, Relaxed);
    }

    pub(super) fn add_dropped(&self, reason: DropReason, count: u64) {
        self.dropped[reason as usize].fetch_add(count, Relaxed);
    }
}

/// Adds up the workers' counters of an entry point; `None` if it takes no datagrams.
pub(super) fn sum(workers: &[DatagramCounters]) -> Option<DatagramTotals> {
    let is_used = workers.iter().any(|counters| counters.is_used.load(Relaxed));
    let total = |of: &dyn Fn(&DatagramCounters) -> u64| workers.iter().map(of).sum();
    is_used.then(|| DatagramTotals {
        passed_in: total(&|counters| counters.passed_in.load(Relaxed)),
        passed_out: total(&|counters| counters.passed_out.load(Relaxed)),
        dropped: DropReason::ALL.map(|reason| total(&|counters| counters.dropped[reason as usize].load(Relaxed))),
    })
}

// Counters are indexed by discriminant: `ALL` lists every variant, in declaration order.
const _: () = {
    let mut at = 0;
    while at < DropReason::ALL.len() {
        assert!(DropReason::ALL[at] as usize == at);
        at += 1;
    }
    assert!(DropReason::AnswerBuffer as usize + 1 == DropReason::ALL.len());
};
