//! The REST provider's requests: `PUT /api/providers/rest` (docs/reference/providers.md#rest). The document goes to the control plane, which
//! applies it like the document of any other provider.

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

/// The provider that a request wants to write, if it is such a request.
pub fn provider(ctx: &ExchangeContext) -> Option<&[u8]> {
    let view = ctx.view();
    if view.method() != b"PUT" {
        return None;
    }
    let target = view.target();
    let path = memchr::memchr(b'?', target).map_or(target, |at| &target[..at]);
    path.strip_prefix(PREFIX).filter(|name| !name.is_empty() && !name.contains(&b'/'))
}

/// Answers such a request.
pub async fn answer<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    take: &RestHandler,
) -> ConnectionDisposition {
    let entry = &worker.shared.entry_points[peer.entry];
    let reply = match run_request_chain(worker, &entry.internal_chain, entry.auth.as_deref(), ctx, peer).await {
        Err(refusal) => refusal.reply,
        Ok(()) => match update_provider(worker, ctx, client, take).await {
            Some(reply) => reply,
            None => return ConnectionDisposition::Close,
        },
    };
    send_reply(worker, ctx, client, reply).await
}

/// `None` when the client is gone.
async fn update_provider<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    client: &mut C,
    take: &RestHandler,
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
    // Counted until it has been read: many may wait for their turn.
    let (document, _share) = body.into_parts();
    let take = Arc::clone(take);
    // Megabytes of JSON take too long to be read between two other requests.
    let taken = worker.shared.verify.run(move || take(&document)).await;
    Some(match worker.verdict(taken) {
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
