//! Signals, and the end: stop accepting, let active requests finish, exit 0 (static.md 1.7); or hand over to another process first.

use std::io;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals as SignalIterator;

use super::{Running, process_log, systemd, upgrade};
use crate::config::fixed::Fixed;
use crate::limits;
use crate::worker::Shared;

/// How often the drain looks whether requests are still under way.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Workers hand over buffered log lines at least this often.
const LOG_HAND_OVER: Duration = Duration::from_millis(150);

/// The signals this process handles, caught from the moment this exists.
pub struct Signals {
    caught: SignalIterator,
    /// Caught while something else was waited for.
    early: Vec<i32>,
}

impl Signals {
    pub fn register() -> io::Result<Self> {
        SignalIterator::new([SIGTERM, SIGINT, SIGUSR1, SIGUSR2]).map(|caught| Signals { caught, early: Vec::new() })
    }

    /// One that ends the process has come. Those that have come stay for [`Signals::wait_and_stop`].
    pub fn want_an_end(&mut self) -> bool {
        self.early.extend(self.caught.pending());
        let is_end = self.early.iter().any(|&signal| is_an_end(signal));
        if is_end {
            // What came before it does not count any more: no process is started to take over from one that ends.
            self.early.retain(|&signal| is_an_end(signal));
        }
        is_end
    }

    /// Acts on signals until one of them ends the process in order.
    pub fn wait_and_stop(mut self, running: Running) -> ExitCode {
        loop {
            match self.next() {
                SIGUSR1 => reopen_logs(&running.shared),
                SIGUSR2 => match upgrade::hand_over(&running, &mut || self.want_an_end()) {
                    Ok(()) => break self.fade(running),
                    Err(e) => {
                        tracing::error!("not taken over: {e}");
                        if !running.shared.accepting.load(Relaxed) && !self.want_an_end() {
                            stop(running);
                            std::process::exit(1);
                        }
                    }
                },
                _ => break stop(running),
            }
        }
        // A runtime is never dropped (runtime.md 6): the process ends with its workers still in their rings.
        std::process::exit(0)
    }

    /// Waits for one, if none has come early.
    fn next(&mut self) -> i32 {
        while self.early.is_empty() {
            self.early.extend(self.caught.wait());
        }
        self.early.remove(0)
    }

    /// Another process serves: this one stays for its last requests, however long they take, unless it is told to stop.
    fn fade(&mut self, running: Running) {
        let shared = &running.shared;
        drop(running.listeners);
        shared.draining.store(true, Relaxed);
        let mut busy = Instant::now();
        let idle_max = Duration::from_secs(limits::IDLE_AFTER_HAND_OVER_SECS);
        while shared.active() > 0 || (shared.connections() > 0 && busy.elapsed() < idle_max) {
            if self.want_an_end() {
                await_requests(shared, &running.fixed);
                break;
            }
            // The successor opens its own files.
            if self.early.drain(..).any(|signal| signal == SIGUSR1) {
                reopen_logs(shared);
            }
            if shared.active() > 0 {
                busy = Instant::now();
            }
            std::thread::sleep(LOOK_EVERY);
        }
        end(shared);
    }
}

fn is_an_end(signal: i32) -> bool {
    signal == SIGTERM || signal == SIGINT
}

fn reopen_logs(shared: &Shared) {
    process_log::reopen();
    if let Some(log) = &shared.access_log {
        log.queue.reopen();
    }
}

fn stop(running: Running) {
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
    let end_of_doors = Instant::now() + Duration::from_secs(limits::DOORS_CLOSE_SECS);
    while !shared.doors_are_closed() && Instant::now() < end_of_doors {
        std::thread::sleep(LOOK_EVERY);
    }
    running.rest_acme();
    drop(running.listeners);
    await_requests(shared, &running.fixed);
    end(shared);
}

/// For as long as the grace time-out allows.
fn await_requests(shared: &Shared, fixed: &Fixed) {
    let grace = fixed.life_cycle.grace_time_out.positive().unwrap_or_default();
    let end = Instant::now() + grace;
    while shared.active() > 0 && Instant::now() < end {
        std::thread::sleep(LOOK_EVERY);
    }
    let cut = shared.active();
    if cut > 0 {
        tracing::warn!("{cut} request(s) still active after the grace time-out of {grace:?}: they are cut");
    }
}

fn end(shared: &Shared) {
    tracing::info!("Server stopped");
    if let Some(log) = &shared.access_log {
        std::thread::sleep(LOG_HAND_OVER);
        log.queue.flush(process_log::LAST_LINES_MAX);
    }
    tracing::info!("Shutting down");
    process_log::finish();
}
