//! Active health checks: sends a probe to each server at its backend's interval and sets the server's state, which the balancers read
//! (docs/reference/backends.md#health-checks). `backend::health` decides what a probe requests and which status is healthy.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, Request, Response, Uri, body::Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use tokio::task::JoinHandle;

use crate::backend::health::{PROBE_TIME_MAX, Probe, status_is_healthy};
use crate::backend::{HealthCheck, Server};
use crate::config::snapshot::{Backend, Snapshot};
use crate::tls::verifier::refusal;

/// The maximum number of redirects that one probe follows, as in Go's HTTP client.
const REDIRECTS_MAX: usize = 10;

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// The running health checks.
pub struct HealthChecks {
    client: Result<HttpClient, String>,
    /// By provider and name of the backend.
    running: HashMap<(String, String), Running>,
}

/// The task that checks one backend; dropping it stops the task.
struct Running {
    check: HealthCheck,
    servers: Vec<Arc<Server>>,
    task: JoinHandle<()>,
}

impl HealthChecks {
    /// `tls`: the TLS configuration for https servers, or the reason why there is none.
    pub fn new(tls: Result<Arc<ClientConfig>, String>) -> Self {
        HealthChecks { client: tls.map(|config| client(&config)), running: HashMap::new() }
    }

    /// Starts and stops checks as the new snapshot requires. Checks of unchanged backends keep running.
    pub fn apply(&mut self, snapshot: &Snapshot) {
        let mut previous = std::mem::take(&mut self.running);
        for backend in &snapshot.backends {
            let Some(check) = &backend.health_check else { continue };
            let key = (backend.provider.clone(), backend.name.clone());
            let same = previous.remove(&key).filter(|running| running.matches(check, backend));
            let running = match same {
                Some(running) => running,
                None => self.start(check, backend),
            };
            self.running.insert(key, running);
        }
        // The remaining checks end here. A server that no check covers any more counts as up: otherwise it would stay down indefinitely.
        for server in previous.values().flat_map(|running| &running.servers) {
            let is_checked = |other: &Running| other.servers.iter().any(|s| Arc::ptr_eq(&s.state, &server.state));
            if !self.running.values().any(is_checked) {
                server.state.set_up(true);
            }
        }
    }

    fn start(&self, check: &HealthCheck, backend: &Backend) -> Running {
        let servers = backend.balancer.servers().to_vec();
        let work = watch(self.client.clone(), backend.name.clone(), check.clone(), servers.clone());
        Running { check: check.clone(), servers, task: tokio::task::spawn_local(work) }
    }
}

