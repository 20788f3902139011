//! The walk of one request, top to bottom: internal endpoints, entry point's chain, route, frontend's chain, then a backend.

use std::sync::Arc;

use super::Worker;
use super::forward;
use super::internal;
use super::record::Record;
use super::relay::send;
use super::talk::{Peer, Talk};
use super::upstream::Dial;
use crate::config::snapshot::{Frontend, Origin, Snapshot};
use crate::http::forward::{ReplyPlan, write_reply};
use crate::http::{Reply, Version};
use crate::middleware::{Answer, Chain, Label, Progress};
use crate::net::{Transport, WriteHalf};
use crate::rule::{self, Applied, FieldEdit, Outcome};

/// What becomes of the client's connection after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    KeepAlive,
    Close,
    /// Close after reading on for a moment: the client still sends, and a reset would destroy the answer on its way.
    Linger,
    /// Cut: the client got a part of a body that only the connection's end marks, and must not take it for the whole.
    Abort,
}

/// An answer made here instead of a backend's.
pub struct Refusal {
    pub reply: Reply,
    /// The access log's name for it; `None` leaves the frontend's.
    pub label: Option<Label>,
    /// The step that gave it: the way back through the chain begins there.
    pub at: usize,
}

/// One request whose head is in `talk`.
pub async fn exchange<T: Transport, D: Dial>(worker: &Worker<D>, talk: &mut Talk, client: &mut T, peer: &Peer) -> End {
    if let Some(reply) = internal::answer(worker, talk, peer).await {
        return answer_locally(worker, talk, client, reply).await;
    }
    let published = worker.snapshot();
    let mut record = Record::begin(worker, talk, peer);
    let end = match decide(worker, &published.snapshot, talk, peer).await {
        Decision::Forward(frontend) => forward::forward(worker, frontend, talk, client, peer, &mut record).await,
        Decision::Answer { refusal, frontend } => {
            record.refused(&refusal, frontend.map(|f| &**f));
            answer_locally(worker, talk, client, refusal.reply).await
        }
    };
    record.finish(worker, &published, talk, peer);
    end
}

enum Decision<'a> {
    Forward(&'a Arc<Frontend>),
    Answer { refusal: Refusal, frontend: Option<&'a Arc<Frontend>> },
}

/// Everything up to the backend: who may pass, and where to.
async fn decide<'a, D: Dial>(worker: &Worker<D>, snapshot: &'a Snapshot, talk: &mut Talk, peer: &Peer) -> Decision<'a> {
    let entry = &worker.shared.entry_points[peer.entry];
    if let Err(refusal) = walk(worker, &entry.chain, entry.auth.as_deref(), talk, peer).await {
        return Decision::Answer { refusal, frontend: None };
    }
    let frontend = match route(snapshot, talk, peer) {
        Ok(frontend) => frontend,
        Err(refusal) => return Decision::Answer { refusal, frontend: None },
    };
    if let Err(mut refusal) = walk(worker, &frontend.outer, frontend.auth.as_deref(), talk, peer).await {
        way_back(worker, &frontend.outer, &mut refusal, talk, peer);
        return Decision::Answer { refusal, frontend: Some(frontend) };
    }
    if let Err(mut refusal) = walk(worker, &frontend.guard, None, talk, peer).await {
        way_back(worker, &frontend.guard, &mut refusal, talk, peer);
        refusal.at = frontend.outer.steps().len();
        way_back(worker, &frontend.outer, &mut refusal, talk, peer);
        return Decision::Answer { refusal, frontend: Some(frontend) };
    }
    Decision::Forward(frontend)
}

/// Finds the frontend and applies its path modifiers.
fn route<'a>(snapshot: &'a Snapshot, talk: &mut Talk, peer: &Peer) -> Result<&'a Arc<Frontend>, Refusal> {
    let refuse = |reply: Reply, label: Option<&str>| Err(Refusal { reply, label: label.map(Label::from), at: 0 });
    let view = crate::http::RequestView { head: &talk.head, bytes: &talk.bytes, edits: &talk.edits };
    let facts = rule::RequestFacts { method: view.method(), host: view.host(), target: view.target(), headers: &view };
    match snapshot.routers[peer.entry].route(&facts, &mut talk.scratch) {
        Outcome::Found { value, modifiers } => {
            match modifiers.apply(view.target(), &mut talk.scratch) {
                Applied::Unchanged => return Ok(value),
                Applied::NotFound => return refuse(not_found(), Some("backend not found")),
                Applied::Refused => {
                    return refuse(Reply::text(400, "400 Bad Request").closing(), Some("bad request path"));
                }
                Applied::Empty => return refuse(Reply { status: 200, ..Reply::default() }, None),
                Applied::Forward(rewritten) => {
                    talk.target.clear();
                    talk.target.extend_from_slice(rewritten.target);
                    talk.path.changed = true;
                    talk.path.replaced = rewritten.stripped_from.is_some() || rewritten.replaced_path.is_some();
                    talk.path.added_prefix.extend_from_slice(rewritten.added_prefix.unwrap_or_default());
                    for (name, value, edit) in rewritten.fields() {
                        match edit {
                            FieldEdit::Add => talk.edits.add(name.as_bytes(), value),
                            FieldEdit::Set => talk.edits.set(name.as_bytes(), value),
                        }
                    }
                }
            }
            Ok(value)
        }
        Outcome::Redirect { location } => {
            let mut reply = Reply { status: 301, ..Reply::default() };
            if matches!(view.method(), b"GET" | b"HEAD") {
                reply = reply.with("Content-Type", &b"text/html; charset=utf-8"[..]);
                reply.body = rule::moved_permanently_body(&location).into();
            }
            refuse(reply.with("Location", location), None)
        }
        Outcome::NotFound => refuse(not_found(), Some("backend not found")),
        Outcome::Refused => refuse(Reply::text(400, "400 Bad Request").closing(), Some("bad request path")),
    }
}

