//! Compiles a frontend: the middlewares that its options ask for, in chains.

use std::sync::Arc;

use super::backend_chains::backend_chains;
use super::reasons::{empty_white_list, invalid_middleware, invalid_range};
use super::{CompileContext, EndpointInterner, EntryPointInfo, auth, error_pages};
use crate::config::dynamic::{self, DynamicConfig, UserAuth};
use crate::config::middleware_states::{MiddlewareStates, StateOwner};
use crate::config::snapshot::{Backend, Frontend, SlowPath};
use crate::diagnostics::{Code, Diagnostic};
use crate::middleware::client_cert::{CertInfos, ClientCert, NameInfos};
use crate::middleware::headers::CustomHeaders;
use crate::middleware::redirect::Redirect;
use crate::middleware::retry::RetryPolicy;
use crate::middleware::security_headers::{SecureOptions, SecurityHeaders};
use crate::middleware::white_list::WhiteList;
use crate::middleware::{Chain, ChainScope, Middleware};
use crate::rule::pattern;

/// The parts that a frontend is compiled from.
#[derive(Clone, Copy)]
pub struct FrontendInput<'a> {
    pub ctx: &'a CompileContext,
    pub provider: &'a str,
    pub name: &'a str,
    /// The frontend's index in `Snapshot::frontends`.
    pub number: usize,
    pub document: &'a DynamicConfig,
    pub frontend: &'a dynamic::Frontend,
    pub written_backend: &'a dynamic::Backend,
}

/// The state that compiling a frontend reads and updates.
pub struct CompileState<'a> {
    pub interner: &'a mut EndpointInterner,
    /// The middleware states of the previous snapshot.
    pub previous: &'a MiddlewareStates,
    /// The middleware states of the snapshot that is being compiled.
    pub states: &'a mut MiddlewareStates,
    /// Reports for the user about parts that are not applied.
    pub warnings: &'a mut Vec<Diagnostic>,
}

/// Compiles a frontend for the entry point at index `entry`. Its error pages have no sources yet: they need the other frontends.
///
/// # Errors
/// A sentence that names the option: the frontend is rejected (docs/reference/providers.md#rejected-objects).
pub fn frontend(
    input: FrontendInput<'_>,
    backend: &Arc<Backend>,
    entry: usize,
    state: &mut CompileState<'_>,
) -> Result<Frontend, Diagnostic> {
    let FrontendInput { ctx, provider, name, number, document, frontend: written, written_backend } = input;
    let log_name = name.strip_prefix("frontend-").unwrap_or(name).to_owned();
    let scope = ChainScope::Frontend(&log_name);
    reject_unsupported(written)?;
    let entry_point = &ctx.entry_points[entry];
    let owner =
        StateOwner { provider, entry_point: &entry_point.name, name, frontend: written, backend: written_backend };
    let mut states = state.states.carry_over(state.previous, &owner);
    let mut outer: Vec<_> = error_pages::middleware(written, document, state.warnings).into_iter().collect();
    white_list(written, scope, &mut outer, state.warnings)?;
    if let Some(redirect) = &written.redirect {
        state.warnings.extend(redirect_problem(redirect));
        outer.extend(redirect_middleware(ctx, redirect, Some(entry_point), scope)?);
    }
    headers(written, &mut outer, state.warnings)?;
    if !written.basic_auth.is_empty() {
        let users = UserAuth { users: written.basic_auth.clone(), ..UserAuth::default() };
        let list = auth::basic(ctx, &users, "", scope.label("Basic Auth")).map_err(|error| error.about("basicAuth"))?;
        let denied = |user| Diagnostic::new(Code::UserCannotLogIn, "basicAuth", format!("basicAuth: {user}"));
        state.warnings.extend(list.denied_users().map(denied));
        outer.push(Middleware::BasicList(list));
    }
    outer.extend(written.pass_tls_client_cert.as_ref().map(|pass| Middleware::ClientCert(client_cert(pass))));
    let auth = match auth::auth(ctx, written.auth.as_deref(), scope, &mut states, state.interner) {
        Ok(auth) => auth,
        Err(reason) => {
            let Some(stand_in) = written.auth.as_deref().and_then(auth::fail_closed) else { return Err(reason) };
            let auth = auth::auth(ctx, Some(&stand_in.auth), scope, &mut states, state.interner)?;
            let text = format!("{reason}; {} until this is fixed", stand_in.effect);
            state.warnings.push(Diagnostic { text, ..reason });
            auth
        }
    };
    state.warnings.extend(auth.denied_users);
    outer.extend(auth.middleware);
    let chains = backend_chains(written, written_backend, scope, &mut states)?;
    let has_pages = outer.iter().any(|middleware| matches!(middleware, Middleware::ErrorPages(_)));
    let is_slow = has_pages || chains.buffering.is_some();
    state.states.store(&owner, states);
    Ok(Frontend {
        name: name.to_owned(),
        number,
        pass_host: written.pass_host_header,
        backend: Arc::clone(backend),
        outer: Chain::new(outer),
        inner: Arc::new(chains.inner),
        attempt: Arc::new(chains.attempt),
        retry: ctx.retry.map(|attempts| RetryPolicy::new(attempts, backend.endpoints.len())),
        auth: auth.server,
        slow: is_slow.then(|| Box::new(SlowPath { buffering: chains.buffering, pages: Vec::new() })),
        log_name,
    })
}

