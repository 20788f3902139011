//! Looks after the workers: a ring that has failed, or a worker thread that has ended, would keep its share of the connections waiting
//! for ever, because the kernel goes on handing them to its listeners. The process says so and ends; whoever started it starts it again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::process_log;
use crate::limits;
use crate::worker::WorkerShared;

/// Starts the watching thread.
///
/// # Errors
/// The system's, when no thread can be started.
pub fn start(shared: Arc<WorkerShared>) -> io::Result<()> {
    std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || watch(&shared)).map(drop)
}

fn watch(shared: &WorkerShared) {
    let mut pulses = vec![MissedBeats::default(); shared.worker_status.len()];
    loop {
        // Looks are counted, not seconds: a machine that was suspended, or a process that was stopped, has missed none.
        std::thread::sleep(Duration::from_secs(limits::HEARTBEAT_SECS));
        for (number, (pulse, vitals)) in pulses.iter_mut().zip(&shared.worker_status).enumerate() {
            if !vitals.is_running() {
                fail(number, "a bug ended its thread, see above");
            }
            if pulse.is_stalled(&vitals.beats) {
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
    // The log may be a file or switched off; a process that ends by itself says why on standard error as well.
    let _ = writeln!(io::stderr(), "{text}");
    process_log::finish();
    std::process::exit(1)
}

/// What was last seen of one worker.
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
    fn only_a_worker_that_stays_silent_is_lost() {
        let beats = AtomicU64::new(0);
        let mut pulse = MissedBeats::default();
        for _ in 1..limits::HEARTBEATS_MISSED_MAX {
            assert!(!pulse.is_stalled(&beats));
        }
        beats.store(1, Relaxed);
        assert!(!pulse.is_stalled(&beats), "one beat is enough");
        for _ in 1..limits::HEARTBEATS_MISSED_MAX {
            assert!(!pulse.is_stalled(&beats));
        }
        assert!(pulse.is_stalled(&beats));
    }
}
