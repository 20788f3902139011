//! The driver ladder: io_uring with the wanted ring, smaller rings, then epoll; each step down is reported (docs/reference/drivers.md#driver-ladder, docs/reference/drivers.md#memlock).

use std::fmt;
use std::future::Future;
use std::io;
use std::str::FromStr;

use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use crate::limits;

/// What the user asked for with `--driver`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriverPreference {
    /// io_uring where the kernel and the container allow it, else epoll.
    #[default]
    Auto,
    IoUring,
    Epoll,
}

impl FromStr for DriverPreference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "auto" | "" => Ok(DriverPreference::Auto),
            "io_uring" | "iouring" | "uring" => Ok(DriverPreference::IoUring),
            "epoll" => Ok(DriverPreference::Epoll),
            _ => Err(format!("unknown driver {text:?}: use auto, io_uring or epoll")),
        }
    }
}

/// A worker's runtime, and why it is the one it is.
pub struct Driver {
    runtime: AnyRuntime,
    pub choice: DriverInfo,
}

enum AnyRuntime {
    IoUring(Runtime<TimeDriver<IoUringDriver>>),
    Epoll(Runtime<TimeDriver<LegacyDriver>>),
}

/// Which driver runs, for the log line and the dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverInfo {
    /// `io_uring` or `epoll`.
    pub name: &'static str,
    /// Why, in words: the ring's size, or what kept io_uring away.
    pub reason: String,
    /// Nobody asked for this one: the better one was not to be had.
    pub is_fallback: bool,
}

impl fmt::Display for DriverInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.reason)
    }
}

impl Driver {
    /// Builds the runtime of the calling thread. It must stay on this thread: the ring is told that it has one issuer.
    ///
    /// # Errors
    /// When the forced driver is not to be had, or not even epoll is.
    pub fn build(wanted: DriverPreference) -> io::Result<Driver> {
        if wanted == DriverPreference::Epoll {
            return epoll("asked for with --driver=epoll".to_owned(), false);
        }
        let failure = match ring() {
            Ok((runtime, reason)) => {
                return Ok(Driver {
                    runtime: AnyRuntime::IoUring(runtime),
                    choice: DriverInfo { name: "io_uring", reason, is_fallback: false },
                });
            }
            Err(failure) => failure,
        };
        if wanted == DriverPreference::IoUring {
            return Err(io::Error::new(failure.kind(), format!("io_uring is not available: {}", explain(&failure))));
        }
        epoll(format!("io_uring is not available: {}", explain(&failure)), true)
    }

    /// Runs `main` to its end. `main` should only wait; work belongs into spawned tasks (docs/reference/drivers.md#main-future).
    pub fn block_on<F: Future>(&mut self, main: F) -> F::Output {
        match &mut self.runtime {
            AnyRuntime::IoUring(runtime) => runtime.block_on(main),
            AnyRuntime::Epoll(runtime) => runtime.block_on(main),
        }
    }
}

fn epoll(reason: String, is_fallback: bool) -> io::Result<Driver> {
    let runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?;
    Ok(Driver { runtime: AnyRuntime::Epoll(runtime), choice: DriverInfo { name: "epoll", reason, is_fallback } })
}

/// The largest ring that the kernel grants. New kernels charge rings to RLIMIT_MEMLOCK, so a small one may pass where a large one fails.
fn ring() -> io::Result<(Runtime<TimeDriver<IoUringDriver>>, String)> {
    let mut entries = limits::RING_ENTRIES;
    loop {
        match ring_of(entries, true).or_else(|e| if is_unknown_flag(&e) { ring_of(entries, false) } else { Err(e) }) {
            Ok(runtime) => return Ok((runtime, format!("{entries} entries"))),
            Err(e) if e.kind() == io::ErrorKind::OutOfMemory && entries > limits::RING_ENTRIES_MIN => entries /= 2,
            Err(e) => return Err(e),
        }
    }
}

/// One ring. With `tuned`, completions run when we enter the kernel anyway and only this thread submits: 20 % less CPU per request.
fn ring_of(entries: u32, tuned: bool) -> io::Result<Runtime<TimeDriver<IoUringDriver>>> {
    let mut flags = io_uring::IoUring::builder();
    if tuned {
        flags.setup_coop_taskrun().setup_single_issuer().setup_cqsize(limits::RING_COMPLETIONS);
    }
    RuntimeBuilder::<IoUringDriver>::new().uring_builder(flags).with_entries(entries).enable_timer().build()
}

/// Kernels before 5.19 (COOP_TASKRUN) and 6.0 (SINGLE_ISSUER) answer EINVAL.
fn is_unknown_flag(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error())
}

fn explain(error: &io::Error) -> String {
    match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::PERM) => {
            "the container's seccomp profile denies it (Docker 25 and later do): run with the seccomp profile that Ringway ships".to_owned()
        }
        Some(rustix::io::Errno::NOSYS) => "the kernel is too old or has it switched off".to_owned(),
        Some(rustix::io::Errno::NOMEM) => "RLIMIT_MEMLOCK is too small for a ring: raise the memlock limit".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rung_runs_a_future() {
        for wanted in [DriverPreference::Auto, DriverPreference::Epoll] {
            let mut driver = Driver::build(wanted).expect("a driver");
            assert_eq!(driver.block_on(async { 7 }), 7);
            assert!(!driver.choice.reason.is_empty());
        }
    }

    #[test]
    fn reads_the_flag() {
        assert_eq!("io_uring".parse(), Ok(DriverPreference::IoUring));
        assert_eq!("EPOLL".parse(), Ok(DriverPreference::Epoll));
        assert!("kqueue".parse::<DriverPreference>().unwrap_err().contains("auto, io_uring or epoll"));
    }
}
