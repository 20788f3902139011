//! Decides which frontends pass on connections or datagrams instead of requests, and whether they can (docs/reference/layer4.md): those with
//! a `HostSNI` rule, and those with `tcp://` or `udp://` servers.

use super::EntryPointInfo;
use crate::backend::Scheme;
use crate::config::dynamic::{self, DynamicConfig};
use crate::diagnostics::{Code, Diagnostic};
use crate::rule::sni::{self, SniRule};

/// Kind of a frontend, by what it passes on.
#[derive(Debug)]
pub enum Layer {
    /// Requests.
    Http,
    /// Connections, those that the rule takes.
    Tcp(SniRule),
    /// Datagrams.
    Udp,
}

/// Decides by rule, servers and entry points what a frontend passes on. `has_udp` says whether one of its entry points is a UDP one: it
/// decides for a backend without servers.
///
/// # Errors
/// A `HostSNI` rule that cannot be parsed, and rules and servers that do not fit together.
pub fn layer(document: &DynamicConfig, written: &dynamic::Frontend, has_udp: bool) -> Result<Layer, Diagnostic> {
    let rules: Vec<&str> = written.routes.values().map(|route| route.rule.as_str()).collect();
    let sni = SniRule::parse_all(&rules)?;
    let scheme = server_scheme(document, written);
    match (sni, scheme) {
        (Some(rule), Some(Scheme::Udp)) => udp_rule(Some(rule)),
        (Some(rule), None) if has_udp => udp_rule(Some(rule)),
        (Some(rule), Some(Scheme::Tcp) | None) => Ok(Layer::Tcp(rule)),
        (Some(_), Some(scheme)) => Err(mismatch(format!(
            "its rule is one of TCP, and backend {} has {}:// servers: write tcp://host:port, or a Host rule",
            written.backend,
            scheme.as_str()
        ))),
        (None, Some(Scheme::Udp)) if written.routes.is_empty() => udp_rule(None),
        (None, None) if has_udp && written.routes.is_empty() => udp_rule(None),
        (None, Some(Scheme::Udp)) => {
            let backend = &written.backend;
            Err(mismatch(format!("backend {backend} has udp:// servers: remove the rule, datagrams have no name")))
        }
        (None, Some(Scheme::Tcp)) => Err(mismatch(format!(
            "backend {} has tcp:// servers: write a HostSNI rule, or http:// for an HTTP server",
            written.backend
        ))),
        (None, _) => Ok(Layer::Http),
    }
}

/// A rule that does not fit the servers.
fn mismatch(text: String) -> Diagnostic {
    Diagnostic::new(Code::LayerMismatch, "routes", text)
}

fn udp_rule(rule: Option<SniRule>) -> Result<Layer, Diagnostic> {
    match rule {
        Some(rule) if rule.needs_name() => {
            Err(mismatch("datagrams have no name: remove the rule, or write HostSNI:*".to_owned()))
        }
        _ => Ok(Layer::Udp),
    }
}

/// The scheme of the first server of the frontend's backend, if it has one.
fn server_scheme(document: &DynamicConfig, written: &dynamic::Frontend) -> Option<Scheme> {
    let backend = document.backends.get(&written.backend)?;
    backend.servers.values().find_map(|server| Scheme::parse(server.url.split_once("://")?.0))
}

/// Returns those of the entry points that can have the frontend. The others are reported.
///
/// # Errors
/// None can.
pub fn suitable_entry_points(
    layer: &Layer,
    written: &dynamic::Frontend,
    entries: Vec<usize>,
    entry_points: &[EntryPointInfo],
    warnings: &mut Vec<Diagnostic>,
) -> Result<Vec<usize>, Diagnostic> {
    if entries.is_empty() {
        return Err(Diagnostic::new(Code::NoEntryPoint, "entryPoints", no_entry_point(layer)));
    }
    let problem = |entry: &usize| entry_point_problem(layer, written, &entry_points[*entry]);
    let problems: Vec<String> = entries.iter().filter_map(problem).collect();
    if problems.len() == entries.len() {
        return Err(unsuitable(problems.join("; ")));
    }
    warnings.extend(problems.into_iter().map(|problem| unsuitable(format!("{problem}; frontend rejected there"))));
    Ok(entries.into_iter().filter(|entry| problem(entry).is_none()).collect())
}

