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
use super::upgrade::{ignore_upgrade, note_bytes_ahead, watch_client};
use super::websocket::add_key;
use crate::config::snapshot::{Frontend, ServerEndpoint};
use crate::error::ProxyError;
use crate::http::BodyFraming;
use crate::limits::{self, Bound};
use crate::middleware::error_pages::ErrorPageRequest;
use crate::net::Transport;
use crate::net::tunnel::{TunnelBytes, TunnelOptions, copy_both};
use crate::worker::message::limits::RelayLimits;
use crate::worker::message::relay::relay;
use crate::worker::message::stream::{
    BodyReader, BodySink, ConnectionDisposition, Delivered, HeadKind, MessageStream, MessageWriter, RelayError,
    ResponseReader, SentMessage,
};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::{Dial, VersionOffer};
use crate::worker::upstream::acquire::{Requirements, ServerConnection, open, requires_exclusive, take_open};
use crate::worker::upstream::connection::{ExclusiveConnection, Reuse};
use crate::worker::upstream::faults::send_error;
use crate::worker::worker::Worker;

/// The result of an attempt.
pub enum AttemptOutcome {
    Done(ConnectionDisposition),
    /// Nothing has been sent to the client: it gets this error page.
    ErrorPage(ErrorPageRequest),
}

/// Makes one attempt at a server. The server may have closed a pooled connection as the request went out: then an idempotent request is
/// sent again once, to another server or on a new connection (RFC 9112 9.3.1). A request that may have been processed and is not idempotent
/// is never sent again. A request that the server has refused is sent again with any method.
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
    if !endpoint.takes_upgrade(ctx.head.websocket) {
        ignore_upgrade(&mut ctx.head);
    }
    if ctx.head.extended_connect {
        add_key(ctx);
    }
    let (mut refusals, mut needs_exclusive) = (0u8, false);
    loop {
        // A block of its own: the handler holds nothing of this while the exchange is in progress.
        let (mut connection, is_reused) = {
            let counters = record.upstream_counters(worker);
            let needs = Requirements { needs_exclusive, counters, ..requirements(ctx, peer) };
            match take_open(worker, endpoint, &needs) {
                Some(connection) => {
                    if let Some(counters) = counters {
                        counters.connection(connection.source());
                    }
                    (connection, true)
                }
                // Boxed: most requests use an open connection, and an unboxed dial would make each handler larger.
                None => (Box::pin(open(worker, endpoint, needs)).await?, false),
            }
        };
        (ctx.response.has_begun, ctx.response.is_unprocessed) = (false, false);
        ctx.unprocessed.is_wanted = !ctx.unprocessed.is_kept && may_be_unprocessed(&connection, is_reused, ctx);
        let (result, sent) = match &mut connection {
            ServerConnection::Exclusive(connection) => {
                let mut stream = connection.stream(&worker.buffers);
                let result =
                    send_and_respond(worker, frontend, endpoint, cookie, &mut stream, ctx, client, peer, record).await;
                let sent = take_sent(&mut stream, &result);
                (result, sent)
            }
            ServerConnection::Shared(connection) => {
                let mut stream = connection.stream(worker);
                let result =
                    send_and_respond(worker, frontend, endpoint, cookie, &mut stream, ctx, client, peer, record).await;
                let sent = take_sent(&mut stream, &result);
                (result, sent)
            }
        };
        record.request_body(client.split().0.payload_bytes());
        let failed = match (result, connection) {
            (Ok((outcome, is_reusable)), ServerConnection::Exclusive(connection)) => {
                let offer = Requirements { needs_exclusive, ..requirements(ctx, peer) }.offer(endpoint);
                release(worker, endpoint, ctx, peer, connection, offer, is_reusable);
                return Ok(outcome);
            }
            (Ok((outcome, _)), ServerConnection::Shared(_)) => return Ok(outcome),
            (Err(failed), mut connection) => {
                note_unprocessed(ctx, &mut connection, is_reused, sent, is_refused(&failed));
                failed
            }
        };
        let AttemptError::Upstream(error) = failed else { return Err(failed) };
        if error.is_refused() {
            needs_exclusive |= requires_exclusive(&error);
            if !ctx.unprocessed.is_kept && client.split().0.payload_bytes() > 0 {
                return Err(AttemptError::Upstream(error.after_sending()));
            }
            refusals += 1;
            if has_other_server(frontend) && !needs_exclusive {
                return Err(AttemptError::Refused(error));
            }
            if refusals > limits::REFUSALS_REPEATED_MAX {
                return Err(AttemptError::Upstream(error));
            }
        } else if is_reused && (is_repeatable(ctx, &error) || ctx.response.is_unprocessed) {
            // The server may be shutting down: another server gets the request. A sticky client stays with its server.
            if has_other_server(frontend) {
                return Err(AttemptError::StaleConnection(error));
            }
            ctx.response.repeated = true;
        } else {
            return Err(AttemptError::Upstream(error));
        }
    }
}

/// The needs of a request for a connection to a server.
#[inline]
fn requirements<'a>(ctx: &ExchangeContext, peer: &'a ClientInfo) -> Requirements<'a> {
    Requirements {
        client: Some(peer),
        owner: Some(&peer.bound),
        is_upgrade: ctx.head.upgrade.is_forwarded(),
        binds: ctx.view().binds_connection(),
        is_head: ctx.head.method.of(&ctx.bytes) == b"HEAD",
        is_repeated: ctx.response.repeated,
        is_probe: ctx.response.is_probe,
        needs_exclusive: false,
        counters: None,
    }
}

