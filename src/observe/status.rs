//! The proxy's own pages: ping, health, API, metrics and dashboard (docs/reference/metrics.md#prometheus, docs/reference/api.md#paths). Values in, bytes out.
//!
//! Two steps, because they belong to two moments: [`route`] is asked for every request of an entry point that carries these
//! pages, looks at the path only and allocates nothing; [`reply`] makes the page, from values that are gathered only then.

mod api;
mod dashboard;
mod health;

use std::borrow::Cow;

use super::metrics::{HealthTotals, ServerSample};
use crate::config::Rejected;
use crate::config::dynamic::Documents;
use crate::http::Reply;
pub use dashboard::Asset;

/// Which of the pages an entry point carries, and how it treats paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExposedRoutes {
    pub api: bool,
    pub dashboard: bool,
    pub ping: bool,
    pub metrics: bool,
    /// A path with one slash too many is left to the frontends instead of being redirected.
    pub keep_trailing_slash: bool,
    /// The deprecated `web.path`, with a slash at both ends; empty means `/`.
    pub base: String,
}

/// What the routing of a request to these pages looks at.
#[derive(Debug, Clone, Copy, Default)]
pub struct InternalRequest<'a> {
    pub method: &'a [u8],
    /// The target's path, as sent.
    pub path: &'a [u8],
    /// What stands behind the `?`, if there is one.
    pub query: Option<&'a [u8]>,
    /// The X-Forwarded-Prefix field: the path under which a proxy in front shows this one.
    pub forwarded_prefix: Option<&'a [u8]>,
}

/// A request that is answered here and not by a frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InternalRoute<'a> {
    Ping,
    Metrics,
    Health,
    Version,
    /// `/api` and `/api/providers`
    Providers,
    /// What stands behind `/api/providers/`: the path of one thing in a provider's configuration, still encoded.
    Provider(&'a [u8]),
    /// Ringway's own: what was left out of the configuration, and why.
    Rejected,
    /// Ringway's own: the servers with their health.
    Servers,
    /// Ringway's own: version, driver and its reason.
    Runtime,
    Dashboard(Asset),
    /// To the dashboard, under the client's prefix.
    ToDashboard,
    /// The path without its last slash.
    WithoutSlash,
}

impl InternalRoute<'_> {
    /// Ping is answered ahead of the entry point's white list and authentication, all else behind them (docs/reference/api.md#ping).
    pub fn is_guarded(&self) -> bool {
        !matches!(self, InternalRoute::Ping)
    }
}

/// The values behind the pages. Numbers that a page does not show may be left at their defaults.
#[derive(Clone, Copy)]
pub struct StatusInputs<'a> {
    /// What each provider published, after normalisation.
    pub providers: &'a Documents,
    pub rejected: &'a [Rejected],
    pub servers: &'a [ServerSample],
    pub version: &'a str,
    pub codename: &'a str,
    /// `io_uring` or `epoll`, and why it is that one.
    pub driver: &'a str,
    pub driver_reason: &'a str,
    /// The process is about to stop: ping says so.
    pub stopping: bool,
    pub health: HealthFacts<'a>,
    /// From [`Metrics::prometheus_text`](super::metrics::Metrics::prometheus_text); empty unless the page is [`Page::Metrics`].
    pub metrics_text: &'a [u8],
}

/// What `/health` tells.
#[derive(Clone, Copy)]
pub struct HealthFacts<'a> {
    pub pid: u32,
    /// How long the process runs.
    pub uptime_nanos: u64,
    /// Now, in nanoseconds since 1970.
    pub unix_nanos: u64,
    pub numbers: &'a HealthTotals,
}

/// Whether one of the pages answers this request; `None` leaves it to the frontends.
pub fn route<'a>(request: &InternalRequest<'a>, exposed: &ExposedRoutes) -> Option<InternalRoute<'a>> {
    if !matches!(request.method, b"GET" | b"HEAD") {
        return None;
    }
    let base = if exposed.base.is_empty() { "/" } else { &exposed.base };
    let rest = request.path.strip_prefix(base.as_bytes())?;
    if let Some(page) = page_at(rest, exposed) {
        return Some(page);
    }
    let bare = rest.strip_suffix(b"/")?;
    let redirects = !exposed.keep_trailing_slash && !bare.is_empty() && page_at(bare, exposed).is_some();
    redirects.then_some(InternalRoute::WithoutSlash)
}

