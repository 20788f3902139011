//! The trace of one request while it is served: which fields go to servers, and the spans so far. Part of the exchange's context, reused
//! by the next request.

use super::Tracing;
use super::context::{Decision, Parent};
use super::propagation::{Formats, SentContext};
use super::span::{Detail, RequestFacts, Span, Trace};
use crate::http::{Edits, RequestHead};
use crate::limits;

/// The state of a request's trace.
#[derive(Debug, Default)]
pub struct RequestTrace {
    formats: Formats,
    /// The fields for servers, as lines with an empty one at the end. Empty if those of the client go on as they are.
    lines: Vec<u8>,
    recorded: Option<Box<Recorded>>,
}

/// The spans of a request that is recorded.
#[derive(Debug)]
struct Recorded {
    trace: Box<Trace>,
    /// The indices of the spans that have not ended, besides that of the entry point.
    frontend: Option<usize>,
    attempt: Option<usize>,
}

/// When and where a request begins.
#[derive(Debug, Clone, Copy)]
pub struct Begin<'a> {
    pub mono_nanos: u64,
    pub unix_nanos: u64,
    pub entry_point: &'a str,
}

impl RequestTrace {
    /// Begins the trace of the request in `head`. `random` makes ids; `facts` is called if the request is recorded.
    #[inline]
    pub fn begin(
        &mut self,
        tracing: &Tracing,
        head: &mut RequestHead,
        bytes: &[u8],
        at: Begin<'_>,
        mut random: impl FnMut() -> u64,
        facts: impl FnOnce(&RequestHead) -> RequestFacts,
    ) {
        self.lines.clear();
        self.recorded = None;
        if tracing.propagation.is_in(head, bytes) {
            return self.continue_trace(tracing, head, bytes, at, random, facts);
        }
        self.formats = tracing.propagation.formats();
        let number = random().max(1);
        if tracing.is_debug || tracing.sampler.samples(number, at.mono_nanos) {
            let parent = Parent { is_debug: tracing.is_debug, ..Parent::default() };
            let trace_id = tracing.trace_id(number, &mut random);
            self.record(trace_id, random().max(1), &parent, false, at, facts(head));
        } else if !tracing.propagation.write_unrecorded(number, &mut self.lines) {
            let trace_id = tracing.trace_id(number, &mut random);
            let sent =
                SentContext { trace_id, span_id: random().max(1), parent_id: 0, is_sampled: false, is_debug: false };
            tracing.propagation.write(self.formats, &sent, &mut self.lines);
        }
    }

    /// Begins the trace of a request whose client sent a context.
    #[inline(never)]
    fn continue_trace(
        &mut self,
        tracing: &Tracing,
        head: &mut RequestHead,
        bytes: &[u8],
        at: Begin<'_>,
        mut random: impl FnMut() -> u64,
        facts: impl FnOnce(&RequestHead) -> RequestFacts,
    ) {
        let received = tracing.propagation.read(head, bytes);
        let parent = received.parent.unwrap_or_default();
        if parent.decision == Decision::NotSampled {
            // The fields go on as they are: no span of this proxy is between the client's and the server's.
            return;
        }
        self.formats = received.formats;
        let trace_id =
            if parent.trace_id == 0 { tracing.trace_id(random().max(1), &mut random) } else { parent.trace_id };
        let own_decision = || tracing.is_debug || tracing.sampler.samples(trace_id as u64, at.mono_nanos);
        let is_sampled = parent.decision == Decision::Sampled || own_decision();
        tracing.propagation.drop_received(&received, head, bytes);
        if is_sampled {
            let is_shared = tracing.same_span && parent.span_id != 0;
            let span_id = if is_shared { parent.span_id } else { random().max(1) };
            self.record(trace_id, span_id, &parent, is_shared, at, facts(head));
        } else {
            let span_id = if parent.span_id == 0 { random().max(1) } else { parent.span_id };
            let sent = SentContext { trace_id, span_id, parent_id: 0, is_sampled, is_debug: false };
            tracing.propagation.write(self.formats, &sent, &mut self.lines);
        }
    }

