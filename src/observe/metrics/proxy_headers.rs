//! Counts the PROXY protocol headers of clients' connections (docs/reference/metrics.md#ringways-own).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The outcome of a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeaderResult {
    /// The address in the header replaced that of the peer, or the header said that the peer is the client.
    Accepted,
    /// The peer is not trusted: the header was skipped.
    Untrusted,
    /// The header was malformed: the connection was closed.
    Malformed,
    /// The header was too long: the connection was closed.
    TooLong,
    /// The peer ended the connection within the header.
    Cut,
    /// The header was not complete in time: the connection was closed.
    Timeout,
}

impl ProxyHeaderResult {
    /// All results, in the order in which `/metrics` lists them.
    pub const ALL: [ProxyHeaderResult; 6] = [
        ProxyHeaderResult::Accepted,
        ProxyHeaderResult::Untrusted,
        ProxyHeaderResult::Malformed,
        ProxyHeaderResult::TooLong,
        ProxyHeaderResult::Cut,
        ProxyHeaderResult::Timeout,
    ];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        match self {
            ProxyHeaderResult::Accepted => "accepted",
            ProxyHeaderResult::Untrusted => "untrusted",
            ProxyHeaderResult::Malformed => "malformed",
            ProxyHeaderResult::TooLong => "too_long",
            ProxyHeaderResult::Cut => "cut",
            ProxyHeaderResult::Timeout => "timeout",
        }
    }
}

// Counters are indexed by discriminant: `ALL` lists every variant, in declaration order.
const _: () = {
    let mut at = 0;
    while at < ProxyHeaderResult::ALL.len() {
        assert!(ProxyHeaderResult::ALL[at] as usize == at);
        at += 1;
    }
    assert!(ProxyHeaderResult::Timeout as usize + 1 == ProxyHeaderResult::ALL.len());
};

/// The counters, which the workers share: a header is read once per connection.
#[derive(Default)]
pub(super) struct ProxyHeaderCounters([AtomicU64; ProxyHeaderResult::ALL.len()]);

impl ProxyHeaderCounters {
    pub(super) fn count(&self, result: ProxyHeaderResult) {
        self.0[result as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn totals(&self) -> impl Iterator<Item = (ProxyHeaderResult, u64)> {
        ProxyHeaderResult::ALL.into_iter().zip(&self.0).map(|(result, count)| (result, count.load(Relaxed)))
    }
}
