//! Tracing on the path of a request: begins, continues and ends its spans (docs/reference/tracing.md#spans). Each function returns at once
//! if tracing is off.

use std::fmt::Display;

use crate::config::snapshot::{Backend, Frontend, ServerEndpoint};
use crate::http::{RequestHead, RequestView};
use crate::limits::{Bound, TRACE_TEXT_BYTES_MAX};
use crate::middleware::AuthRequest;
use crate::observe::trace::{Begin, Detail, RequestFacts, text_of};
use crate::worker::resources::client_info::{ClientInfo, unmap_ipv4};
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::resources::tracer::Tracer;
use crate::worker::worker::Worker;

/// Begins the trace of the request in `ctx`, whose head has just been received.
#[inline]
pub fn begin<D: Dial>(worker: &Worker<D>, ctx: &mut ExchangeContext, peer: &ClientInfo) {
    if let Some(tracer) = &worker.tracer {
        begin_trace(worker, tracer, ctx, peer);
    }
}

fn begin_trace<D: Dial>(worker: &Worker<D>, tracer: &Tracer, ctx: &mut ExchangeContext, peer: &ClientInfo) {
    let ExchangeContext { trace, head, bytes, edits, .. } = ctx;
    let at = Begin {
        mono_nanos: worker.clock.mono_nanos(),
        unix_nanos: worker.clock.unix_nanos(),
        entry_point: &worker.shared.entry_points[peer.entry].name,
    };
    let facts = |head: &RequestHead| facts(RequestView { head, bytes, edits }, peer);
    let trace = trace.get_or_insert_default();
    trace.begin(&tracer.tracing, head, bytes, at, || tracer.random(), facts);
}

#[cold]
fn facts(view: RequestView<'_>, peer: &ClientInfo) -> RequestFacts {
    let version = view.head.version.as_str().trim_start_matches("HTTP/");
    RequestFacts {
        method: text_of(view.method(), TRACE_TEXT_BYTES_MAX),
        target: text_of(view.target(), TRACE_TEXT_BYTES_MAX),
        host: text_of(view.host(), TRACE_TEXT_BYTES_MAX),
        user_agent: text_of(view.first(b"User-Agent").unwrap_or_default(), TRACE_TEXT_BYTES_MAX),
        is_secure: peer.secure,
        version: version.strip_suffix(".0").filter(|_| version == "2.0").unwrap_or(version),
        client: unmap_ipv4(peer.address.ip()).to_string(),
        client_port: peer.address.port(),
    }
}

/// Notes the frontend that the request is for.
#[inline]
pub fn begin_frontend<D: Dial>(worker: &Worker<D>, ctx: &mut ExchangeContext, frontend: &Frontend) {
    let Some((tracer, trace)) = worker.tracer.as_ref().zip(ctx.trace.as_deref_mut()) else { return };
    if trace.is_recorded() {
        trace.begin_frontend(worker.clock.unix_nanos(), tracer.random().max(1), &frontend.name, &frontend.backend.name);
    }
}

/// Begins the span of an attempt at a server, and makes the fields that the server gets.
#[inline]
pub fn begin_attempt<D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    frontend: &Frontend,
    endpoint: &ServerEndpoint,
) {
    // A request that is not recorded allocates nothing.
    if let Some(trace) = &ctx.trace
        && (trace.is_recorded() || !ctx.edits.is_empty())
    {
        let target = if trace.is_recorded() { text_of(ctx.target(), TRACE_TEXT_BYTES_MAX) } else { String::new() };
        begin_request(worker, ctx, &frontend.name, &frontend.backend, endpoint, target);
    }
}

/// As [`begin_attempt`], for the request for an error page.
#[inline]
pub fn begin_page<D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    page: &str,
    backend: &Backend,
    endpoint: &ServerEndpoint,
    target: &[u8],
) {
    if ctx.trace.is_some() {
        begin_request(worker, ctx, page, backend, endpoint, text_of(target, TRACE_TEXT_BYTES_MAX));
    }
}