/// Rejects a frontend with an option that protects something but is not supported: without the option the frontend would be open.
fn reject_unsupported(written: &dynamic::Frontend) -> Result<(), Diagnostic> {
    if written.passthrough {
        let text = "passthrough needs a HostSNI rule: requests cannot be read from TLS that is passed on";
        return Err(Diagnostic::new(Code::LayerMismatch, "passthrough", text));
    }
    if written.pass_tls_cert {
        let text = "passTLSCert is not supported, and the backend would not know its client without it; \
             use passTLSClientCert, which passes the client's certificate in a header (COMPAT.md)";
        return Err(Diagnostic::new(Code::UnsupportedFrontendOption, "passTLSCert", text));
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

/// Adds the white list. A `whiteList` without ranges is ignored, and the old option applies (docs/reference/providers.md#frontend-keys).
fn white_list(
    written: &dynamic::Frontend,
    scope: ChainScope<'_>,
    middlewares: &mut Vec<Middleware>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let (ranges, use_xff) = match &written.white_list {
        Some(list) if !list.source_range.is_empty() => (&list.source_range, list.use_x_forwarded_for),
        _ => (&written.whitelist_source_range, false),
    };
    if ranges.is_empty() && written.white_list.is_some() {
        warnings.push(empty_white_list());
    }
    if !ranges.is_empty() {
        let list = WhiteList::new(ranges, use_xff, scope).map_err(|e| invalid_range(e.to_string()))?;
        middlewares.push(Middleware::WhiteList(list));
    }
    Ok(())
}

/// Why a redirect does nothing, and what to do.
fn redirect_problem(written: &dynamic::Redirect) -> Option<Diagnostic> {
    if !written.entry_point.is_empty() {
        return None;
    }
    let text = match (written.regex.is_empty(), written.replacement.is_empty()) {
        (false, false) => return None,
        (false, true) => "redirect ignored: it has a regex and no replacement; add replacement",
        (true, false) => "redirect ignored: it has a replacement and no regex; add regex",
        (true, true) => "redirect ignored: it has neither entryPoint nor regex; add one of them",
    };
    Some(Diagnostic::new(Code::RedirectWithoutTarget, "redirect", text))
}

/// Compiles a redirect to an entry point or by regex. `None` if the redirect names the entry point `here`, on which the request has
/// arrived, or has only one of `regex` and `replacement`.
pub fn redirect_middleware(
    ctx: &CompileContext,
    written: &dynamic::Redirect,
    here: Option<&EntryPointInfo>,
    scope: ChainScope<'_>,
) -> Result<Option<Middleware>, Diagnostic> {
    if !written.entry_point.is_empty() {
        if here.is_some_and(|here| here.name == written.entry_point) {
            return Ok(None);
        }
        let target = ctx.entry_points.iter().find(|e| e.name == written.entry_point);
        let target = target.ok_or_else(|| {
            let text = format!("redirect.entryPoint names {:?}, which is no entry point", written.entry_point);
            Diagnostic::new(Code::UnknownEntryPoint, "redirect.entryPoint", text)
        })?;
        return Ok(Some(Middleware::Redirect(Redirect::entry_point(
            target.port,
            target.has_tls,
            written.permanent,
            scope,
        ))));
    }
    if written.regex.is_empty() || written.replacement.is_empty() {
        return Ok(None);
    }
    let regex = pattern::compile(&written.regex)
        .map_err(|e| Diagnostic::from(e).about("redirect.regex").reworded(|text| format!("redirect.regex: {text}")))?;
    let redirect = Redirect::regex(regex, &written.replacement, written.permanent, scope).map_err(|e| {
        Diagnostic::new(Code::InvalidRedirect, "redirect.replacement", format!("redirect.replacement: {e}"))
    })?;
    Ok(Some(Middleware::Redirect(redirect)))
}

fn headers(
    written: &dynamic::Frontend,
    middlewares: &mut Vec<Middleware>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let Some(headers) = &written.headers else { return Ok(()) };
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>()
    };
    let requests = pairs(&headers.custom_request_headers);
    let responses = pairs(&headers.custom_response_headers);
    let requests = CustomHeaders::on_requests(requests.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        .map_err(|e| invalid_middleware("headers.customRequestHeaders", e.to_string()))?;
    let responses = CustomHeaders::on_responses(responses.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        .map_err(|e| invalid_middleware("headers.customResponseHeaders", e.to_string()))?;
    for ignored in requests.ignored().iter().chain(responses.ignored()) {
        let text = format!("custom header {ignored} ignored: only the proxy sets this field; remove it");
        warnings.push(Diagnostic::new(Code::IgnoredHeader, "headers", text));
    }
    if !requests.is_empty() {
        middlewares.push(Middleware::RequestHeaders(requests));
    }
    if !responses.is_empty() {
        middlewares.push(Middleware::ResponseHeaders(responses));
    }
    let secure =
        SecurityHeaders::new(secure_options(headers)).map_err(|e| invalid_middleware("headers", e.to_string()))?;
    middlewares.extend(secure.map(Middleware::Secure));
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
