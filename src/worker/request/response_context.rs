//! The parts of a request that its response needs, and the response side of the chains.

use std::cell::Cell;

use crate::config::snapshot::Frontend;
use crate::http::forward::{ResponsePlan, write_response};
use crate::http::{BodyFraming, Edits, RequestHead, ResponseView};
use crate::middleware::error_pages::ErrorPageRequest;
use crate::middleware::{Chain, ChainState, Request, RequestInfo, Response};
use crate::worker::message::stream::{HeadKind, MessageWriter};
use crate::worker::resources::client_info::{ClientInfo, fill_random, unmap_ipv4};
use crate::worker::resources::context::{PathRewrite, UpstreamResponse};
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// The request of a response, borrowed separately from the request's body, which may still be in transfer.
pub struct ResponseContext<'a> {
    pub head: &'a RequestHead,
    pub bytes: &'a [u8],
    pub edits: &'a mut Edits,
    pub chain_state: &'a mut ChainState,
    /// The target after the path modifiers, if they changed it.
    pub target: Option<&'a Vec<u8>>,
    pub path: &'a PathRewrite,
    pub peer: &'a ClientInfo,
    /// The sticky cookie that this response sets.
    pub cookie: Option<&'a str>,
    /// The request's body has been sent whole.
    pub request_sent: &'a Cell<bool>,
    /// Sending the response to the client has begun: no local reply may be sent any more.
    pub response_started: &'a Cell<bool>,
}

/// The result of forwarding a response.
pub struct ResponseOutcome {
    /// The client has all of the response, and its connection may carry another request.
    pub keep_alive: bool,
    /// The server's connection may carry another request, if the request has been sent whole.
    pub upstream_ok: bool,
    /// The response was 101: both connections are a tunnel from now on.
    pub upgraded: bool,
    /// The client got part of a body that only the connection's end delimits.
    pub is_cut: bool,
    /// Nothing has been sent to the client: this error page replaces the response.
    pub page: Option<ErrorPageRequest>,
}

/// Writes the response's head, with `outgoing` as the framing of the body. Returns whether the client's connection may carry another
/// request.
pub fn write_response_head<W: MessageWriter, D: Dial>(
    worker: &Worker<D>,
    context: &ResponseContext<'_>,
    response: &mut UpstreamResponse,
    outgoing: BodyFraming,
    writer: &mut W,
) -> bool {
    // Bytes that the client sent ahead of the response may be of the protocol that it asked for: they must not be read as a request.
    let has_sent_ahead = context.head.upgrade.is_requested() && context.peer.has_sent_ahead.get();
    let keep_alive = context.head.keep_alive
        && context.request_sent.get()
        && outgoing != BodyFraming::UntilClose
        && !has_sent_ahead
        && !worker.is_draining();
    let out = writer.head();
    worker.clock.with_date(|date| {
        let view = ResponseView { head: &response.head, bytes: &response.bytes, edits: &response.edits };
        let client_version = context.head.version;
        write_response(out, view, &ResponsePlan { client_version, keep_alive, body: outgoing, date: Some(date) });
    });
    if let Some(log) = &worker.access_log {
        log.keep_head(out, worker.has_own_logs(), &mut response.sent_head);
    }
    writer.head_complete(HeadKind::Final(outgoing));
    keep_alive
}

/// Runs the response side of all chains, innermost middleware first. Returns the error page that replaces the response, if there is one.
pub fn run_response_chain<D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    context: &mut ResponseContext<'_>,
    response: &mut UpstreamResponse,
) -> Option<ErrorPageRequest> {
    let entry = &worker.shared.entry_points[context.peer.entry].chain;
    let chains: [&Chain; 4] = [&frontend.attempt, &frontend.inner, &frontend.outer, entry];
    if chains.iter().all(|chain| chain.is_empty()) {
        return None;
    }
    let original_target = context.head.target.of(context.bytes);
    let info = RequestInfo {
        peer: unmap_ipv4(context.peer.address.ip()),
        peer_port: context.peer.address.port(),
        secure: context.peer.secure,
        trusted: context.peer.trusted,
        proxies: worker.proxies(context.peer),
        now: worker.now(),
        target: context.target.map_or(original_target, Vec::as_slice),
        original_target,
        path_replaced: context.path.replaced,
        added_prefix: &context.path.added_prefix,
        client_certs: &context.peer.certs,
        random: fill_random,
    };
    let request = Request { head: context.head, bytes: context.bytes, edits: context.edits };
    let mut received = Response::Backend { head: &response.head, bytes: &response.bytes, edits: &mut response.edits };
    chains.iter().find_map(|chain| {
        let page = chain.on_response(chain.middlewares().len(), &request, &mut received, &info, context.chain_state);
        page.map(|(page, _)| page)
    })
}
