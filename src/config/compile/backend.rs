//! A backend's servers, compiled.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::{CompileContext, EndpointInterner};
use crate::backend::health::{HealthOptions, INTERVAL_MIN, interval_is_usable};
use crate::backend::sticky::{OLD_COOKIE_NAME, cookie_name};
use crate::backend::{
    BackendState, BalanceMethod, Balancer, BalancerSettings, HealthCheck, Scheme, Server, ServerUrl, StickyCookie,
    effective_weight,
};
use crate::config::duration::GoDuration;
use crate::config::dynamic;
use crate::config::snapshot::{Backend, ServerEndpoint};

/// Compiles one backend. The notes say which parts were left out while the rest serves.
pub fn backend(
    fixture: &CompileContext,
    provider: &str,
    name: &str,
    written: &dynamic::Backend,
    number: usize,
    before: Option<&Arc<Backend>>,
    interned: &mut EndpointInterner,
) -> Result<(Backend, Vec<String>), String> {
    let mut notes = Vec::new();
    let urls = written.servers.values().map(|server| server.url.as_str());
    let state = BackendState::carry(before.map(|b| &b.state), urls);
    let mut servers = Vec::new();
    for (id, server) in written.servers.iter() {
        let url = ServerUrl::parse(&server.url).map_err(|e| format!("server {id} of backend {name}: {e}"))?;
        if url.scheme == Scheme::H2c {
            return Err(format!("server {id} of backend {name}: h2c is not supported yet; use http"));
        }
        let weight = effective_weight(server.weight, fixture.allow_min_weight_zero).ok_or_else(|| {
            format!("server {id} of backend {name} has the weight {}: write 0 or more", server.weight)
        })?;
        servers.push(Server { name: id.clone(), url, weight, state: state.server(&server.url) });
    }
    let balancer = Balancer::new(servers, settings(written, name));
    let origins =
        balancer.servers().iter().map(|server| origin(fixture, name, server, interned)).collect::<Result<_, _>>()?;
    let health_check = match &written.health_check {
        Some(check) => health_check(fixture, check, name, &mut notes),
        None => None,
    };
    Ok((
        Backend {
            name: name.to_owned(),
            provider: provider.to_owned(),
            number,
            balancer,
            endpoints: origins,
            state,
            health_check,
        },
        notes,
    ))
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

fn origin(
    fixture: &CompileContext,
    backend: &str,
    server: &Arc<Server>,
    interned: &mut EndpointInterner,
) -> Result<ServerEndpoint, String> {
    let url = &server.url;
    let is_tls = url.scheme == Scheme::Https;
    let tls = if is_tls {
        let config = fixture
            .client_tls
            .clone()
            .map_err(|e| format!("server {} of backend {backend} wants TLS: {e}", server.name))?;
        let name = ServerName::try_from(url.host.clone())
            .map_err(|_| format!("server {} of backend {backend}: {:?} is no host name", server.name, url.host))?;
        Some((config, name))
    } else {
        None
    };
    Ok(ServerEndpoint {
        authority: url.authority.clone(),
        url: url.text.clone(),
        addresses: interned.addresses(&url.host, url.port),
        pool: interned.pool(&url.address, is_tls),
        tls,
        server: Arc::clone(server),
    })
}

/// A check that cannot be read is left out, and said: its servers then count as up (docs/reference/backends.md#health-checks).
fn health_check(
    fixture: &CompileContext,
    written: &dynamic::HealthCheck,
    name: &str,
    notes: &mut Vec<String>,
) -> Option<HealthCheck> {
    let interval = GoDuration::parse_with_unit(&written.interval).ok().map(|d| d.0);
    let text = &written.interval;
    let is_short = |nanos| u64::try_from(nanos).is_ok_and(|nanos| Duration::from_nanos(nanos) < INTERVAL_MIN);
    if !text.is_empty() && !interval_is_usable(interval) {
        notes.push(format!("the health check interval {text:?} of backend {name} is no positive duration such as \"10s\": the global one is used"));
    } else if interval.is_some_and(is_short) {
        notes.push(format!(
            "the health check interval {text:?} of backend {name} is too short: {INTERVAL_MIN:?} is used"
        ));
    }
    let options = HealthOptions {
        path: &written.path,
        scheme: &written.scheme,
        port: written.port,
        hostname: &written.hostname,
        interval_nanos: interval,
    };
    let headers = written.headers.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let default_interval =
        if fixture.health_interval.is_zero() { Duration::from_secs(30) } else { fixture.health_interval };
    HealthCheck::new(options, headers, default_interval).unwrap_or_else(|e| {
        notes.push(format!("the health check of backend {name} is left out: {e}"));
        None
    })
}