fn begin_request<D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    frontend: &str,
    backend: &Backend,
    endpoint: &ServerEndpoint,
    target: String,
) {
    let ExchangeContext { trace, edits, .. } = ctx;
    let Some((tracer, trace)) = worker.tracer.as_ref().zip(trace.as_deref_mut()) else { return };
    if trace.is_recorded() {
        worker.clock.read();
        let (frontend, backend) = (frontend.to_owned(), backend.name.clone());
        let detail = Detail::Attempt { frontend, backend, server: endpoint.url.clone(), target };
        trace.begin_attempt(&tracer.tracing, worker.clock.unix_nanos(), tracer.random().max(1), detail);
    }
    trace.drop_edits(&tracer.tracing, edits);
}

/// Appends the fields of the trace to the head of a request to a server.
#[inline]
pub fn append_fields(ctx: &ExchangeContext, head: &mut Vec<u8>) {
    if let Some(trace) = &ctx.trace {
        trace.append_fields(head);
    }
}

/// The ids of the trace and of the entry point's span, for logs, if the request is recorded.
pub fn ids(ctx: &ExchangeContext) -> Option<(u128, u64)> {
    ctx.trace.as_ref().and_then(|trace| trace.ids())
}

/// Notes that an attempt, or a call, has failed without a response.
pub fn failed<D: Dial>(worker: &Worker<D>, ctx: &mut ExchangeContext, failure: &dyn Display) {
    if let Some(trace) = ctx.trace.as_deref_mut().filter(|trace| trace.is_recorded()) {
        worker.clock.read();
        trace.attempt_failed(worker.clock.unix_nanos(), failure);
    }
}

/// Notes the end of an attempt, or of a call, that has brought a response.
pub fn ended<D: Dial>(worker: &Worker<D>, ctx: &mut ExchangeContext, status: u16) {
    if let Some(trace) = ctx.trace.as_deref_mut().filter(|trace| trace.is_recorded()) {
        worker.clock.read();
        trace.end_attempt(worker.clock.unix_nanos(), status);
    }
}

/// Begins the span of a call for forward authentication, which continues the trace.
pub fn begin_call<D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    call: &mut AuthRequest,
    server: Option<&ServerEndpoint>,
) {
    let Some((tracer, trace)) = worker.tracer.as_ref().zip(ctx.trace.as_deref_mut()) else { return };
    let scheme = if server.is_some_and(|server| server.tls.is_some()) { "https" } else { "http" };
    let url = format!("{scheme}://{}{}", call.server.authority, call.server.target);
    worker.clock.read();
    trace.begin_call(&tracer.tracing, worker.clock.unix_nanos(), tracer.random().max(1), url, &mut call.fields);
}

/// Ends the request's spans and hands them over. `status` is what the client got.
#[inline]
pub fn finish<D: Dial>(worker: &Worker<D>, ctx: &mut ExchangeContext, status: u16, server_status: Option<u16>) {
    if let Some(tracer) = &worker.tracer
        && let Some(trace) = ctx.trace.as_deref_mut().filter(|trace| trace.is_recorded())
        && let Some(trace) = trace.finish(worker.clock.unix_nanos(), status, server_status)
        && let Err(spans) = tracer.tracing.queue.push(trace)
    {
        on_full_queue(worker, spans);
    }
}

#[cold]
fn on_full_queue<D: Dial>(worker: &Worker<D>, spans: u64) {
    worker.shared.metrics.exceeded(Bound::TraceQueue, spans);
    if let Some(repeated) = worker.may_log_again(&worker.shared.server_lines, "trace queue") {
        tracing::error!(
            "tracing: spans are dropped, because the collector takes them more slowly than they are made: lower \
             tracing.samplingParam, or make the collector faster{repeated}"
        );
    }
}