/// The page's answer. Its body is that of a GET; for HEAD it stays unwritten, like any body.
pub fn reply(page: &InternalRoute, request: &InternalRequest, exposed: &ExposedRoutes, inputs: &StatusInputs) -> Reply {
    match *page {
        InternalRoute::Ping if inputs.stopping => plain(503, "Service Unavailable"),
        InternalRoute::Ping => plain(200, "OK"),
        InternalRoute::Metrics => {
            Reply { status: 200, body: Cow::Owned(inputs.metrics_text.to_vec()), ..Reply::default() }
                .with("Content-Type", &b"text/plain; version=0.0.4"[..])
        }
        InternalRoute::Health => json(health::body(&inputs.health)),
        InternalRoute::Version => json(api::version(inputs)),
        InternalRoute::Providers => json(api::providers(inputs.providers)),
        InternalRoute::Provider(path) => api::provider(inputs.providers, path).map_or_else(not_found, json),
        InternalRoute::Rejected => json(api::rejected(inputs.rejected)),
        InternalRoute::Servers => json(api::servers(inputs.servers)),
        InternalRoute::Runtime => json(api::runtime(inputs)),
        InternalRoute::Dashboard(asset) => dashboard::asset(asset),
        InternalRoute::ToDashboard => dashboard::redirect(request, exposed),
        InternalRoute::WithoutSlash => without_slash(request),
    }
}

/// Both steps at once.
pub fn respond(request: &InternalRequest, exposed: &ExposedRoutes, inputs: &StatusInputs) -> Option<Reply> {
    route(request, exposed).map(|page| reply(&page, request, exposed, inputs))
}

fn page_at<'a>(path: &'a [u8], exposed: &ExposedRoutes) -> Option<InternalRoute<'a>> {
    match path {
        b"ping" if exposed.ping => Some(InternalRoute::Ping),
        b"metrics" if exposed.metrics => Some(InternalRoute::Metrics),
        b"" | b"dashboard/status" if exposed.api && exposed.dashboard => Some(InternalRoute::ToDashboard),
        _ if !exposed.api => None,
        b"health" => Some(InternalRoute::Health),
        b"api" | b"api/providers" => Some(InternalRoute::Providers),
        b"api/version" => Some(InternalRoute::Version),
        b"api/rejected" => Some(InternalRoute::Rejected),
        b"api/servers" => Some(InternalRoute::Servers),
        b"api/runtime" => Some(InternalRoute::Runtime),
        _ => nested_page(path, exposed),
    }
}

fn nested_page<'a>(path: &'a [u8], exposed: &ExposedRoutes) -> Option<InternalRoute<'a>> {
    if let Some(provider) = path.strip_prefix(b"api/providers/") {
        return api::is_shaped(provider).then_some(InternalRoute::Provider(provider));
    }
    let file = path.strip_prefix(b"dashboard/").filter(|_| exposed.dashboard)?;
    Some(InternalRoute::Dashboard(Asset::of(file)))
}

/// Relative, as the router of Traefik redirects: the query stays.
fn without_slash(request: &InternalRequest) -> Reply {
    let bare = request.path.strip_suffix(b"/").unwrap_or(request.path);
    let mut location = bare.to_vec();
    if let Some(query) = request.query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    moved(301, "Moved Permanently", location)
}

/// A redirect with the small page that clients without redirects show.
fn moved(status: u16, phrase: &str, location: Vec<u8>) -> Reply {
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

fn plain(status: u16, text: &'static str) -> Reply {
    Reply::text(status, text)
}

fn json(body: Vec<u8>) -> Reply {
    Reply { status: 200, body: Cow::Owned(body), ..Reply::default() }
        .with("Content-Type", &b"application/json; charset=UTF-8"[..])
}

/// The standard answer of docs/reference/entry-points.md#entry-point-and-router.
fn not_found() -> Reply {
    Reply::text(404, "404 page not found\n").with("X-Content-Type-Options", &b"nosniff"[..])
}
