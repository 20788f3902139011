//! Local replies from inside a frontend on their way out: through the chains outside the middleware that made them, and replaced by an error page
//! if one is configured.

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

/// Brings an answer from inside a frontend to the client.
#[expect(clippy::too_many_arguments, reason = "the exchange's whole context, used once each")]
pub async fn send_from_frontend<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
    mut refusal: LocalReply,
    depth: ReplySource,
) -> ConnectionDisposition {
    match run_response_chain(worker, frontend, ctx, peer, &mut refusal, depth) {
        Some(ask) => error_pages::serve(worker, frontend, &ask, ctx, client, peer, record).await,
        None => send_from_entry_point(worker, ctx, client, peer, refusal.reply, None).await,
    }
}

/// Through the frontend's chains, innermost first; gives the error page that takes the answer's place.
fn run_response_chain<D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
    refusal: &mut LocalReply,
    depth: ReplySource,
) -> Option<ErrorPageRequest> {
    let (request, info, state) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
    let (outer, guard, attempt) = (&frontend.outer, &frontend.inner, &frontend.attempt);
    let (below_outer, below_guard, below_attempt) = match depth {
        ReplySource::Outer => (refusal.chain_index, 0, 0),
        ReplySource::Inner => (outer.middlewares().len(), refusal.chain_index, 0),
        ReplySource::Attempt | ReplySource::Gateway => {
            (outer.middlewares().len(), guard.middlewares().len(), refusal.chain_index)
        }
    };
    let mut answer = match depth {
        ReplySource::Gateway => Response::Gateway(&mut refusal.reply),
        _ => Response::Local(&mut refusal.reply),
    };
    // Error pages stand in the outer chain only.
    let _ = attempt.on_response(below_attempt, &request, &mut answer, &info, state);
    let _ = guard.on_response(below_guard, &request, &mut answer, &info, state);
    outer.on_response(below_outer, &request, &mut answer, &info, state).map(|(page, _)| page)
}
