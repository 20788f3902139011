//! Handles a request from its head to its log line: internal routes, the entry point's chain, the route, the frontend's chains, then a
//! backend.

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
use crate::http::host_name::{split_port, without_trailing_dot};
use crate::limits::Bound;
use crate::middleware::{Label, Middleware};
use crate::rule::{self, FieldEdit, PathOutcome, RouteOutcome};
use crate::worker::message::stream::{ConnectionDisposition, MessageStream};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Handles the request whose head is in `ctx`, to its response and its log line.
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
        && let Some(handler) = &worker.shared.rest_handler
    {
        return Box::pin(rest_api::answer(worker, ctx, client, peer, handler)).await;
    }
    let published = worker.snapshot();
    let mut record = RequestRecord::begin(worker, &published, ctx, peer);
    let end = match route_request(worker, &published.snapshot, ctx, peer).await {
        Decision::Forward(frontend) => forward::forward(worker, frontend, ctx, client, peer, &mut record).await,
        Decision::Reply { local_reply, frontend: None, below } => {
            record.local_reply(&local_reply, None);
            Box::pin(send_from_entry_point(worker, ctx, client, peer, local_reply.reply, below)).await
        }
        Decision::Reply { local_reply, frontend: Some((frontend, source)), .. } => {
            record.local_reply(&local_reply, Some(&**frontend));
            Box::pin(send_from_frontend(worker, frontend, ctx, client, peer, &mut record, local_reply, source)).await
        }
    };
    record.finish(worker, ctx, peer);
    end
}

enum Decision<'a> {
    Forward(&'a Arc<Frontend>),
    Reply {
        local_reply: LocalReply,
        frontend: Option<(&'a Arc<Frontend>, ReplySource)>,
        /// The index of the entry point's middleware that made the reply, if one did.
        below: Option<usize>,
    },
}

/// Runs the chains of the entry point and of the frontend that the request is routed to. Returns that frontend, or a local reply.
async fn route_request<'a, D: Dial>(
    worker: &Worker<D>,
    snapshot: &'a Snapshot,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) -> Decision<'a> {
    let entry = &worker.shared.entry_points[peer.entry];
    if let Some(server_name) = &peer.server_name
        && entry.is_misdirected(server_name, ctx.view().host())
    {
        return Decision::Reply { local_reply: misdirected(), frontend: None, below: None };
    }
    if snapshot.tcp.get(peer.entry).is_some_and(|routes| !routes.is_empty()) && names_tcp_route(snapshot, ctx, peer) {
        return Decision::Reply { local_reply: misdirected(), frontend: None, below: None };
    }
    if let Err(local_reply) = run_request_chain(worker, &entry.chain, entry.auth.as_deref(), ctx, peer).await {
        let below = Some(local_reply.chain_index);
        return Decision::Reply { local_reply, frontend: None, below };
    }
    let frontend = match route(snapshot, ctx, peer) {
        Ok(frontend) => frontend,
        Err(local_reply) => return Decision::Reply { local_reply, frontend: None, below: None },
    };
    if let Err(local_reply) = run_request_chain(worker, &frontend.outer, frontend.auth.as_deref(), ctx, peer).await {
        return Decision::Reply { local_reply, frontend: Some((frontend, ReplySource::Outer)), below: None };
    }
    match run_request_chain(worker, &frontend.inner, None, ctx, peer).await {
        Ok(()) => Decision::Forward(frontend),
        Err(local_reply) => {
            // Buffering makes a local reply here only for a body whose announced length is above its limit.
            if matches!(frontend.inner.middlewares().get(local_reply.chain_index), Some(Middleware::Buffering(_))) {
                worker.exceeded(Bound::BufferedBody);
            }
            Decision::Reply { local_reply, frontend: Some((frontend, ReplySource::Inner)), below: None }
        }
    }
}

/// Finds the frontend and applies its path modifiers.
fn route<'a>(
    snapshot: &'a Snapshot,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) -> Result<&'a Arc<Frontend>, LocalReply> {
    let reply_with = |reply: Reply, label: Option<&str>| {
        Err(LocalReply { reply, log_label: label.map(Label::from), chain_index: 0 })
    };
    let view = crate::http::RequestView { head: &ctx.head, bytes: &ctx.bytes, edits: &ctx.edits };
    let untrusted = rule::UntrustedHeaders(view);
    let headers: &dyn rule::Headers = if peer.trusted { &view } else { &untrusted };
    let info = rule::RouteRequest { method: view.method(), host: view.host(), target: view.target(), headers };
    match snapshot.routers[peer.entry].route(&info, &mut ctx.scratch) {
        RouteOutcome::Found { value, modifiers } => {
            match modifiers.apply(view.target(), &mut ctx.scratch) {
                PathOutcome::Unchanged => return Ok(value),
                PathOutcome::NotFound => return reply_with(not_found(), Some("backend not found")),
                PathOutcome::Refused => {
                    return reply_with(Reply::text(400, "400 Bad Request").closing(), Some("bad request path"));
                }
                PathOutcome::Empty => return reply_with(Reply { status: 200, ..Reply::default() }, None),
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
            reply_with(reply.with("Location", location), None)
        }
        RouteOutcome::NotFound => reply_with(not_found(), Some("backend not found")),
        RouteOutcome::Refused => reply_with(Reply::text(400, "400 Bad Request").closing(), Some("bad request path")),
    }
}

/// Whether the request is for a name whose TLS connections belong to a TCP route: its client has reused the connection of another name
/// (docs/reference/layer4.md#names-of-http-and-tcp).
fn names_tcp_route(snapshot: &Snapshot, ctx: &ExchangeContext, peer: &ClientInfo) -> bool {
    let host = without_trailing_dot(split_port(ctx.view().host()).0).to_ascii_lowercase();
    let routes = snapshot.tcp.get(peer.entry);
    peer.secure && routes.zip(str::from_utf8(&host).ok()).is_some_and(|(routes, host)| routes.has_name(host))
}

/// The reply to a request on a connection that does not belong to its server (docs/reference/entry-points.md#http2).
fn misdirected() -> LocalReply {
    let reply = Reply::text(421, "421 Misdirected Request");
    LocalReply { reply, log_label: Some(Label::from("misdirected request")), chain_index: 0 }
}

/// The reply if no frontend matches (docs/reference/entry-points.md#entry-point-and-router).
pub fn not_found() -> Reply {
    Reply::text(404, "404 page not found\n").with("X-Content-Type-Options", &b"nosniff"[..])
}
