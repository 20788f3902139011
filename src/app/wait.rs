//! Waiting for a condition by polling: for events that happen in milliseconds, on threads that may sleep.

use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `condition` holds, or until `secs_max` seconds have elapsed.
pub fn wait_until(secs_max: u64, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(secs_max);
    while !condition() && Instant::now() < end {
        std::thread::sleep(POLL_INTERVAL);
    }
}
