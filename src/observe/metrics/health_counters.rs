//! The numbers of `/health` (docs/reference/api.md#health): one worker's sums, and what all workers' come to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Status codes have three digits; other numbers are counted as 0.
const CODES: usize = 1000;

/// Of a host or a path, so many bytes are remembered with an error at most.
const RECENT_TEXT_MAX: usize = 1024;

/// Errors remembered per worker at most, whatever the configuration says.
pub(super) const RECENT_ERRORS_MAX: usize = 1000;

/// One worker's sums. Aligned so that two workers never write to one cache line.
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
    /// The second (upper half) and how many there were in it (lower half), in one number so that no one has to reset it.
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

/// All workers' sums at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthTotals {
    /// Requests by status in the current second.
    pub status_counts: BTreeMap<u16, u64>,
    pub total_status_counts: BTreeMap<u16, u64>,
    pub count: u64,
    pub total_count: u64,
    pub total_nanos: u64,
    pub total_bytes: u64,
    /// Newest first; `None` if they are not kept.
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
        let _ = code.this_second.fetch_update(Relaxed, Relaxed, |packed| Some(counted(packed, unix_secs)));
        self.nanos.fetch_add(nanos, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// The place of the oldest error is used again, texts included: a flood of errors allocates nothing.
    pub(super) fn remember(&self, status: u16, method: &[u8], host: &[u8], path: &[u8], unix_nanos: u64) {
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

/// Adds the workers' sums up. `recent_errors` is how many errors are shown; 0 shows no list at all.
pub(super) fn sum(tallies: &[HealthCounters], unix_secs: u64, recent_errors: usize) -> HealthTotals {
    let mut numbers = HealthTotals::default();
    for tally in tallies {
        numbers.total_nanos = numbers.total_nanos.saturating_add(tally.nanos.load(Relaxed));
        numbers.total_bytes = numbers.total_bytes.saturating_add(tally.bytes.load(Relaxed));
        for (status, code) in tally.codes.iter().enumerate() {
            let total = code.total.load(Relaxed);
            if total > 0 {
                *numbers.total_status_counts.entry(status as u16).or_default() += total;
                numbers.total_count += total;
            }
            let now = count_in(code.this_second.load(Relaxed), unix_secs);
            if now > 0 {
                *numbers.status_counts.entry(status as u16).or_default() += now;
                numbers.count += now;
            }
        }
    }
    if recent_errors > 0 {
        numbers.recent_errors = Some(newest(tallies, recent_errors));
    }
    numbers
}

fn newest(tallies: &[HealthCounters], at_most: usize) -> Vec<RecentError> {
    let mut all = Vec::new();
    for tally in tallies {
        all.extend(tally.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
    }
    all.sort_by_key(|error| std::cmp::Reverse(error.unix_nanos));
    all.truncate(at_most);
    all
}

fn counted(packed: u64, unix_secs: u64) -> u64 {
    match count_in(packed, unix_secs) {
        0 => unix_secs << 32 | 1,
        // A count that ran over would show as the next second's; there it stays.
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
    fn workers_are_added_up_and_a_second_passes() {
        let tallies = [HealthCounters::new(2), HealthCounters::new(2)];
        tallies[0].record(200, 10, 100, 7);
        tallies[1].record(200, 20, 200, 8);
        tallies[1].record(200, 30, 300, 8);
        tallies[1].record(404, 40, 400, 8);
        tallies[1].record(4040, 0, 0, 7);
        let numbers = sum(&tallies, 8, 2);
        assert_eq!(numbers.status_counts, BTreeMap::from([(200, 2), (404, 1)]));
        assert_eq!(numbers.total_status_counts, BTreeMap::from([(0, 1), (200, 3), (404, 1)]));
        assert_eq!((numbers.count, numbers.total_count), (3, 5));
        assert_eq!((numbers.total_nanos, numbers.total_bytes), (100, 1000));
        assert_eq!(sum(&tallies, 9, 2).count, 0);
    }

    #[test]
    fn the_newest_errors_stay_and_texts_are_bounded() {
        let tallies = [HealthCounters::new(2), HealthCounters::new(2)];
        for (worker, time) in [(0, 1), (0, 2), (0, 5), (1, 3), (1, 4)] {
            tallies[worker].remember(500 + time as u16, b"GET", b"h\xff", &[b'/'; 5000], time);
        }
        let errors = sum(&tallies, 0, 3).recent_errors.unwrap();
        assert_eq!(errors.iter().map(|e| e.unix_nanos).collect::<Vec<_>>(), [5, 4, 3]);
        assert_eq!(
            (errors[0].status, errors[0].host.as_str(), errors[0].path.len()),
            (505, "h\u{fffd}", RECENT_TEXT_MAX)
        );
        assert_eq!(sum(&[HealthCounters::new(0)], 0, 0).recent_errors, None);
    }
}
