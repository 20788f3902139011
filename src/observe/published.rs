//! The configuration that the control plane publishes: the compiled snapshot with the counters of its backends.

use std::sync::Arc;

use super::metrics::{BackendMetrics, Metrics, ServerHealth, ServerSample};
use crate::config::snapshot::Snapshot;

/// A published configuration. A request holds it from its head until its access log line is written.
pub struct Published {
    pub snapshot: Snapshot,
    /// Indexed by [`crate::config::snapshot::Backend::number`].
    backends: Box<[Arc<BackendMetrics>]>,
}

impl Published {
    /// Gives each backend its counters. A backend with the name of an earlier one continues its counters.
    pub fn new(snapshot: Snapshot, metrics: &Metrics) -> Self {
        let backends = snapshot.backends.iter().map(|backend| metrics.backend(&backend.name)).collect();
        Published { snapshot, backends }
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
        let samples = |backend: &Arc<crate::config::snapshot::Backend>| {
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
