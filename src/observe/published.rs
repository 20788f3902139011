//! What the control plane publishes: the compiled configuration, with the counters of its backends beside it.

use std::sync::Arc;

use super::metrics::{BackendMetrics, Metrics, ServerHealth, ServerSample};
use crate::config::snapshot::Snapshot;

/// One published state. A request holds it from its head to its log line.
pub struct Published {
    pub snapshot: Snapshot,
    /// By [`crate::config::snapshot::Backend::number`].
    backends: Box<[Arc<BackendMetrics>]>,
}

impl Published {
    /// Gives each backend its counters: those of the same name from before, where there are some.
    pub fn new(snapshot: Snapshot, metrics: &Metrics) -> Self {
        let backends = snapshot.backends.iter().map(|backend| metrics.backend(&backend.name)).collect();
        Published { snapshot, backends }
    }

    /// The counters of a backend of this snapshot.
    pub fn counters(&self, number: usize) -> Option<&BackendMetrics> {
        self.backends.get(number).map(|counters| &**counters)
    }

    /// All servers with what is known of their health.
    pub fn servers(&self) -> Vec<ServerSample> {
        let backends = self.snapshot.backends.iter();
        let of = |backend: &Arc<crate::config::snapshot::Backend>| {
            let is_checked = backend.health_check.is_some();
            let (provider, name) = (backend.provider.clone(), backend.name.clone());
            let servers: Vec<_> = backend
                .endpoints
                .iter()
                .map(|origin| ServerSample {
                    provider: provider.clone(),
                    backend: name.clone(),
                    server: origin.server.name.clone(),
                    url: origin.url.clone(),
                    health: match (is_checked, origin.server.state.is_up()) {
                        (false, _) => ServerHealth::Unknown,
                        (true, true) => ServerHealth::Up,
                        (true, false) => ServerHealth::Down,
                    },
                })
                .collect();
            servers
        };
        backends.flat_map(of).collect()
    }
}
