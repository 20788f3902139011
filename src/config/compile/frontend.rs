//! A frontend's chains: which steps its options ask for, compiled.

use std::sync::Arc;

use super::backend_chains::inner;
use super::{CompileContext, EndpointInterner, EntryPointInfo, auth, error_pages};
use crate::config::dynamic::{self, DynamicConfig, UserAuth};
use crate::config::middleware_states::{MiddlewareStates, StateOwner};
use crate::config::snapshot::{Backend, Frontend, SlowPath};
use crate::middleware::client_cert::{CertInfos, ClientCert, NameInfos};
use crate::middleware::headers::CustomHeaders;
use crate::middleware::redirect::Redirect;
use crate::middleware::retry::RetryPolicy;
use crate::middleware::security_headers::{SecureOptions, SecurityHeaders};
use crate::middleware::white_list::WhiteList;
use crate::middleware::{Chain, ChainScope, Middleware};
use crate::rule::{Diagnostic, pattern};

/// What a frontend is compiled from.
#[derive(Clone, Copy)]
pub struct FrontendInput<'a> {
    pub fixture: &'a CompileContext,
    pub provider: &'a str,
    pub name: &'a str,
    pub document: &'a DynamicConfig,
    pub frontend: &'a dynamic::Frontend,
    pub written_backend: &'a dynamic::Backend,
}

/// What compiling carries along.
pub struct CompileState<'a> {
    pub interned: &'a mut EndpointInterner,
    /// The states of the snapshot before, and of the one in the making.
    pub previous: &'a MiddlewareStates,
    pub states: &'a mut MiddlewareStates,
    /// Notes for the user.
    pub warnings: &'a mut Vec<String>,
}

/// Compiles a frontend for the entry point at `entry`. Its error pages have no sources yet: they need the other frontends.
///
/// # Errors
/// A sentence that names the option: the frontend is skipped (docs/reference/providers.md#rejected-objects).
pub fn frontend(
    source: FrontendInput<'_>,
    backend: &Arc<Backend>,
    entry: usize,
    workshop: &mut CompileState<'_>,
) -> Result<Frontend, Diagnostic> {
    let FrontendInput { fixture, provider, name, document, frontend: written, written_backend } = source;
    let log_name = name.strip_prefix("frontend-").unwrap_or(name).to_owned();
    let place = ChainScope::Frontend(&log_name);
    refuse_unbuilt(written)?;
    let facts = &fixture.entry_points[entry];
    let owner = StateOwner { provider, entry_point: &facts.name, name, frontend: written, backend: written_backend };
    let mut states = workshop.states.carry_over(workshop.previous, &owner);
    let mut outer: Vec<_> = error_pages::step(written, document, workshop.warnings).into_iter().collect();
    white_list(written, place, &mut outer, workshop.warnings)?;
    if let Some(redirect) = &written.redirect {
        outer.extend(redirect_step(fixture, redirect, Some(facts), place)?);
    }
    headers(written, &mut outer, workshop.warnings)?;
    if !written.basic_auth.is_empty() {
        let users = UserAuth { users: written.basic_auth.clone(), ..UserAuth::default() };
        outer.push(Middleware::BasicList(auth::basic(fixture, &users, "", place.label("Basic Auth"))?));
    }
    outer.extend(written.pass_tls_client_cert.as_ref().map(|pass| Middleware::ClientCert(client_cert(pass))));
    let auth = match auth::auth(fixture, written.auth.as_deref(), place, &mut states, workshop.interned) {
        Ok(auth) => auth,
        Err(reason) => {
            let Some(closed) = written.auth.as_deref().and_then(auth::deny_all) else { return Err(reason.into()) };
            let auth = auth::auth(fixture, Some(&closed), place, &mut states, workshop.interned)?;
            workshop.warnings.push(format!("{reason}; until that is mended it lets nobody in"));
            auth
        }
    };
    outer.extend(auth.step);
    let inner = inner(written, written_backend, place, &mut states)?;
    let has_pages = outer.iter().any(|step| matches!(step, Middleware::ErrorPages(_)));
    let is_slow = has_pages || inner.buffering.is_some();
    workshop.states.store(&owner, states);
    Ok(Frontend {
        name: name.to_owned(),
        provider: provider.to_owned(),
        pass_host: written.pass_host_header,
        backend: Arc::clone(backend),
        outer: Chain::new(outer),
        inner: Arc::new(inner.guard),
        attempt: Arc::new(inner.attempt),
        retry: fixture.retry.map(|attempts| RetryPolicy::new(attempts, backend.endpoints.len())),
        auth: auth.server,
        slow: is_slow.then(|| Box::new(SlowPath { buffering: inner.buffering, pages: Vec::new() })),
        log_name,
    })
}

/// Options that guard something: without them the frontend would be open, so it is not served at all.
fn refuse_unbuilt(written: &dynamic::Frontend) -> Result<(), String> {
    if written.pass_tls_cert {
        return Err("passTLSCert is not supported, and the backend would not know its client without it; \
             use passTLSClientCert, which passes the client's certificate in a header (COMPAT.md)"
            .to_owned());
    }
    Ok(())
}

