//! Limits lines of the log that other machines cause: each reason is logged once in a while, and all together not too often, so that neither
//! a broken server nor an attacker floods the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The time until the same line may be logged again.
const SAME_LINE_AFTER: Duration = Duration::from_secs(600);
/// Lines in any [`WINDOW`].
const LINES_MAX: usize = 20;
const WINDOW: Duration = Duration::from_secs(60);

/// The lines that were logged lately. Each has a key, which names the other machine and the reason.
#[derive(Debug, Default)]
pub struct RepeatedLines(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    /// When each line was logged, and how often it was suppressed since then. At most [`LINES_MAX`] lines per [`WINDOW`] are added.
    logged: HashMap<String, (Duration, u64)>,
    window_start: Duration,
    in_window: usize,
}

impl RepeatedLines {
    /// Whether a line may be logged at `now` (any monotonic time); then the value is the number of times that it was suppressed before.
    pub fn may_log(&self, key: &str, now: Duration) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, suppressed)) = lines.logged.get_mut(key)
            && now.saturating_sub(*at) < SAME_LINE_AFTER
        {
            *suppressed += 1;
            return None;
        }
        if now.saturating_sub(lines.window_start) >= WINDOW {
            lines.logged.retain(|_, (at, _)| now.saturating_sub(*at) < 2 * SAME_LINE_AFTER);
            (lines.window_start, lines.in_window) = (now, 0);
        }
        if lines.in_window >= LINES_MAX {
            return None;
        }
        lines.in_window += 1;
        let before = lines.logged.insert(key.to_owned(), (now, 0));
        Some(before.map_or(0, |(_, suppressed)| suppressed))
    }
}

/// The end of a line that was suppressed before.
pub fn repetitions(suppressed: u64) -> String {
    match suppressed {
        0 => String::new(),
        n => format!(" ({n} times more since the last such line)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_line_is_logged_again_after_ten_minutes_with_its_count() {
        let (lines, secs) = (RepeatedLines::default(), Duration::from_secs);
        assert_eq!(lines.may_log("a", secs(1)), Some(0));
        assert_eq!([lines.may_log("a", secs(2)), lines.may_log("a", secs(600))], [None, None]);
        assert_eq!(lines.may_log("b", secs(3)), Some(0), "another line has its own time");
        assert_eq!(lines.may_log("a", secs(601)), Some(2));
        assert_eq!(
            (repetitions(0), repetitions(2)),
            (String::new(), " (2 times more since the last such line)".to_owned())
        );
    }

    #[test]
    fn lines_of_many_machines_are_bounded_per_minute_and_in_memory() {
        let lines = RepeatedLines::default();
        let mut logged = 0;
        for n in 0..600_000_u64 {
            // A hundred per second, each from another machine.
            logged += usize::from(lines.may_log(&n.to_string(), Duration::from_millis(n * 10)).is_some());
        }
        assert_eq!(logged, 100 * LINES_MAX);
        let held = lines.0.lock().unwrap().logged.len();
        assert!(held <= 21 * LINES_MAX, "{held}");
    }
}
