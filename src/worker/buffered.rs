//! Buffering: the whole request is read before a backend sees it, the whole response before the client does, and an expression may ask
//! for the exchange again (docs/reference/middlewares.md#buffering). Bodies stay in memory, under bounds of their own; nothing is written to disk.

use std::cell::Cell;
use std::time::Instant;

use super::Worker;
use super::budget::BufferedBody;
use super::context::{ClientInfo, ExchangeContext};
use super::error_pages::{self, bounded};
use super::exchange::ConnectionDisposition;
use super::fetch::{FetchError, FetchRequest, fetch};
use super::forward::{is_idempotent, write_request_head};
use super::gzip;
use super::local_reply::{LocalReply, ReplySource, send_from_frontend, send_reply};
use super::race::{First, race};
use super::request_body::{send_100_continue, wait_for_disconnect};
use super::request_record::RequestRecord;
use super::response::ResponseContext;
use super::retry_state::{AttemptTarget, FinalReply, RetryState};
use super::send::send_in_chunks;
use super::upstream::Dial;
use crate::config::snapshot::Frontend;
use crate::http::forward::{ResponsePlan, write_response};
use crate::http::h1::body::Decoder;
use crate::http::h1::violation::RejectedRequest;
use crate::http::{BodyFraming, Reply, ResponseView};
use crate::limits::{self, Bound};
use crate::middleware::buffering::Buffering;
use crate::middleware::error_pages::ErrorPageRequest;
use crate::net::{MinRate, Transport};

/// How a round ended.
enum BufferedAttempt<'w> {
    /// The response: its head is in `ctx.answer`.
    Whole(BufferedBody<'w>),
    TooLarge,
    GivenUp(FinalReply),
}

/// Forwards the request in `ctx` under `buffering` and answers the client, whatever happens.
pub async fn forward<'s, T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &'s Frontend,
    buffering: &Buffering,
    ctx: &mut ExchangeContext,
    client: &mut T,
    peer: &ClientInfo,
    record: &mut RequestRecord<'s>,
) -> ConnectionDisposition {
    let bytes_max = buffering
        .request_bytes_max
        .map_or(limits::BUFFERED_BODY_BYTES_MAX, |max| bounded(max, limits::BUFFERED_BODY_BYTES_MAX));
    let body = match collect_in_time(worker, bytes_max, ctx, client).await {
        Ok(body) => body,
        Err(RequestBodyError::Client(reply)) => {
            record.client_failed(reply.as_ref());
            let Some(reply) = reply else { return ConnectionDisposition::Close };
            return send_reply(worker, ctx, client, reply.closing()).await;
        }
        Err(RequestBodyError::Refused(reply)) => {
            let refusal = refusal(frontend, reply);
            record.local_reply(&refusal, None);
            return send_from_frontend(worker, frontend, ctx, client, peer, record, refusal, ReplySource::Guard).await;
        }
    };
    ctx.body_read = true;
    let mut attempt = 1;
    let ended = loop {
        let going = attempt_servers(worker, frontend, buffering, &body, ctx, peer, record);
        let First::Response(ended) = race(wait_for_disconnect(worker, client.split().0), going).await else {
            record.client_failed(None);
            return ConnectionDisposition::Close;
        };
        let status = match &ended {
            BufferedAttempt::Whole(_) => ctx.response.head.status,
            BufferedAttempt::GivenUp(given_up) => given_up.local_reply.reply.status,
            BufferedAttempt::TooLarge => break ended,
        };
        if !buffering.again(attempt, ctx.view().method(), status) {
            break ended;
        }
        attempt += 1;
        record.retried();
        ctx.response.forget(&worker.buffers);
    };
    match ended {
        BufferedAttempt::Whole(response) => deliver(worker, frontend, response, ctx, client, peer, record).await,
        BufferedAttempt::TooLarge => {
            let refusal = refusal(frontend, Buffering::response_too_large());
            record.local_reply(&refusal, None);
            send_from_frontend(worker, frontend, ctx, client, peer, record, refusal, ReplySource::Guard).await
        }
        BufferedAttempt::GivenUp(FinalReply { local_reply: refusal, source: depth }) => {
            record.final_reply(&refusal, depth);
            send_from_frontend(worker, frontend, ctx, client, peer, record, refusal, depth).await
        }
    }
}

