//! One request towards its backend: pick a server, send, answer; another server when the first one never saw the request.

use std::cell::Cell;
use std::time::Duration;

use super::Worker;
use super::buffered;
use super::context::{ClientInfo, ExchangeContext};
use super::error_pages;
use super::exchange::ConnectionDisposition;
use super::local_reply::{send_from_frontend, send_reply};
use super::race::{First, race};
use super::relay::{Relay, RelayError};
use super::request_body::{
    UploadError, await_early_response, downstream_error, send_100_continue, wait_for_disconnect, with_body_timeout,
};
use super::request_record::RequestRecord;
use super::response::{ResponseContext, ResponseOutcome, forward_response};
use super::retry_state::{AttemptTarget, FinalReply, RetryState};
use super::send::send;
use super::upstream::{Dial, connect};
use crate::config::snapshot::{Frontend, ServerEndpoint};
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::forward::{ForwardPlan, HostChoice, write_request};
use crate::http::h1::body::Decoder;
use crate::http::{BodyFraming, Reply, RequestView, Version};
use crate::limits::Bound;
use crate::middleware::error_pages::ErrorPageRequest;
use crate::net::{MinRate, Transport, tunnel};

/// Forwards the request in `ctx` and answers the client, whatever happens.
pub async fn forward<'s, T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &'s Frontend,
    ctx: &mut ExchangeContext,
    client: &mut T,
    peer: &ClientInfo,
    record: &mut RequestRecord<'s>,
) -> ConnectionDisposition {
    let backend = &frontend.backend;
    record.frontend(frontend);
    if let Some(slow) = &frontend.slow
        && let Some(buffering) = &slow.buffering
        && !ctx.head.websocket
    {
        return Box::pin(buffered::forward(worker, frontend, buffering, ctx, client, peer, record)).await;
    }
    let mut tries = RetryState::new(AttemptTarget::of(frontend), ctx);
    loop {
        let lease = match tries.next(worker, ctx, peer, || record.retried()).await {
            Ok(lease) => lease,
            Err(given_up) => {
                return Box::pin(send_final_reply(worker, frontend, ctx, client, peer, record, given_up)).await;
            }
        };
        let origin = &backend.endpoints[lease.index];
        record.origin(origin, worker);
        let cookie = backend.balancer.set_cookie(&lease);
        match attempt(worker, frontend, origin, cookie.as_deref(), ctx, client, peer, record).await {
            Ok(outcome) => {
                backend.balancer.record(&lease, record.status(), worker.clock.mono_nanos());
                return match outcome {
                    AttemptOutcome::Done(end) => end,
                    AttemptOutcome::ErrorPage(ask) => {
                        Box::pin(error_pages::serve(worker, frontend, &ask, ctx, client, peer, record)).await
                    }
                };
            }
            Err(AttemptError::Downstream(reply)) => {
                record.client_failed(reply.as_ref());
                let Some(reply) = reply else { return ConnectionDisposition::Close };
                return Box::pin(send_reply(worker, ctx, client, reply.closing())).await;
            }
            Err(AttemptError::Truncated) => {
                record.client_failed(None);
                return ConnectionDisposition::Abort;
            }
            Err(AttemptError::StaleConnection(error)) => {
                ctx.response.repeated = true;
                tries.on_stale(&lease, error);
            }
            Err(AttemptError::Upstream(error)) => {
                worker.log_upstream_error(frontend, origin, &error);
                backend.balancer.record(&lease, error.answer().0, worker.clock.mono_nanos());
                let repeatable = !error.is_unsent() && !ctx.response.repeated && is_repeatable(ctx, &error);
                ctx.response.repeated |= repeatable;
                if !tries.on_failure(&lease, error, repeatable) {
                    let given_up = tries.final_reply();
                    return Box::pin(send_final_reply(worker, frontend, ctx, client, peer, record, given_up)).await;
                }
            }
        }
    }
}

/// No server answered: the client gets what the tries ended with.
async fn send_final_reply<T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    ctx: &mut ExchangeContext,
    client: &mut T,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
    given_up: FinalReply,
) -> ConnectionDisposition {
    let FinalReply { local_reply: refusal, source: depth } = given_up;
    record.final_reply(&refusal, depth);
    send_from_frontend(worker, frontend, ctx, client, peer, record, refusal, depth).await
}

/// What an attempt came to.
enum AttemptOutcome {
    Done(ConnectionDisposition),
    /// The client has nothing yet: it gets this error page.
    ErrorPage(ErrorPageRequest),
}

