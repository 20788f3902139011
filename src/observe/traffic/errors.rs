//! The recent errors with their causes. A flood of errors costs a bounded number of stored entries in each second.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::limits::{RECENT_ERRORS_KEPT_MAX, RECENT_ERRORS_PER_SECOND_MAX};

/// The most bytes that are kept of each text that comes from a client or a server.
const TEXT_BYTES_MAX: usize = 512;

/// A request that ended with a status of 400 or more.
#[derive(Debug, Clone, Copy)]
pub struct ErrorFacts<'a> {
    pub unix_nanos: u64,
    pub status: u16,
    pub method: &'a [u8],
    pub host: &'a [u8],
    /// The target, as sent.
    pub path: &'a [u8],
    pub entry_point: &'a str,
    /// Empty if no frontend was found.
    pub frontend: &'a str,
    /// The URL of the last server that was tried; empty if none was.
    pub server: &'a str,
    pub cause: &'a str,
}

/// A stored error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorEntry {
    pub unix_nanos: u64,
    pub status: u16,
    pub method: String,
    pub host: String,
    pub path: String,
    pub entry_point: String,
    pub frontend: String,
    pub server: String,
    pub cause: String,
}

#[derive(Default)]
pub(super) struct ErrorLog {
    entries: Mutex<VecDeque<ErrorEntry>>,
    /// The second (upper 32 bits) and the entries in it (lower 32 bits).
    this_second: AtomicU64,
    not_kept: AtomicU64,
}

impl ErrorLog {
    pub(super) fn store(&self, facts: &ErrorFacts<'_>) {
        if !self.has_room(facts.unix_nanos / 1_000_000_000) {
            self.not_kept.fetch_add(1, Relaxed);
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // The oldest entry is reused with its texts.
        let mut entry =
            if entries.len() < RECENT_ERRORS_KEPT_MAX { None } else { entries.pop_front() }.unwrap_or_default();
        (entry.unix_nanos, entry.status) = (facts.unix_nanos, facts.status);
        for (text, bytes) in [
            (&mut entry.method, facts.method),
            (&mut entry.host, facts.host),
            (&mut entry.path, facts.path),
            (&mut entry.entry_point, facts.entry_point.as_bytes()),
            (&mut entry.frontend, facts.frontend.as_bytes()),
            (&mut entry.server, facts.server.as_bytes()),
            (&mut entry.cause, facts.cause.as_bytes()),
        ] {
            set_text(text, bytes);
        }
        entries.push_back(entry);
    }

    /// Whether the second still has room for an entry. Two workers may both take its last place.
    fn has_room(&self, unix_secs: u64) -> bool {
        let second = unix_secs & 0xffff_ffff;
        let packed = self.this_second.load(Relaxed);
        let count = if packed >> 32 == second { packed & 0xffff_ffff } else { 0 };
        let has_room = count < RECENT_ERRORS_PER_SECOND_MAX;
        if has_room {
            self.this_second.store(second << 32 | (count + 1), Relaxed);
        }
        has_room
    }

    /// The entries, the newest first, and how many errors were not stored.
    pub(super) fn newest(&self) -> (Vec<ErrorEntry>, u64) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        (entries.iter().rev().cloned().collect(), self.not_kept.load(Relaxed))
    }
}

fn set_text(text: &mut String, bytes: &[u8]) {
    text.clear();
    for chunk in bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes).utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(second: u64, path: &[u8]) -> ErrorFacts<'_> {
        ErrorFacts {
            unix_nanos: second * 1_000_000_000,
            status: 502,
            method: b"GET",
            host: b"a.test",
            path,
            entry_point: "http",
            frontend: "shop",
            server: "http://10.0.0.1",
            cause: "connecting to it: Connection refused",
        }
    }

    #[test]
    fn flood_of_errors_keeps_a_bounded_number_and_counts_the_rest() {
        let log = ErrorLog::default();
        for _ in 0..RECENT_ERRORS_PER_SECOND_MAX + 7 {
            log.store(&error(1, b"/first"));
        }
        assert_eq!(log.newest().1, 7);
        for second in 2..=RECENT_ERRORS_KEPT_MAX as u64 {
            log.store(&error(second, b"/\xff"));
        }
        log.store(&error(9_000, &[b'x'; 5000]));
        let (entries, _) = log.newest();
        assert_eq!(entries.len(), RECENT_ERRORS_KEPT_MAX);
        assert_eq!((entries[0].path.len(), entries[1].path.as_str()), (TEXT_BYTES_MAX, "/\u{fffd}"));
        assert_eq!(entries[0].cause, "connecting to it: Connection refused");
    }
}
