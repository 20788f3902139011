//! The channel from the providers to the control plane's merger, and which providers are ready: have delivered a configuration.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::config::labels::ContainerReport;
use crate::observe::metrics::Metrics;

/// The receiving end of the channel. The merger takes every update at once and keeps only the newest of each provider.
pub type UpdateReceiver = UnboundedReceiver<ProviderUpdate>;

/// The complete configuration of one provider, and the objects that the provider rejected.
#[derive(Debug)]
pub struct ProviderUpdate {
    pub provider: &'static str,
    pub dynamic: crate::config::dynamic::DynamicConfig,
    pub rejected: Vec<crate::config::Rejected>,
}

/// Sends provider updates to the merger; also from other threads.
#[derive(Clone)]
pub struct UpdateSender {
    updates: UnboundedSender<ProviderUpdate>,
    readiness: Arc<ProviderReadiness>,
    /// Counts configurations that could not be read; without it none is counted.
    metrics: Option<Arc<Metrics>>,
}

/// Makes the channel from the providers to the merger.
pub fn channel() -> (UpdateSender, UpdateReceiver) {
    let (updates, receiver) = unbounded_channel();
    (UpdateSender { updates, readiness: Arc::default(), metrics: None }, receiver)
}

impl UpdateSender {
    /// Counts failures in `metrics` from now on.
    pub fn with_metrics(self, metrics: &Arc<Metrics>) -> Self {
        UpdateSender { metrics: Some(Arc::clone(metrics)), ..self }
    }

    /// Sends a configuration that replaces the provider's previous one.
    ///
    /// # Errors
    /// [`Closed`] if the control plane has ended.
    pub fn send(&self, update: ProviderUpdate) -> Result<(), Closed> {
        self.readiness.received(update.provider);
        self.updates.send(update).map_err(|_| Closed)
    }

    /// Reports that the provider's configuration could not be read, and why. The failure is counted, and the start no longer waits for
    /// this provider.
    pub fn report_unavailable(&self, provider: &'static str, reason: &str) {
        self.count_failure();
        self.mark_unavailable(provider, reason);
    }

    /// Ends the start's wait for this provider, without counting a failure.
    pub fn mark_unavailable(&self, provider: &'static str, reason: &str) {
        self.readiness.unavailable(provider, reason);
    }

    /// Counts a configuration, or a part of one, that could not be read (docs/reference/metrics.md#configuration).
    pub fn count_failure(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.reload_failed(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()));
        }
    }

    /// Whether reports on containers are shown to anyone.
    pub fn wants_reports(&self) -> bool {
        self.metrics.as_ref().is_some_and(|metrics| metrics.traffic().is_some())
    }

    /// Publishes the reports on all containers for the API and the dashboard.
    pub fn publish_reports(&self, reports: Vec<ContainerReport>) {
        if let Some(traffic) = self.metrics.as_ref().and_then(|metrics| metrics.traffic()) {
            traffic.set_containers(reports);
        }
    }

    /// Waits until the control plane has ended.
    pub async fn closed(&self) {
        self.updates.closed().await;
    }

    pub fn readiness(&self) -> &Arc<ProviderReadiness> {
        &self.readiness
    }
}

/// The error of [`UpdateSender::send`]: the control plane has ended.
#[derive(Debug)]
pub struct Closed;

/// The readiness gate: the state of each provider's first configuration. The start accepts connections once no provider is pending any
/// more, or after `PROVIDERS_READY_SECS`, because requests before the first routes would get 404.
#[derive(Default)]
pub struct ProviderReadiness {
    states: Mutex<BTreeMap<&'static str, ProviderState>>,
    accepting: Notify,
}

#[derive(Debug, PartialEq, Eq)]
enum ProviderState {
    Pending,
    /// The provider has sent a configuration, which is not applied yet.
    Received,
    Unavailable(String),
    Applied,
}

impl ProviderReadiness {
    /// Adds a provider that will deliver a configuration.
    pub fn expect(&self, provider: &'static str) {
        self.with(|states| {
            states.entry(provider).or_insert(ProviderState::Pending);
        });
    }

    /// Marks a configuration of the provider as applied; only the first one changes anything.
    pub fn applied(&self, provider: &'static str) {
        self.with(|states| drop(states.insert(provider, ProviderState::Applied)));
    }

    fn received(&self, provider: &'static str) {
        self.with(|states| match states.get_mut(provider) {
            Some(ProviderState::Applied) | None => {}
            Some(state) => *state = ProviderState::Received,
        });
    }

    fn unavailable(&self, provider: &'static str, reason: &str) {
        self.with(|states| match states.get_mut(provider) {
            // A configuration that the provider has sent stays applied, or will be applied.
            Some(ProviderState::Received | ProviderState::Applied) | None => {}
            Some(state) => *state = ProviderState::Unavailable(reason.to_owned()),
        });
    }

    /// Whether the first configuration of a provider may still arrive or is not applied yet.
    pub fn has_pending(&self) -> bool {
        self.with(|states| states.values().any(|s| matches!(s, ProviderState::Pending | ProviderState::Received)))
    }

    /// Lists the providers of which no configuration has been applied, each with the reason.
    pub fn not_ready(&self) -> Vec<String> {
        let reason = |(provider, state): (&&'static str, &ProviderState)| match state {
            ProviderState::Applied => None,
            ProviderState::Pending | ProviderState::Received => Some(format!("{provider}: no configuration received")),
            ProviderState::Unavailable(reason) => Some(format!("{provider}: {reason}")),
        };
        self.with(|states| states.iter().filter_map(reason).collect())
    }

    /// Announces that connections are accepted from now on.
    pub fn open(&self) {
        self.accepting.notify_one();
    }

    /// Waits for [`ProviderReadiness::open`]. Wakes one waiter only: the merger is the only caller.
    pub async fn opened(&self) {
        self.accepting.notified().await;
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<&'static str, ProviderState>) -> T) -> T {
        work(&mut self.states.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_waits_for_providers_that_may_still_deliver() {
        let readiness = ProviderReadiness::default();
        assert!(
            !readiness.has_pending() && readiness.not_ready().is_empty(),
            "without providers there is nothing to wait for"
        );
        readiness.expect("docker");
        readiness.expect("file");
        assert!(readiness.has_pending());
        readiness.applied("file");
        readiness.unavailable("file", "the file is broken now");
        readiness.unavailable("web", "this provider is not expected");
        assert_eq!(readiness.not_ready(), ["docker: no configuration received"]);
        readiness.unavailable("docker", "no Engine");
        assert!(!readiness.has_pending());
        assert_eq!(readiness.not_ready(), ["docker: no Engine"]);
        readiness.received("docker");
        readiness.unavailable("docker", "the stream has ended");
        assert!(readiness.has_pending(), "the received configuration is not applied yet");
        readiness.applied("docker");
        assert!(!readiness.has_pending() && readiness.not_ready().is_empty());
    }
}
