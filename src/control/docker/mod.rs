//! The Docker provider: follows an Engine and publishes the configuration that its containers' labels ask for
//! (docs/reference/providers.md#docker). It only ever reads: every request is a GET.

use std::time::Duration;

use tokio::time::Instant;

use super::update::UpdateSender;
use crate::config::dynamic::ClientTls;
use crate::config::labels::{DockerSettings, PROVIDER};

mod backoff;
mod engine;
mod events;
mod exited;
mod failure;
mod inspected;
mod inventory;
mod provider;
mod self_container;
mod signal;
mod swarm;
mod timestamp;
mod tls;
mod transport;
mod unavailable;

use backoff::Backoff;
use provider::{Provider, SessionEnd};

/// An Engine that stays away is in the log once in this time, and not at each attempt.
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The provider's part of the static configuration (docs/reference/providers.md#docker), and where the Engine is.
#[derive(Debug, Clone)]
pub struct DockerProviderSettings {
    /// `unix:///path`, `tcp://host:port`.
    pub endpoint: String,
    /// TLS over tcp.
    pub tls: Option<ClientTls>,
    /// False: one listing, never again.
    pub watch: bool,
    /// How long the Engine may take to answer one request; the event stream has no limit.
    pub request_timeout: Duration,
    /// The time between two listings in swarm mode.
    pub swarm_refresh: Duration,
    /// How long a name whose containers cannot answer is still known; zero: not at all.
    pub unavailable_grace: Duration,
    /// How labels are read; `own_networks` is found out by the provider itself.
    pub labels: DockerSettings,
}

impl Default for DockerProviderSettings {
    fn default() -> Self {
        DockerProviderSettings {
            endpoint: "unix:///var/run/docker.sock".to_owned(),
            tls: None,
            watch: true,
            request_timeout: Duration::from_secs(30),
            swarm_refresh: Duration::from_secs(15),
            unavailable_grace: Duration::ZERO,
            labels: DockerSettings { exposed_by_default: true, ..DockerSettings::default() },
        }
    }
}

/// Publishes a complete set at the start and after every change, until the receiver is gone; with `watch = false` once.
///
/// While the Engine cannot be reached nothing is published, so the last configuration stays; where it tells events and answers nothing
/// else, those still take containers out.
pub async fn run(settings: DockerProviderSettings, send: UpdateSender) {
    let mut provider = Provider::new(settings, send.clone());
    let mut backoff = Backoff::default();
    let mut told: Option<(String, Instant)> = None;
    loop {
        let started = Instant::now();
        let reason = match provider.session().await {
            Ok(()) | Err(SessionEnd::Closed) => return,
            Err(SessionEnd::Broken(reason)) => reason,
        };
        send.report_unavailable(PROVIDER, &reason);
        let wait = backoff.after_run(started.elapsed());
        if told.as_ref().is_none_or(|(before, at)| *before != reason || at.elapsed() >= TOLD_AGAIN_AFTER) {
            tracing::error!(
                provider = PROVIDER,
                endpoint = provider.endpoint(),
                "{reason}; the last configuration stays, next attempt in {:.1} s",
                wait.as_secs_f64()
            );
            told = Some((reason, Instant::now()));
        }
        if provider.wait_to_reconnect(wait).await.is_err() {
            return;
        }
    }
}