/// Why an attempt brought no answer to the client.
pub enum AttemptError {
    Upstream(ProxyError),
    /// A kept connection was dead, and the request may be sent again: to another server.
    StaleConnection(ProxyError),
    /// The client broke off, or what it sent is no body: this answer if there is still somebody to read it.
    Downstream(Option<Reply>),
    /// The same in mid-answer, and of that answer only the connection's end tells where it ends.
    Truncated,
}

impl From<ProxyError> for AttemptError {
    fn from(error: ProxyError) -> Self {
        AttemptError::Upstream(error)
    }
}

/// One server's turn. A pooled connection may have been closed by the server as the request went out: then a request that is safe to
/// repeat is repeated once on a new connection (RFC 9112 9.3.1); one that may have been seen and is not safe never is.
#[expect(
    clippy::too_many_arguments,
    reason = "they are one request's whole context; a struct of them would be unpacked at once"
)]
async fn attempt<T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    origin: &ServerEndpoint,
    cookie: Option<&str>,
    ctx: &mut ExchangeContext,
    client: &mut T,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
) -> Result<AttemptOutcome, AttemptError> {
    let backend = &frontend.backend;
    let mut kept = worker.take_pooled(origin, &ctx.response);
    loop {
        let is_kept = kept.is_some();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => connect(worker, origin).await?,
        };
        match send_and_respond(worker, frontend, origin, cookie, &mut connection, ctx, client, peer, record).await {
            Err(AttemptError::Upstream(e)) if is_kept && is_repeatable(ctx, &e) => {
                // The server may be going: another one takes the request. A sticky client stays with its own.
                if backend.endpoints.len() > 1 && backend.balancer.settings().sticky.is_none() {
                    return Err(AttemptError::StaleConnection(e));
                }
                ctx.response.repeated = true;
            }
            Ok(done) => return Ok(pool_if_reusable(worker, origin, connection, done)),
            Err(failed) => return Err(failed),
        }
    }
}

/// Whether the request may be sent again: it means the same done twice, and none of an answer has arrived.
fn is_repeatable(ctx: &ExchangeContext, error: &ProxyError) -> bool {
    error.is_broken() && is_idempotent(ctx) && ctx.head.body == BodyFraming::None && ctx.response.read_buffer.is_empty()
}

/// Methods that mean the same done twice (RFC 9110 9.2.2).
pub fn is_idempotent(ctx: &ExchangeContext) -> bool {
    matches!(ctx.head.method.of(&ctx.bytes), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}

/// A connection goes back to the pool only after an exchange without anything unusual (docs/reference/security-promises.md#connection-reuse).
fn pool_if_reusable<D: Dial>(
    worker: &Worker<D>,
    origin: &ServerEndpoint,
    connection: D::Io,
    done: (AttemptOutcome, bool),
) -> AttemptOutcome {
    let (outcome, is_reusable) = done;
    if is_reusable && !worker.is_draining() {
        worker.pool.put(origin.pool, connection, worker.clock.mono_nanos(), &worker.buffers);
    }
    outcome
}

/// Sends the request on an open connection and brings its response to the client. Gives what becomes of both connections.
#[expect(clippy::too_many_arguments, reason = "as above")]
async fn send_and_respond<T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    origin: &ServerEndpoint,
    cookie: Option<&str>,
    upstream: &mut D::Io,
    ctx: &mut ExchangeContext,
    client: &mut T,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
) -> Result<(AttemptOutcome, bool), AttemptError> {
    let stall = worker.stall();
    // A server that failed before may have begun to answer.
    ctx.response.read_buffer.discard(&worker.buffers);
    let mut out = std::mem::take(&mut ctx.out);
    out.clear();
    write_request_head(worker, frontend, origin, ctx, peer, ctx.head.body, &mut out);
    let mut decoder = Decoder::of_request(ctx.head.body, &ctx.edits);
    if ctx.head.expect_continue && ctx.read_buffer.is_empty() {
        send_100_continue(client, worker).await?;
    }
    let ExchangeContext {
        read_buffer: inbox,
        head,
        bytes,
        edits,
        chain_state: passage,
        response: answer,
        target,
        path,
        ..
    } = ctx;
    let mut relay = Relay {
        decoder: &mut decoder,
        incoming: head.body,
        outgoing: head.body,
        inbox,
        buffers: &worker.buffers,
        stall,
        idle_timeout: Some(stall),
        min_rate: MinRate::default(),
        moved: 0,
        permits: None,
        closes: false,
    };
    let is_whole = worker.relayed(relay.take_buffered(&mut out)).map_err(downstream_error)?;
    let (client_reader, client_writer) = client.split();
    let (up_reader, up_writer) = upstream.split();
    let (sent_all, began) = (Cell::new(is_whole), Cell::new(false));
    let asked = ResponseContext {
        head,
        bytes,
        edits,
        chain_state: passage,
        target: if path.changed { Some(target) } else { None },
        path,
        peer,
        cookie,
        request_sent: &sent_all,
        response_started: &began,
    };
    if is_whole {
        let (result, returned) = send(up_writer, out, stall).await;
        ctx.out = returned;
        worker.timed(Bound::StalledBody, result).map_err(|e| ProxyError::new(ExchangePhase::Send, Cause::Io(e)))?;
        out = Vec::new();
    }
    let asking = async {
        if !is_whole {
            let body = async { worker.relayed(relay.run(client_reader, up_writer, out).await.0) };
            match Box::pin(with_body_timeout(worker, body)).await {
                Ok(()) => sent_all.set(true),
                Err(RelayError::Sink(e)) => {
                    return Box::pin(await_early_response(worker, client_reader, &began, e)).await;
                }
                Err(e) => return UploadError::Client(e),
            }
        }
        UploadError::Client(wait_for_disconnect(worker, client_reader).await)
    };
    let responding = forward_response(worker, frontend, up_reader, client_writer, asked, answer, record);
    let responded = match race(asking, responding).await {
        First::Response(received) => received?,
        First::Upload(UploadError::Backend(e)) => return Err(ProxyError::new(ExchangePhase::Send, Cause::Io(e)).into()),
        First::Upload(UploadError::Client(e)) if !began.get() => return Err(downstream_error(e)),
        First::Upload(UploadError::Client(_)) if ctx.head.version == Version::Http10 => {
            return Err(AttemptError::Truncated);
        }
        First::Upload(UploadError::Client(_)) => return Err(AttemptError::Downstream(None)),
    };
    Ok(finish_attempt(worker, upstream, ctx, client, responded, sent_all.get(), record).await)
}

