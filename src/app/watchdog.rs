//! The watchdog of the workers. If a ring has failed or a worker thread has ended, its share of the new connections would wait
//! indefinitely: the kernel still assigns them to its listeners. The watchdog logs that and exits; the supervisor starts the process again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::process_log;
use crate::limits;
use crate::worker::WorkerShared;

/// Starts the watchdog thread.
///
/// # Errors
/// The operating system's, if no thread can be started.
pub fn start(shared: Arc<WorkerShared>) -> io::Result<()> {
    std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || watch(&shared)).map(drop)
}

fn watch(shared: &WorkerShared) {
    let mut heartbeats = vec![MissedBeats::default(); shared.worker_status.len()];
    loop {
        // Checks are counted, not seconds: a machine that was suspended, or a process that was stopped, has missed no check.
        std::thread::sleep(Duration::from_secs(limits::HEARTBEAT_SECS));
        for (number, (heartbeat, status)) in heartbeats.iter_mut().zip(&shared.worker_status).enumerate() {
            if !status.is_running() {
                fail(number, "a bug ended its thread, see above");
            }
            if heartbeat.is_stalled(&status.beats) {
                fail(number, "its ring has failed, or something keeps its thread from working");
            }
        }
    }
}

fn fail(number: usize, why: &str) -> ! {
    let text = format!(
        "worker {number} has stopped working: {why}. Ringway exits so that it can be started again; if this happens more than once, try \
         --driver=epoll and please report it"
    );
    tracing::error!("{text}");
    // Also on standard error: the log may go to a file, or be off.
    let _ = writeln!(io::stderr(), "{text}");
    process_log::finish();
    std::process::exit(1)
}

/// The heartbeat counter of one worker at the last check, and the checks in a row at which it had not changed.
#[derive(Debug, Clone, Default)]
struct MissedBeats {
    seen: u64,
    missed: u32,
}

impl MissedBeats {
    fn is_stalled(&mut self, beats: &AtomicU64) -> bool {
        let now = beats.load(Relaxed);
        self.missed = if now == self.seen { self.missed + 1 } else { 0 };
        self.seen = now;
        self.missed >= limits::HEARTBEATS_MISSED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_is_stalled_after_heartbeats_missed_max_checks() {
        let beats = AtomicU64::new(0);
        let mut heartbeat = MissedBeats::default();
        for _ in 1..limits::HEARTBEATS_MISSED_MAX {
            assert!(!heartbeat.is_stalled(&beats));
        }
        beats.store(1, Relaxed);
        assert!(!heartbeat.is_stalled(&beats), "one beat is enough");
        for _ in 1..limits::HEARTBEATS_MISSED_MAX {
            assert!(!heartbeat.is_stalled(&beats));
        }
        assert!(heartbeat.is_stalled(&beats));
    }
}
