//! The Docker provider: follows a Docker Engine and publishes the configuration that its containers' labels describe
//! (docs/reference/providers.md#docker). The provider only reads: every request to the Engine is a GET.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::update::UpdateSender;
use crate::config::labels::PROVIDER;

mod engine;
mod event_stream;
mod events;
mod exited;
mod failure;
mod fields;
mod ingress;
mod inspected;
mod inventory;
mod joined;
mod once;
mod provider;
mod publisher;
mod self_container;
mod settings;
mod signal;
mod ssh;
mod stopped;
mod stopping;
mod swarm;
mod timestamp;
mod tls;
mod transport;
mod unavailable;
mod version;

use super::backoff::Backoff;
pub use once::{Listing, list_once};
use provider::{Provider, SessionEnd};
use publisher::Publisher;
pub use settings::{DockerHost, DockerProviderSettings};

/// While attempts keep failing for the same reason, the error is logged again only after this time.
const LOG_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Publishes a complete configuration at the start and after every change, until the receiver is dropped; with `watch = false` only once.
///
/// While the only Engine cannot be reached nothing is published, so the last configuration stays. Of several hosts, one that cannot be
/// reached loses its servers. While an Engine sends events but does not answer requests, events still remove containers.
pub async fn run(settings: DockerProviderSettings, send: UpdateSender) {
    let publisher = Arc::new(Mutex::new(Publisher::new(settings.clone(), send.clone())));
    let engines = settings.engines().into_iter().enumerate();
    let each = engines.map(|(index, (host, settings))| {
        follow(Provider::new(settings, host, Arc::clone(&publisher), index, send.clone()))
    });
    join_all(each).await;
}

/// Follows one Engine.
async fn follow(mut provider: Provider) {
    let mut backoff = Backoff::default();
    let mut log = FailureLog::default();
    loop {
        let started = Instant::now();
        let reason = match provider.session().await {
            Ok(()) | Err(SessionEnd::Closed) => return,
            Err(SessionEnd::Broken(reason)) => reason,
        };
        if provider.is_listed() {
            log.is_host_logged = false;
        }
        provider.on_failure(&reason);
        let wait = backoff.after_run(started.elapsed());
        log.failed(&provider, reason, wait);
        if provider.wait_to_reconnect(wait).await.is_err() {
            return;
        }
    }
}

/// The failures that are in the log already.
#[derive(Default)]
struct FailureLog {
    last: Option<(String, Instant)>,
    /// Whether the host's failure has been logged since it was last listed.
    is_host_logged: bool,
}

impl FailureLog {
    fn failed(&mut self, provider: &Provider, reason: String, wait: Duration) {
        let endpoint = provider.endpoint();
        if let Some(host) = provider.host() {
            if !std::mem::replace(&mut self.is_host_logged, true) {
                tracing::error!(
                    provider = PROVIDER,
                    host,
                    endpoint,
                    "host {host}: {reason}; its servers are removed if it stays away, other hosts keep theirs, and it is tried again every \
                     few seconds"
                );
            }
            return;
        }
        if self.last.as_ref().is_none_or(|(before, at)| *before != reason || at.elapsed() >= LOG_AGAIN_AFTER) {
            tracing::error!(
                provider = PROVIDER,
                endpoint,
                "{reason}; the last configuration stays, next attempt in {:.1} s",
                wait.as_secs_f64()
            );
            self.last = Some((reason, Instant::now()));
        }
    }
}
