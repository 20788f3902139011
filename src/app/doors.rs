//! When the first connection is accepted: not before the routes are there. Until then connections wait in the sockets' queues; they would
//! be answered 404.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::stop::Signals;
use super::{Running, systemd};
use crate::config::snapshot::{Origin, Snapshot};
use crate::limits;
use crate::net::handed::Predecessor;

/// How often something that will happen in milliseconds is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Opens them, once all providers have been heard or long enough after the start; with a `predecessor`, in its place. A signal that ends
/// the process leaves them closed.
///
/// # Errors
/// A provider has no routes for this process, and its predecessor has some: it must go on.
pub fn open(running: &Running, predecessor: Option<Predecessor>, signals: &mut Signals) -> Result<(), String> {
    let (words, published) = (&running.words, &running.shared.snapshot);
    // One that takes over has time: its predecessor serves meanwhile.
    let names_secs_max = if predecessor.is_some() { limits::FIRST_ROUTES_SECS } else { limits::FIRST_NAMES_SECS };
    let mut is_over = || signals.want_an_end();
    wait_until(limits::FIRST_ROUTES_SECS, || !words.are_awaited() || is_over());
    wait_until(names_secs_max, || has_addresses(&published.load().snapshot) || is_over());
    if is_over() {
        return Ok(());
    }
    let missing = words.missing().join("; ");
    match predecessor {
        Some(_) if !missing.is_empty() => return Err(format!("cannot take over without all routes: {missing}")),
        Some(predecessor) => predecessor.relieve(),
        None if words.are_awaited() => {
            tracing::warn!(
                "connections are accepted before all routes are known, their names are answered 404: {missing}"
            );
        }
        None => {}
    }
    running.shared.accepting.store(true, Relaxed);
    systemd::ready();
    for (name, entry) in &running.fixed.entry_points {
        tracing::info!("Starting server on {} (entry point {name})", entry.address);
    }
    Ok(())
}

/// All names of servers have been looked up.
fn has_addresses(snapshot: &Snapshot) -> bool {
    let has_address = |origin: &Origin| !origin.addresses.load().is_empty();
    snapshot.backends.iter().flat_map(|b| &b.origins).all(has_address)
}

/// Waits until it holds, or for so many seconds.
pub fn wait_until(secs_max: u64, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(secs_max);
    while !holds() && Instant::now() < end {
        std::thread::sleep(LOOK_EVERY);
    }
}