/// An answer of the buffering step, the innermost of the guard.
fn refusal(frontend: &Frontend, reply: Reply) -> LocalReply {
    LocalReply { reply, log_label: None, chain_index: frontend.inner.middlewares().len().saturating_sub(1) }
}

/// Why the request's body is not there.
pub enum RequestBodyError {
    /// The client broke off or sent something that is no body: words, if somebody is left to read them.
    Client(Option<Reply>),
    Refused(Reply),
}

/// Reads the request's whole body, of at most `max` bytes, in the time that `readTimeout` gives.
pub async fn collect_in_time<'w, T: Transport, D: Dial>(
    worker: &'w Worker<D>,
    max: usize,
    ctx: &mut ExchangeContext,
    client: &mut T,
) -> Result<BufferedBody<'w>, RequestBodyError> {
    let Some(limit) = worker.shared.timeouts.body_read else { return collect(worker, max, ctx, client).await };
    let late = || {
        worker.exceeded(Bound::BodyRead);
        RequestBodyError::Client(Some(Reply::text(408, "Request Timeout")))
    };
    worker.deadlines.within(limit, collect(worker, max, ctx, client)).await.unwrap_or_else(|_| Err(late()))
}

async fn collect<'w, T: Transport, D: Dial>(
    worker: &'w Worker<D>,
    max: usize,
    ctx: &mut ExchangeContext,
    client: &mut T,
) -> Result<BufferedBody<'w>, RequestBodyError> {
    let stall = worker.stall();
    let too_large = || {
        worker.exceeded(Bound::BufferedBody);
        RequestBodyError::Refused(Buffering::request_too_large())
    };
    let mut body = worker.budget.buffer_body();
    let mut decoder = Decoder::new(ctx.head.body);
    if decoder.remaining().is_some_and(|length| length > max as u64) {
        return Err(too_large());
    }
    if ctx.head.expect_continue && ctx.read_buffer.is_empty() {
        send_100_continue(client, worker).await.map_err(|_| RequestBodyError::Client(None))?;
    }
    let mut pace = MinRate::default();
    while !decoder.is_done() {
        if ctx.read_buffer.is_empty() {
            let start = Instant::now();
            let read = stall.within_io(ctx.read_buffer.fill(client.split().0, &worker.buffers)).await;
            match read.and_then(|bytes| {
                pace.add_bytes(bytes as u64);
                pace.add_wait(stall.time, start.elapsed()).map(|()| bytes)
            }) {
                Ok(0) => return Err(RequestBodyError::Client(None)),
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::TimedOut => {
                    worker.body_failed(&e);
                    return Err(RequestBodyError::Client(Some(Reply::text(408, "Request Timeout"))));
                }
                Err(_) => return Err(RequestBodyError::Client(None)),
            }
        }
        let step = decoder.decode(ctx.read_buffer.pending());
        let step = step.map_err(|invalid| {
            worker.body_refused(invalid);
            RequestBodyError::Client(Some(RejectedRequest::from(invalid.0).reply()))
        })?;
        if let Some(range) = &step.data {
            if body.bytes().len() + range.len() > max {
                return Err(too_large());
            }
            if !body.push(&ctx.read_buffer.pending()[range.clone()]) {
                worker.exceeded(Bound::HeldBytes);
                return Err(RequestBodyError::Refused(Reply::text(503, "Service Unavailable")));
            }
        }
        ctx.read_buffer.consume(step.consumed);
    }
    Ok(body)
}