/// What becomes of the two connections, and the tunnel if the response opened one.
async fn finish_attempt<T: Transport, D: Dial>(
    worker: &Worker<D>,
    upstream: &mut D::Io,
    ctx: &mut ExchangeContext,
    client: &mut T,
    responded: ResponseOutcome,
    sent_all: bool,
    record: &mut RequestRecord<'_>,
) -> (AttemptOutcome, bool) {
    if responded.upgraded {
        let (from_client, from_backend) = (ctx.read_buffer.take(), ctx.response.read_buffer.take());
        record.tunnel_open();
        let (patience, silence) = (worker.stall().with(Duration::MAX), worker.stall());
        let means =
            tunnel::TunnelOptions { pipes: &worker.buffers.pipes, read_timeout: patience, idle_timeout: silence };
        let (down, _up) = Box::pin(tunnel::copy_both(client, from_client, upstream, from_backend, means)).await;
        record.tunnelled(down);
        return (AttemptOutcome::Done(ConnectionDisposition::Close), false);
    }
    let is_reusable = responded.upstream_ok && sent_all && ctx.response.read_buffer.is_empty();
    if let Some(ask) = responded.page {
        ctx.body_read = sent_all;
        return (AttemptOutcome::ErrorPage(ask), is_reusable);
    }
    let end = match responded {
        ResponseOutcome { is_cut: true, .. } => ConnectionDisposition::Abort,
        ResponseOutcome { keep_alive: true, .. } if sent_all => ConnectionDisposition::KeepAlive,
        // A client that still sends, be it a body or the protocol it wanted to switch to, must not lose the answer to a reset.
        _ if !sent_all || ctx.head.websocket => ConnectionDisposition::Linger,
        _ => ConnectionDisposition::Close,
    };
    (AttemptOutcome::Done(end), is_reusable)
}

/// The request's head as this server gets it; the body goes out as `body` says.
pub fn write_request_head<D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    origin: &ServerEndpoint,
    ctx: &ExchangeContext,
    peer: &ClientInfo,
    body: BodyFraming,
    out: &mut Vec<u8>,
) {
    let view = RequestView { head: &ctx.head, bytes: &ctx.bytes, edits: &ctx.edits };
    let passes_host = frontend.pass_host && !ctx.head.host.is_empty();
    let plan = ForwardPlan {
        target: ctx.target(),
        host: if passes_host { HostChoice::Client } else { HostChoice::Given(origin.authority.as_bytes()) },
        client_ip: peer.ip_text.as_bytes(),
        secure: peer.secure,
        trusted: peer.trusted,
        server_name: worker.shared.host_name.as_bytes(),
        body,
        websocket: ctx.head.websocket,
        // The proxy invites the body itself, once a server has taken the request: see `invite_body`.
        expect: false,
        extra: &[],
    };
    write_request(out, view, &plan);
}
