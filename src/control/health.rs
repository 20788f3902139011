//! Active health checks: sends a probe to each server at its backend's interval and sets the server's state, which the balancers read
//! (docs/reference/backends.md#health-checks). `backend::health` decides what a probe requests and which status is healthy.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use self::probe::{Connector, connector, send_probe};
use self::probe_failure::ProbeFailure;
use crate::backend::health::{PROBE_TIME_MAX, status_is_healthy};
use crate::backend::{HealthCheck, Server};
use crate::config::snapshot::{Backend, Snapshot, TlsConfigs};

mod http2;
mod probe;
mod probe_failure;

/// The running health checks.
pub struct HealthChecks {
    connector: Result<Connector, String>,
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
    /// `tls`: the TLS configurations for https servers, or the reason why there are none.
    pub fn new(tls: Result<TlsConfigs, String>) -> Self {
        HealthChecks { connector: tls.map(|configs| connector(configs.any)), running: HashMap::new() }
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
        let work = watch(self.connector.clone(), backend.name.clone(), check.clone(), servers.clone());
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

/// Probes all servers of a backend concurrently at every interval, the first time immediately. Does not return.
async fn watch(connector: Result<Connector, String>, backend: String, check: HealthCheck, servers: Vec<Arc<Server>>) {
    let mut ticks = tokio::time::interval(check.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        join_all(servers.iter().map(|server| probe_server(&connector, &backend, &check, server))).await;
    }
}

/// Probes one server and sets its state: one probe decides, both ways. Only changes are logged above the level debug.
async fn probe_server(connector: &Result<Connector, String>, backend: &str, check: &HealthCheck, server: &Server) {
    let outcome = async {
        let probe = check.probe(&server.url).map_err(|e| e.to_string())?;
        let connector = connector.as_ref().map_err(Clone::clone)?;
        let result = tokio::time::timeout(PROBE_TIME_MAX, send_probe(connector, &probe)).await;
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
