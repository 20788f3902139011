//! Signal handling and graceful shutdown: stop accepting, let active requests finish, exit 0
//! (docs/reference/command-line.md#signals-and-exit-codes). On SIGUSR2 the process hands over to a successor first.

use std::io;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals as SignalIterator;

use super::{Running, handover, process_log, systemd, wait};
use crate::config::static_config::StaticConfig;
use crate::limits;
use crate::worker::WorkerShared;

/// How often the drain checks for active requests.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Workers pass buffered access log lines to the writer at least this often.
const LOG_FLUSH_TIME: Duration = Duration::from_millis(150);

/// The signals that this process handles. They are caught from [`Signals::register`] on.
pub struct Signals {
    caught: SignalIterator,
    /// Signals received and not yet acted on.
    pending: Vec<i32>,
}

impl Signals {
    pub fn register() -> io::Result<Self> {
        SignalIterator::new([SIGTERM, SIGINT, SIGUSR1, SIGUSR2]).map(|caught| Signals { caught, pending: Vec::new() })
    }

    /// Whether SIGTERM or SIGINT has been received. Received signals stay pending for [`Signals::wait_and_stop`].
    pub fn shutdown_requested(&mut self) -> bool {
        self.pending.extend(self.caught.pending());
        let is_requested = self.pending.iter().any(|&signal| is_shutdown_signal(signal));
        if is_requested {
            // All other signals are dropped, earlier ones too: a process that exits must not start a successor.
            self.pending.retain(|&signal| is_shutdown_signal(signal));
        }
        is_requested
    }

    /// Handles signals until one of them ends the process.
    pub fn wait_and_stop(mut self, running: Running) -> ExitCode {
        loop {
            match self.next() {
                SIGUSR1 => reopen_logs(&running.shared),
                SIGUSR2 => match handover::hand_over(&running, &mut || self.shutdown_requested()) {
                    Ok(()) => break self.drain_after_handover(running),
                    Err(e) => {
                        tracing::error!("{e}");
                        if !running.shared.accepting.load(Relaxed) && !self.shutdown_requested() {
                            shut_down(running);
                            std::process::exit(1);
                        }
                    }
                },
                _ => break shut_down(running),
            }
        }
        // A runtime is never dropped (docs/reference/drivers.md#buffers-and-cancelled-operations): the process exits while its workers
        // still run.
        std::process::exit(0)
    }

    /// The next pending signal; waits for one if there is none.
    fn next(&mut self) -> i32 {
        while self.pending.is_empty() {
            self.pending.extend(self.caught.wait());
        }
        self.pending.remove(0)
    }

    /// Drains after the successor has taken over: waits for the last request or tunnel, however long that takes. A shutdown signal bounds
    /// the wait by the grace time-out. Connections without a request are kept for `IDLE_AFTER_HAND_OVER_SECS` after the last request.
    fn drain_after_handover(&mut self, running: Running) {
        let shared = &running.shared;
        // Only this process's handles: the successor keeps the listening sockets open.
        drop(running.listeners);
        shared.draining.store(true, Relaxed);
        let mut last_active = Instant::now();
        let idle_max = Duration::from_secs(limits::IDLE_AFTER_HAND_OVER_SECS);
        while shared.active() > 0 || (shared.connections() > 0 && last_active.elapsed() < idle_max) {
            if self.shutdown_requested() {
                drain_requests(shared, &running.config);
                break;
            }
            // The successor has opened its own log files: this reopens those of this process.
            if self.pending.drain(..).any(|signal| signal == SIGUSR1) {
                reopen_logs(shared);
            }
            if shared.active() > 0 {
                last_active = Instant::now();
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        flush_traces(shared);
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
    let grace = running.config.life_cycle.request_accept_grace_timeout.positive();
    // A process that is not accepting has no new requests to wait for.
    if let Some(accept_on) = grace.filter(|_| shared.accepting.load(Relaxed)) {
        tracing::info!("Waiting {accept_on:?} for incoming requests to cease");
        std::thread::sleep(accept_on);
    }
    shared.draining.store(true, Relaxed);
    shared.accepting.store(false, Relaxed);
    let accept_stop_end = Instant::now() + Duration::from_secs(limits::ACCEPT_STOP_SECS);
    while !shared.has_stopped_accepting() && Instant::now() < accept_stop_end {
        std::thread::sleep(POLL_INTERVAL);
    }
    if !shared.has_stopped_accepting() {
        tracing::error!(
            "a worker still accepts connections after {} s: the process ends anyway, and such a connection may be cut; report this",
            limits::ACCEPT_STOP_SECS
        );
    }
    running.pause_acme();
    drop(running.listeners);
    drain_requests(shared, &running.config);
    flush_traces(shared);
    flush_logs(shared);
}

/// Waits until no request is active and each HTTP/2 connection has been closed in order, for at most the grace time-out.
fn drain_requests(shared: &WorkerShared, config: &StaticConfig) {
    let grace = config.life_cycle.grace_time_out.positive().unwrap_or_default();
    let end = Instant::now() + grace;
    while (shared.active() > 0 || shared.multiplexed() > 0) && Instant::now() < end {
        std::thread::sleep(POLL_INTERVAL);
    }
    let active = shared.active();
    if active > 0 {
        tracing::warn!("{active} request(s) still active after the grace time-out of {grace:?}: closing them");
    }
}

/// Waits until the exporter has delivered the last spans, for at most `TRACE_FINAL_EXPORT_SECS`.
fn flush_traces(shared: &WorkerShared) {
    if let Some(tracing) = &shared.tracing {
        tracing.queue.close();
        wait::wait_until(limits::TRACE_FINAL_EXPORT_SECS, || tracing.queue.is_empty());
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
