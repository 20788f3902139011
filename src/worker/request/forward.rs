//! Forwards a request to its backend: picks servers and makes attempts until one responds. Another server is tried if the first never got
//! the request, or if the request may be sent again.

use super::attempt::{AttemptOutcome, attempt, is_repeatable};
use super::attempt_error::AttemptError;
use super::buffered;
use super::error_pages;
use super::frontend_reply::send_from_frontend;
use super::reply::send_reply;
use super::request_record::RequestRecord;
use super::retry_state::{AttemptTarget, FinalReply, RetryState};
use super::trace;
use super::upgrade::ignore_upgrade;
use crate::config::snapshot::Frontend;
use crate::http::BodyFraming;
use crate::worker::message::stream::{ConnectionDisposition, MessageStream};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Forwards the request in `ctx`, and sends the client a response or, if no server responds, a local reply.
pub async fn forward<'s, C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    frontend: &'s Frontend,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    record: &mut RequestRecord<'s>,
) -> ConnectionDisposition {
    let backend = &frontend.backend;
    record.frontend(frontend);
    if let Some(slow) = &frontend.slow
        && let Some(buffering) = &slow.buffering
        && !(ctx.head.upgrade.is_forwarded() && ctx.head.body == BodyFraming::None)
    {
        ignore_upgrade(&mut ctx.head);
        return Box::pin(buffered::forward(worker, frontend, buffering, ctx, client, peer, record)).await;
    }
    let mut retries = RetryState::new(AttemptTarget::of(frontend), ctx);
    loop {
        let lease = match retries.next(worker, ctx, peer, || record.retried()).await {
            Ok(lease) => lease,
            Err(final_reply) => {
                return Box::pin(send_final_reply(worker, frontend, ctx, client, peer, record, final_reply)).await;
            }
        };
        let endpoint = &backend.endpoints[lease.index];
        record.endpoint(endpoint, worker);
        trace::begin_attempt(worker, ctx, frontend, endpoint);
        let cookie = backend.balancer.set_cookie(&lease);
        ctx.response.is_probe = lease.is_probe;
        match attempt(worker, frontend, endpoint, cookie.as_deref(), ctx, client, peer, record).await {
            Ok(outcome) => {
                backend.balancer.record(&lease, record.status(), worker.clock.mono_nanos());
                return match outcome {
                    AttemptOutcome::Done(end) => end,
                    AttemptOutcome::ErrorPage(page_request) => {
                        trace::ended(worker, ctx, record.status());
                        Box::pin(error_pages::serve(worker, frontend, &page_request, ctx, client, peer, record)).await
                    }
                };
            }
            Err(AttemptError::Downstream(reply)) => {
                record.client_failed(reply.as_ref());
                let Some(reply) = reply else { return ConnectionDisposition::Close };
                return Box::pin(send_reply(worker, ctx, client, reply.closing())).await;
            }
            Err(AttemptError::Truncated) => {
                record.client_failed(None);
                return ConnectionDisposition::Abort;
            }
            Err(AttemptError::StaleConnection(error)) => {
                ctx.response.repeated = true;
                trace::failed(worker, ctx, &error);
                retries.on_stale(&lease, error);
            }
            Err(AttemptError::Refused(error)) => {
                trace::failed(worker, ctx, &error);
                retries.on_refused(&lease, error);
            }
            Err(AttemptError::Upstream(error)) => {
                trace::failed(worker, ctx, &error);
                worker.log_upstream_error(frontend, endpoint, &error, trace::ids(ctx));
                worker.note_failure(ctx, &error);
                backend.balancer.record(&lease, error.answer().0, worker.clock.mono_nanos());
                let repeatable = !error.is_unsent() && !ctx.response.repeated && is_repeatable(ctx, &error);
                ctx.response.repeated |= repeatable;
                if !retries.on_failure(&lease, error, repeatable) {
                    let final_reply = retries.final_reply();
                    return Box::pin(send_final_reply(worker, frontend, ctx, client, peer, record, final_reply)).await;
                }
            }
        }
    }
}

/// Sends the local reply after the last attempt.
async fn send_final_reply<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
    final_reply: FinalReply,
) -> ConnectionDisposition {
    let FinalReply { local_reply, source } = final_reply;
    record.final_reply(&local_reply, source);
    send_from_frontend(worker, frontend, ctx, client, peer, record, local_reply, source).await
}