/// static.md 4: no frontend matches.
pub fn not_found() -> Reply {
    Reply::text(404, "404 page not found\n").with("X-Content-Type-Options", &b"nosniff"[..])
}

/// Walks a chain inwards, doing what a step asks for on the way. `auth` is the server that its forward authentication asks.
pub async fn walk<D: Dial>(
    worker: &Worker<D>,
    chain: &Chain,
    auth: Option<&Origin>,
    talk: &mut Talk,
    peer: &Peer,
) -> Result<(), Refusal> {
    if chain.is_empty() {
        return Ok(());
    }
    let mut progress = {
        let (mut request, facts, passage) = talk.step(peer, worker.now());
        chain.on_request(0, &mut request, &facts, passage)
    };
    loop {
        progress = match progress {
            Progress::Done => return Ok(()),
            Progress::Reply { reply, label, at } => return Err(Refusal { reply, label, at }),
            Progress::Ask { ask, at } => {
                let told = super::ask::call(worker, &ask, auth).await;
                let answer = told.as_ref().map(super::ask::Told::as_answer);
                let (mut request, facts, passage) = talk.step(peer, worker.now());
                chain.on_answer(at, answer, &mut request, &facts, passage)
            }
            Progress::Verify { verify, at } => {
                let Some(matches) = worker.shared.verify.run(move || verify.run()).await else {
                    return Err(Refusal { reply: Reply::text(503, "Service Unavailable"), label: None, at });
                };
                let (mut request, facts, passage) = talk.step(peer, worker.now());
                chain.on_verified(at, matches, &mut request, &facts, passage)
            }
        };
    }
}

/// A local answer's way back through the steps outside the one that gave it.
fn way_back<D: Dial>(worker: &Worker<D>, chain: &Chain, refusal: &mut Refusal, talk: &mut Talk, peer: &Peer) {
    let (request, facts, passage) = talk.step(peer, worker.now());
    let mut answer = Answer::Local(&mut refusal.reply);
    // Error pages for local answers come with the middlewares' own issue; the status stands until then.
    let _ = chain.on_response(refusal.at, &request, &mut answer, &facts, passage);
}

/// Sends an answer of the proxy itself. A body that the client has announced is not read, so the connection cannot go on behind it.
pub async fn answer_locally<T: Transport, D: Dial>(
    worker: &Worker<D>,
    talk: &mut Talk,
    client: &mut T,
    reply: Reply,
) -> End {
    let has_body = talk.head.body != crate::http::Body::None;
    let keep_alive = talk.head.keep_alive && !has_body && !reply.close && !worker.is_draining();
    let is_head = talk.head.method.of(&talk.bytes) == b"HEAD";
    let mut out = std::mem::take(&mut talk.out);
    out.clear();
    worker.clock.with_date(|date| {
        let plan = ReplyPlan { version: talk.head.version, keep_alive, head_request: is_head, date: Some(date) };
        write_reply(&mut out, &reply, &plan);
    });
    let (result, out) = send(client.split().1, out, worker.shared.timeouts.stall).await;
    talk.out = out;
    match result {
        Ok(()) if keep_alive => End::KeepAlive,
        Ok(()) if has_body => End::Linger,
        _ => End::Close,
    }
}

/// Answers bytes that are no request at all: the words of the parser, and the connection ends.
pub async fn reject<W: WriteHalf, D: Dial>(worker: &Worker<D>, writer: &mut W, reply: &Reply, version: Version) {
    let mut out = worker.buffers.lend();
    let plan = ReplyPlan { version, keep_alive: false, head_request: false, date: None };
    write_reply(&mut out, reply, &plan);
    let (_, out) = send(writer, out, worker.shared.timeouts.stall).await;
    worker.buffers.give_back(out);
}