fn client_cert(written: &dynamic::PassTlsClientCert) -> ClientCert {
    let name = |name: &dynamic::DistinguishedNameInfos| NameInfos {
        domain_component: name.domain_component,
        country: name.country,
        province: name.province,
        locality: name.locality,
        organization: name.organization,
        serial_number: name.serial_number,
        common_name: name.common_name,
    };
    let infos = written.infos.as_ref().map(|infos| CertInfos {
        not_after: infos.not_after,
        not_before: infos.not_before,
        sans: infos.sans,
        subject: infos.subject.as_ref().map(name),
        issuer: infos.issuer.as_ref().map(name),
    });
    ClientCert { pem: written.pem, infos }
}

/// A list without ranges is none, and the old option counts (docs/reference/providers.md#frontend-keys).
fn white_list(
    written: &dynamic::Frontend,
    place: ChainScope<'_>,
    steps: &mut Vec<Middleware>,
    warnings: &mut Vec<String>,
) -> Result<(), String> {
    let (ranges, use_xff) = match &written.white_list {
        Some(list) if !list.source_range.is_empty() => (&list.source_range, list.use_x_forwarded_for),
        _ => (&written.whitelist_source_range, false),
    };
    if ranges.is_empty() && written.white_list.is_some() {
        warnings
            .push("whiteList has no sourceRange and lets everybody in: list the addresses, or leave it out".to_owned());
    }
    if !ranges.is_empty() {
        steps.push(Middleware::WhiteList(WhiteList::new(ranges, use_xff, place).map_err(|e| e.to_string())?));
    }
    Ok(())
}

/// A redirect to an entry point or by regex; `None` where it would lead to where the request already is.
pub fn redirect_step(
    fixture: &CompileContext,
    written: &dynamic::Redirect,
    here: Option<&EntryPointInfo>,
    place: ChainScope<'_>,
) -> Result<Option<Middleware>, Diagnostic> {
    if !written.entry_point.is_empty() {
        if here.is_some_and(|here| here.name == written.entry_point) {
            return Ok(None);
        }
        let target = fixture.entry_points.iter().find(|e| e.name == written.entry_point);
        let target = target
            .ok_or_else(|| format!("redirect.entryPoint names {:?}, which is no entry point", written.entry_point))?;
        return Ok(Some(Middleware::Redirect(Redirect::entry_point(
            target.port,
            target.has_tls,
            written.permanent,
            place,
        ))));
    }
    if written.regex.is_empty() || written.replacement.is_empty() {
        return Ok(None);
    }
    let regex = pattern::compile(&written.regex)
        .map_err(|e| Diagnostic::from(e).reworded(|problem| format!("redirect.regex: {problem}")))?;
    let step = Redirect::regex(regex, &written.replacement, written.permanent, place)
        .map_err(|e| format!("redirect.replacement: {e}"))?;
    Ok(Some(Middleware::Redirect(step)))
}

fn headers(written: &dynamic::Frontend, steps: &mut Vec<Middleware>, warnings: &mut Vec<String>) -> Result<(), String> {
    let Some(headers) = &written.headers else { return Ok(()) };
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>()
    };
    let requests = pairs(&headers.custom_request_headers);
    let responses = pairs(&headers.custom_response_headers);
    let requests = CustomHeaders::on_requests(requests.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        .map_err(|e| e.to_string())?;
    let responses = CustomHeaders::on_responses(responses.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        .map_err(|e| e.to_string())?;
    for ignored in requests.ignored().iter().chain(responses.ignored()) {
        warnings.push(format!("the custom header {ignored} is left to the proxy and not set"));
    }
    if !requests.is_empty() {
        steps.push(Middleware::RequestHeaders(requests));
    }
    if !responses.is_empty() {
        steps.push(Middleware::ResponseHeaders(responses));
    }
    let secure = SecurityHeaders::new(secure_options(headers)).map_err(|e| e.to_string())?;
    steps.extend(secure.map(Middleware::Secure));
    Ok(())
}

fn secure_options(headers: &dynamic::Headers) -> SecureOptions {
    SecureOptions {
        allowed_hosts: headers.allowed_hosts.clone(),
        hosts_proxy_headers: headers.hosts_proxy_headers.clone(),
        ssl_redirect: headers.ssl_redirect,
        ssl_temporary_redirect: headers.ssl_temporary_redirect,
        ssl_host: headers.ssl_host.clone(),
        ssl_proxy_headers: headers.ssl_proxy_headers.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        ssl_force_host: headers.ssl_force_host,
        sts_seconds: headers.sts_seconds,
        sts_include_subdomains: headers.sts_include_subdomains,
        sts_preload: headers.sts_preload,
        force_sts_header: headers.force_sts_header,
        frame_deny: headers.frame_deny,
        custom_frame_options_value: headers.custom_frame_options_value.clone(),
        content_type_nosniff: headers.content_type_nosniff,
        browser_xss_filter: headers.browser_xss_filter,
        custom_browser_xss_value: headers.custom_browser_xss_value.clone(),
        content_security_policy: headers.content_security_policy.clone(),
        public_key: headers.public_key.clone(),
        referrer_policy: headers.referrer_policy.clone(),
        is_development: headers.is_development,
    }
}
