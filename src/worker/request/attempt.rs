//! Makes one attempt: takes or opens a connection to a server, sends the request to the server, and the response to the client.

use std::cell::Cell;
use std::time::Duration;

use super::attempt_error::{AttemptError, downstream_error};
use super::outbound::{is_idempotent, write_request_head};
use super::race::{First, race};
use super::request_body::{UploadError, await_early_response, client_gone, send_100_continue, with_body_timeout};
use super::request_record::RequestRecord;
use super::response::forward_response;
use super::response_context::{ResponseContext, ResponseOutcome};
use super::upgrade::{note_bytes_ahead, watch_client};
use crate::config::snapshot::{Frontend, ServerEndpoint};
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::BodyFraming;
use crate::limits::{self, Bound};
use crate::middleware::error_pages::ErrorPageRequest;
use crate::net::tunnel::{TunnelOptions, copy_both};
use crate::worker::message::limits::RelayLimits;
use crate::worker::message::relay::relay;
use crate::worker::message::stream::{
    BodyReader, BodySink, ConnectionDisposition, Delivered, HeadKind, MessageStream, MessageWriter, RelayError, ResponseReader,
};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::{ExchangeContext, UnprocessedRequest};
use crate::worker::resources::dial::Dial;
use crate::worker::upstream::connect::{ConnectionNeeds, ServerConnection, obtain};
use crate::worker::upstream::connection::Reuse;
use crate::worker::worker::Worker;

/// The result of an attempt.
pub enum AttemptOutcome {
    Done(ConnectionDisposition),
    /// Nothing has been sent to the client: it gets this error page.
    ErrorPage(ErrorPageRequest),
}

/// Makes one attempt at a server. The server may have closed a pooled connection as the request went out: then an idempotent request is
/// sent again once, to another server or on a new connection (RFC 9112 9.3.1). A request that may have been processed and is not idempotent is never sent again.
#[expect(
    clippy::too_many_arguments,
    reason = "they are one request's whole context; a struct of them would be unpacked at once"
)]
pub async fn attempt<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    endpoint: &ServerEndpoint,
    cookie: Option<&str>,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
) -> Result<AttemptOutcome, AttemptError> {
    let backend = &frontend.backend;
    let mut needs = needs_of(ctx, peer);
    loop {
        let (mut connection, is_reused) = obtain(worker, endpoint, needs, Some(&peer.bound), &ctx.response).await?;
        // A request that `is_repeatable` refuses may still turn out unprocessed: its bytes are kept until then.
        let is_repeatable_whole = ctx.head.body == BodyFraming::None && is_idempotent(ctx);
        ctx.response.has_begun = false;
        let result = match &mut connection {
            ServerConnection::Exclusive(connection) => {
                ctx.unprocessed.is_wanted = is_reused && !is_repeatable_whole;
                ctx.unprocessed.keeps_payload = false;
                let result = {
                    let mut upstream = connection.stream(&worker.buffers);
                    let result =
                        send_and_respond(worker, frontend, endpoint, cookie, &mut upstream, ctx, client, peer, record)
                            .await;
                    if let Err(AttemptError::Upstream(e)) = &result
                        && e.is_closed()
                        && is_reused
                    {
                        ctx.unprocessed.bytes = upstream.split().1.take_sent();
                    }
                    result
                };
                ctx.response.has_begun |= connection.has_unread();
                if is_reused && result.is_err() {
                    let sent_bytes = ctx.unprocessed.bytes.len();
                    ctx.response.is_unprocessed = !ctx.response.has_begun && connection.has_unacknowledged(sent_bytes);
                }
                result
            }
            ServerConnection::Shared(stream) => {
                ctx.unprocessed.is_wanted = false;
                ctx.unprocessed.keeps_payload = ctx.head.body != BodyFraming::None;
                let mut upstream = stream.stream();
                let result =
                    send_and_respond(worker, frontend, endpoint, cookie, &mut upstream, ctx, client, peer, record)
                        .await;
                judge_refusal(result, ctx, client)
            }
        };
        match result {
            Err(AttemptError::Upstream(e)) if may_repeat(ctx, &e, is_reused) => {
                needs.is_exclusive |= e.needs_exclusive();
                // The server may be shutting down: another server gets the request. A sticky client stays with its server.
                let has_others = backend.endpoints.len() > 1 && backend.balancer.settings().sticky.is_none();
                if has_others && !e.needs_exclusive() {
                    return Err(AttemptError::StaleConnection(e));
                }
                ctx.response.repeated = true;
            }
            Ok((outcome, is_reusable)) => {
                let is_bound =
                    ctx.view().binds_connection() || ctx.response.head.binds_connection || peer.bound.in_use.get();
                // The connection of a refused upgrade is not for others: whether the server ever goes back to HTTP is its own affair.
                let is_reusable = is_reusable && (is_bound || !ctx.head.upgrade.is_forwarded());
                if let ServerConnection::Exclusive(connection) = connection {
                    let reuse = Reuse::of(is_reusable, is_bound, Some(&peer.bound));
                    connection.release(worker, endpoint, reuse, &ctx.response.head.announced);
                }
                return Ok(outcome);
            }
            Err(failed) => return Err(failed),
        }
    }
}

