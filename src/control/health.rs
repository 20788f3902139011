//! Active health checks: asks servers in their intervals and tells the balancers (docs/reference/backends.md#health-checks). What is asked, and what an answer
//! means, is decided in `backend::health`.

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

/// Redirects followed by one probe, as many as Go's client follows.
const REDIRECTS_MAX: usize = 10;

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// The checks that run.
pub struct HealthChecks {
    client: Result<HttpClient, String>,
    running: HashMap<(String, String), Running>,
}

struct Running {
    check: HealthCheck,
    servers: Vec<Arc<Server>>,
    task: JoinHandle<()>,
}

impl HealthChecks {
    /// `tls`: how https servers are trusted; the text says why there is no way to.
    pub fn new(tls: Result<Arc<ClientConfig>, String>) -> Self {
        HealthChecks { client: tls.map(|config| client(&config)), running: HashMap::new() }
    }

    /// Follows a new configuration: checks of unchanged backends go on undisturbed.
    pub fn follow(&mut self, snapshot: &Snapshot) {
        let mut before = std::mem::take(&mut self.running);
        for backend in &snapshot.backends {
            let Some(check) = &backend.health_check else { continue };
            let key = (backend.provider.clone(), backend.name.clone());
            let same = before.remove(&key).filter(|running| running.matches(check, backend));
            let running = match same {
                Some(running) => running,
                None => self.start(check, backend),
            };
            self.running.insert(key, running);
        }
        // What is left is checked no more (its task ends with it), so nothing could ever call it up again.
        for server in before.values().flat_map(|running| &running.servers) {
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
    /// The same questions to the same servers. The states are looked at too: they are what the workers read.
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
    // A kept connection would prove that the server lived a while ago.
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
}

/// Asks all servers of a backend at once, the first time immediately.
async fn watch(client: Result<HttpClient, String>, backend: String, check: HealthCheck, servers: Vec<Arc<Server>>) {
    let mut rounds = tokio::time::interval(check.interval);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        join_all(servers.iter().map(|server| probe_server(&client, &backend, &check, server))).await;
    }
}

/// One server's turn: its state changes by one answer, both ways, and the log tells changes only.
async fn probe_server(client: &Result<HttpClient, String>, backend: &str, check: &HealthCheck, server: &Server) {
    let outcome = async {
        let probe = check.probe(&server.url).map_err(|e| e.to_string())?;
        let client = client.as_ref().map_err(Clone::clone)?;
        let answered = tokio::time::timeout(PROBE_TIME_MAX, ask(client, &probe)).await;
        answered.unwrap_or_else(|_| Err(format!("no answer within {} s", PROBE_TIME_MAX.as_secs())))
    };
    let failure = match outcome.await {
        Ok(status) if status_is_healthy(status) => None,
        Ok(status) => Some(format!("it answered {status}")),
        Err(reason) => Some(reason),
    };
    let is_news = server.state.set_up(failure.is_none());
    match failure {
        Some(reason) if is_news => {
            tracing::warn!(%backend, server = %server.url.text, "Health check failed: {reason}; the server gets no requests until a check succeeds");
        }
        None if is_news => {
            tracing::warn!(%backend, server = %server.url.text, "Health check up: the server gets requests again");
        }
        Some(reason) => tracing::debug!(%backend, server = %server.url.text, "Health check still failing: {reason}"),
        None => {}
    }
}

/// The final status, redirects followed.
async fn ask(client: &HttpClient, probe: &Probe) -> Result<u16, String> {
    let first = &probe.url;
    let mut uri: Uri = format!("{}://{}{}", first.scheme.as_str(), first.authority, first.target())
        .parse()
        .map_err(|e| format!("{}: {e}", first.text))?;
    let first_host = uri.host().map(str::to_owned);
    let probe_host = probe.host.rsplit_once(':').map_or(&*probe.host, |(host, _)| host);
    for hop in 0..=REDIRECTS_MAX {
        let mut request = request(&uri);
        // What is configured for this server may be a password: another host does not get it.
        if uri.host() == first_host.as_deref() || uri.host() == Some(probe_host) {
            add_headers(&mut request, probe)?;
        }
        if hop == 0 {
            let host = HeaderValue::try_from(probe.host.as_str());
            request.headers_mut().insert(HOST, host.map_err(|_| format!("{:?} is no host name", probe.host))?);
        }
        let response = client.request(request).await.map_err(|e| reason(&e))?;
        match next(&uri, &response) {
            Some(next) => uri = next?,
            None => return Ok(response.status().as_u16()),
        }
    }
    Err(format!("more than {REDIRECTS_MAX} redirects"))
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

/// A scheme stands in front: `://` in a query, as of a login page that leads back, is none (RFC 3986 4.2).
fn is_absolute(location: &str) -> bool {
    let is_scheme =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    location.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
}

/// Where a redirect leads; an answer that is none ends the probe.
fn next(from: &Uri, response: &Response<Incoming>) -> Option<Result<Uri, String>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    let led = || {
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
    Some(led().ok_or_else(|| format!("it redirects to {location:?}, which is no URL")))
}

/// The cause at the bottom: hyper's own words say little.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
