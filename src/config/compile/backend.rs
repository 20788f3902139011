//! Compiles a backend: its servers, its balancer and its health check.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::{CompileContext, EndpointInterner, PoolKind};
use crate::backend::health::{HealthOptions, INTERVAL_MIN, interval_is_usable};
use crate::backend::sticky::{OLD_COOKIE_NAME, cookie_name};
use crate::backend::{
    BackendState, BalanceMethod, Balancer, BalancerSettings, HealthCheck, Scheme, Server, ServerUrl, StickyCookie,
    effective_weight,
};
use crate::config::duration::GoDuration;
use crate::config::dynamic;
use crate::config::snapshot::{Backend, ServerEndpoint, ServerProtocol, ServerTls, TlsConfigs};
use crate::detect::ProxyVersion;
use crate::diagnostics::{Code, Diagnostic};

/// Compiles one backend. The texts are warnings about parts that are ignored or replaced while the rest is applied.
///
/// # Errors
/// A server that cannot be used: every frontend of the backend is rejected.
pub fn backend(
    ctx: &CompileContext,
    provider: &str,
    name: &str,
    written: &dynamic::Backend,
    number: usize,
    before: Option<&Arc<Backend>>,
    interner: &mut EndpointInterner,
) -> Result<(Backend, Vec<Diagnostic>), Diagnostic> {
    let mut warnings = Vec::new();
    let urls = written.servers.values().map(|server| server.url.as_str());
    let state = BackendState::carry(before.map(|b| &b.state), urls);
    let mut servers = Vec::new();
    for (id, server) in written.servers.iter() {
        let key = |option: &str| format!("backends.{name}.servers.{id}.{option}");
        let url = ServerUrl::parse(&server.url).map_err(|e| {
            Diagnostic::new(Code::InvalidServerUrl, key("url"), format!("server {id} of backend {name}: {e}"))
        })?;
        warnings.extend(url_problem(ctx, name, id, &url).map(|text| Diagnostic::new(text.0, key("url"), text.1)));
        let weight = effective_weight(server.weight, ctx.allow_min_weight_zero).ok_or_else(|| {
            let text = format!("server {id} of backend {name} has the weight {}: write 0 or more", server.weight);
            Diagnostic::new(Code::InvalidWeight, key("weight"), text)
        })?;
        servers.push(Server { name: id.clone(), url, weight, state: state.server(&server.url) });
    }
    reject_mixed(name, &servers)?;
    let proxy_protocol = proxy_protocol(written, name)?;
    let balancer = Balancer::new(servers, settings(written, name));
    let numbered = balancer.servers().iter().enumerate();
    let endpoints = numbered.map(|numbered| endpoint(ctx, name, numbered, proxy_protocol, interner));
    let endpoints = endpoints.collect::<Result<_, _>>()?;
    let health_check = match &written.health_check {
        Some(check) => health_check(ctx, check, name, balancer.servers(), &mut warnings),
        None => None,
    };
    Ok((
        Backend {
            name: name.to_owned(),
            provider: provider.to_owned(),
            number,
            balancer,
            endpoints,
            state,
            health_check,
            proxy_protocol,
            is_reported: !warnings.is_empty(),
        },
        warnings,
    ))
}

/// Why no request can be served under a URL that is written correctly.
fn url_problem(ctx: &CompileContext, backend: &str, server: &str, url: &ServerUrl) -> Option<(Code, String)> {
    let address = url.host.parse::<IpAddr>().ok();
    if url.port == 0 {
        let text = format!("server {server} of backend {backend}: port 0 of {:?} is no port of a server", url.text);
        return Some((Code::InvalidServerUrl, text));
    }
    if address.is_some_and(|address| address.is_unspecified()) {
        let text = format!(
            "server {server} of backend {backend}: {} in {:?} is the address to listen on: write the server's own",
            url.host, url.text
        );
        return Some((Code::InvalidServerUrl, text));
    }
    let is_here = url.host == "localhost" || address.is_some_and(|address| address.is_loopback());
    let entry = ctx.entry_points.iter().find(|entry| {
        entry.is_local && entry.port != 0 && entry.port == url.port && entry.is_udp == (url.scheme == Scheme::Udp)
    });
    let entry = entry.filter(|_| is_here)?;
    let text = format!(
        "server {server} of backend {backend}: {:?} is entry point {} of this proxy: write the server's own port",
        url.text, entry.name
    );
    Some((Code::ServerIsProxy, text))
}

/// Rejects servers of which some take requests and others connections or datagrams: no frontend could use them all.
fn reject_mixed(name: &str, servers: &[Server]) -> Result<(), Diagnostic> {
    let kind = |server: &Server| Some(server.url.scheme).filter(|scheme| scheme.is_layer4());
    let Some(first) = servers.first() else { return Ok(()) };
    match servers.iter().find(|server| kind(server) != kind(first)) {
        Some(other) => {
            let (one, two) = (first.url.scheme.as_str(), other.url.scheme.as_str());
            let text = format!("backend {name} has {one}:// and {two}:// servers: use a backend for each");
            Err(Diagnostic::new(Code::MixedServers, format!("backends.{name}.servers.{}.url", other.name), text))
        }
        None => Ok(()),
    }
}

fn proxy_protocol(written: &dynamic::Backend, name: &str) -> Result<Option<ProxyVersion>, Diagnostic> {
    match written.proxy_protocol.as_str() {
        "" => Ok(None),
        text => ProxyVersion::parse(text).map(Some).ok_or_else(|| {
            let message = format!("proxyProtocol {text:?} of backend {name} is unknown: write v1 or v2");
            Diagnostic::new(Code::UnknownProxyProtocol, format!("backends.{name}.proxyProtocol"), message)
        }),
    }
}

