//! Sends local replies that were made inside a frontend: through the response side of the chains outside of the middleware that made the
//! reply, and replaced by an error page if one is configured.

use super::error_pages;
use super::local_reply::{LocalReply, ReplySource};
use super::reply::send_from_entry_point;
use super::request_record::RequestRecord;
use crate::config::snapshot::Frontend;
use crate::middleware::Response;
use crate::middleware::error_pages::ErrorPageRequest;
use crate::worker::message::stream::{ConnectionDisposition, MessageStream};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Sends a local reply that was made inside a frontend, or the error page that replaces it.
#[expect(clippy::too_many_arguments, reason = "the exchange's whole context, used once each")]
pub async fn send_from_frontend<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
    mut local_reply: LocalReply,
    source: ReplySource,
) -> ConnectionDisposition {
    match run_response_chain(worker, frontend, ctx, peer, &mut local_reply, source) {
        Some(page_request) => error_pages::serve(worker, frontend, &page_request, ctx, client, peer, record).await,
        None => send_from_entry_point(worker, ctx, client, peer, local_reply.reply, None).await,
    }
}

/// Runs the response side of the frontend's chains, innermost first. Returns the error page that replaces the reply, if there is one.
fn run_response_chain<D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
    local_reply: &mut LocalReply,
    source: ReplySource,
) -> Option<ErrorPageRequest> {
    let (request, info, state) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
    let (outer, inner, attempt) = (&frontend.outer, &frontend.inner, &frontend.attempt);
    let (below_outer, below_inner, below_attempt) = match source {
        ReplySource::Outer => (local_reply.chain_index, 0, 0),
        ReplySource::Inner => (outer.middlewares().len(), local_reply.chain_index, 0),
        ReplySource::Attempt | ReplySource::Gateway => {
            (outer.middlewares().len(), inner.middlewares().len(), local_reply.chain_index)
        }
    };
    let mut response = match source {
        ReplySource::Gateway => Response::Gateway(&mut local_reply.reply),
        _ => Response::Local(&mut local_reply.reply),
    };
    // Only the outer chain has error pages.
    let _ = attempt.on_response(below_attempt, &request, &mut response, &info, state);
    let _ = inner.on_response(below_inner, &request, &mut response, &info, state);
    outer.on_response(below_outer, &request, &mut response, &info, state).map(|(page, _)| page)
}