/// What the request needs of its connection to a server.
fn needs_of(ctx: &ExchangeContext, peer: &ClientInfo) -> ConnectionNeeds {
    let view = ctx.view();
    ConnectionNeeds {
        is_head: view.method() == b"HEAD",
        is_upgrade: ctx.head.upgrade.is_forwarded() && !ctx.response.repeated,
        is_exclusive: view.binds_connection() || peer.bound.in_use.get(),
    }
}

/// Whether the request is sent again, once, after its attempt has failed. On a connection that was open already the server may have been
/// about to close it.
fn may_repeat(ctx: &ExchangeContext, error: &ProxyError, is_reused: bool) -> bool {
    if error.phase == ExchangePhase::Refused {
        return !ctx.response.repeated;
    }
    is_reused && (is_repeatable(ctx, error) || ctx.response.is_unprocessed)
}

/// Makes a refusal an ordinary failure if the request cannot be sent again: the client has sent more of its body than was kept.
fn judge_refusal<T, C: MessageStream>(
    result: Result<T, AttemptError>,
    ctx: &ExchangeContext,
    client: &mut C,
) -> Result<T, AttemptError> {
    match result {
        Err(AttemptError::Upstream(mut error)) if error.phase == ExchangePhase::Refused => {
            let is_kept = client.split().0.payload_bytes() == ctx.unprocessed.payload.len() as u64;
            if ctx.response.has_begun || !is_kept {
                error.phase = ExchangePhase::Send;
            }
            Err(AttemptError::Upstream(error))
        }
        result => result,
    }
}

/// Whether the request may be sent again: it is idempotent, it has no body, and no byte of a response has arrived.
pub fn is_repeatable(ctx: &ExchangeContext, error: &ProxyError) -> bool {
    error.is_broken() && is_idempotent(ctx) && ctx.head.body == BodyFraming::None && !ctx.response.has_begun
}

/// Sends the request on an open connection and its response to the client. Returns the outcome, and whether the server's connection may be
/// used again.
#[expect(clippy::too_many_arguments, reason = "as above")]
async fn send_and_respond<C: MessageStream, U: MessageStream<Reader: ResponseReader>, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    endpoint: &ServerEndpoint,
    cookie: Option<&str>,
    upstream: &mut U,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
) -> Result<(AttemptOutcome, bool), AttemptError> {
    let (client_reader, client_writer) = client.split();
    let (up_reader, up_writer) = upstream.split();
    let out = up_writer.head();
    write_request_head(worker, frontend, endpoint, ctx, peer, ctx.head.body, out);
    let is_repeated = ctx.unprocessed.continue_head(out);
    // The rest of a repeated request is in its final form already.
    up_writer.head_complete(HeadKind::Final(if is_repeated { BodyFraming::None } else { ctx.head.body }));
    up_writer.push(&ctx.unprocessed.payload);
    if ctx.head.expect_continue && !client_reader.has_buffered() && !is_repeated && ctx.unprocessed.payload.is_empty() {
        send_100_continue(client_writer, worker.stall()).await?;
    }
    client_reader.drop_edited_trailers(&ctx.edits);
    let arrived = read_arrived(client_reader, up_writer, &mut ctx.unprocessed);
    let arrived = worker.relayed(arrived).map_err(downstream_error)?;
    let is_whole = arrived == Delivered::All;
    if is_whole {
        if ctx.unprocessed.is_wanted {
            up_writer.keep_sent();
        }
        note_bytes_ahead(&ctx.head, client_reader, peer);
    }
    let ExchangeContext { head, bytes, edits, chain_state, response, target, path, .. } = ctx;
    let has_sent_ahead = head.upgrade.is_requested().then_some(&peer.has_sent_ahead);
    let (request_sent, response_started) = (Cell::new(is_whole), Cell::new(false));
    let context = ResponseContext {
        head,
        bytes,
        edits,
        chain_state,
        target: if path.changed { Some(target) } else { None },
        path,
        peer,
        cookie,
        request_sent: &request_sent,
        response_started: &response_started,
    };
    if is_whole {
        let sent = up_writer.finish(client_reader.trailers(), false, worker.stall()).await;
        worker.timed(Bound::StalledBody, sent).map_err(|e| ProxyError::new(ExchangePhase::Send, Cause::Io(e)))?;
    }
    let uploading = async {
        if !is_whole {
            let stall = worker.stall();
            let mut limits = RelayLimits { stall, read_timeout: stall, permits: None, closes: false };
            let body = async { worker.relayed(relay(client_reader, up_writer, &mut limits).await) };
            match Box::pin(with_body_timeout(worker, body)).await {
                Ok(()) => request_sent.set(true),
                Err(RelayError::Sink(e)) => {
                    return Box::pin(await_early_response(worker, client_reader, &response_started, e)).await;
                }
                Err(e) => return UploadError::Downstream(e),
            }
        }
        if let Some(flag) = has_sent_ahead {
            return UploadError::Downstream(Box::pin(watch_client(worker, client_reader, flag)).await);
        }
        while !client_reader.disconnects(&worker.deadlines).await {
            // A stream of rare events holds no buffer while it waits.
            if response_started.get() {
                drop(up_writer.take_sent());
            }
        }
        UploadError::Downstream(client_gone())
    };
    let responding = forward_response(worker, frontend, up_reader, client_writer, context, response, record);
    let outcome = match race(uploading, responding).await {
        First::Response(outcome) => outcome?,
        First::Upload(UploadError::Upstream(e)) => {
            return Err(ProxyError::new(ExchangePhase::Send, Cause::Io(e)).into());
        }
        First::Upload(UploadError::Downstream(e)) if !response_started.get() => return Err(downstream_error(e)),
        First::Upload(UploadError::Downstream(_)) if client.split().1.needs_reset_when_cut() => {
            return Err(AttemptError::Truncated);
        }
        First::Upload(UploadError::Downstream(_)) => return Err(AttemptError::Downstream(None)),
    };
    Ok(finish_attempt(worker, upstream, ctx, client, outcome, request_sent.get(), record).await)
}