fn settings(written: &dynamic::Backend, name: &str) -> BalancerSettings {
    let balancer = written.load_balancer.clone().unwrap_or_default();
    let sticky = match (&balancer.stickiness, balancer.sticky) {
        (Some(stickiness), _) => Some(StickyCookie {
            name: cookie_name(&stickiness.cookie_name, name),
            secure: stickiness.secure,
            http_only: stickiness.http_only,
            same_site: stickiness.same_site.clone(),
        }),
        (None, true) => Some(StickyCookie { name: OLD_COOKIE_NAME.to_owned(), ..StickyCookie::default() }),
        (None, false) => None,
    };
    BalancerSettings { method: BalanceMethod::parse(&balancer.method).unwrap_or_default(), sticky }
}

fn endpoint(
    ctx: &CompileContext,
    backend: &str,
    (number, server): (usize, &Arc<Server>),
    proxy_protocol: Option<ProxyVersion>,
    interner: &mut EndpointInterner,
) -> Result<ServerEndpoint, Diagnostic> {
    let key = || format!("backends.{backend}.servers.{}.url", server.name);
    let url = &server.url;
    let proxied = proxy_protocol.map(|version| PoolKind::Proxied { version, is_tls: url.scheme == Scheme::Https });
    let (speaks, kind) = match url.scheme {
        Scheme::H2c if proxy_protocol.is_some() => {
            let text = format!(
                "server {} of backend {backend} speaks h2c, which shares connections between clients, and proxyProtocol names one \
                 client for each: use http:// or https://",
                server.name
            );
            return Err(Diagnostic::new(Code::ContradictingOptions, key(), text));
        }
        Scheme::Http => (ServerProtocol::Http1, proxied.unwrap_or(PoolKind::Plain)),
        Scheme::H2c => (ServerProtocol::Http2, PoolKind::PlainHttp2),
        Scheme::Https => match proxied {
            Some(kind) => (ServerProtocol::Http1, kind),
            None => (ServerProtocol::Negotiated, PoolKind::Tls),
        },
        Scheme::Tcp => (ServerProtocol::Tcp, PoolKind::Layer4),
        Scheme::Udp => (ServerProtocol::Udp, PoolKind::Layer4),
    };
    let tls = if url.scheme == Scheme::Https {
        let configs = ctx
            .client_tls
            .clone()
            .map_err(|e| format!("server {} of backend {backend} needs TLS: {e}", server.name))
            .map_err(|text| Diagnostic::new(Code::ServerTls, key(), text))?;
        // HTTP/2 would share the connection between clients, of which its PROXY header names one.
        let configs = match proxy_protocol {
            Some(_) => TlsConfigs { any: Arc::clone(&configs.http1), ..configs },
            None => configs,
        };
        let name = ServerName::try_from(url.host.clone())
            .map_err(|_| format!("server {} of backend {backend}: {:?} is no host name", server.name, url.host))
            .map_err(|text| Diagnostic::new(Code::InvalidServerUrl, key(), text))?;
        Some(ServerTls { name, configs, http1_pool: interner.pool(&url.address, PoolKind::TlsHttp1) })
    } else {
        None
    };
    Ok(ServerEndpoint {
        number,
        authority: url.authority.clone(),
        url: url.text.clone(),
        addresses: interner.addresses(&url.host, url.port),
        pool: interner.pool(&url.address, kind),
        speaks,
        tls,
        proxy_protocol,
        server: Arc::clone(server),
    })
}

/// Compiles a health check. A check that cannot be read is ignored, with a warning: the servers then count as up
/// (docs/reference/backends.md#health-checks).
fn health_check(
    ctx: &CompileContext,
    written: &dynamic::HealthCheck,
    name: &str,
    servers: &[Arc<Server>],
    warnings: &mut Vec<Diagnostic>,
) -> Option<HealthCheck> {
    let warning = |option: &str, text: String| {
        Diagnostic::new(Code::InvalidHealthCheck, format!("backends.{name}.healthcheck{option}"), text)
    };
    let interval = GoDuration::parse_with_unit(&written.interval).ok().map(|d| d.0);
    let text = &written.interval;
    let is_short = |nanos| u64::try_from(nanos).is_ok_and(|nanos| Duration::from_nanos(nanos) < INTERVAL_MIN);
    if !text.is_empty() && !interval_is_usable(interval) {
        let text = format!(
            "health check interval {text:?} of backend {name} ignored: it is no positive duration such as \"10s\"; \
             healthCheck.interval is used"
        );
        warnings.push(warning(".interval", text));
    } else if interval.is_some_and(is_short) {
        let text = format!("health check interval {text:?} of backend {name} is too short: {INTERVAL_MIN:?} is used");
        warnings.push(warning(".interval", text));
    }
    let options = HealthOptions {
        path: &written.path,
        scheme: &written.scheme,
        port: written.port,
        hostname: &written.hostname,
        interval_nanos: interval,
    };
    let headers = written.headers.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let default_interval = if ctx.health_interval.is_zero() { Duration::from_secs(30) } else { ctx.health_interval };
    let layer4 = servers.first().map(|server| server.url.scheme).filter(|scheme| scheme.is_layer4());
    let check = match layer4 {
        Some(scheme) => HealthCheck::layer4(options, scheme, default_interval).map(Some),
        None => HealthCheck::new(options, headers, default_interval),
    };
    check.unwrap_or_else(|e| {
        warnings.push(warning("", format!("health check of backend {name} ignored: {e}")));
        None
    })
}
