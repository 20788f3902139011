//! Recognises the requests that the proxy answers itself: those for internal routes, and ACME challenges.

use crate::http::Reply;
use crate::observe::status::InternalRequest;
use crate::tls::challenge::ChallengeTable;
use crate::worker::resources::context::ExchangeContext;

/// The parts of the request that select an internal route.
pub fn internal_request(ctx: &ExchangeContext) -> InternalRequest<'_> {
    let view = ctx.view();
    let target = view.target();
    let (path, query) = match memchr::memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    };
    InternalRequest {
        method: view.method(),
        path,
        query,
        forwarded_prefix: view.first(b"X-Forwarded-Prefix"),
        accept: view.first(b"Accept"),
    }
}

/// The reply to an HTTP-01 challenge (RFC 8555 8.3). An unknown token under a pending name gets 404 at once; Traefik delays that reply for
/// more than a minute.
pub fn challenge(table: &ChallengeTable, ctx: &ExchangeContext) -> Option<Reply> {
    if table.is_empty() || ctx.head.method.of(&ctx.bytes) != b"GET" {
        return None;
    }
    let path = std::str::from_utf8(ctx.head.target.of(&ctx.bytes)).ok()?;
    if !ChallengeTable::is_challenge_path(path) {
        return None;
    }
    let host = std::str::from_utf8(ctx.head.host.of(&ctx.bytes)).ok()?;
    let host = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    Some(match table.answer(path, host) {
        Some(authorisation) => Reply::text(200, authorisation.to_owned()),
        None => Reply { status: 404, ..Reply::default() },
    })
}
