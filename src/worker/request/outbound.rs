//! Writes the head of a request to a server.

use super::trace;
use crate::config::snapshot::{Frontend, ServerEndpoint};
use crate::http::forward::{ForwardPlan, HostChoice, write_request};
use crate::http::{BodyFraming, RequestView};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Appends the request's head as this server gets it; `body` is the framing of the body.
pub fn write_request_head<D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    endpoint: &ServerEndpoint,
    ctx: &ExchangeContext,
    peer: &ClientInfo,
    body: BodyFraming,
    out: &mut Vec<u8>,
) {
    write_head(worker.shared.host_name.as_bytes(), frontend, endpoint, ctx, peer, body, out);
}

/// As [`write_request_head`]; `host_name` is the name of this machine.
#[inline]
pub fn write_head(
    host_name: &[u8],
    frontend: &Frontend,
    endpoint: &ServerEndpoint,
    ctx: &ExchangeContext,
    peer: &ClientInfo,
    body: BodyFraming,
    out: &mut Vec<u8>,
) {
    let view = RequestView { head: &ctx.head, bytes: &ctx.bytes, edits: &ctx.edits };
    let passes_host = frontend.pass_host && !ctx.head.host.is_empty();
    let plan = ForwardPlan {
        target: ctx.target(),
        host: if passes_host { HostChoice::Client } else { HostChoice::Given(endpoint.authority.as_bytes()) },
        client_ip: peer.ip_text.as_bytes(),
        secure: peer.secure,
        trusted: peer.trusted,
        server_name: host_name,
        body,
        upgrade: ctx.head.upgrade.is_forwarded(),
        // The proxy answers `Expect: 100-continue` itself: see `send_100_continue`.
        expect: false,
        extra: &[],
    };
    write_request(out, view, &plan);
    trace::append_fields(ctx, out);
}

/// Whether the request's method is idempotent: repeating the request has the same effect (RFC 9110 9.2.2).
#[inline]
pub fn is_idempotent(ctx: &ExchangeContext) -> bool {
    matches!(ctx.head.method.of(&ctx.bytes), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}
