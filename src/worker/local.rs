//! Answers that the proxy makes itself, on their way out: through the steps outside the one that gave them, an error page in their
//! place if one is configured, and the entry point's compression.

use super::Worker;
use super::pages;
use super::record::Record;
use super::send::{send_answer, send_whole};
use super::talk::{Peer, Talk};
use super::upstream::Dial;
use super::{exchange::End, gzip};
use crate::config::snapshot::Frontend;
use crate::http::forward::{ReplyPlan, write_reply};
use crate::http::{Reply, Version};
use crate::limits::Bound;
use crate::middleware::error_pages::PageAsk;
use crate::middleware::{Answer, Label};
use crate::net::{Transport, WriteHalf};

/// An answer made here instead of a backend's.
pub struct Refusal {
    pub reply: Reply,
    /// The access log's name for it; `None` leaves the frontend's.
    pub label: Option<Label>,
    /// The step that gave it: the way back through the chain begins there.
    pub at: usize,
}

/// The chain of a frontend that an answer comes out of; the refusal's `at` counts in that chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Outer,
    Guard,
    Attempt,
    /// The backend failed: the answer stands for the backend's (dynamic.md 5.12).
    Gateway,
}

/// Brings an answer from inside a frontend to the client.
#[expect(clippy::too_many_arguments, reason = "the exchange's whole context, used once each")]
pub async fn finish<T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    talk: &mut Talk,
    client: &mut T,
    peer: &Peer,
    record: &mut Record<'_>,
    mut refusal: Refusal,
    depth: Depth,
) -> End {
    match way_back(worker, frontend, talk, peer, &mut refusal, depth) {
        Some(ask) => pages::serve(worker, frontend, &ask, talk, client, peer, record).await,
        None => leave(worker, talk, client, peer, refusal.reply, None).await,
    }
}

/// Through the frontend's chains, innermost first; gives the error page that takes the answer's place.
fn way_back<D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    talk: &mut Talk,
    peer: &Peer,
    refusal: &mut Refusal,
    depth: Depth,
) -> Option<PageAsk> {
    let (request, facts, passage) = talk.step(peer, worker.proxies(peer), worker.now());
    let (outer, guard, attempt) = (&frontend.outer, &frontend.guard, &frontend.attempt);
    let (below_outer, below_guard, below_attempt) = match depth {
        Depth::Outer => (refusal.at, 0, 0),
        Depth::Guard => (outer.steps().len(), refusal.at, 0),
        Depth::Attempt | Depth::Gateway => (outer.steps().len(), guard.steps().len(), refusal.at),
    };
    let mut answer = match depth {
        Depth::Gateway => Answer::Gateway(&mut refusal.reply),
        _ => Answer::Local(&mut refusal.reply),
    };
    // Error pages stand in the outer chain only.
    let _ = attempt.on_response(below_attempt, &request, &mut answer, &facts, passage);
    let _ = guard.on_response(below_guard, &request, &mut answer, &facts, passage);
    outer.on_response(below_outer, &request, &mut answer, &facts, passage).map(|(page, _)| page)
}

/// Through the entry point's chain, from step `below` outwards (all of them without one), and out.
pub async fn leave<T: Transport, D: Dial>(
    worker: &Worker<D>,
    talk: &mut Talk,
    client: &mut T,
    peer: &Peer,
    mut reply: Reply,
    below: Option<usize>,
) -> End {
    let chain = &worker.shared.entry_points[peer.entry].chain;
    if !chain.is_empty() {
        let below = below.unwrap_or(chain.steps().len());
        let (request, facts, passage) = talk.step(peer, worker.proxies(peer), worker.now());
        let _ = chain.on_response(below, &request, &mut Answer::Local(&mut reply), &facts, passage);
        gzip::pack_reply(&talk.passage, &mut reply);
    }
    answer_locally(worker, talk, client, reply).await
}

/// Sends an answer of the proxy itself. It ends the connection where the client may have sent more that belongs to the request: a body
/// that nobody has read, or what it says in the protocol that it wanted to switch to, which must not be read as a request.
pub async fn answer_locally<T: Transport, D: Dial>(
    worker: &Worker<D>,
    talk: &mut Talk,
    client: &mut T,
    reply: Reply,
) -> End {
    let is_unread = talk.head.websocket || (talk.head.body != crate::http::Body::None && !talk.body_read);
    let keep_alive = talk.head.keep_alive && !is_unread && !reply.close && !worker.is_draining();
    let is_head = talk.head.method.of(&talk.bytes) == b"HEAD";
    let mut out = std::mem::take(&mut talk.out);
    out.clear();
    worker.clock.with_date(|date| {
        let plan = ReplyPlan { version: talk.head.version, keep_alive, head_request: is_head, date: Some(date) };
        write_reply(&mut out, &reply, &plan);
    });
    // A long body is not held twice while a slow client takes it.
    drop(reply);
    talk.passage.give_places_back();
    let (result, out) = send_whole(client.split().1, out, !keep_alive, worker.stall()).await;
    talk.out = out;
    match worker.timed(Bound::StalledBody, result) {
        Ok(()) if keep_alive => End::KeepAlive,
        Ok(()) if is_unread => End::Linger,
        _ => End::Close,
    }
}

/// Answers bytes that are no request at all: the words of the parser. The caller ends the connection at once.
pub async fn reject<W: WriteHalf, D: Dial>(worker: &Worker<D>, writer: &mut W, reply: &Reply, version: Version) {
    let mut out = worker.buffers.lend();
    worker.clock.with_date(|date| {
        let plan = ReplyPlan { version, keep_alive: false, head_request: false, date: Some(date) };
        write_reply(&mut out, reply, &plan);
    });
    let (sent, out) = send_answer(writer, out, true, worker.stall()).await;
    let _ = worker.timed(Bound::StalledBody, sent);
    worker.buffers.give_back(out);
}
