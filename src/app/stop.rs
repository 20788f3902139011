//! Signals, and the end: stop accepting, let active requests finish, exit 0 (static.md 1.7).

use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals as SignalIterator;

use super::Running;

/// How often the drain looks whether requests are still under way.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long the last access log lines may take.
const LOG_FLUSH_MAX: Duration = Duration::from_secs(2);
/// Workers hand over buffered log lines at least this often.
const LOG_HAND_OVER: Duration = Duration::from_millis(150);

static REOPEN_LOG: AtomicBool = AtomicBool::new(false);

/// SIGUSR1 has asked for a fresh log file since the last call.
pub fn take_reopen_of_log() -> bool {
    REOPEN_LOG.load(Relaxed) && REOPEN_LOG.swap(false, Relaxed)
}

/// The signals this process handles, caught from the moment this exists.
pub struct Signals(SignalIterator);

impl Signals {
    pub fn register() -> io::Result<Self> {
        SignalIterator::new([SIGTERM, SIGINT, SIGUSR1]).map(Signals)
    }

    /// Waits for SIGTERM or SIGINT, then ends the process in order.
    pub fn wait_and_stop(mut self, running: &Running) -> ExitCode {
        for signal in self.0.forever() {
            if signal == SIGUSR1 {
                REOPEN_LOG.store(true, Relaxed);
                if let Some(log) = &running.shared.access_log {
                    log.reopen();
                }
                continue;
            }
            stop(running);
            break;
        }
        // A runtime is never dropped (runtime.md 6): the process ends with its workers still in their rings.
        std::process::exit(0)
    }
}

fn stop(running: &Running) {
    let shared = &running.shared;
    tracing::info!("I have to go...");
    shared.stopping.store(true, Relaxed);
    if let Some(accept_on) = running.fixed.life_cycle.request_accept_grace_timeout.positive() {
        tracing::info!("Waiting {accept_on:?} for incoming requests to cease");
        std::thread::sleep(accept_on);
    }
    shared.draining.store(true, Relaxed);
    for worker in &running.workers {
        worker.close_listeners();
    }
    let grace = running.fixed.life_cycle.grace_time_out.positive().unwrap_or_default();
    let end = Instant::now() + grace;
    while shared.active() > 0 && Instant::now() < end {
        std::thread::sleep(LOOK_EVERY);
    }
    let cut = shared.active();
    if cut > 0 {
        tracing::warn!("{cut} request(s) still active after the grace time-out of {grace:?}: they are cut");
    }
    tracing::info!("Server stopped");
    if let Some(log) = &shared.access_log {
        std::thread::sleep(LOG_HAND_OVER);
        log.flush(LOG_FLUSH_MAX);
    }
    tracing::info!("Shutting down");
}
