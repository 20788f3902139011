//! The HTTP/2 counters of one worker, and the totals over all workers (docs/reference/metrics.md#http2).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// The names of the error codes (RFC 9113 7), by code; the last stands for every code that has no name.
pub const REASONS: [&str; 15] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
    "OTHER",
];

/// The peer of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A client that connected to an entry point.
    Client,
    /// A server of a backend.
    Server,
}

/// Whether the proxy or its peer sent a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Sent,
    Received,
}

/// The counters of one worker. Aligned so that two workers never write to one cache line.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Http2Counters {
    sides: [SideCounters; 2],
}

#[derive(Default)]
struct SideCounters {
    connections: Opened,
    streams: Opened,
    resets: [Reasons; 2],
    goaways: [Reasons; 2],
}

/// A gauge with the total behind it.
#[derive(Default)]
struct Opened {
    open: AtomicI64,
    total: AtomicU64,
}

/// A counter for each of [`REASONS`].
#[derive(Default)]
struct Reasons([AtomicU64; REASONS.len()]);

/// The totals of connections with clients and of those with servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Http2Totals {
    pub clients: SideTotals,
    pub servers: SideTotals,
}

/// The totals of one side over all workers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SideTotals {
    pub connections_open: u64,
    pub connections: u64,
    pub streams_open: u64,
    pub streams: u64,
    pub resets: DirectedTotals,
    pub goaways: DirectedTotals,
}

/// Counts by reason, in the order of [`REASONS`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectedTotals {
    pub sent: [u64; REASONS.len()],
    pub received: [u64; REASONS.len()],
}

impl Side {
    pub const ALL: [Side; 2] = [Side::Client, Side::Server];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server => "server",
        }
    }
}

impl Http2Totals {
    pub(super) fn of(&self, side: Side) -> &SideTotals {
        match side {
            Side::Client => &self.clients,
            Side::Server => &self.servers,
        }
    }
}

impl Http2Counters {
    pub(super) fn connection_opened(&self, side: Side) {
        self.of(side).connections.enter();
    }

    pub(super) fn connection_closed(&self, side: Side) {
        self.of(side).connections.leave();
    }

    pub(super) fn stream_opened(&self, side: Side) {
        self.of(side).streams.enter();
    }

    pub(super) fn stream_closed(&self, side: Side) {
        self.of(side).streams.leave();
    }

    pub(super) fn reset(&self, side: Side, direction: Direction, code: usize) {
        self.of(side).resets[direction as usize].add(code);
    }

    pub(super) fn goaway(&self, side: Side, direction: Direction, code: usize) {
        self.of(side).goaways[direction as usize].add(code);
    }

    #[inline]
    fn of(&self, side: Side) -> &SideCounters {
        &self.sides[side as usize]
    }
}

impl Opened {
    #[inline]
    fn enter(&self) {
        self.open.fetch_add(1, Relaxed);
        self.total.fetch_add(1, Relaxed);
    }

    #[inline]
    fn leave(&self) {
        self.open.fetch_sub(1, Relaxed);
    }
}

impl Reasons {
    fn add(&self, code: usize) {
        self.0[code.min(REASONS.len() - 1)].fetch_add(1, Relaxed);
    }

    fn add_to(&self, totals: &mut [u64; REASONS.len()]) {
        for (total, count) in totals.iter_mut().zip(&self.0) {
            *total += count.load(Relaxed);
        }
    }
}

/// Adds up the workers' counters.
pub(super) fn sum(workers: &[Http2Counters]) -> Http2Totals {
    let [clients, servers] = Side::ALL.map(|side| {
        let mut totals = SideTotals::default();
        let (mut connections_open, mut streams_open) = (0, 0);
        for counters in workers.iter().map(|worker| worker.of(side)) {
            connections_open += counters.connections.open.load(Relaxed);
            streams_open += counters.streams.open.load(Relaxed);
            totals.connections += counters.connections.total.load(Relaxed);
            totals.streams += counters.streams.total.load(Relaxed);
            for (counted, into) in [(&counters.resets, &mut totals.resets), (&counters.goaways, &mut totals.goaways)] {
                counted[Direction::Sent as usize].add_to(&mut into.sent);
                counted[Direction::Received as usize].add_to(&mut into.received);
            }
        }
        // Only numbers that several workers share can be below zero for a moment.
        totals.connections_open = u64::try_from(connections_open).unwrap_or(0);
        totals.streams_open = u64::try_from(streams_open).unwrap_or(0);
        totals
    });
    Http2Totals { clients, servers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_keep_sides_directions_and_reasons_apart() {
        let workers = [Http2Counters::default(), Http2Counters::default()];
        for worker in &workers {
            worker.connection_opened(Side::Client);
            worker.stream_opened(Side::Client);
        }
        workers[1].stream_opened(Side::Client);
        workers[1].stream_closed(Side::Client);
        workers[0].connection_opened(Side::Server);
        workers[0].connection_closed(Side::Server);
        workers[0].reset(Side::Client, Direction::Received, 8);
        workers[1].reset(Side::Client, Direction::Received, 8);
        workers[1].reset(Side::Server, Direction::Sent, 0);
        workers[0].goaway(Side::Client, Direction::Sent, 11);
        let Http2Totals { clients, servers } = sum(&workers);
        assert_eq!((clients.connections_open, clients.connections), (2, 2));
        assert_eq!((clients.streams_open, clients.streams), (2, 3));
        assert_eq!((servers.connections_open, servers.connections), (0, 1));
        assert_eq!((clients.resets.received[8], clients.resets.sent[8], servers.resets.sent[0]), (2, 0, 1));
        assert_eq!((clients.goaways.sent[11], servers.goaways.sent[11]), (1, 0));
    }

    #[test]
    fn code_without_a_name_counts_as_other() {
        let worker = [Http2Counters::default()];
        for code in [13, 14, 15, usize::MAX] {
            worker[0].reset(Side::Client, Direction::Sent, code);
        }
        let totals = sum(&worker);
        assert_eq!((totals.clients.resets.sent[13], totals.clients.resets.sent[14]), (1, 3));
    }
}
