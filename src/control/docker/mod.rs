//! The Docker provider: follows a Docker Engine and publishes the configuration that its containers' labels describe
//! (docs/reference/providers.md#docker). The provider only reads: every request to the Engine is a GET.

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

/// While attempts keep failing for the same reason, the error is logged again only after this time.
const LOG_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The provider's part of the static configuration (docs/reference/providers.md#docker), including the Engine's endpoint.
#[derive(Debug, Clone)]
pub struct DockerProviderSettings {
    /// The Engine's address: `unix:///path` or `tcp://host:port`.
    pub endpoint: String,
    /// TLS settings for an endpoint over TCP.
    pub tls: Option<ClientTls>,
    /// False: the containers are listed once, and events are not followed.
    pub watch: bool,
    /// The timeout of one request to the Engine; the event stream has none.
    pub request_timeout: Duration,
    /// The time between two listings in swarm mode.
    pub swarm_refresh: Duration,
    /// How long the frontends of a service without available containers are kept; zero: not at all.
    pub unavailable_grace: Duration,
    /// How labels are read. The provider sets `own_networks` itself.
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

/// Publishes a complete configuration at the start and after every change, until the receiver is dropped; with `watch = false` only once.
///
/// While the Engine cannot be reached nothing is published, so the last configuration stays. While the Engine sends events but does not
/// answer requests, events still remove containers.
pub async fn run(settings: DockerProviderSettings, send: UpdateSender) {
    let mut provider = Provider::new(settings, send.clone());
    let mut backoff = Backoff::default();
    let mut last_logged: Option<(String, Instant)> = None;
    loop {
        let started = Instant::now();
        let reason = match provider.session().await {
            Ok(()) | Err(SessionEnd::Closed) => return,
            Err(SessionEnd::Broken(reason)) => reason,
        };
        send.report_unavailable(PROVIDER, &reason);
        let wait = backoff.after_run(started.elapsed());
        if last_logged.as_ref().is_none_or(|(before, at)| *before != reason || at.elapsed() >= LOG_AGAIN_AFTER) {
            tracing::error!(
                provider = PROVIDER,
                endpoint = provider.endpoint(),
                "{reason}; the last configuration stays, next attempt in {:.1} s",
                wait.as_secs_f64()
            );
            last_logged = Some((reason, Instant::now()));
        }
        if provider.wait_to_reconnect(wait).await.is_err() {
            return;
        }
    }
}
