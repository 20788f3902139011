//! The REST provider's requests: `PUT /api/providers/rest` (docs/reference/providers.md#rest). The document goes to the control plane,
//! which applies it like the document of any other provider.

use std::sync::Arc;

use super::buffered::{RequestBodyError, collect_in_time};
use super::chain::run_request_chain;
use super::reply::send_reply;
use crate::http::Reply;
use crate::limits;
use crate::worker::message::stream::{ConnectionDisposition, MessageStream};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::resources::rest_handler::{RestHandler, RestUpdateError};
use crate::worker::worker::Worker;

const PREFIX: &[u8] = b"/api/providers/";

/// The name of the provider, if the request is a `PUT` of a provider's document.
pub fn provider(ctx: &ExchangeContext) -> Option<&[u8]> {
    let view = ctx.view();
    if view.method() != b"PUT" {
        return None;
    }
    let target = view.target();
    let path = memchr::memchr(b'?', target).map_or(target, |at| &target[..at]);
    path.strip_prefix(PREFIX).filter(|name| !name.is_empty() && !name.contains(&b'/'))
}

/// Sends the response to a `PUT` of a provider's document.
pub async fn answer<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    handler: &RestHandler,
) -> ConnectionDisposition {
    let entry = &worker.shared.entry_points[peer.entry];
    let reply = match run_request_chain(worker, &entry.internal_chain, entry.auth.as_deref(), ctx, peer).await {
        Err(local_reply) => local_reply.reply,
        Ok(()) => match update_provider(worker, ctx, client, handler).await {
            Some(reply) => reply,
            None => return ConnectionDisposition::Close,
        },
    };
    send_reply(worker, ctx, client, reply).await
}

/// Reads the document and applies it. Returns the reply; `None` if the client has disconnected.
async fn update_provider<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    client: &mut C,
    handler: &RestHandler,
) -> Option<Reply> {
    match provider(ctx) {
        Some(b"rest") => {}
        Some(b"web") => tracing::warn!("PUT /api/providers/web is an old name: use /api/providers/rest"),
        _ => return Some(Reply::text(400, "Only 'rest' provider can be updated through the REST API")),
    }
    let body = match collect_in_time(worker, limits::REST_BODY_BYTES_MAX, ctx, client).await {
        Ok(body) => body,
        Err(RequestBodyError::Client(reply)) => return reply.map(Reply::closing),
        Err(RequestBodyError::Refused(reply)) => return Some(reply),
    };
    ctx.body_read = true;
    // Reserved until the document has been applied: many documents may wait for a thread.
    let (document, _reservation) = body.into_parts();
    let handler = Arc::clone(handler);
    // Parsing megabytes of JSON would delay the worker's other requests for too long.
    let applied = worker.shared.verify.run(move || handler(&document)).await;
    Some(match worker.verdict(applied) {
        Some(Ok(echo)) => Reply { status: 200, body: echo.into_bytes().into(), ..Reply::default() }
            .with("Content-Type", &b"application/json; charset=UTF-8"[..]),
        Some(Err(RestUpdateError::Invalid(why))) => {
            Reply::text(400, format!("{why}\n")).with("X-Content-Type-Options", &b"nosniff"[..])
        }
        Some(Err(RestUpdateError::Later)) => Reply::text(503, "Ringway is being replaced: put the document again\n")
            .with("Retry-After", &b"1"[..])
            .closing(),
        None => Reply::text(503, "Service Unavailable"),
    })
}