/// Hands the part of the request's body that has arrived to `writer`, and keeps a copy of it if the request may have to be sent again.
fn read_arrived<R: BodyReader, W: MessageWriter>(
    reader: &mut R,
    writer: &mut W,
    unprocessed: &mut UnprocessedRequest,
) -> Result<Delivered, RelayError> {
    if unprocessed.keeps_payload {
        return reader.read_into(&mut Keeping { writer, payload: &mut unprocessed.payload });
    }
    reader.read_into(writer)
}

/// Passes payload on, and keeps its beginning.
struct Keeping<'a, W> {
    writer: &'a mut W,
    payload: &'a mut Vec<u8>,
}

impl<W: MessageWriter> BodySink for Keeping<'_, W> {
    fn push(&mut self, payload: &[u8]) -> bool {
        let is_taken = self.writer.push(payload);
        if is_taken && self.payload.len() + payload.len() <= limits::POOLED_BUFFER_BYTES_MAX {
            self.payload.extend_from_slice(payload);
        }
        is_taken
    }
}

/// Decides what happens to the two connections, and runs the tunnel if the response opened one.
async fn finish_attempt<C: MessageStream, U: MessageStream, D: Dial>(
    worker: &Worker<D>,
    upstream: &mut U,
    ctx: &mut ExchangeContext,
    client: &mut C,
    outcome: ResponseOutcome,
    request_sent: bool,
    record: &mut RequestRecord<'_>,
) -> (AttemptOutcome, bool) {
    if outcome.upgraded {
        record.tunnel_open();
        let (send_timeout, idle_timeout) = (worker.stall().with(Duration::MAX), worker.stall());
        let options = TunnelOptions { pipes: &worker.buffers.pipes, send_timeout, idle_timeout };
        let (down, _up) = Box::pin(copy_both(client.tunnel_end(), upstream.tunnel_end(), options)).await;
        record.tunnelled(down);
        return (AttemptOutcome::Done(ConnectionDisposition::Close), false);
    }
    let is_reusable = outcome.upstream_ok && request_sent;
    if let Some(page) = outcome.page {
        ctx.body_read = request_sent;
        return (AttemptOutcome::ErrorPage(page), is_reusable);
    }
    let end = match outcome {
        ResponseOutcome { is_cut: true, .. } => ConnectionDisposition::Abort,
        ResponseOutcome { keep_alive: true, .. } if request_sent => ConnectionDisposition::KeepAlive,
        // A client that still sends, be it a body or the protocol that it wanted to switch to, must not lose the response to a reset.
        _ if !request_sent || ctx.head.upgrade.is_requested() => ConnectionDisposition::Linger,
        _ => ConnectionDisposition::Close,
    };
    (AttemptOutcome::Done(end), is_reusable)
}
