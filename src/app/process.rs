//! Facts about the process, and the cores that it may use.

use std::fs;

use crate::observe::metrics::ProcessFacts;

use super::{CODENAME, VERSION};

/// The output of `ringway version`, five lines (docs/reference/command-line.md#commands).
pub fn version_text() -> String {
    format!(
        "Version:      {VERSION}\nCodename:     {CODENAME}\nRust version: {}\nBuilt:        {}\nOS/Arch:      {}/{}\n",
        option_env!("RINGWAY_RUSTC").unwrap_or("1.88 or later"),
        option_env!("RINGWAY_BUILT").unwrap_or("unknown"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

/// The host name, for X-Forwarded-Server.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The worker threads to start, one entry each: the core that it is pinned to, or `None` if it is not pinned. `configured` is the number of
/// workers, 0 for one per usable core.
///
/// Usable are the cores of the inherited cpuset, but no more than the cgroup's CPU quota pays for: further threads would only be throttled.
pub fn worker_cores(configured: i64) -> Vec<Option<usize>> {
    let cores = allowed_cores();
    let usable = quota_cores().map_or(cores.len(), |quota| cores.len().min(quota)).max(1);
    let count = usize::try_from(configured).ok().filter(|&n| n > 0).unwrap_or(usable);
    // Under a quota, or with more workers than cores, the scheduler places threads better than pinning would.
    let is_pinned = count == cores.len();
    (0..count).map(|n| cores.get(n).copied().filter(|_| is_pinned)).collect()
}

/// The cores of this thread's affinity mask.
fn allowed_cores() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect(),
        Err(_) => (0..std::thread::available_parallelism().map_or(1, usize::from)).collect(),
    }
}

/// The cores that the cgroup's CPU quota pays for, rounded up; `None` without a quota.
fn quota_cores() -> Option<usize> {
    if let Ok(text) = fs::read_to_string("/sys/fs/cgroup/cpu.max") {
        return quota_v2(&text);
    }
    let quota: i64 = fs::read_to_string("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").ok()?.trim().parse().ok()?;
    let period: i64 = fs::read_to_string("/sys/fs/cgroup/cpu/cpu.cfs_period_us").ok()?.trim().parse().ok()?;
    whole_cores(quota, period)
}

fn quota_v2(text: &str) -> Option<usize> {
    let (quota, period) = text.trim().split_once(' ')?;
    whole_cores(quota.parse().ok()?, period.parse().ok()?)
}

fn whole_cores(quota: i64, period: i64) -> Option<usize> {
    if quota <= 0 || period <= 0 {
        return None;
    }
    usize::try_from((quota + period - 1) / period).ok()
}

/// Process facts for `/metrics`, from /proc.
pub fn facts() -> ProcessFacts {
    let page = rustix::param::page_size() as u64;
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = statm.split(' ').map(|n| n.parse::<u64>().ok());
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks_at = |at: usize| fields.get(at).and_then(|n| n.parse::<f64>().ok());
    let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|n| n.parse::<f64>().ok());
    ProcessFacts {
        virtual_bytes: pages.next().flatten().map(|n| n * page),
        resident_bytes: pages.next().flatten().map(|n| n * page),
        cpu_secs: ticks_at(11).zip(ticks_at(12)).map(|(user, system)| (user + system) / ticks),
        start_unix_secs: boot.zip(ticks_at(19)).map(|(boot, start)| boot + start / ticks),
        open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
        max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
    }
}

/// Raises the soft limit of open files to the hard limit: a proxy needs two descriptors per request.
pub fn raise_open_files() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_quota_rounds_up_and_max_is_none() {
        assert_eq!(quota_v2("max 100000\n"), None);
        assert_eq!(quota_v2("150000 100000\n"), Some(2));
        assert_eq!(quota_v2("50000 100000"), Some(1));
        assert_eq!(whole_cores(-1, 100_000), None);
    }

    #[test]
    fn worker_count_is_as_configured_and_at_least_one() {
        assert!(!worker_cores(0).is_empty());
        assert_eq!(worker_cores(7).len(), 7);
    }

    #[test]
    fn process_facts_of_this_process_are_found() {
        let facts = facts();
        assert!(facts.resident_bytes.is_some_and(|bytes| bytes > 0));
        assert!(facts.start_unix_secs.is_some_and(|secs| secs > 1e9));
        assert!(facts.open_fds.is_some_and(|n| n >= 3));
    }
}
