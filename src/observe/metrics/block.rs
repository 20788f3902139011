//! The counters of one worker for one entry point or backend.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use super::bounds::Bounds;
use super::histogram::{Histogram, HistogramSum};
use super::labels::{COMMON_PAIRS, Method, PAIRS, Protocol, pair, pair_at};

/// Kinds of request (status, method, protocol) in one page. Most backends see only a few.
const PAGE_KINDS: usize = 8;

/// The most pages of one block. Kinds beyond `PAGES_MAX * PAGE_KINDS` are counted together, under the status 0.
pub(super) const PAGES_MAX: usize = 16;

/// The key of the kinds for which no slot was free. No request has the status 0.
const OVERFLOW_KEY: u32 = FILLED;
/// Set in each key in use: a free slot holds 0.
const FILLED: u32 = 1 << 31;

/// The counters. Aligned so that two workers never write to one cache line (two lines on processors that fetch them in pairs).
#[repr(align(128))]
pub(super) struct Block {
    bounds: Arc<Bounds>,
    first: Page,
    overflow: OnceLock<Box<Histogram>>,
    /// Requests in flight of common methods, by pair.
    open: [AtomicI64; COMMON_PAIRS],
    /// Requests in flight of the other methods, which few servers ever see.
    open_uncommon: OnceLock<Box<[AtomicI64]>>,
    retries: AtomicU64,
}

struct Page {
    keys: [AtomicU32; PAGE_KINDS],
    series: [OnceLock<Box<Histogram>>; PAGE_KINDS],
    next: OnceLock<Box<Page>>,
}

/// The labels of a series; the status 0 stands for the kinds that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub status: u16,
    pub method: Method,
    pub protocol: Protocol,
}

impl Block {
    pub(super) fn new(bounds: &Arc<Bounds>) -> Self {
        Block {
            bounds: Arc::clone(bounds),
            first: Page::new(),
            overflow: OnceLock::new(),
            open: [const { AtomicI64::new(0) }; COMMON_PAIRS],
            open_uncommon: OnceLock::new(),
            retries: AtomicU64::new(0),
        }
    }

    pub(super) fn record(&self, status: u16, method: Method, protocol: Protocol, nanos: u64) {
        self.series(key(status, method, protocol)).record(&self.bounds, nanos);
    }

    #[inline]
    pub(super) fn add_open(&self, method: Method, protocol: Protocol, change: i64) {
        let index = pair(method, protocol);
        let count = self.open.get(index).unwrap_or_else(|| &self.open_uncommon()[index - COMMON_PAIRS]);
        count.fetch_add(change, Relaxed);
    }

    pub(super) fn add_retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Requests in flight, for each pair of method and protocol.
    pub(super) fn open(&self) -> impl Iterator<Item = ((Method, Protocol), i64)> + '_ {
        let uncommon = self.open_uncommon.get().map_or(&[][..], |counts| &counts[..]);
        let count = move |index: usize| self.open.get(index).or_else(|| uncommon.get(index - COMMON_PAIRS));
        (0..PAIRS).map(move |index| (pair_at(index), count(index).map_or(0, |count| count.load(Relaxed))))
    }

    fn open_uncommon(&self) -> &[AtomicI64] {
        self.open_uncommon.get_or_init(|| (COMMON_PAIRS..PAIRS).map(|_| AtomicI64::new(0)).collect())
    }

    /// Calls `visit` for each kind seen so far.
    pub(super) fn each(&self, mut visit: impl FnMut(Kind, HistogramSum)) {
        let mut page = Some(&self.first);
        while let Some(current) = page {
            for (key, series) in current.keys.iter().zip(&current.series) {
                if let (key @ FILLED.., Some(series)) = (key.load(Acquire), series.get()) {
                    visit(kind(key), series.read());
                }
            }
            page = current.next.get().map(|next| &**next);
        }
        if let Some(series) = self.overflow.get() {
            visit(kind(OVERFLOW_KEY), series.read());
        }
    }

    /// Finds the series of a key, or claims a free slot for it. Only the first request of a kind allocates.
    fn series(&self, key: u32) -> &Histogram {
        let mut page = &self.first;
        for number in 0..PAGES_MAX {
            if let Some(slot) = page.slot_of(key) {
                return page.series[slot].get_or_init(|| self.new_series());
            }
            if number + 1 < PAGES_MAX {
                page = page.next.get_or_init(|| Box::new(Page::new()));
            }
        }
        self.overflow.get_or_init(|| self.new_series())
    }

    fn new_series(&self) -> Box<Histogram> {
        Box::new(Histogram::new(&self.bounds))
    }
}

