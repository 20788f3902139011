//! Bounds on frames that cost the proxy more than they bring: each kind fills a bucket, which time and useful work empty. A client that
//! works, browses or cancels as programs do never fills one.

use std::time::Duration;

use crate::limits;

/// A bucket that has been filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// Streams that the peer opened and reset (CVE-2023-44487).
    RapidReset,
    /// Streams that the proxy had to reset because of the peer's faults (CVE-2025-8671), or that were refused.
    ProvokedResets,
    /// PING, SETTINGS, PRIORITY, WINDOW_UPDATE and unknown frames (CVE-2019-9512, CVE-2019-9515).
    ControlFrames,
    /// DATA without payload, and CONTINUATION frames (CVE-2019-9518, CVE-2024-27316).
    EmptyFrames,
    /// A header block longer than its limit.
    HeaderBlock,
}

/// How much a bucket holds, and how much of it one second empties.
struct Bucket {
    holds: u32,
    per_second: u32,
}

const BUCKETS: [Bucket; 4] = [
    Bucket { holds: limits::RAPID_RESETS_MAX, per_second: limits::RAPID_RESETS_PER_SECOND },
    Bucket { holds: limits::PROVOKED_RESETS_MAX, per_second: limits::PROVOKED_RESETS_PER_SECOND },
    Bucket { holds: limits::CONTROL_FRAMES_MAX, per_second: limits::CONTROL_FRAMES_PER_SECOND },
    Bucket { holds: limits::EMPTY_FRAMES_MAX, per_second: limits::EMPTY_FRAMES_PER_SECOND },
];

/// The buckets of one connection.
#[derive(Debug, Default)]
pub struct Flood {
    levels: [u32; 4],
    /// When time emptied the buckets last.
    last: Duration,
}

impl Flood {
    /// Empties the buckets by the time that has passed.
    pub fn advance(&mut self, now: Duration) {
        let millis = u32::try_from(now.saturating_sub(self.last).as_millis()).unwrap_or(u32::MAX);
        // Short periods are added up, so that none is rounded away.
        if millis < 100 {
            return;
        }
        self.last = now;
        for (level, bucket) in self.levels.iter_mut().zip(&BUCKETS) {
            *level = level.saturating_sub(bucket.per_second.saturating_mul(millis.min(60_000)) / 1000);
        }
    }

    /// Counts a frame. Returns the bucket if it is full now.
    pub fn count(&mut self, kind: Exceeded) -> Result<(), Exceeded> {
        let Some((level, bucket)) = self.levels.get_mut(kind as usize).zip(BUCKETS.get(kind as usize)) else {
            return Ok(());
        };
        *level += 1;
        if *level > bucket.holds { Err(kind) } else { Ok(()) }
    }

    /// Empties a bucket by so much, for useful work.
    pub fn credit(&mut self, kind: Exceeded, amount: u32) {
        if let Some(level) = self.levels.get_mut(kind as usize) {
            *level = level.saturating_sub(amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_fills_and_time_and_work_empty_it() {
        let mut flood = Flood::default();
        let fill = |flood: &mut Flood| (0..).take_while(|_| flood.count(Exceeded::RapidReset).is_ok()).count();
        assert_eq!(fill(&mut flood), limits::RAPID_RESETS_MAX as usize);
        flood.advance(Duration::from_millis(50));
        assert!(flood.count(Exceeded::RapidReset).is_err(), "too soon");
        flood.advance(Duration::from_secs(1));
        let per_second = limits::RAPID_RESETS_PER_SECOND as usize;
        assert!((per_second - 3..=per_second).contains(&fill(&mut flood)));
        flood.credit(Exceeded::RapidReset, 50);
        assert!((40..=50).contains(&fill(&mut flood)));
        assert!(flood.count(Exceeded::ControlFrames).is_ok(), "another bucket");
    }
}
