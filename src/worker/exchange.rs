//! The walk of one request, top to bottom: internal endpoints, entry point's chain, route, frontend's chain, then a backend.

use std::sync::Arc;

use super::Worker;
use super::context::{ClientInfo, ExchangeContext};
use super::forward;
use super::internal;
use super::local_reply::{LocalReply, ReplySource, send_from_entry_point, send_from_frontend, send_reply};
use super::request_record::RequestRecord;
use super::rest_api;
use super::upstream::Dial;
use crate::config::snapshot::{Frontend, ServerEndpoint, Snapshot};
use crate::http::Reply;
use crate::limits::Bound;
use crate::middleware::{Chain, ChainProgress, Label, Middleware};
use crate::net::Transport;
use crate::rule::{self, FieldEdit, PathOutcome, RouteOutcome};

/// What becomes of the client's connection after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionDisposition {
    KeepAlive,
    Close,
    /// Close after reading on for a moment: the client still sends, and a reset would destroy the answer on its way.
    Linger,
    /// Cut: the client got a part of a body that only the connection's end marks, and must not take it for the whole.
    Abort,
}

/// One request whose head is in `ctx`.
pub async fn handle_request<T: Transport, D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    client: &mut T,
    peer: &ClientInfo,
) -> ConnectionDisposition {
    if let Some(reply) = internal::answer(worker, ctx, peer).await {
        return Box::pin(send_reply(worker, ctx, client, reply)).await;
    }
    if worker.shared.entry_points[peer.entry].serves_rest
        && rest_api::provider(ctx).is_some()
        && let Some(take) = &worker.shared.rest_handler
    {
        return Box::pin(rest_api::answer(worker, ctx, client, peer, take)).await;
    }
    let published = worker.snapshot();
    let mut record = RequestRecord::begin(worker, ctx, peer);
    let end = match route_request(worker, &published.snapshot, ctx, peer).await {
        Decision::Forward(frontend) => forward::forward(worker, frontend, ctx, client, peer, &mut record).await,
        Decision::Reply { refusal, frontend: None, below } => {
            record.local_reply(&refusal, None);
            Box::pin(send_from_entry_point(worker, ctx, client, peer, refusal.reply, below)).await
        }
        Decision::Reply { refusal, frontend: Some((frontend, depth)), .. } => {
            record.local_reply(&refusal, Some(&**frontend));
            Box::pin(send_from_frontend(worker, frontend, ctx, client, peer, &mut record, refusal, depth)).await
        }
    };
    record.finish(worker, &published, ctx, peer);
    end
}

