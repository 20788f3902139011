//! The walk of one request, top to bottom: internal endpoints, entry point's chain, route, frontend's chain, then a backend.

use std::sync::Arc;

use super::Worker;
use super::forward;
use super::internal;
use super::local::{Depth, Refusal, answer_locally, finish, leave};
use super::record::Record;
use super::rest;
use super::talk::{Peer, Talk};
use super::upstream::Dial;
use crate::config::snapshot::{Frontend, Origin, Snapshot};
use crate::http::Reply;
use crate::limits::Bound;
use crate::middleware::{Chain, Label, Middleware, Progress};
use crate::net::Transport;
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

/// One request whose head is in `talk`.
pub async fn exchange<T: Transport, D: Dial>(worker: &Worker<D>, talk: &mut Talk, client: &mut T, peer: &Peer) -> End {
    if let Some(reply) = internal::answer(worker, talk, peer).await {
        return Box::pin(answer_locally(worker, talk, client, reply)).await;
    }
    if worker.shared.entry_points[peer.entry].serves_rest
        && rest::provider(talk).is_some()
        && let Some(take) = &worker.shared.take_document
    {
        return Box::pin(rest::answer(worker, talk, client, peer, take)).await;
    }
    let published = worker.snapshot();
    let mut record = Record::begin(worker, talk, peer);
    let end = match decide(worker, &published.snapshot, talk, peer).await {
        Decision::Forward(frontend) => forward::forward(worker, frontend, talk, client, peer, &mut record).await,
        Decision::Answer { refusal, frontend: None, below } => {
            record.refused(&refusal, None);
            Box::pin(leave(worker, talk, client, peer, refusal.reply, below)).await
        }
        Decision::Answer { refusal, frontend: Some((frontend, depth)), .. } => {
            record.refused(&refusal, Some(&**frontend));
            Box::pin(finish(worker, frontend, talk, client, peer, &mut record, refusal, depth)).await
        }
    };
    record.finish(worker, &published, talk, peer);
    end
}

enum Decision<'a> {
    Forward(&'a Arc<Frontend>),
    Answer {
        refusal: Refusal,
        frontend: Option<(&'a Arc<Frontend>, Depth)>,
        /// The entry point's own step that answered, if it was one.
        below: Option<usize>,
    },
}

/// Everything up to the backend: who may pass, and where to.
async fn decide<'a, D: Dial>(worker: &Worker<D>, snapshot: &'a Snapshot, talk: &mut Talk, peer: &Peer) -> Decision<'a> {
    let entry = &worker.shared.entry_points[peer.entry];
    if let Err(refusal) = walk(worker, &entry.chain, entry.auth.as_deref(), talk, peer).await {
        let below = Some(refusal.at);
        return Decision::Answer { refusal, frontend: None, below };
    }
    let frontend = match route(snapshot, talk, peer) {
        Ok(frontend) => frontend,
        Err(refusal) => return Decision::Answer { refusal, frontend: None, below: None },
    };
    if let Err(refusal) = walk(worker, &frontend.outer, frontend.auth.as_deref(), talk, peer).await {
        return Decision::Answer { refusal, frontend: Some((frontend, Depth::Outer)), below: None };
    }
    match walk(worker, &frontend.guard, None, talk, peer).await {
        Ok(()) => Decision::Forward(frontend),
        Err(refusal) => {
            // All that buffering refuses at this point is a body that is announced as too long.
            if matches!(frontend.guard.steps().get(refusal.at), Some(Middleware::Buffering(_))) {
                worker.exceeded(Bound::BufferedBody);
            }
            Decision::Answer { refusal, frontend: Some((frontend, Depth::Guard)), below: None }
        }
    }
}

/// Finds the frontend and applies its path modifiers.
fn route<'a>(snapshot: &'a Snapshot, talk: &mut Talk, peer: &Peer) -> Result<&'a Arc<Frontend>, Refusal> {
    let refuse = |reply: Reply, label: Option<&str>| Err(Refusal { reply, label: label.map(Label::from), at: 0 });
    let view = crate::http::RequestView { head: &talk.head, bytes: &talk.bytes, edits: &talk.edits };
    let unclaimed = rule::Unclaimed(view);
    let headers: &dyn rule::Headers = if peer.trusted { &view } else { &unclaimed };
    let facts = rule::RequestFacts { method: view.method(), host: view.host(), target: view.target(), headers };
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
        let (mut request, facts, passage) = talk.step(peer, worker.proxies(peer), worker.now());
        chain.on_request(0, &mut request, &facts, passage)
    };
    loop {
        progress = match progress {
            Progress::Done => return Ok(()),
            Progress::Reply { reply, label, at } => return Err(Refusal { reply, label, at }),
            Progress::Ask { ask, at } => {
                let told = Box::pin(super::ask::call(worker, &ask, auth)).await;
                let answer = told.as_ref().map(super::ask::Told::as_answer);
                let (mut request, facts, passage) = talk.step(peer, worker.proxies(peer), worker.now());
                chain.on_answer(at, answer, &mut request, &facts, passage)
            }
            Progress::Verify { verify, at } => {
                let verdict = worker.shared.verify.run(move || verify.run()).await;
                let Some(matches) = worker.verdict(verdict) else {
                    return Err(Refusal { reply: Reply::text(503, "Service Unavailable"), label: None, at });
                };
                let (mut request, facts, passage) = talk.step(peer, worker.proxies(peer), worker.now());
                chain.on_verified(at, matches, &mut request, &facts, passage)
            }
        };
    }
}