fn is_refused(failed: &AttemptError) -> bool {
    matches!(failed, AttemptError::Upstream(error) if error.is_refused())
}

/// Whether the request may turn out unprocessed although [`is_repeatable`] refuses it: its body is kept until then.
#[inline]
fn may_be_unprocessed<C>(connection: &ServerConnection<'_, C>, is_reused: bool, ctx: &ExchangeContext) -> bool {
    match connection {
        ServerConnection::Exclusive(_) => is_reused && !(ctx.head.body == BodyFraming::None && is_idempotent(ctx)),
        ServerConnection::Shared(_) => ctx.head.body != BodyFraming::None,
    }
}

/// The request as it was sent, if it was kept and its server may not have processed it.
#[inline]
fn take_sent<U: MessageStream, T>(stream: &mut U, result: &Result<T, AttemptError>) -> Option<SentMessage> {
    match result {
        Err(AttemptError::Upstream(error)) if error.is_closed() || error.is_refused() => stream.split().1.take_sent(),
        _ => None,
    }
}

/// Notes whether the request that was sent on `connection` is certainly unprocessed, and keeps its body for another sending then.
#[cold]
fn note_unprocessed<C: Transport>(
    ctx: &mut ExchangeContext,
    connection: &mut ServerConnection<'_, C>,
    is_reused: bool,
    sent: Option<SentMessage>,
    is_refused: bool,
) {
    let is_unprocessed = match connection {
        ServerConnection::Shared(_) => is_refused,
        ServerConnection::Exclusive(connection) => {
            ctx.response.has_begun |= connection.has_unread();
            let sent_bytes = sent.as_ref().map_or(0, |sent| sent.wire_bytes);
            ctx.response.is_unprocessed =
                is_reused && !ctx.response.has_begun && connection.has_unacknowledged(sent_bytes);
            ctx.response.is_unprocessed
        }
    };
    if let Some(sent) = sent.filter(|_| is_unprocessed) {
        ctx.unprocessed.keep(sent.payload);
    }
}

/// Gives a connection back after an exchange.
#[inline]
fn release<D: Dial>(
    worker: &Worker<D>,
    endpoint: &ServerEndpoint,
    ctx: &ExchangeContext,
    peer: &ClientInfo,
    connection: ExclusiveConnection<D::Io>,
    offer: VersionOffer,
    is_reusable: bool,
) {
    let is_bound = ctx.view().binds_connection() || ctx.response.head.binds_connection || peer.bound.in_use.get();
    // The connection of a refused upgrade is not for others: whether the server ever goes back to HTTP is its own affair.
    let is_reusable = is_reusable && (is_bound || !ctx.head.upgrade.is_forwarded());
    let reuse = Reuse::of(is_reusable, is_bound, Some(&peer.bound));
    connection.release(worker, endpoint, offer, reuse, &ctx.response.head.announced);
}

/// Whether the request may go to another server of the backend: a sticky client stays with its server.
fn has_other_server(frontend: &Frontend) -> bool {
    let backend = &frontend.backend;
    backend.endpoints.len() > 1 && backend.balancer.settings().sticky.is_none()
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
    write_request_head(worker, frontend, endpoint, ctx, peer, ctx.head.body, up_writer.head());
    up_writer.head_complete(HeadKind::Final(ctx.head.body));
    if ctx.head.expect_continue && !client_reader.has_buffered() && !ctx.unprocessed.is_kept {
        send_100_continue(client_writer, worker.stall()).await?;
        // The server's connection may have ended meanwhile: the next attempt need not say it again.
        ctx.head.expect_continue = false;
    }
    client_reader.drop_edited_trailers(&ctx.edits);
    if ctx.unprocessed.is_kept {
        // The body has been read from the client already.
        up_writer.push(&ctx.unprocessed.payload);
    } else if ctx.unprocessed.is_wanted {
        up_writer.keep_sent();
    }
    let arrived = worker.relayed(client_reader.read_into(up_writer)).map_err(downstream_error)?;
    let is_whole = arrived == Delivered::All;
    if is_whole {
        note_bytes_ahead(&ctx.head, client_reader, peer);
    } else {
        up_writer.forget_sent();
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
        worker.timed(Bound::StalledBody, sent).map_err(send_error)?;
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
            return Err(send_error(e).into());
        }
        First::Upload(UploadError::Downstream(e)) if !response_started.get() => return Err(downstream_error(e)),
        First::Upload(UploadError::Downstream(_)) if client.split().1.needs_reset_when_cut() => {
            return Err(AttemptError::Truncated);
        }
        First::Upload(UploadError::Downstream(_)) => return Err(AttemptError::Downstream(None)),
    };
    Ok(finish_attempt(worker, upstream, ctx, client, outcome, request_sent.get(), record).await)
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
        let options = TunnelOptions {
            pipes: &worker.buffers.pipes,
            reads_ahead: &worker.reads_ahead,
            idle_timeout: worker.stall().with(Duration::MAX),
            half_closed_timeout: worker.stall(),
        };
        let bytes = TunnelBytes::default();
        Box::pin(copy_both(client.tunnel_end(), upstream.tunnel_end(), &bytes, &options)).await;
        record.tunnelled(bytes.down.get(), bytes.up.get());
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