fn unsuitable(text: String) -> Diagnostic {
    Diagnostic::new(Code::EntryPointMismatch, "entryPoints", text)
}

/// Why a frontend that names no entry point has none.
fn no_entry_point(layer: &Layer) -> &'static str {
    match layer {
        Layer::Http => "no default entry point takes requests: name one in entryPoints",
        Layer::Tcp(rule) if rule.is_catch_all() => {
            "HostSNI:* takes every connection, so that it gets no default entry point: name one in entryPoints"
        }
        Layer::Tcp(_) => {
            "no default entry point has TLS, without which connections have no name: name one in entryPoints"
        }
        Layer::Udp => "a UDP frontend gets no default entry point: name one whose address ends in /udp in entryPoints",
    }
}

/// Kind of entry points that a frontend gets if it names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultEntryPoints {
    /// Entry points for requests.
    Http,
    /// Entry points on which connections have names.
    WithTls,
    /// No entry point: the frontend would take all that arrives there.
    None,
}

/// The default entry points that suit a frontend.
pub fn default_entry_points(document: &DynamicConfig, written: &dynamic::Frontend) -> DefaultEntryPoints {
    match sni::has_catch_all(written.routes.values().map(|route| route.rule.as_str())) {
        Some(false) => DefaultEntryPoints::WithTls,
        Some(true) => DefaultEntryPoints::None,
        None => match server_scheme(document, written) {
            Some(scheme) if scheme.is_layer4() => DefaultEntryPoints::None,
            _ => DefaultEntryPoints::Http,
        },
    }
}

/// The reason why a frontend cannot be on an entry point.
fn entry_point_problem(layer: &Layer, written: &dynamic::Frontend, entry: &EntryPointInfo) -> Option<String> {
    let name = &entry.name;
    match layer {
        Layer::Http if entry.is_udp => {
            Some(format!("entry point {name} is one of UDP and takes no requests: name another one"))
        }
        Layer::Udp if !entry.is_udp => Some(format!(
            "entry point {name} is one of TCP and takes no datagrams: name one whose address ends in /udp"
        )),
        Layer::Tcp(_) if entry.is_udp => {
            Some(format!("entry point {name} is one of UDP and takes no connections: name another one"))
        }
        Layer::Tcp(_) if written.passthrough && !entry.has_tls => Some(format!(
            "passthrough needs an entry point with TLS, and {name} has none: remove passthrough, or add TLS"
        )),
        Layer::Tcp(rule) if !rule.is_catch_all() && !entry.has_tls => Some(format!(
            "entry point {name} has no TLS, so that no connection there has a name: write HostSNI:*, or add TLS"
        )),
        Layer::Http | Layer::Tcp(_) | Layer::Udp => None,
    }
}

/// The options of a frontend and its backend that only requests can have. A connection would pass without them, so they reject it.
pub fn http_options(written: &dynamic::Frontend, backend: &dynamic::Backend) -> Vec<&'static str> {
    let set = [
        ("auth", written.auth.is_some()),
        ("basicAuth", !written.basic_auth.is_empty()),
        ("errors", !written.errors.is_empty()),
        ("headers", written.headers.is_some()),
        ("passTLSCert", written.pass_tls_cert),
        ("passTLSClientCert", written.pass_tls_client_cert.is_some()),
        ("ratelimit", written.rate_limit.as_ref().is_some_and(|limit| !limit.rate_set.is_empty())),
        ("redirect", written.redirect.is_some()),
        ("buffering (backend)", backend.buffering.is_some()),
        ("circuitbreaker (backend)", backend.circuit_breaker.is_some()),
    ];
    set.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}