    #[cold]
    fn record(
        &mut self,
        trace_id: u128,
        span_id: u64,
        parent: &Parent,
        is_shared: bool,
        at: Begin<'_>,
        request: RequestFacts,
    ) {
        let parent_id = if is_shared { parent.grandparent_id } else { parent.span_id };
        let detail = Detail::EntryPoint { name: at.entry_point.to_owned() };
        let first = Span { is_shared, ..new_span(span_id, parent_id, at.unix_nanos, detail) };
        let trace = Trace { id: trace_id, is_debug: parent.is_debug, request, spans: vec![first] };
        self.recorded = Some(Box::new(Recorded { trace: Box::new(trace), frontend: None, attempt: None }));
    }

    pub fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// The ids of the trace and of the entry point's span, if the request is recorded.
    pub fn ids(&self) -> Option<(u128, u64)> {
        let trace = &self.recorded.as_ref()?.trace;
        Some((trace.id, trace.spans.first()?.id))
    }

    /// Notes the frontend that the request is for.
    pub fn begin_frontend(&mut self, unix_nanos: u64, span_id: u64, frontend: &str, backend: &str) {
        let Some(recorded) = self.recorded.as_mut().filter(|recorded| recorded.frontend.is_none()) else { return };
        let detail = Detail::Frontend { frontend: frontend.to_owned(), backend: backend.to_owned() };
        let parent_id = recorded.entry_id();
        recorded.frontend = recorded.begin(span_id, parent_id, unix_nanos, detail);
    }

    /// Begins the span of an attempt, or of any request to a server, and makes the fields for that server.
    pub fn begin_attempt(&mut self, tracing: &Tracing, unix_nanos: u64, span_id: u64, detail: Detail) {
        let Some(recorded) = &mut self.recorded else { return };
        recorded.end_attempt(unix_nanos, 0);
        let parent_id = recorded.innermost_id();
        recorded.attempt = recorded.begin(span_id, parent_id, unix_nanos, detail);
        // Beyond the bound on spans, the server continues the span in which the attempt is made.
        let (span_id, parent_id) = if recorded.attempt.is_some() { (span_id, parent_id) } else { (parent_id, 0) };
        let sent = recorded.sent(span_id, parent_id);
        self.lines.clear();
        tracing.propagation.write(self.formats, &sent, &mut self.lines);
    }

    /// Notes that the attempt has failed without a response.
    pub fn attempt_failed(&mut self, unix_nanos: u64, failure: &dyn std::fmt::Display) {
        let Some(recorded) = &mut self.recorded else { return };
        let Some(index) = recorded.attempt.take() else { return };
        if let Some(span) = recorded.trace.spans.get_mut(index) {
            span.end_unix_nanos = unix_nanos;
            span.failure = Some(cut(failure.to_string(), limits::TRACE_TEXT_BYTES_MAX));
        }
    }

    /// Notes the end of an attempt that has brought a response.
    pub fn end_attempt(&mut self, unix_nanos: u64, status: u16) {
        if let Some(recorded) = &mut self.recorded {
            recorded.end_attempt(unix_nanos, status);
        }
    }

