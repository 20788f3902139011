//! A frontend's chains: which steps its options ask for, compiled.

use std::sync::Arc;

use super::{EntryFacts, Fixture};
use crate::config::dynamic::{self, Auth, UserAuth};
use crate::config::snapshot::{Backend, Frontend};
use crate::middleware::basic_auth::{AfterAuth, BasicAuth};
use crate::middleware::headers::CustomHeaders;
use crate::middleware::redirect::Redirect;
use crate::middleware::secure::{Secure, SecureOptions};
use crate::middleware::white_list::WhiteList;
use crate::middleware::{Chain, Middleware, Place};

/// Compiles a frontend for the entry point at `entry`. Notes for the user are added to `warnings`.
#[expect(clippy::too_many_arguments, reason = "the parts of one frontend; they are used once each")]
pub fn frontend(
    fixture: &Fixture,
    provider: &str,
    name: &str,
    written: &dynamic::Frontend,
    written_backend: &dynamic::Backend,
    backend: &Arc<Backend>,
    entry: usize,
    warnings: &mut Vec<String>,
) -> Result<Frontend, String> {
    let log_name = name.strip_prefix("frontend-").unwrap_or(name).to_owned();
    let place = Place::Frontend(&log_name);
    refuse_unbuilt(written)?;
    note_unbuilt(written, written_backend, warnings);
    let mut outer = Vec::new();
    white_list(written, place, &mut outer)?;
    if let Some(redirect) = &written.redirect
        && let Some(step) = redirect_step(fixture, redirect, Some(&fixture.entry_points[entry]), place)?
    {
        outer.push(step);
    }
    headers(written, &mut outer, warnings)?;
    if !written.basic_auth.is_empty() {
        let users = UserAuth { users: written.basic_auth.clone(), ..UserAuth::default() };
        outer.push(Middleware::BasicList(basic(fixture, &users, "", place.label("Basic Auth"))?));
    }
    if let Some(step) = auth(fixture, written.auth.as_ref(), place)? {
        outer.push(step);
    }
    Ok(Frontend {
        name: name.to_owned(),
        provider: provider.to_owned(),
        pass_host: written.pass_host_header,
        backend: Arc::clone(backend),
        outer: Chain::new(outer),
        attempt: Chain::default(),
        log_name,
    })
}

/// Options that guard something: without them the frontend would be open, so it is not served at all.
fn refuse_unbuilt(written: &dynamic::Frontend) -> Result<(), String> {
    let auth = written.auth.as_ref();
    let missing = if auth.is_some_and(|a| a.basic.is_none() && a.digest.is_some()) {
        "auth.digest"
    } else if auth.is_some_and(|a| a.basic.is_none() && a.digest.is_none() && a.forward.is_some()) {
        "auth.forward"
    } else if written.pass_tls_cert {
        "passTLSCert"
    } else {
        return Ok(());
    };
    Err(format!(
        "{missing} is not supported yet, and serving without it would leave the frontend unprotected (COMPAT.md)"
    ))
}

/// Options that only add comfort: the frontend serves without them, and says so.
fn note_unbuilt(written: &dynamic::Frontend, backend: &dynamic::Backend, warnings: &mut Vec<String>) {
    let unbuilt = [
        ("errors", !written.errors.is_empty()),
        ("rateLimit", written.rate_limit.is_some()),
        ("passTLSClientCert", written.pass_tls_client_cert.is_some()),
        ("backend.circuitBreaker", backend.circuit_breaker.is_some()),
        ("backend.maxConn", backend.max_conn.as_ref().is_some_and(|m| m.amount != 0)),
        ("backend.buffering", backend.buffering.is_some()),
        ("backend.healthCheck", backend.health_check.as_ref().is_some_and(|h| !h.path.is_empty())),
    ];
    for (key, _) in unbuilt.iter().filter(|(_, is_set)| *is_set) {
        warnings.push(format!("{key} has no effect yet (COMPAT.md): the frontend serves without it"));
    }
}

fn white_list(written: &dynamic::Frontend, place: Place<'_>, steps: &mut Vec<Middleware>) -> Result<(), String> {
    let (ranges, use_xff) = match &written.white_list {
        Some(list) => (&list.source_range, list.use_x_forwarded_for),
        None => (&written.whitelist_source_range, false),
    };
    if !ranges.is_empty() {
        steps.push(Middleware::WhiteList(WhiteList::new(ranges, use_xff, place).map_err(|e| e.to_string())?));
    }
    Ok(())
}

/// A redirect to an entry point or by regex; `None` where it would lead to where the request already is.
pub fn redirect_step(
    fixture: &Fixture,
    written: &dynamic::Redirect,
    here: Option<&EntryFacts>,
    place: Place<'_>,
) -> Result<Option<Middleware>, String> {
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
    let step =
        Redirect::regex(&written.regex, &written.replacement, written.permanent, place).map_err(|e| e.to_string())?;
    Ok(Some(Middleware::Redirect(step)))
}

/// The first of basic, digest and forward that is set (dynamic.md 5.4).
pub fn auth(fixture: &Fixture, written: Option<&Auth>, place: Place<'_>) -> Result<Option<Middleware>, String> {
    let Some(written) = written else { return Ok(None) };
    match &written.basic {
        Some(users) => Ok(Some(Middleware::Basic(basic(fixture, users, &written.header_field, place.label("Auth"))?))),
        None => Ok(None),
    }
}

fn basic(
    fixture: &Fixture,
    users: &UserAuth,
    header_field: &str,
    label: crate::middleware::Label,
) -> Result<BasicAuth, String> {
    let file = match users.users_file.as_str() {
        "" => None,
        path => Some((fixture.read)(path).map_err(|e| format!("usersFile {path} cannot be read: {e}"))?),
    };
    let after = AfterAuth { header_field: header_field.to_owned(), remove_header: users.remove_header };
    BasicAuth::new(&users.users, file.as_deref(), after, Arc::clone(&fixture.credentials), label)
        .map_err(|e| e.to_string())
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
    let secure = Secure::new(secure_options(headers)).map_err(|e| e.to_string())?;
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
