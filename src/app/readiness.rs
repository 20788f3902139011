//! When the first connection is accepted: not before the routes are there. Until then connections wait in the sockets' queues; they would
//! be answered 404.

use std::sync::atomic::Ordering::Relaxed;

use super::shutdown::Signals;
use super::wait::wait_until;
use super::{Running, systemd};
use crate::config::snapshot::Snapshot;
use crate::limits;
use crate::net::listener_handover::Predecessor;

/// Opens them, once all providers have been heard or long enough after the start; with a `predecessor`, in its place. A signal that ends
/// the process leaves them closed.
///
/// # Errors
/// A provider has no routes for this process, and its predecessor may have some: it must go on.
pub fn start_accepting(
    running: &Running,
    predecessor: Option<Predecessor>,
    signals: &mut Signals,
) -> Result<(), String> {
    let (words, published) = (&running.readiness, &running.shared.snapshot);
    // One that takes over has time: a provider that fails may answer at its next attempt, and the predecessor serves meanwhile.
    let are_heard = || if predecessor.is_some() { words.not_ready().is_empty() } else { !words.has_pending() };
    let is_ready = || are_heard() && names_resolved(&published.load().snapshot);
    let mut is_over = false;
    wait_until(limits::PROVIDERS_READY_SECS, || {
        is_over = signals.shutdown_requested();
        is_over || is_ready()
    });
    if is_over {
        return Ok(());
    }
    let missing = words.not_ready().join("; ");
    match predecessor {
        Some(predecessor) if !missing.is_empty() && !predecessor.has_ended() => {
            return Err(format!("cannot take over without the routes of every provider: {missing}"));
        }
        Some(predecessor) => predecessor.take_over(),
        None => {}
    }
    if words.has_pending() {
        let secs = limits::PROVIDERS_READY_SECS;
        tracing::error!(
            "after {secs} s connections are accepted without all routes: see what keeps the provider ({missing}); its requests are answered 404 until it answers"
        );
    }
    running.shared.accepting.store(true, Relaxed);
    words.open();
    systemd::ready();
    for (name, entry) in &running.fixed.entry_points {
        tracing::info!("Starting server on {} (entry point {name})", entry.address);
    }
    Ok(())
}

/// All names of servers, with or without success.
fn names_resolved(snapshot: &Snapshot) -> bool {
    snapshot.backends.iter().flat_map(|b| &b.endpoints).all(|origin| origin.addresses.is_looked_up())
}
