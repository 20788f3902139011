//! Sending local replies.

use super::gzip;
use crate::http::forward::{ReplyPlan, write_reply_head};
use crate::http::{BodyFraming, Reply};
use crate::limits::Bound;
use crate::middleware::Response;
use crate::worker::message::stream::{BodyReader, ConnectionDisposition, HeadKind, MessageStream, MessageWriter};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Sends a local reply through the response side of the entry point's chain. `below` is the index of the middleware that made the reply:
/// only the middlewares outside of it see the reply; all see it if `below` is `None`.
pub async fn send_from_entry_point<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    mut reply: Reply,
    below: Option<usize>,
) -> ConnectionDisposition {
    let chain = &worker.shared.entry_points[peer.entry].chain;
    if !chain.is_empty() {
        let below = below.unwrap_or(chain.middlewares().len());
        let (request, info, state) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
        let _ = chain.on_response(below, &request, &mut Response::Local(&mut reply), &info, state);
        gzip::compress_reply(&ctx.chain_state, &mut reply);
    }
    send_reply(worker, ctx, client, reply).await
}

/// Sends a local reply. The connection is closed behind it if the client may have sent more bytes that belong to the request: a body that
/// has not been read, or bytes of the protocol that it wanted to switch to. Those must not be read as a request.
pub async fn send_reply<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    client: &mut C,
    reply: Reply,
) -> ConnectionDisposition {
    let is_unread = ctx.head.upgrade.is_forwarded()
        || (ctx.head.body != BodyFraming::None && !ctx.body_read)
        || (ctx.head.upgrade.is_requested() && !client.split().0.is_quiet());
    let keep_alive = ctx.head.keep_alive && !is_unread && !reply.close && !worker.is_draining();
    let is_head = ctx.head.method.of(&ctx.bytes) == b"HEAD";
    let writer = client.split().1;
    let out = writer.head();
    let has_body = worker.clock.with_date(|date| {
        let plan = ReplyPlan { version: ctx.head.version, keep_alive, head_request: is_head, date: Some(date) };
        write_reply_head(out, &reply, &plan)
    });
    if let Some(log) = &worker.access_log {
        log.keep_head(out, worker.has_own_logs(), &mut ctx.response.sent_head);
    }
    let body = if has_body { &reply.body[..] } else { &[] };
    writer.head_complete(HeadKind::Final(BodyFraming::Length(body.len() as u64)));
    ctx.chain_state.release_permits();
    let sent = writer.send_body(body, !keep_alive, worker.stall()).await;
    match worker.timed(Bound::StalledBody, sent) {
        Ok(()) if keep_alive => ConnectionDisposition::KeepAlive,
        Ok(()) if is_unread => ConnectionDisposition::Linger,
        _ => ConnectionDisposition::Close,
    }
}
