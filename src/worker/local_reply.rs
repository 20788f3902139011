//! Answers that the proxy makes itself, on their way out: through the steps outside the one that gave them, an error page in their
//! place if one is configured, and the entry point's compression.

use super::Worker;
use super::context::{ClientInfo, ExchangeContext};
use super::error_pages;
use super::request_record::RequestRecord;
use super::send::{send_final, send_whole};
use super::upstream::Dial;
use super::{exchange::ConnectionDisposition, gzip};
use crate::config::snapshot::Frontend;
use crate::http::forward::{ReplyPlan, write_reply};
use crate::http::{Reply, Version};
use crate::limits::Bound;
use crate::middleware::error_pages::ErrorPageRequest;
use crate::middleware::{Label, Response};
use crate::net::{Transport, WriteHalf};

/// An answer made here instead of a backend's.
pub struct LocalReply {
    pub reply: Reply,
    /// The access log's name for it; `None` leaves the frontend's.
    pub log_label: Option<Label>,
    /// The step that gave it: the way back through the chain begins there.
    pub chain_index: usize,
}

/// The chain of a frontend that an answer comes out of; the refusal's `at` counts in that chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplySource {
    Outer,
    Guard,
    Attempt,
    /// The backend failed: the answer stands for the backend's (docs/reference/middlewares.md#middlewares-on-local-replies).
    Gateway,
}

/// Brings an answer from inside a frontend to the client.
#[expect(clippy::too_many_arguments, reason = "the exchange's whole context, used once each")]
pub async fn send_from_frontend<T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    ctx: &mut ExchangeContext,
    client: &mut T,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
    mut refusal: LocalReply,
    depth: ReplySource,
) -> ConnectionDisposition {
    match run_response_chain(worker, frontend, ctx, peer, &mut refusal, depth) {
        Some(ask) => error_pages::serve(worker, frontend, &ask, ctx, client, peer, record).await,
        None => send_from_entry_point(worker, ctx, client, peer, refusal.reply, None).await,
    }
}

/// Through the frontend's chains, innermost first; gives the error page that takes the answer's place.
fn run_response_chain<D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
    refusal: &mut LocalReply,
    depth: ReplySource,
) -> Option<ErrorPageRequest> {
    let (request, facts, passage) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
    let (outer, guard, attempt) = (&frontend.outer, &frontend.inner, &frontend.attempt);
    let (below_outer, below_guard, below_attempt) = match depth {
        ReplySource::Outer => (refusal.chain_index, 0, 0),
        ReplySource::Guard => (outer.middlewares().len(), refusal.chain_index, 0),
        ReplySource::Attempt | ReplySource::Gateway => {
            (outer.middlewares().len(), guard.middlewares().len(), refusal.chain_index)
        }
    };
    let mut answer = match depth {
        ReplySource::Gateway => Response::Gateway(&mut refusal.reply),
        _ => Response::Local(&mut refusal.reply),
    };
    // Error pages stand in the outer chain only.
    let _ = attempt.on_response(below_attempt, &request, &mut answer, &facts, passage);
    let _ = guard.on_response(below_guard, &request, &mut answer, &facts, passage);
    outer.on_response(below_outer, &request, &mut answer, &facts, passage).map(|(page, _)| page)
}

/// Through the entry point's chain, from step `below` outwards (all of them without one), and out.
pub async fn send_from_entry_point<T: Transport, D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    client: &mut T,
    peer: &ClientInfo,
    mut reply: Reply,
    below: Option<usize>,
) -> ConnectionDisposition {
    let chain = &worker.shared.entry_points[peer.entry].chain;
    if !chain.is_empty() {
        let below = below.unwrap_or(chain.middlewares().len());
        let (request, facts, passage) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
        let _ = chain.on_response(below, &request, &mut Response::Local(&mut reply), &facts, passage);
        gzip::compress_reply(&ctx.chain_state, &mut reply);
    }
    send_reply(worker, ctx, client, reply).await
}

/// Sends an answer of the proxy itself. It ends the connection where the client may have sent more that belongs to the request: a body
/// that nobody has read, or what it says in the protocol that it wanted to switch to, which must not be read as a request.
pub async fn send_reply<T: Transport, D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    client: &mut T,
    reply: Reply,
) -> ConnectionDisposition {
    let is_unread = ctx.head.websocket || (ctx.head.body != crate::http::BodyFraming::None && !ctx.body_read);
    let keep_alive = ctx.head.keep_alive && !is_unread && !reply.close && !worker.is_draining();
    let is_head = ctx.head.method.of(&ctx.bytes) == b"HEAD";
    let mut out = std::mem::take(&mut ctx.out);
    out.clear();
    worker.clock.with_date(|date| {
        let plan = ReplyPlan { version: ctx.head.version, keep_alive, head_request: is_head, date: Some(date) };
        write_reply(&mut out, &reply, &plan);
    });
    // A long body is not held twice while a slow client takes it.
    drop(reply);
    ctx.chain_state.release_permits();
    let (result, out) = send_whole(client.split().1, out, !keep_alive, worker.stall()).await;
    ctx.out = out;
    match worker.timed(Bound::StalledBody, result) {
        Ok(()) if keep_alive => ConnectionDisposition::KeepAlive,
        Ok(()) if is_unread => ConnectionDisposition::Linger,
        _ => ConnectionDisposition::Close,
    }
}

/// Answers bytes that are no request at all: the words of the parser. The caller ends the connection at once.
pub async fn reject<W: WriteHalf, D: Dial>(worker: &Worker<D>, writer: &mut W, reply: &Reply, version: Version) {
    let mut out = worker.buffers.lend();
    worker.clock.with_date(|date| {
        let plan = ReplyPlan { version, keep_alive: false, head_request: false, date: Some(date) };
        write_reply(&mut out, reply, &plan);
    });
    let (sent, out) = send_final(writer, out, true, worker.stall()).await;
    let _ = worker.timed(Bound::StalledBody, sent);
    worker.buffers.give_back(out);
}