enum Decision<'a> {
    Forward(&'a Arc<Frontend>),
    Reply {
        refusal: LocalReply,
        frontend: Option<(&'a Arc<Frontend>, ReplySource)>,
        /// The entry point's own step that answered, if it was one.
        below: Option<usize>,
    },
}

/// Everything up to the backend: who may pass, and where to.
async fn route_request<'a, D: Dial>(
    worker: &Worker<D>,
    snapshot: &'a Snapshot,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) -> Decision<'a> {
    let entry = &worker.shared.entry_points[peer.entry];
    if let Err(refusal) = run_request_chain(worker, &entry.chain, entry.auth.as_deref(), ctx, peer).await {
        let below = Some(refusal.chain_index);
        return Decision::Reply { refusal, frontend: None, below };
    }
    let frontend = match route(snapshot, ctx, peer) {
        Ok(frontend) => frontend,
        Err(refusal) => return Decision::Reply { refusal, frontend: None, below: None },
    };
    if let Err(refusal) = run_request_chain(worker, &frontend.outer, frontend.auth.as_deref(), ctx, peer).await {
        return Decision::Reply { refusal, frontend: Some((frontend, ReplySource::Outer)), below: None };
    }
    match run_request_chain(worker, &frontend.inner, None, ctx, peer).await {
        Ok(()) => Decision::Forward(frontend),
        Err(refusal) => {
            // All that buffering refuses at this point is a body that is announced as too long.
            if matches!(frontend.inner.middlewares().get(refusal.chain_index), Some(Middleware::Buffering(_))) {
                worker.exceeded(Bound::BufferedBody);
            }
            Decision::Reply { refusal, frontend: Some((frontend, ReplySource::Guard)), below: None }
        }
    }
}

/// Finds the frontend and applies its path modifiers.
fn route<'a>(
    snapshot: &'a Snapshot,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) -> Result<&'a Arc<Frontend>, LocalReply> {
    let refuse = |reply: Reply, label: Option<&str>| {
        Err(LocalReply { reply, log_label: label.map(Label::from), chain_index: 0 })
    };
    let view = crate::http::RequestView { head: &ctx.head, bytes: &ctx.bytes, edits: &ctx.edits };
    let unclaimed = rule::UntrustedHeaders(view);
    let headers: &dyn rule::Headers = if peer.trusted { &view } else { &unclaimed };
    let facts = rule::RouteRequest { method: view.method(), host: view.host(), target: view.target(), headers };
    match snapshot.routers[peer.entry].route(&facts, &mut ctx.scratch) {
        RouteOutcome::Found { value, modifiers } => {
            match modifiers.apply(view.target(), &mut ctx.scratch) {
                PathOutcome::Unchanged => return Ok(value),
                PathOutcome::NotFound => return refuse(not_found(), Some("backend not found")),
                PathOutcome::Refused => {
                    return refuse(Reply::text(400, "400 Bad Request").closing(), Some("bad request path"));
                }
                PathOutcome::Empty => return refuse(Reply { status: 200, ..Reply::default() }, None),
                PathOutcome::Forward(rewritten) => {
                    ctx.target.clear();
                    ctx.target.extend_from_slice(rewritten.target);
                    ctx.path.changed = true;
                    ctx.path.replaced = rewritten.stripped_from.is_some() || rewritten.replaced_path.is_some();
                    ctx.path.added_prefix.extend_from_slice(rewritten.added_prefix.unwrap_or_default());
                    for (name, value, edit) in rewritten.fields() {
                        match edit {
                            FieldEdit::Add => ctx.edits.add(name.as_bytes(), value),
                            FieldEdit::Set => ctx.edits.set(name.as_bytes(), value),
                        }
                    }
                }
            }
            Ok(value)
        }
        RouteOutcome::Redirect { location } => {
            let mut reply = Reply { status: 301, ..Reply::default() };
            if matches!(view.method(), b"GET" | b"HEAD") {
                reply = reply.with("Content-Type", &b"text/html; charset=utf-8"[..]);
                reply.body = rule::moved_permanently_body(&location).into();
            }
            refuse(reply.with("Location", location), None)
        }
        RouteOutcome::NotFound => refuse(not_found(), Some("backend not found")),
        RouteOutcome::Refused => refuse(Reply::text(400, "400 Bad Request").closing(), Some("bad request path")),
    }
}

/// docs/reference/entry-points.md#entry-point-and-router: no frontend matches.
pub fn not_found() -> Reply {
    Reply::text(404, "404 page not found\n").with("X-Content-Type-Options", &b"nosniff"[..])
}

/// Walks a chain inwards, doing what a step asks for on the way. `auth` is the server that its forward authentication asks.
pub async fn run_request_chain<D: Dial>(
    worker: &Worker<D>,
    chain: &Chain,
    auth: Option<&ServerEndpoint>,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) -> Result<(), LocalReply> {
    if chain.is_empty() {
        return Ok(());
    }
    let mut progress = {
        let (mut request, facts, passage) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
        chain.on_request(0, &mut request, &facts, passage)
    };
    loop {
        progress = match progress {
            ChainProgress::Done => return Ok(()),
            ChainProgress::Reply { reply, label, at } => {
                return Err(LocalReply { reply, log_label: label, chain_index: at });
            }
            ChainProgress::Call { call, at } => {
                let told = Box::pin(super::forward_auth::call(worker, &call, auth)).await;
                let answer = told.as_ref().map(super::forward_auth::FetchedAuthResponse::as_auth_response);
                let (mut request, facts, passage) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
                chain.on_answer(at, answer, &mut request, &facts, passage)
            }
            ChainProgress::Verify { verify, at } => {
                let verdict = worker.shared.verify.run(move || verify.run()).await;
                let Some(matches) = worker.verdict(verdict) else {
                    return Err(LocalReply {
                        reply: Reply::text(503, "Service Unavailable"),
                        log_label: None,
                        chain_index: at,
                    });
                };
                let (mut request, facts, passage) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
                chain.on_verified(at, matches, &mut request, &facts, passage)
            }
        };
    }
}
