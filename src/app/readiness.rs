//! The readiness gate: no connection is accepted before the routes are in use. Until then connections wait in the queues of the listening
//! sockets: accepted earlier, their requests would get 404.

use std::sync::atomic::Ordering::Relaxed;

use super::shutdown::Signals;
use super::wait::wait_until;
use super::{Running, systemd};
use crate::config::snapshot::Snapshot;
use crate::limits;
use crate::net::listener_handover::Predecessor;

/// Starts accepting connections once every provider is ready and every server name has been looked up, or after `PROVIDERS_READY_SECS`;
/// with a `predecessor`, once that process has given the listeners over or has exited. Returns without accepting if a shutdown signal arrives.
///
/// # Errors
/// A provider is not ready and the predecessor, which may have its routes, still runs: it keeps serving, and this process must exit.
pub fn start_accepting(
    running: &Running,
    predecessor: Option<Predecessor>,
    signals: &mut Signals,
) -> Result<(), String> {
    let (readiness, published) = (&running.readiness, &running.shared.snapshot);
    // A first start does not wait for a provider that has reported itself unavailable. A successor does, for the same PROVIDERS_READY_SECS:
    // the provider's next attempt may succeed, and the predecessor serves meanwhile.
    let providers_ready =
        || if predecessor.is_some() { readiness.not_ready().is_empty() } else { !readiness.has_pending() };
    let is_ready = || providers_ready() && names_resolved(&published.load().snapshot);
    let mut shutdown_requested = false;
    wait_until(limits::PROVIDERS_READY_SECS, || {
        shutdown_requested = signals.shutdown_requested();
        shutdown_requested || is_ready()
    });
    if shutdown_requested {
        return Ok(());
    }
    let missing = readiness.not_ready().join("; ");
    match predecessor {
        Some(predecessor) if !missing.is_empty() && !predecessor.has_ended() => {
            return Err(format!("hand-over refused: providers not ready: {missing}"));
        }
        Some(predecessor) => predecessor.take_over(),
        None => {}
    }
    if readiness.has_pending() {
        let secs = limits::PROVIDERS_READY_SECS;
        tracing::error!(
            "providers not ready after {secs} s ({missing}); accepting anyway, their routes get 404: check the provider"
        );
    }
    running.shared.accepting.store(true, Relaxed);
    readiness.open();
    systemd::ready();
    for (name, entry) in &running.config.entry_points {
        tracing::info!("Starting server on {} (entry point {name})", entry.address);
    }
    Ok(())
}

/// Whether every server name has been looked up, with or without success.
fn names_resolved(snapshot: &Snapshot) -> bool {
    snapshot.backends.iter().flat_map(|b| &b.endpoints).all(|endpoint| endpoint.addresses.is_looked_up())
}
