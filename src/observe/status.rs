//! The internal routes: ping, health, API, metrics and dashboard (docs/reference/metrics.md#prometheus, docs/reference/api.md#paths).
//!
//! Routing and replying are two functions: [`route`] runs for every request of an entry point with internal routes, reads only
//! method and path and allocates nothing; [`reply`] builds the reply, from values that the caller gathers only for such a request.

mod api;
mod containers;
mod dashboard;
mod health;
mod history;
mod http2;
mod recent;

use std::borrow::Cow;

use super::certificates::CertificateState;
use super::explanation::Explanation;
use super::go_json::to_json;
use super::metrics::{Format, HealthTotals, OpenConnections, ServerSample};
use super::traffic::Traffic;
use crate::config::Rejected;
use crate::config::dynamic::Documents;
use crate::http::Reply;
pub use dashboard::Asset;
pub use http2::ProtocolFacts;

/// The internal routes that an entry point exposes, and how it treats their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExposedRoutes {
    pub api: bool,
    pub dashboard: bool,
    pub ping: bool,
    pub metrics: bool,
    /// Leaves a path with one slash too many at its end to the frontends instead of redirecting it.
    pub keep_trailing_slash: bool,
    /// The deprecated `web.path`, which should have a slash at both ends; empty means `/`.
    pub base: String,
}

/// The parts of a request that select an internal route.
#[derive(Debug, Clone, Copy, Default)]
pub struct InternalRequest<'a> {
    pub method: &'a [u8],
    /// The target's path, as sent.
    pub path: &'a [u8],
    /// The target's query without the `?`; `None` without a `?`.
    pub query: Option<&'a [u8]>,
    /// The X-Forwarded-Prefix field: the path below which a proxy in front of this one exposes it.
    pub forwarded_prefix: Option<&'a [u8]>,
    /// The Accept field: a scraper chooses the format of its page.
    pub accept: Option<&'a [u8]>,
}

/// An internal route: a path that the proxy answers itself, ahead of every frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InternalRoute<'a> {
    Ping,
    Metrics,
    Health,
    Version,
    /// `/api` and `/api/providers`
    Providers,
    /// The part of the path behind `/api/providers/`, still percent-encoded: it names an object in a provider's configuration.
    Provider(&'a [u8]),
    /// `/api/rejected`, Ringway's own: the objects of the configuration that are not applied, or applied in part, and why.
    Rejected,
    /// `/api/explain`, Ringway's own: what the proxy would do with a request. The worker answers it.
    Explain,
    /// `/api/servers`, Ringway's own: the servers with their health.
    Servers,
    /// `/api/runtime`, Ringway's own: version, driver and the reason for the driver.
    Runtime,
    /// `/api/ringway/certificates`, Ringway's own: the states of all certificates.
    Certificates,
    /// `/api/http2`, Ringway's own: the counters of HTTP/2.
    Protocols,
    /// `/api/history`, Ringway's own: the traffic of the last fifteen minutes.
    History,
    /// `/api/containers`, Ringway's own: all containers with their states.
    Containers,
    /// `/api/errors`, Ringway's own: the recent errors with their causes.
    Errors,
    /// `/api/connections`, Ringway's own: open connections by protocol.
    Connections,
    Dashboard(Asset),
    /// A redirect to the dashboard, below the prefix of X-Forwarded-Prefix.
    ToDashboard,
    /// A redirect to the path without its last slash.
    WithoutSlash,
}

impl InternalRoute<'_> {
    /// Whether the entry point's white list and authentication guard the route: all routes but ping (docs/reference/api.md#ping).
    pub fn is_guarded(&self) -> bool {
        !matches!(self, InternalRoute::Ping)
    }
}

