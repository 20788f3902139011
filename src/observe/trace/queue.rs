//! The queue of finished traces from the workers to the exporter on the control thread: bounded, without locks, and without waking anyone.
//! The exporter looks into it several times a second. A worker never waits: without space a trace is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::span::Trace;
use crate::limits;

/// The workers' end.
#[derive(Debug, Clone)]
pub struct TraceSender {
    sender: Sender<Box<Trace>>,
    state: Arc<QueueState>,
}

/// The exporter's end.
#[derive(Debug)]
pub struct TraceReceiver {
    receiver: Receiver<Box<Trace>>,
    state: Arc<QueueState>,
}

#[derive(Debug, Default)]
struct QueueState {
    /// Bytes of traces that are queued, or that the exporter has not delivered yet.
    bytes: AtomicUsize,
    /// The process ends: the exporter delivers what there is without collecting more.
    is_closing: AtomicBool,
}

pub fn queue() -> (TraceSender, TraceReceiver) {
    let (sender, receiver) = channel();
    let state: Arc<QueueState> = Arc::default();
    (TraceSender { sender, state: Arc::clone(&state) }, TraceReceiver { receiver, state })
}

impl TraceSender {
    /// Hands a trace over.
    ///
    /// # Errors
    /// The number of spans that are lost, because [`limits::TRACE_QUEUE_BYTES_MAX`] are queued.
    pub fn push(&self, trace: Box<Trace>) -> Result<(), u64> {
        let (bytes, spans) = (trace.bytes(), trace.spans.len() as u64);
        if self.state.bytes.fetch_add(bytes, Relaxed) + bytes > limits::TRACE_QUEUE_BYTES_MAX {
            self.state.bytes.fetch_sub(bytes, Relaxed);
            return Err(spans);
        }
        self.sender.send(trace).map_err(|_| spans)
    }

    /// Asks the exporter to deliver what is queued at once; [`is_empty`](Self::is_empty) says when it has.
    pub fn close(&self) {
        self.state.is_closing.store(true, Relaxed);
    }

    /// Whether everything has been delivered or given up.
    pub fn is_empty(&self) -> bool {
        self.state.bytes.load(Relaxed) == 0
    }
}

impl TraceReceiver {
    /// The next trace, if there is one. Its memory counts until [`done`](Self::done).
    pub fn next(&self) -> Option<Box<Trace>> {
        self.receiver.try_recv().ok()
    }

    /// Notes that traces of so many bytes have been delivered or given up.
    pub fn done(&self, bytes: usize) {
        self.state.bytes.fetch_sub(bytes, Relaxed);
    }

    pub fn is_closing(&self) -> bool {
        self.state.is_closing.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_queue_drops_traces_until_some_are_delivered() {
        let (sender, receiver) = queue();
        let trace = || {
            let mut trace = Box::new(Trace::default());
            trace.request.target = "x".repeat(1 << 20);
            trace.spans.push(super::super::span::Span {
                id: 1,
                parent_id: 0,
                is_shared: false,
                start_unix_nanos: 0,
                end_unix_nanos: 0,
                status: 200,
                failure: None,
                detail: super::super::span::Detail::EntryPoint { name: String::new() },
            });
            trace
        };
        let fitting = limits::TRACE_QUEUE_BYTES_MAX / trace().bytes();
        for _ in 0..fitting {
            sender.push(trace()).expect("space");
        }
        assert_eq!(sender.push(trace()), Err(1), "one span is lost");
        let first = receiver.next().expect("a trace");
        assert_eq!(sender.push(trace()), Err(1), "a trace that is being delivered still counts");
        receiver.done(first.bytes());
        sender.push(trace()).expect("space again");
        while let Some(trace) = receiver.next() {
            receiver.done(trace.bytes());
        }
        assert!(sender.is_empty());
    }
}