impl Page {
    fn new() -> Self {
        Page {
            keys: [const { AtomicU32::new(0) }; PAGE_KINDS],
            series: [const { OnceLock::new() }; PAGE_KINDS],
            next: OnceLock::new(),
        }
    }

    /// The slot of the key on this page, or `None` if all slots have other keys. A free slot is claimed by compare-and-exchange: if
    /// two workers share a block, both get the same slot.
    fn slot_of(&self, key: u32) -> Option<usize> {
        self.keys.iter().position(|stored| match stored.load(Relaxed) {
            0 => match stored.compare_exchange(0, key, Release, Relaxed) {
                Ok(_) => true,
                Err(taken) => taken == key,
            },
            taken => taken == key,
        })
    }
}

fn key(status: u16, method: Method, protocol: Protocol) -> u32 {
    FILLED | u32::from(status) << 8 | pair(method, protocol) as u32
}

fn kind(key: u32) -> Kind {
    let (method, protocol) = pair_at((key & 0xff) as usize);
    Kind { status: (key >> 8 & 0xffff) as u16, method, protocol }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn read(block: &Block) -> BTreeMap<Kind, HistogramSum> {
        let mut all = BTreeMap::new();
        block.each(|kind, sum| assert!(all.insert(kind, sum).is_none(), "{kind:?} is listed twice"));
        all
    }

    #[test]
    fn kinds_count_separately_and_buckets_include_their_bound() {
        let block = Block::new(&Arc::new(Bounds::new(&[0.1, 1.0], false)));
        for nanos in [1, 100_000_000, 100_000_001, 1_000_000_000, 1_000_000_001] {
            block.record(200, Method::Get, Protocol::Http, nanos);
        }
        block.record(200, Method::Get, Protocol::Sse, 7);
        let all = read(&block);
        assert_eq!(all.len(), 2);
        let http = &all[&Kind { status: 200, method: Method::Get, protocol: Protocol::Http }];
        assert_eq!((http.count, &http.buckets[..]), (5, &[2, 2][..]));
        assert_eq!(http.sum_nanos, 2_200_000_003);
    }

    #[test]
    fn kinds_beyond_the_maximum_are_counted_together() {
        let block = Block::new(&Arc::new(Bounds::new(&[], false)));
        let slots = (PAGES_MAX * PAGE_KINDS) as u16;
        for status in 100..100 + slots + 5 {
            block.record(status, Method::Get, Protocol::Http, 1);
            block.record(status, Method::Get, Protocol::Http, 1);
        }
        let all = read(&block);
        assert_eq!(all.len(), usize::from(slots) + 1);
        let together = all.iter().find(|(kind, _)| kind.status == 0).map(|(_, sum)| sum.count);
        assert_eq!(together, Some(10));
        assert_eq!(all.values().map(|sum| sum.count).sum::<u64>(), u64::from(slots + 5) * 2);
    }

    #[test]
    fn workers_that_share_a_block_lose_no_count() {
        let block = Block::new(&Arc::new(Bounds::new(&[], false)));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..2000).for_each(|n| block.record(200 + n % 20, Method::Get, Protocol::Http, 1)));
            }
        });
        let all = read(&block);
        assert_eq!(all.len(), 20);
        assert_eq!(all.values().map(|sum| sum.count).sum::<u64>(), 8000);
    }
}
