//! The counters of `/health` (docs/reference/api.md#health): those of one worker, and the totals over all workers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Status codes have three digits; other numbers are counted as 0.
const CODES: usize = 1000;

/// The most bytes of a method, host or path that are stored with an error.
const RECENT_TEXT_MAX: usize = 1024;

/// The most errors that a worker stores, whatever the configuration says.
pub(super) const RECENT_ERRORS_MAX: usize = 1000;

/// The counters of one worker. Aligned so that two workers never write to one cache line.
#[repr(align(128))]
pub(super) struct HealthCounters {
    nanos: AtomicU64,
    bytes: AtomicU64,
    codes: Box<[CodeCount]>,
    recent: Mutex<VecDeque<RecentError>>,
    recent_max: usize,
}

#[derive(Default)]
struct CodeCount {
    total: AtomicU64,
    /// The second (upper 32 bits) and the count in it (lower 32 bits), in one number, so that no task has to reset the count.
    this_second: AtomicU64,
}

/// A request that ended with a status of 400 or more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecentError {
    pub status: u16,
    pub method: String,
    pub host: String,
    pub path: String,
    pub unix_nanos: u64,
}

/// The totals over all workers at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthTotals {
    /// Requests by status in the current second.
    pub status_counts: BTreeMap<u16, u64>,
    pub total_status_counts: BTreeMap<u16, u64>,
    pub count: u64,
    pub total_count: u64,
    pub total_nanos: u64,
    pub total_bytes: u64,
    /// Newest first; `None` if errors are not stored.
    pub recent_errors: Option<Vec<RecentError>>,
}

impl HealthCounters {
    pub(super) fn new(recent_errors: usize) -> Self {
        HealthCounters {
            nanos: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            codes: (0..CODES).map(|_| CodeCount::default()).collect(),
            recent: Mutex::default(),
            recent_max: recent_errors.min(RECENT_ERRORS_MAX),
        }
    }

    pub(super) fn record(&self, status: u16, nanos: u64, bytes: u64, unix_secs: u64) {
        let code = self.codes.get(usize::from(status)).unwrap_or(&self.codes[0]);
        code.total.fetch_add(1, Relaxed);
        let _ = code.this_second.fetch_update(Relaxed, Relaxed, |packed| Some(incremented(packed, unix_secs)));
        self.nanos.fetch_add(nanos, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Stores an error. Once the list is full, the entry of the oldest error is reused with its strings, so that a flood of errors
    /// allocates nothing.
    pub(super) fn store_error(&self, status: u16, method: &[u8], host: &[u8], path: &[u8], unix_nanos: u64) {
        if self.recent_max == 0 {
            return;
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut error = if recent.len() < self.recent_max { None } else { recent.pop_front() }.unwrap_or_default();
        error.status = status;
        error.unix_nanos = unix_nanos;
        set_text(&mut error.method, method);
        set_text(&mut error.host, host);
        set_text(&mut error.path, path);
        recent.push_back(error);
    }
}

/// Adds up the workers' counters. The list has at most `recent_errors` errors; with 0 there is no list.
pub(super) fn sum(workers: &[HealthCounters], unix_secs: u64, recent_errors: usize) -> HealthTotals {
    let mut totals = HealthTotals::default();
    for worker in workers {
        totals.total_nanos = totals.total_nanos.saturating_add(worker.nanos.load(Relaxed));
        totals.total_bytes = totals.total_bytes.saturating_add(worker.bytes.load(Relaxed));
        for (status, code) in worker.codes.iter().enumerate() {
            let total = code.total.load(Relaxed);
            if total > 0 {
                *totals.total_status_counts.entry(status as u16).or_default() += total;
                totals.total_count += total;
            }
            let now = count_in(code.this_second.load(Relaxed), unix_secs);
            if now > 0 {
                *totals.status_counts.entry(status as u16).or_default() += now;
                totals.count += now;
            }
        }
    }
    if recent_errors > 0 {
        totals.recent_errors = Some(newest_errors(workers, recent_errors));
    }
    totals
}

fn newest_errors(workers: &[HealthCounters], count_max: usize) -> Vec<RecentError> {
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
    }
    all.sort_by_key(|error| std::cmp::Reverse(error.unix_nanos));
    all.truncate(count_max);
    all
}

fn incremented(packed: u64, unix_secs: u64) -> u64 {
    match count_in(packed, unix_secs) {
        0 => unix_secs << 32 | 1,
        // Another increment would overflow into the second's half: the count stays at its maximum.
        count if count >= u64::from(u32::MAX) => packed,
        _ => packed + 1,
    }
}

fn count_in(packed: u64, unix_secs: u64) -> u64 {
    if packed >> 32 == unix_secs & 0xffff_ffff { packed & 0xffff_ffff } else { 0 }
}

fn set_text(text: &mut String, bytes: &[u8]) {
    text.clear();
    for chunk in bytes[..bytes.len().min(RECENT_TEXT_MAX)].utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_add_up_workers_and_current_second_ends() {
        let workers = [HealthCounters::new(2), HealthCounters::new(2)];
        workers[0].record(200, 10, 100, 7);
        workers[1].record(200, 20, 200, 8);
        workers[1].record(200, 30, 300, 8);
        workers[1].record(404, 40, 400, 8);
        workers[1].record(4040, 0, 0, 7);
        let totals = sum(&workers, 8, 2);
        assert_eq!(totals.status_counts, BTreeMap::from([(200, 2), (404, 1)]));
        assert_eq!(totals.total_status_counts, BTreeMap::from([(0, 1), (200, 3), (404, 1)]));
        assert_eq!((totals.count, totals.total_count), (3, 5));
        assert_eq!((totals.total_nanos, totals.total_bytes), (100, 1000));
        assert_eq!(sum(&workers, 9, 2).count, 0);
    }

    #[test]
    fn newest_errors_are_kept_with_bounded_texts() {
        let workers = [HealthCounters::new(2), HealthCounters::new(2)];
        for (worker, time) in [(0, 1), (0, 2), (0, 5), (1, 3), (1, 4)] {
            workers[worker].store_error(500 + time as u16, b"GET", b"h\xff", &[b'/'; 5000], time);
        }
        let errors = sum(&workers, 0, 3).recent_errors.unwrap();
        assert_eq!(errors.iter().map(|e| e.unix_nanos).collect::<Vec<_>>(), [5, 4, 3]);
        assert_eq!(
            (errors[0].status, errors[0].host.as_str(), errors[0].path.len()),
            (505, "h\u{fffd}", RECENT_TEXT_MAX)
        );
        assert_eq!(sum(&[HealthCounters::new(0)], 0, 0).recent_errors, None);
    }
}
