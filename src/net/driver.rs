//! The driver ladder: io_uring with the preferred ring size, smaller rings, then epoll. The driver info names the result and the reason
//! (docs/reference/drivers.md#driver-ladder).

use std::fmt;
use std::future::Future;
use std::io;
use std::str::FromStr;

use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use crate::limits;

/// The driver that `--driver` asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriverPreference {
    /// io_uring if the kernel and the container allow it, else epoll.
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

/// A worker's runtime, with the reason for its driver.
pub struct Driver {
    runtime: AnyRuntime,
    pub choice: DriverInfo,
}

enum AnyRuntime {
    IoUring(Runtime<TimeDriver<IoUringDriver>>),
    Epoll(Runtime<TimeDriver<LegacyDriver>>),
}

/// The driver in use, for the log line and the dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverInfo {
    /// `io_uring` or `epoll`.
    pub name: &'static str,
    /// The reason as text: the ring's size, or why io_uring is not in use.
    pub reason: String,
    /// epoll was not asked for: io_uring is not available.
    pub is_fallback: bool,
}

impl fmt::Display for DriverInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.reason)
    }
}

impl Driver {
    /// Builds the runtime of the calling thread. The runtime must stay on this thread: the ring is set up for a single issuer.
    ///
    /// # Errors
    /// The driver that was asked for, or even epoll, is not available.
    pub fn build(preference: DriverPreference) -> io::Result<Driver> {
        if preference == DriverPreference::Epoll {
            return epoll("selected with --driver=epoll".to_owned(), false);
        }
        let failure = match largest_ring() {
            Ok((runtime, reason)) => {
                return Ok(Driver {
                    runtime: AnyRuntime::IoUring(runtime),
                    choice: DriverInfo { name: "io_uring", reason, is_fallback: false },
                });
            }
            Err(failure) => failure,
        };
        if preference == DriverPreference::IoUring {
            return Err(io::Error::new(failure.kind(), format!("io_uring is not available: {}", explain(&failure))));
        }
        epoll(format!("io_uring is not available: {}", explain(&failure)), true)
    }

    /// Runs `main` to completion. `main` should only wait; work belongs in spawned tasks (docs/reference/drivers.md#main-future).
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

/// Builds the largest ring that the kernel grants. Kernels that charge rings to RLIMIT_MEMLOCK may grant a small ring where a large one
/// fails (docs/reference/drivers.md#memlock).
fn largest_ring() -> io::Result<(Runtime<TimeDriver<IoUringDriver>>, String)> {
    let mut entries = limits::RING_ENTRIES;
    loop {
        match ring_with(entries, true).or_else(|e| if is_unknown_flag(&e) { ring_with(entries, false) } else { Err(e) })
        {
            Ok(runtime) => return Ok((runtime, format!("{entries} entries"))),
            Err(e) if e.kind() == io::ErrorKind::OutOfMemory && entries > limits::RING_ENTRIES_MIN => entries /= 2,
            Err(e) => return Err(e),
        }
    }
}

/// Builds a ring of that many entries. With `tuned`, completions run when the thread enters the kernel anyway and only this thread submits:
/// 20 % less CPU per request.
fn ring_with(entries: u32, tuned: bool) -> io::Result<Runtime<TimeDriver<IoUringDriver>>> {
    let mut flags = io_uring::IoUring::builder();
    if tuned {
        flags.setup_coop_taskrun().setup_single_issuer().setup_cqsize(limits::RING_COMPLETIONS);
    }
    RuntimeBuilder::<IoUringDriver>::new().uring_builder(flags).with_entries(entries).enable_timer().build()
}

/// Whether the kernel does not know a setup flag: EINVAL before 5.19 (COOP_TASKRUN) and 6.0 (SINGLE_ISSUER).
fn is_unknown_flag(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error())
}

/// The kernel's setting (since 6.6): 1 denies io_uring to processes outside a group, 2 to all. Empty if the kernel has no such setting.
fn disabled_setting() -> String {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default()
}

fn explain(error: &io::Error) -> String {
    match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::PERM) if !matches!(disabled_setting().trim(), "" | "0") => {
            let value = disabled_setting();
            format!("the kernel's setting kernel.io_uring_disabled is {}: set it to 0 with sysctl", value.trim())
        }
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
    fn every_driver_runs_a_future() {
        for preference in [DriverPreference::Auto, DriverPreference::Epoll] {
            let mut driver = Driver::build(preference).expect("a driver");
            assert_eq!(driver.block_on(async { 7 }), 7);
            assert!(!driver.choice.reason.is_empty());
        }
    }

    #[test]
    fn driver_flag_is_parsed_ignoring_case() {
        assert_eq!("io_uring".parse(), Ok(DriverPreference::IoUring));
        assert_eq!("EPOLL".parse(), Ok(DriverPreference::Epoll));
        assert!("kqueue".parse::<DriverPreference>().unwrap_err().contains("auto, io_uring or epoll"));
    }
}
