//! Signals, and the end: stop accepting, let active requests finish, exit 0 (docs/reference/command-line.md#signals-and-exit-codes); or hand over to another process first.

use std::io;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals as SignalIterator;

use super::{Running, handover, process_log, systemd};
use crate::config::static_config::StaticConfig;
use crate::limits;
use crate::worker::WorkerShared;

/// How often the drain looks whether requests are still under way.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Workers hand over buffered log lines at least this often.
const LOG_FLUSH_TIME: Duration = Duration::from_millis(150);

/// The signals this process handles, caught from the moment this exists.
pub struct Signals {
    caught: SignalIterator,
    /// Caught while something else was waited for.
    pending: Vec<i32>,
}

impl Signals {
    pub fn register() -> io::Result<Self> {
        SignalIterator::new([SIGTERM, SIGINT, SIGUSR1, SIGUSR2]).map(|caught| Signals { caught, pending: Vec::new() })
    }

    /// One that ends the process has come. Those that have come stay for [`Signals::wait_and_stop`].
    pub fn shutdown_requested(&mut self) -> bool {
        self.pending.extend(self.caught.pending());
        let is_end = self.pending.iter().any(|&signal| is_shutdown_signal(signal));
        if is_end {
            // What came before it does not count any more: no process is started to take over from one that ends.
            self.pending.retain(|&signal| is_shutdown_signal(signal));
        }
        is_end
    }

    /// Acts on signals until one of them ends the process in order.
    pub fn wait_and_stop(mut self, running: Running) -> ExitCode {
        loop {
            match self.next() {
                SIGUSR1 => reopen_logs(&running.shared),
                SIGUSR2 => match handover::hand_over(&running, &mut || self.shutdown_requested()) {
                    Ok(()) => break self.drain_after_handover(running),
                    Err(e) => {
                        tracing::error!("not taken over: {e}");
                        if !running.shared.accepting.load(Relaxed) && !self.shutdown_requested() {
                            shut_down(running);
                            std::process::exit(1);
                        }
                    }
                },
                _ => break shut_down(running),
            }
        }
        // A runtime is never dropped (docs/reference/drivers.md#buffers-and-cancelled-operations): the process ends with its workers still in their rings.
        std::process::exit(0)
    }

    /// Waits for one, if none has come early.
    fn next(&mut self) -> i32 {
        while self.pending.is_empty() {
            self.pending.extend(self.caught.wait());
        }
        self.pending.remove(0)
    }

    /// Another process serves: this one stays for its last requests, however long they take, unless it is told to stop.
    fn drain_after_handover(&mut self, running: Running) {
        let shared = &running.shared;
        drop(running.listeners);
        shared.draining.store(true, Relaxed);
        let mut busy = Instant::now();
        let idle_max = Duration::from_secs(limits::IDLE_AFTER_HAND_OVER_SECS);
        while shared.active() > 0 || (shared.connections() > 0 && busy.elapsed() < idle_max) {
            if self.shutdown_requested() {
                drain_requests(shared, &running.fixed);
                break;
            }
            // The successor opens its own files.
            if self.pending.drain(..).any(|signal| signal == SIGUSR1) {
                reopen_logs(shared);
            }
            if shared.active() > 0 {
                busy = Instant::now();
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        flush_logs(shared);
    }
}

fn is_shutdown_signal(signal: i32) -> bool {
    signal == SIGTERM || signal == SIGINT
}

fn reopen_logs(shared: &WorkerShared) {
    process_log::reopen();
    if let Some(log) = &shared.access_log {
        log.queue.reopen();
    }
}

fn shut_down(running: Running) {
    let shared = &running.shared;
    tracing::info!("I have to go...");
    systemd::stopping();
    shared.stopping.store(true, Relaxed);
    let grace = running.fixed.life_cycle.request_accept_grace_timeout.positive();
    // With closed doors there is nothing to wait for.
    if let Some(accept_on) = grace.filter(|_| shared.accepting.load(Relaxed)) {
        tracing::info!("Waiting {accept_on:?} for incoming requests to cease");
        std::thread::sleep(accept_on);
    }
    shared.draining.store(true, Relaxed);
    shared.accepting.store(false, Relaxed);
    let end_of_doors = Instant::now() + Duration::from_secs(limits::ACCEPT_STOP_SECS);
    while !shared.has_stopped_accepting() && Instant::now() < end_of_doors {
        std::thread::sleep(POLL_INTERVAL);
    }
    running.pause_acme();
    drop(running.listeners);
    drain_requests(shared, &running.fixed);
    flush_logs(shared);
}

/// For as long as the grace time-out allows.
fn drain_requests(shared: &WorkerShared, fixed: &StaticConfig) {
    let grace = fixed.life_cycle.grace_time_out.positive().unwrap_or_default();
    let end = Instant::now() + grace;
    while shared.active() > 0 && Instant::now() < end {
        std::thread::sleep(POLL_INTERVAL);
    }
    let cut = shared.active();
    if cut > 0 {
        tracing::warn!("{cut} request(s) still active after the grace time-out of {grace:?}: they are cut");
    }
}

fn flush_logs(shared: &WorkerShared) {
    tracing::info!("Server stopped");
    if let Some(log) = &shared.access_log {
        std::thread::sleep(LOG_FLUSH_TIME);
        log.queue.flush(process_log::LAST_LINES_MAX);
    }
    tracing::info!("Shutting down");
    process_log::finish();
}
