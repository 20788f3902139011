//! Traces that are sent together.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits;
use crate::observe::trace::{Trace, TraceReceiver};

#[derive(Default)]
pub struct Batch {
    traces: Vec<Trace>,
    spans: usize,
    bytes: usize,
    /// When the first trace was added.
    since: Option<Instant>,
}

impl Batch {
    /// Adds finished traces until the batch is full.
    pub fn fill(&mut self, receiver: &TraceReceiver, now: Instant) {
        while self.spans < limits::SPANS_PER_EXPORT_MAX
            && let Some(trace) = receiver.next()
        {
            self.spans += trace.spans.len();
            self.bytes += trace.bytes();
            self.since.get_or_insert(now);
            self.traces.push(*trace);
        }
    }

    /// Whether the batch is to be sent: it is full, old enough, or the process ends.
    pub fn is_due(&self, now: Instant, is_closing: bool) -> bool {
        let Some(since) = self.since else { return false };
        let age = now.saturating_duration_since(since);
        let is_old = age >= Duration::from_millis(limits::TRACE_COLLECT_MILLIS);
        is_closing || is_old || self.spans >= limits::SPANS_PER_EXPORT_MAX
    }

    pub fn traces(&self) -> &[Trace] {
        &self.traces
    }

    pub fn spans(&self) -> usize {
        self.spans
    }

    /// The bytes that the traces take in the queue's bound.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