/// The values that the replies show. Values that the requested route does not show may be left at their defaults.
#[derive(Clone, Copy)]
pub struct StatusInputs<'a> {
    /// The configuration of each provider, after defaults.
    pub providers: &'a Documents,
    pub rejected: &'a [Rejected],
    pub servers: &'a [ServerSample],
    pub certificates: &'a [CertificateState],
    pub version: &'a str,
    pub codename: &'a str,
    /// `io_uring` or `epoll`; `driver_reason` says why.
    pub driver: &'a str,
    pub driver_reason: &'a str,
    /// Whether the process is shutting down: ping then replies 503.
    pub stopping: bool,
    pub health: HealthFacts<'a>,
    pub protocols: &'a ProtocolFacts,
    pub open: OpenConnections,
    /// The live traffic; `None` without `[api]`.
    pub traffic: Option<&'a Traffic>,
    /// From [`Metrics::prometheus_page`](super::metrics::Metrics::prometheus_page); empty unless the route is
    /// [`InternalRoute::Metrics`].
    pub metrics_page: &'a [u8],
}

/// The values that `/health` shows.
#[derive(Clone, Copy)]
pub struct HealthFacts<'a> {
    pub pid: u32,
    /// The age of the process.
    pub uptime_nanos: u64,
    /// Now, in nanoseconds since 1970.
    pub unix_nanos: u64,
    pub numbers: &'a HealthTotals,
}

/// The internal route of a request; `None` leaves the request to the frontends.
pub fn route<'a>(request: &InternalRequest<'a>, exposed: &ExposedRoutes) -> Option<InternalRoute<'a>> {
    if !matches!(request.method, b"GET" | b"HEAD") {
        return None;
    }
    let base = if exposed.base.is_empty() { "/" } else { &exposed.base };
    let rest = request.path.strip_prefix(base.as_bytes())?;
    if let Some(route) = route_at(rest, exposed) {
        return Some(route);
    }
    let trimmed = rest.strip_suffix(b"/")?;
    let redirects = !exposed.keep_trailing_slash && !trimmed.is_empty() && route_at(trimmed, exposed).is_some();
    redirects.then_some(InternalRoute::WithoutSlash)
}

/// The reply of an internal route. The reply has the body of a GET; the caller does not send it for HEAD, as with any body.
pub fn reply(
    route: &InternalRoute,
    request: &InternalRequest,
    exposed: &ExposedRoutes,
    inputs: &StatusInputs,
) -> Reply {
    match *route {
        InternalRoute::Ping if inputs.stopping => text(503, "Service Unavailable"),
        InternalRoute::Ping => text(200, "OK"),
        InternalRoute::Metrics => {
            Reply { status: 200, body: Cow::Owned(inputs.metrics_page.to_vec()), ..Reply::default() }
                .with("Content-Type", Format::of(request.accept).content_type().as_bytes())
        }
        InternalRoute::Health => json(health::body(&inputs.health)),
        InternalRoute::Version => json(api::version(inputs)),
        InternalRoute::Providers => json(api::providers(inputs.providers)),
        InternalRoute::Provider(path) => api::provider(inputs.providers, path).map_or_else(not_found, json),
        InternalRoute::Rejected => json(api::rejected(inputs.rejected)),
        InternalRoute::Servers => json(api::servers(inputs.servers)),
        InternalRoute::Runtime => json(api::runtime(inputs)),
        InternalRoute::Protocols => json(http2::body(inputs.protocols)),
        InternalRoute::Certificates => json(to_json(inputs.certificates)),
        InternalRoute::Connections => json(recent::connections(&inputs.open)),
        InternalRoute::History | InternalRoute::Containers | InternalRoute::Errors => live(route, request, inputs),
        InternalRoute::Dashboard(asset) => dashboard::asset(asset),
        InternalRoute::ToDashboard => dashboard::redirect_to_dashboard(request, exposed),
        InternalRoute::WithoutSlash => redirect_without_slash(request),
        InternalRoute::Explain => not_found(),
    }
}

/// The reply of a route that shows live traffic.
fn live(route: &InternalRoute, request: &InternalRequest, inputs: &StatusInputs) -> Reply {
    let Some(traffic) = inputs.traffic else { return not_found() };
    match route {
        InternalRoute::History => {
            history::body(traffic, request.query.unwrap_or_default()).map_or_else(not_found, json)
        }
        InternalRoute::Containers => json(containers::body(&traffic.containers(), inputs.providers, inputs.rejected)),
        _ => json(recent::errors(traffic)),
    }
}

