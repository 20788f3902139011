//! Requests that the proxy answers itself, by path and ahead of every frontend: ACME challenges, ping, and behind the entry point's
//! white list and authentication the API, health, metrics and dashboard (docs/reference/acme.md#http-challenge, docs/reference/api.md#paths).

use super::chain::run_request_chain;
use crate::http::Reply;
use crate::observe::status::{self, InternalRequest, InternalRoute};
use crate::tls::challenge::ChallengeTable;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// The answer, if the request is one of those; they are neither logged nor counted.
pub async fn answer<D: Dial>(worker: &Worker<D>, ctx: &mut ExchangeContext, peer: &ClientInfo) -> Option<Reply> {
    let entry = &worker.shared.entry_points[peer.entry];
    if entry.serves_challenges
        && let Some(reply) = challenge(&worker.shared.challenges.load(), ctx)
    {
        return Some(reply);
    }
    let exposed = entry.exposed.as_ref()?;
    // Most requests of an entry point with pages are still for frontends: the path decides before anything is gathered.
    let is_guarded = status::route(&page_request(ctx), exposed).map(|page| page.is_guarded())?;
    if is_guarded
        && let Err(refusal) = run_request_chain(worker, &entry.internal_chain, entry.auth.as_deref(), ctx, peer).await
    {
        return Some(refusal.reply);
    }
    let request = page_request(ctx);
    let page = status::route(&request, exposed)?;
    Some(page_reply(worker, &page, &request, exposed))
}

fn page_request(ctx: &ExchangeContext) -> InternalRequest<'_> {
    let view = ctx.view();
    let target = view.target();
    let (path, query) = match memchr::memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    };
    InternalRequest { method: view.method(), path, query, forwarded_prefix: view.first(b"X-Forwarded-Prefix") }
}

fn page_reply<D: Dial>(
    worker: &Worker<D>,
    page: &InternalRoute<'_>,
    request: &InternalRequest<'_>,
    exposed: &status::ExposedRoutes,
) -> Reply {
    let shared = &worker.shared;
    let published = worker.snapshot();
    let unix_nanos = worker.clock.unix_nanos();
    let servers =
        if matches!(page, InternalRoute::Servers | InternalRoute::Metrics) { published.servers() } else { Vec::new() };
    let numbers = shared.metrics.health(unix_nanos / 1_000_000_000);
    let metrics_text = match page {
        InternalRoute::Metrics => shared.metrics_text(&servers, worker.clock.mono_nanos()),
        _ => Vec::new(),
    };
    let inputs = status::StatusInputs {
        providers: &published.snapshot.providers,
        rejected: &published.snapshot.rejected,
        servers: &servers,
        version: shared.version,
        codename: shared.codename,
        driver: worker.driver.name,
        driver_reason: &worker.driver.reason,
        stopping: worker.is_stopping(),
        health: status::HealthFacts {
            pid: std::process::id(),
            uptime_nanos: worker.clock.mono_nanos(),
            unix_nanos,
            numbers: &numbers,
        },
        metrics_text: &metrics_text,
    };
    status::reply(page, request, exposed, &inputs)
}

/// HTTP-01 (RFC 8555 8.3). An unknown token under a pending name is 404 at once; Traefik lets it wait for more than a minute.
fn challenge(table: &ChallengeTable, ctx: &ExchangeContext) -> Option<Reply> {
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
