//! The configuration that the control plane publishes: the compiled snapshot with the counters of its backends.

use std::sync::{Arc, OnceLock};

use super::access_log::{AccessLogSettings, FrontendFormat};
use super::metrics::{BackendMetrics, FrontendBytes, Metrics, ServerHealth, ServerSample};
use super::traffic::{SeriesKey, Traffic, TrafficCounters};
use crate::config::snapshot::{Backend, Frontend, FrontendLog, ServerEndpoint, Snapshot};

/// A published configuration. A request holds it from its head until its access log line is written.
pub struct Published {
    pub snapshot: Snapshot,
    /// Indexed by [`crate::config::snapshot::Backend::number`].
    backends: Box<[Arc<BackendMetrics>]>,
    /// The live counters of frontends, indexed by [`Frontend::number`]; empty without `[api]`.
    frontends: Box<[Arc<TrafficCounters>]>,
    /// The formats of frontends with access logs of their own, made when the first request needs one.
    log_formats: OnceLock<Box<[Option<FrontendFormat>]>>,
    /// The bytes of frontends, indexed by [`Frontend::number`]; empty without `[metrics]`.
    bytes: Box<[Arc<FrontendBytes>]>,
    /// The live counters of servers, indexed by [`Backend::number`] and [`ServerEndpoint::number`]; empty without `[api]`.
    servers: Box<[Box<[Arc<TrafficCounters>]>]>,
}

impl Published {
    /// Gives each backend its counters. A backend with the name of an earlier one continues its counters.
    pub fn new(snapshot: Snapshot, metrics: &Metrics) -> Self {
        let backends = snapshot.backends.iter().map(|backend| metrics.backend(&backend.name)).collect();
        let (frontends, servers) = match metrics.traffic() {
            Some(traffic) => (frontend_counters(&snapshot, traffic), server_counters(&snapshot, traffic)),
            None => Default::default(),
        };
        let bytes = snapshot.frontends.iter().filter_map(|(_, name)| metrics.frontend(name)).collect();
        Published { snapshot, backends, frontends, log_formats: OnceLock::new(), bytes, servers }
    }

    /// The live counters of a frontend; `None` without `[api]`.
    pub fn frontend_traffic(&self, frontend: &Frontend) -> Option<&TrafficCounters> {
        self.frontends.get(frontend.number).map(|counters| &**counters)
    }

    /// The access log that a frontend has of its own; `common` has the options of all others.
    #[inline]
    pub fn own_log(&self, frontend: &Frontend, common: &AccessLogSettings) -> Option<&FrontendFormat> {
        if self.snapshot.frontend_logs.is_empty() {
            return None;
        }
        let format = |log: &Option<Arc<FrontendLog>>| log.as_ref().map(|log| FrontendFormat::new(log, common));
        let formats = self.log_formats.get_or_init(|| self.snapshot.frontend_logs.iter().map(format).collect());
        formats.get(frontend.number)?.as_ref()
    }

    /// The counters of a frontend's bytes; `None` without `[metrics]`.
    #[inline]
    pub fn frontend_bytes(&self, frontend: &Frontend) -> Option<&FrontendBytes> {
        self.bytes.get(frontend.number).map(|bytes| &**bytes)
    }

    /// The live counters of a backend's server; `None` without `[api]`.
    pub fn server_traffic(&self, backend: &Backend, endpoint: &ServerEndpoint) -> Option<&TrafficCounters> {
        self.servers.get(backend.number)?.get(endpoint.number).map(|counters| &**counters)
    }

    /// The counters of the backend with this number in the snapshot.
    pub fn counters(&self, number: usize) -> Option<&BackendMetrics> {
        self.backends.get(number).map(|counters| &**counters)
    }

    /// As [`counters`](Self::counters), for what outlives the configuration.
    pub fn shared_counters(&self, number: usize) -> Option<Arc<BackendMetrics>> {
        self.backends.get(number).cloned()
    }

    /// All servers with the results of their active health checks.
    pub fn servers(&self) -> Vec<ServerSample> {
        let backends = self.snapshot.backends.iter();
        let samples = |backend: &Arc<Backend>| {
            let is_checked = backend.health_check.is_some();
            let (provider, name) = (backend.provider.clone(), backend.name.clone());
            let servers: Vec<_> = backend
                .endpoints
                .iter()
                .map(|endpoint| ServerSample {
                    provider: provider.clone(),
                    backend: name.clone(),
                    server: endpoint.server.name.clone(),
                    url: endpoint.url.clone(),
                    health: match (is_checked, endpoint.server.state.is_up()) {
                        (false, _) => ServerHealth::Unknown,
                        (true, true) => ServerHealth::Up,
                        (true, false) => ServerHealth::Down,
                    },
                })
                .collect();
            servers
        };
        backends.flat_map(samples).collect()
    }
}

fn frontend_counters(snapshot: &Snapshot, traffic: &Traffic) -> Box<[Arc<TrafficCounters>]> {
    let key =
        |(provider, name): &(String, String)| SeriesKey::Frontend { provider: provider.clone(), name: name.clone() };
    snapshot.frontends.iter().map(|names| traffic.register(key(names))).collect()
}

fn server_counters(snapshot: &Snapshot, traffic: &Traffic) -> Box<[Box<[Arc<TrafficCounters>]>]> {
    let of_backend = |backend: &Arc<Backend>| {
        let (provider, name) = (&backend.provider, &backend.name);
        let key = |endpoint: &ServerEndpoint| SeriesKey::Server {
            provider: provider.clone(),
            backend: name.clone(),
            url: endpoint.url.clone(),
        };
        backend.endpoints.iter().map(|endpoint| traffic.register(key(endpoint))).collect()
    };
    snapshot.backends.iter().map(of_backend).collect()
}