fn route_at<'a>(path: &'a [u8], exposed: &ExposedRoutes) -> Option<InternalRoute<'a>> {
    match path {
        b"ping" if exposed.ping => Some(InternalRoute::Ping),
        b"metrics" if exposed.metrics => Some(InternalRoute::Metrics),
        b"" | b"dashboard/status" if exposed.api && exposed.dashboard => Some(InternalRoute::ToDashboard),
        _ if !exposed.api => None,
        b"health" => Some(InternalRoute::Health),
        b"api" | b"api/providers" => Some(InternalRoute::Providers),
        b"api/version" => Some(InternalRoute::Version),
        b"api/rejected" => Some(InternalRoute::Rejected),
        b"api/explain" => Some(InternalRoute::Explain),
        b"api/servers" => Some(InternalRoute::Servers),
        b"api/runtime" => Some(InternalRoute::Runtime),
        b"api/http2" => Some(InternalRoute::Protocols),
        b"api/history" => Some(InternalRoute::History),
        b"api/containers" => Some(InternalRoute::Containers),
        b"api/errors" => Some(InternalRoute::Errors),
        b"api/connections" => Some(InternalRoute::Connections),
        b"api/ringway/certificates" => Some(InternalRoute::Certificates),
        _ => nested_route(path, exposed),
    }
}

fn nested_route<'a>(path: &'a [u8], exposed: &ExposedRoutes) -> Option<InternalRoute<'a>> {
    if let Some(provider) = path.strip_prefix(b"api/providers/") {
        return api::is_provider_path(provider).then_some(InternalRoute::Provider(provider));
    }
    let file = path.strip_prefix(b"dashboard/").filter(|_| exposed.dashboard)?;
    Some(InternalRoute::Dashboard(Asset::of(file)))
}

/// Redirects to the path without its last slash, as Traefik's router does: by path, without scheme and host, and with the query.
fn redirect_without_slash(request: &InternalRequest) -> Reply {
    let trimmed = request.path.strip_suffix(b"/").unwrap_or(request.path);
    let mut location = trimmed.to_vec();
    if let Some(query) = request.query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    redirect(301, "Moved Permanently", location)
}

/// A redirect with the short HTML body that clients show if they do not follow redirects.
fn redirect(status: u16, phrase: &str, location: Vec<u8>) -> Reply {
    let mut body = b"<a href=\"".to_vec();
    for &byte in &location {
        match byte {
            b'"' => body.extend_from_slice(b"&#34;"),
            b'\'' => body.extend_from_slice(b"&#39;"),
            b'&' => body.extend_from_slice(b"&amp;"),
            b'<' => body.extend_from_slice(b"&lt;"),
            b'>' => body.extend_from_slice(b"&gt;"),
            other => body.push(other),
        }
    }
    body.extend_from_slice(b"\">");
    body.extend_from_slice(phrase.as_bytes());
    body.extend_from_slice(b"</a>.\n\n");
    Reply { status, body: Cow::Owned(body), ..Reply::default() }
        .with("Content-Type", &b"text/html; charset=utf-8"[..])
        .with("Location", location)
}

/// The reply with an explanation.
pub fn explanation(explanation: &Explanation) -> Reply {
    json(to_json(explanation))
}

fn text(status: u16, body: &'static str) -> Reply {
    Reply::text(status, body)
}

fn json(body: Vec<u8>) -> Reply {
    Reply { status: 200, body: Cow::Owned(body), ..Reply::default() }
        .with("Content-Type", &b"application/json; charset=UTF-8"[..])
}

/// The standard 404 reply of docs/reference/entry-points.md#entry-point-and-router.
fn not_found() -> Reply {
    Reply::text(404, "404 page not found\n").with("X-Content-Type-Options", &b"nosniff"[..])
}
