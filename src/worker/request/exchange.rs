//! One request from its head to its log line: internal routes, the entry point's chain, the route, the frontend's chains, then a backend.

use std::sync::Arc;

use super::chain::run_request_chain;
use super::forward;
use super::frontend_reply::send_from_frontend;
use super::internal;
use super::local_reply::{LocalReply, ReplySource};
use super::reply::{send_from_entry_point, send_reply};
use super::request_record::RequestRecord;
use super::rest_api;
use crate::config::snapshot::{Frontend, Snapshot};
use crate::http::Reply;
use crate::limits::Bound;
use crate::middleware::{Label, Middleware};
use crate::rule::{self, FieldEdit, PathOutcome, RouteOutcome};
use crate::worker::message::stream::{ConnectionDisposition, MessageStream};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// One request whose head is in `ctx`.
pub async fn handle_request<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    client: &mut C,
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
            Decision::Reply { refusal, frontend: Some((frontend, ReplySource::Inner)), below: None }
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
    let info = rule::RouteRequest { method: view.method(), host: view.host(), target: view.target(), headers };
    match snapshot.routers[peer.entry].route(&info, &mut ctx.scratch) {
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