/// One round: servers in turn, as `[retry]` has it, until one answers.
async fn attempt_servers<'w, 's, D: Dial>(
    worker: &'w Worker<D>,
    frontend: &'s Frontend,
    buffering: &Buffering,
    body: &BufferedBody<'w>,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
    record: &mut RequestRecord<'s>,
) -> BufferedAttempt<'w> {
    let backend = &frontend.backend;
    let body_bytes_max = buffering
        .response_bytes_max
        .map_or(limits::BUFFERED_BODY_BYTES_MAX, |max| bounded(max, limits::BUFFERED_BODY_BYTES_MAX));
    let outgoing = match ctx.head.body {
        BodyFraming::None => BodyFraming::None,
        _ => BodyFraming::Length(body.bytes().len() as u64),
    };
    let mut tries = RetryState::new(AttemptTarget::of(frontend), ctx);
    loop {
        let lease = match tries.next(worker, ctx, peer, || record.retried()).await {
            Ok(lease) => lease,
            Err(given_up) => return BufferedAttempt::GivenUp(given_up),
        };
        let origin = &backend.endpoints[lease.index];
        record.origin(origin, worker);
        let mut head = Vec::with_capacity(ctx.bytes.len() + 512);
        write_request_head(worker, frontend, origin, ctx, peer, outgoing, &mut head);
        let is_head = ctx.view().method() == b"HEAD";
        let repeatable = is_idempotent(ctx) && ctx.head.body == BodyFraming::None;
        let errand = FetchRequest { head, body: body.bytes(), is_head, repeatable, body_bytes_max, origin };
        let error = match fetch(worker, errand, &mut ctx.response).await {
            Ok(response) => {
                if let Some(cookie) = backend.balancer.set_cookie(&lease) {
                    ctx.response.edits.add(b"Set-Cookie", cookie.as_bytes());
                }
                let status = ctx.response.head.status;
                record.response_received(status);
                backend.balancer.record(&lease, status, worker.clock.mono_nanos());
                return BufferedAttempt::Whole(response);
            }
            Err(FetchError::TooLarge) => return BufferedAttempt::TooLarge,
            Err(FetchError::Failed(error)) => error,
        };
        let repeats = !error.is_unsent() && repeatable && error.is_broken() && !ctx.response.repeated;
        ctx.response.repeated |= repeats;
        ctx.response.forget(&worker.buffers);
        worker.log_upstream_error(frontend, origin, &error);
        backend.balancer.record(&lease, error.answer().0, worker.clock.mono_nanos());
        if !tries.on_failure(&lease, error, repeats) {
            return BufferedAttempt::GivenUp(tries.final_reply());
        }
    }
}

/// Brings a whole response to the client.
async fn deliver<T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    response: BufferedBody<'_>,
    ctx: &mut ExchangeContext,
    client: &mut T,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
) -> ConnectionDisposition {
    if let Some(ask) = run_response_chain(worker, frontend, ctx, peer) {
        drop(response);
        return error_pages::serve(worker, frontend, &ask, ctx, client, peer, record).await;
    }
    let packed = gzip::compress(&ctx.chain_state, &mut ctx.response, response.bytes());
    let body = packed.as_deref().unwrap_or(response.bytes());
    let framing = match ctx.response.head.body {
        BodyFraming::None => BodyFraming::None,
        _ => BodyFraming::Length(body.len() as u64),
    };
    let keep_alive = ctx.head.keep_alive && !worker.is_draining();
    let mut out = std::mem::take(&mut ctx.response.out);
    out.clear();
    worker.clock.with_date(|date| {
        let answer = &ctx.response;
        let view = ResponseView { head: &answer.head, bytes: &answer.bytes, edits: &answer.edits };
        let client_version = ctx.head.version;
        write_response(&mut out, view, &ResponsePlan { client_version, keep_alive, body: framing, date: Some(date) });
    });
    let sent_body = if framing == BodyFraming::None { &[] } else { body };
    record.delivered_whole(response.bytes().len() as u64, body.len() as u64);
    ctx.chain_state.release_permits();
    let (result, out) = send_in_chunks(client.split().1, out, sent_body, !keep_alive, worker.stall()).await;
    ctx.response.out = out;
    match worker.timed(Bound::StalledBody, result) {
        Ok(()) if keep_alive => ConnectionDisposition::KeepAlive,
        Ok(()) => ConnectionDisposition::Close,
        Err(_) => {
            record.client_failed(None);
            ConnectionDisposition::Close
        }
    }
}

fn run_response_chain<D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) -> Option<ErrorPageRequest> {
    let ExchangeContext { head, bytes, edits, chain_state: passage, response: answer, target, path, .. } = ctx;
    let (sent_all, began) = (Cell::new(true), Cell::new(false));
    let mut asked = ResponseContext {
        head,
        bytes,
        edits,
        chain_state: passage,
        target: if path.changed { Some(target) } else { None },
        path,
        peer,
        cookie: None,
        request_sent: &sent_all,
        response_started: &began,
    };
    super::response::run_response_chain(worker, frontend, &mut asked, answer)
}
