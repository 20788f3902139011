//! The Docker provider: follows a Docker Engine and publishes the configuration that its containers' labels describe
//! (docs/reference/providers.md#docker). The provider only reads: every request to the Engine is a GET.

use std::time::Duration;

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
mod once;
mod provider;
mod self_container;
mod settings;
mod signal;
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
pub use settings::DockerProviderSettings;

/// While attempts keep failing for the same reason, the error is logged again only after this time.
const LOG_AGAIN_AFTER: Duration = Duration::from_secs(60);

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
