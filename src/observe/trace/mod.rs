//! Tracing: which requests are traced, what their spans are, and how the context of a trace travels (docs/reference/tracing.md).
//!
//! A worker keeps a [`RequestTrace`] for each exchange and hands the finished [`Trace`] over by the queue; the control plane exports it.
//! Names and attributes of spans are made there, so that a worker does as little as possible.

mod attributes;
mod context;
mod names;
mod propagation;
mod queue;
mod request_trace;
mod sampler;
mod span;
mod unrecorded;

pub use attributes::{Attribute, SpanKind, Value, attributes, is_error, kind};
pub use names::SpanNames;
pub use propagation::{DatadogNames, Format, Propagation, hex64};
pub use queue::{TraceReceiver, TraceSender, queue};
pub use request_trace::{Begin, RequestTrace, text_of};
pub use sampler::Sampler;
pub use span::{Detail, RequestFacts, Span, Trace};

/// The settings of tracing that all workers share.
#[derive(Debug)]
pub struct Tracing {
    pub propagation: Propagation,
    pub sampler: Sampler,
    /// Trace ids that the proxy makes have 128 bits, else 64.
    pub has_long_ids: bool,
    /// Zipkin: the entry point's span takes the id of the client's span.
    pub same_span: bool,
    /// Zipkin: traces that begin here are marked as debug traces, which every sampler records.
    pub is_debug: bool,
    pub queue: TraceSender,
}

impl Tracing {
    /// The id of a new trace with this number. Neither it nor any part of it is zero, which formats with 64 bits would read as no trace.
    #[inline]
    fn trace_id(&self, number: u64, random: &mut impl FnMut() -> u64) -> u128 {
        if self.has_long_ids { u128::from(random()) << 64 | u128::from(number) } else { number.into() }
    }
}