impl Running {
    /// Whether this task runs the same check on the same servers, with the same state objects: the workers read those.
    fn matches(&self, check: &HealthCheck, backend: &Backend) -> bool {
        let servers = backend.balancer.servers();
        let same = |(a, b): (&Arc<Server>, &Arc<Server>)| a.url.text == b.url.text && Arc::ptr_eq(&a.state, &b.state);
        self.check == *check && self.servers.len() == servers.len() && self.servers.iter().zip(servers).all(same)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn client(tls: &ClientConfig) -> HttpClient {
    let mut config = tls.clone();
    config.alpn_protocols.clear();
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
    // A pooled connection would only prove that the server was alive some time ago.
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
}

/// Probes all servers of a backend concurrently at every interval, the first time immediately. Does not return.
async fn watch(client: Result<HttpClient, String>, backend: String, check: HealthCheck, servers: Vec<Arc<Server>>) {
    let mut ticks = tokio::time::interval(check.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        join_all(servers.iter().map(|server| probe_server(&client, &backend, &check, server))).await;
    }
}

/// Probes one server and sets its state: one probe decides, both ways. Only changes are logged above the level debug.
async fn probe_server(client: &Result<HttpClient, String>, backend: &str, check: &HealthCheck, server: &Server) {
    let outcome = async {
        let probe = check.probe(&server.url).map_err(|e| e.to_string())?;
        let client = client.as_ref().map_err(Clone::clone)?;
        let result = tokio::time::timeout(PROBE_TIME_MAX, send_probe(client, &probe)).await;
        result.unwrap_or_else(|_| Err(format!("no response within {} s", PROBE_TIME_MAX.as_secs()).into()))
    };
    let failure = match outcome.await {
        Ok(status) if status_is_healthy(status) => None,
        Ok(status) => Some(format!("the server responded with status {status}").into()),
        Err(reason) => Some(reason),
    };
    let has_changed = server.state.set_up(failure.is_none());
    match failure {
        // TLS does not recover by itself: the operator has to change a certificate or an option.
        Some(ProbeFailure { reason, is_tls: true }) if has_changed => {
            tracing::error!(
                %backend, server = %server.url.text,
                "Health check failed: TLS: {reason}; the server gets no requests until a check succeeds"
            );
        }
        Some(ProbeFailure { reason, .. }) if has_changed => {
            tracing::warn!(
                %backend, server = %server.url.text,
                "Health check failed: {reason}; the server gets no requests until a check succeeds"
            );
        }
        None if has_changed => {
            tracing::warn!(%backend, server = %server.url.text, "Health check up: the server gets requests again");
        }
        Some(failure) => {
            tracing::debug!(%backend, server = %server.url.text, "Health check still failing: {}", failure.reason);
        }
        None => {}
    }
}

/// The reason why a probe got no response.
struct ProbeFailure {
    reason: String,
    /// The TLS handshake failed.
    is_tls: bool,
}

impl From<String> for ProbeFailure {
    fn from(reason: String) -> Self {
        ProbeFailure { reason, is_tls: false }
    }
}

impl ProbeFailure {
    /// The text of the innermost cause: hyper's own text says little. An error of TLS is explained.
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        if let Some(reason) = refusal::explain_cause(error) {
            return ProbeFailure { reason, is_tls: true };
        }
        let mut last = error;
        while let Some(cause) = last.source() {
            last = cause;
        }
        last.to_string().into()
    }
}

/// Sends a probe, follows redirects and returns the status of the final response.
async fn send_probe(client: &HttpClient, probe: &Probe) -> Result<u16, ProbeFailure> {
    let first = &probe.url;
    let mut uri: Uri = format!("{}://{}{}", first.scheme.as_str(), first.authority, first.target())
        .parse()
        .map_err(|e| format!("{}: {e}", first.text))?;
    let first_host = uri.host().map(str::to_owned);
    let probe_host = probe.host.rsplit_once(':').map_or(&*probe.host, |(host, _)| host);
    for hop in 0..=REDIRECTS_MAX {
        let mut request = request(&uri);
        // The configured headers may hold a password: they are not sent to another host.
        if uri.host() == first_host.as_deref() || uri.host() == Some(probe_host) {
            add_headers(&mut request, probe)?;
        }
        if hop == 0 {
            let host = HeaderValue::try_from(probe.host.as_str());
            request.headers_mut().insert(HOST, host.map_err(|_| format!("{:?} is no host name", probe.host))?);
        }
        let response = client.request(request).await.map_err(|e| ProbeFailure::of(&e))?;
        match redirect_target(&uri, &response) {
            Some(target) => uri = target?,
            None => return Ok(response.status().as_u16()),
        }
    }
    Err(format!("more than {REDIRECTS_MAX} redirects").into())
}

fn request(uri: &Uri) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri.clone();
    request
}

/// Adds the headers that are configured for the check.
fn add_headers(request: &mut Request<Empty<Bytes>>, probe: &Probe) -> Result<(), String> {
    for (name, value) in &probe.headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| format!("{name:?} is no header name"))?;
        let value = HeaderValue::try_from(value.as_str()).map_err(|_| format!("the header {name} has a bad value"))?;
        request.headers_mut().insert(name, value);
    }
    Ok(())
}

/// Whether `location` begins with a scheme. A `://` in a query, such as the return address of a login page, does not count (RFC 3986 4.2).
fn is_absolute(location: &str) -> bool {
    let is_scheme =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    location.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
}

/// The target of a redirect; `None` if the response is no redirect and so ends the probe.
fn redirect_target(from: &Uri, response: &Response<Incoming>) -> Option<Result<Uri, String>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    let target = || {
        let text = location.to_str().ok()?;
        if is_absolute(text) {
            return text.parse().ok();
        }
        let (scheme, authority) = (from.scheme_str()?, from.authority()?);
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        let url = match text {
            _ if text.starts_with("//") => format!("{scheme}:{text}"),
            _ if text.starts_with('/') => format!("{scheme}://{authority}{text}"),
            _ => format!("{scheme}://{authority}{folder}/{text}"),
        };
        url.parse().ok()
    };
    Some(target().ok_or_else(|| format!("the server redirects to {location:?}, which is no URL")))
}
