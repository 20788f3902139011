//! Finds the frontend of a request and applies its path modifiers. Requests and explanations share these functions.

use std::sync::Arc;

use super::local_reply::LocalReply;
use crate::config::snapshot::{Frontend, Snapshot};
use crate::http::host_name::{split_port, without_trailing_dot};
use crate::http::{Reply, RequestView};
use crate::middleware::Label;
use crate::rule::{self, FieldEdit, PathOutcome, RouteOutcome, UntrustedHeaders};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::entry_point::EntryPoint;

/// The parts of a request that rules see. `untrusted` shows the same request without its forwarding fields.
#[inline]
pub fn route_request<'a>(
    view: &'a RequestView<'a>,
    untrusted: &'a UntrustedHeaders<'a>,
    peer: &ClientInfo,
) -> rule::RouteRequest<'a> {
    let headers: &dyn rule::Headers = if peer.trusted { view } else { untrusted };
    rule::RouteRequest { method: view.method(), host: view.host(), target: view.target(), headers }
}

/// Whether the request does not belong to its connection: its host has another certificate, or its name belongs to a TCP route.
pub fn is_misdirected(entry: &EntryPoint, snapshot: &Snapshot, ctx: &ExchangeContext, peer: &ClientInfo) -> bool {
    if let Some(server_name) = &peer.server_name
        && entry.is_misdirected(server_name, ctx.view().host())
    {
        return true;
    }
    snapshot.tcp.get(peer.entry).is_some_and(|routes| !routes.is_empty()) && names_tcp_route(snapshot, ctx, peer)
}

/// Finds the frontend and applies its path modifiers. `flattened_host`: the name that the host's CNAME records lead to; empty for none.
pub fn route<'a>(
    snapshot: &'a Snapshot,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
    flattened_host: &str,
) -> Result<&'a Arc<Frontend>, LocalReply> {
    let reply_with = |reply: Reply, label: Option<&str>| {
        Err(LocalReply { reply, log_label: label.map(Label::from), chain_index: 0 })
    };
    let view = crate::http::RequestView { head: &ctx.head, bytes: &ctx.bytes, edits: &ctx.edits };
    let untrusted = rule::UntrustedHeaders(view);
    let info = route_request(&view, &untrusted, peer);
    match snapshot.routers[peer.entry].route_flattened(&info, flattened_host.as_bytes(), &mut ctx.scratch) {
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
pub fn misdirected() -> LocalReply {
    let reply = Reply::text(421, "421 Misdirected Request");
    LocalReply { reply, log_label: Some(Label::from("misdirected request")), chain_index: 0 }
}

/// The reply if no frontend matches (docs/reference/entry-points.md#entry-point-and-router).
fn not_found() -> Reply {
    Reply::text(404, "404 page not found\n").with("X-Content-Type-Options", &b"nosniff"[..])
}
