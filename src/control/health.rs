//! Active health checks: probes each server at its backend's interval and sets the server's state, which the balancers read
//! (docs/reference/backends.md#health-checks). `backend::health` decides what a probe does and which status is healthy.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use self::connection_check::{check_connect, check_handshake};
use self::connector::Connectors;
use self::probe::send_probe;
use self::probe_failure::ProbeFailure;
use crate::backend::health::{CheckMethod, PROBE_TIME_MAX, status_is_healthy};
use crate::backend::{HealthCheck, Server};
use crate::config::snapshot::{Backend, Snapshot, TlsConfigs};
use crate::detect::ProxyVersion;

mod connection_check;
mod connector;
mod http2;
mod probe;
mod probe_failure;

/// The running health checks.
pub struct HealthChecks {
    /// The TLS configurations for https servers, or the reason why there are none.
    tls: Result<TlsConfigs, String>,
    /// By provider and name of the backend.
    running: HashMap<(String, String), Running>,
}

/// The task that checks one backend; dropping it stops the task.
struct Running {
    check: HealthCheck,
    header: Option<ProxyVersion>,
    servers: Vec<Arc<Server>>,
    task: JoinHandle<()>,
}

impl HealthChecks {
    /// `tls`: the TLS configurations for https servers, or the reason why there are none.
    pub fn new(tls: Result<TlsConfigs, String>) -> Self {
        HealthChecks { tls, running: HashMap::new() }
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
        let (servers, header) = (backend.balancer.servers().to_vec(), backend.proxy_protocol);
        let connectors = self.tls.as_ref().map(|configs| Connectors::new(configs, header)).map_err(Clone::clone);
        let watched = Watched { backend: backend.name.clone(), check: check.clone(), header, connectors };
        let task = tokio::task::spawn_local(watch(watched, servers.clone()));
        Running { check: check.clone(), header, servers, task }
    }
}

impl Running {
    /// Whether this task runs the same check on the same servers, with the same state objects: the workers read those.
    fn matches(&self, check: &HealthCheck, backend: &Backend) -> bool {
        let servers = backend.balancer.servers();
        let same = |(a, b): (&Arc<Server>, &Arc<Server>)| a.url.text == b.url.text && Arc::ptr_eq(&a.state, &b.state);
        let is_same_check = self.check == *check && self.header == backend.proxy_protocol;
        is_same_check && self.servers.len() == servers.len() && self.servers.iter().zip(servers).all(same)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The check of one backend, and what its probes need.
struct Watched {
    backend: String,
    check: HealthCheck,
    /// The PROXY header with which connections to the servers begin.
    header: Option<ProxyVersion>,
    connectors: Result<Connectors, String>,
}

/// Probes all servers of a backend concurrently at every interval, the first time immediately. Does not return.
async fn watch(watched: Watched, servers: Vec<Arc<Server>>) {
    let mut ticks = tokio::time::interval(watched.check.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        join_all(servers.iter().map(|server| probe_server(&watched, server))).await;
    }
}

impl Watched {
    /// Probes one server.
    ///
    /// # Errors
    /// Why the server is not healthy.
    async fn probe(&self, server: &Server) -> Result<(), ProbeFailure> {
        let connectors = || self.connectors.as_ref().map_err(Clone::clone);
        match self.check.method {
            CheckMethod::Request => {
                let probe = self.check.probe(&server.url).map_err(|e| e.to_string())?;
                match send_probe(connectors()?, &probe).await? {
                    status if status_is_healthy(status) => Ok(()),
                    status => Err(format!("the server responded with status {status}").into()),
                }
            }
            CheckMethod::Connect => check_connect(&self.check.connect_target(&server.url), self.header).await,
            CheckMethod::TlsHandshake => check_handshake(&self.check.connect_target(&server.url), connectors()?).await,
        }
    }
}

/// Probes one server and sets its state: one probe decides, both ways. Only changes are logged above the level debug.
async fn probe_server(watched: &Watched, server: &Server) {
    let backend = &watched.backend;
    let failure = match tokio::time::timeout(PROBE_TIME_MAX, watched.probe(server)).await {
        Ok(outcome) => outcome.err(),
        Err(_) => Some(format!("no response within {} s", PROBE_TIME_MAX.as_secs()).into()),
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