    /// Begins the span of a call for forward authentication, and replaces the fields of the call.
    pub fn begin_call(
        &mut self,
        tracing: &Tracing,
        unix_nanos: u64,
        span_id: u64,
        url: String,
        fields: &mut Vec<(Vec<u8>, Vec<u8>)>,
    ) {
        if let Some(recorded) = &mut self.recorded {
            let parent_id = recorded.innermost_id();
            recorded.attempt = recorded.begin(span_id, parent_id, unix_nanos, Detail::ForwardAuth { url });
            let (span_id, parent_id) = if recorded.attempt.is_some() { (span_id, parent_id) } else { (parent_id, 0) };
            let sent = recorded.sent(span_id, parent_id);
            fields.retain(|(name, _)| !tracing.propagation.is_context_name(name));
            let mut push = |name: &[u8], value: &[u8]| fields.push((name.to_vec(), value.to_vec()));
            tracing.propagation.each_sent(self.formats, &sent, &mut push);
        } else if !self.lines.is_empty() {
            fields.retain(|(name, _)| !tracing.propagation.is_context_name(name));
            for line in self.lines.split(|&byte| byte == b'\n') {
                let Some((name, value)) = split_line(line) else { continue };
                fields.push((name.to_vec(), value.to_vec()));
            }
        }
    }

    /// Removes edits of the fields that the proxy writes: its own come last.
    pub fn drop_edits(&self, tracing: &Tracing, edits: &mut Edits) {
        if edits.is_empty() || self.lines.is_empty() {
            return;
        }
        for name in tracing.propagation.written_names() {
            if edits.concerns(name) {
                edits.remove(name);
            }
        }
    }

    /// Appends the fields for a server to a head that ends with its empty line.
    #[inline]
    pub fn append_fields(&self, head: &mut Vec<u8>) {
        if !self.lines.is_empty() && head.ends_with(b"\r\n\r\n") {
            head.truncate(head.len() - 2);
            head.extend_from_slice(&self.lines);
        }
    }

    /// Ends all spans that have not ended, and returns the trace, if the request is recorded. `status` is what the client got,
    /// `server_status` what the server of the last attempt sent.
    pub fn finish(&mut self, unix_nanos: u64, status: u16, server_status: Option<u16>) -> Option<Box<Trace>> {
        let mut recorded = self.recorded.take()?;
        recorded.end_attempt(unix_nanos, server_status.unwrap_or(0));
        for index in [Some(0), recorded.frontend].into_iter().flatten() {
            recorded.end(index, unix_nanos, status);
        }
        Some(recorded.trace)
    }
}

impl Recorded {
    fn entry_id(&self) -> u64 {
        self.trace.spans.first().map_or(0, |span| span.id)
    }

    /// The id of the frontend's span, or of the entry point's before there is a frontend.
    fn innermost_id(&self) -> u64 {
        let index = self.frontend.unwrap_or(0);
        self.trace.spans.get(index).map_or(0, |span| span.id)
    }

    fn begin(&mut self, id: u64, parent_id: u64, unix_nanos: u64, detail: Detail) -> Option<usize> {
        let index = self.trace.spans.len();
        if index >= limits::SPANS_PER_TRACE_MAX {
            return None;
        }
        self.trace.spans.push(new_span(id, parent_id, unix_nanos, detail));
        Some(index)
    }

    fn end_attempt(&mut self, unix_nanos: u64, status: u16) {
        if let Some(index) = self.attempt.take() {
            self.end(index, unix_nanos, status);
        }
    }

    fn end(&mut self, index: usize, unix_nanos: u64, status: u16) {
        if let Some(span) = self.trace.spans.get_mut(index) {
            (span.end_unix_nanos, span.status) = (unix_nanos, status);
        }
    }

    fn sent(&self, span_id: u64, parent_id: u64) -> SentContext {
        SentContext { trace_id: self.trace.id, span_id, parent_id, is_sampled: true, is_debug: self.trace.is_debug }
    }
}

fn new_span(id: u64, parent_id: u64, unix_nanos: u64, detail: Detail) -> Span {
    let (start_unix_nanos, end_unix_nanos) = (unix_nanos, unix_nanos);
    Span { id, parent_id, is_shared: false, start_unix_nanos, end_unix_nanos, status: 0, failure: None, detail }
}

fn split_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// Bytes as text of at most `max` bytes.
pub fn text_of(bytes: &[u8], max: usize) -> String {
    cut(String::from_utf8_lossy(&bytes[..bytes.len().min(max)]).into_owned(), max)
}

fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
