//! Handles a request from its head to its log line: internal routes, the entry point's chain, the route, the frontend's chains, then a
//! backend.

use std::sync::Arc;

use super::chain::run_request_chain;
use super::forward;
use super::frontend_reply::send_from_frontend;
use super::internal;
use super::local_reply::{LocalReply, ReplySource};
use super::reply::{send_from_entry_point, send_reply};
use super::request_id::ensure_request_id;
use super::request_record::RequestRecord;
use super::rest_api;
use super::route::{is_misdirected, misdirected, route};
use super::trace;
use crate::config::snapshot::{Frontend, Snapshot};
use crate::limits::Bound;
use crate::middleware::Middleware;
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
    if worker.shared.entry_points[peer.entry].request_id {
        ensure_request_id(ctx, peer.trusted);
    }
    let published = worker.snapshot();
    let mut record = RequestRecord::begin(worker, &published, ctx, peer);
    trace::begin(worker, ctx, peer);
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
    if is_misdirected(entry, snapshot, ctx, peer) {
        return Decision::Reply { local_reply: misdirected(), frontend: None, below: None };
    }
    if let Err(local_reply) = run_request_chain(worker, &entry.chain, entry.auth.as_deref(), ctx, peer).await {
        let below = Some(local_reply.chain_index);
        return Decision::Reply { local_reply, frontend: None, below };
    }
    let flattened = match &worker.host_resolver {
        None => None,
        Some(resolver) => resolver.flattened(ctx.view().host(), &worker.deadlines, worker.clock.mono_nanos()).await,
    };
    let frontend = match route(snapshot, ctx, peer, flattened.as_deref().unwrap_or_default()) {
        Ok(frontend) => frontend,
        Err(local_reply) => return Decision::Reply { local_reply, frontend: None, below: None },
    };
    trace::begin_frontend(worker, ctx, frontend);
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
