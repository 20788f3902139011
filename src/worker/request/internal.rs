//! Internal routes, which the proxy answers itself, by path and before any frontend: ACME challenges and ping, and behind the entry point's
//! white list and authentication the API, health, metrics and dashboard (docs/reference/acme.md#http-challenge,
//! docs/reference/api.md#paths).

use super::chain::run_request_chain;
use super::explain;
use super::internal_request::{challenge, internal_request};
use crate::http::Reply;
use crate::observe::metrics::Format;
use crate::observe::status::{self, InternalRequest, InternalRoute};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// The reply, if the request is for an internal route. Such requests are neither in the access log nor in the metrics.
pub async fn answer<D: Dial>(worker: &Worker<D>, ctx: &mut ExchangeContext, peer: &ClientInfo) -> Option<Reply> {
    let entry = &worker.shared.entry_points[peer.entry];
    if entry.serves_challenges
        && let Some(reply) = challenge(&worker.shared.challenges.load(), ctx)
    {
        return Some(reply);
    }
    let exposed = entry.exposed.as_ref()?;
    // Most requests of an entry point with internal routes are still for frontends: the path is checked before anything else.
    let is_guarded = status::route(&internal_request(ctx), exposed).map(|route| route.is_guarded())?;
    if is_guarded
        && let Err(local_reply) =
            run_request_chain(worker, &entry.internal_chain, entry.auth.as_deref(), ctx, peer).await
    {
        return Some(local_reply.reply);
    }
    let request = internal_request(ctx);
    let route = status::route(&request, exposed)?;
    if route == InternalRoute::Explain {
        let query = request.query.unwrap_or_default().to_vec();
        return Some(Box::pin(explain::answer(worker, query)).await);
    }
    Some(internal_reply(worker, &route, &request, exposed))
}

#[cold]
fn internal_reply<D: Dial>(
    worker: &Worker<D>,
    route: &InternalRoute<'_>,
    request: &InternalRequest<'_>,
    exposed: &status::ExposedRoutes,
) -> Reply {
    let shared = &worker.shared;
    let published = worker.snapshot();
    let unix_nanos = worker.clock.unix_nanos();
    let servers =
        if matches!(route, InternalRoute::Servers | InternalRoute::Metrics) { published.servers() } else { Vec::new() };
    let numbers = shared.metrics.health(unix_nanos / 1_000_000_000);
    let metrics_page = match route {
        InternalRoute::Metrics => shared.metrics_page(&servers, Format::of(request.accept)),
        _ => Vec::new(),
    };
    let protocols = match route {
        InternalRoute::Protocols => shared.protocol_facts(),
        _ => status::ProtocolFacts::default(),
    };
    let certificates = shared.metrics.certificates();
    let inputs = status::StatusInputs {
        providers: &published.snapshot.providers,
        rejected: &published.snapshot.rejected,
        servers: &servers,
        certificates: &certificates,
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
        protocols: &protocols,
        open: shared.metrics.open_connections(shared.connections() as u64),
        traffic: shared.metrics.traffic(),
        metrics_page: &metrics_page,
    };
    status::reply(route, request, exposed, &inputs)
}
