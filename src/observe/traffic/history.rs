//! The history of the last fifteen minutes, kept by the control thread: one point every five seconds for each series, and the requests of
//! every second for the last minute. A series is kept while a point of it has requests; their number is bounded.

use std::collections::{BTreeMap, VecDeque};

use super::counters::Taken;
use super::latency::percentile_millis;
use crate::limits::HISTORY_SERIES_MAX;

/// The time between two points.
const STEP_SECS: u64 = 5;
/// Points of a series: fifteen minutes.
const POINTS_MAX: usize = 180;
/// Seconds of the live view.
const LIVE_MAX: usize = 60;
/// Steps of one half of the time that [`Recent`] covers.
const RECENT_STEPS: u32 = 12;

/// The object whose traffic a series shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeriesKey {
    EntryPoint(String),
    Frontend { provider: String, name: String },
    Server { provider: String, backend: String, url: String },
}

/// The traffic of one step.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub requests: u32,
    /// Responses with a 4xx.
    pub client_errors: u32,
    /// Responses with a 5xx.
    pub errors: u32,
    /// NaN, as the others, if no request of the step has a latency.
    pub p50_millis: f32,
    pub p95_millis: f32,
    pub p99_millis: f32,
}

/// The traffic of the last one to two minutes.
#[derive(Debug, Clone, Copy)]
pub struct Recent {
    /// The time that it covers.
    pub secs: f64,
    pub counts: Point,
}

/// The requests of one second.
#[derive(Debug, Clone, Copy)]
pub struct LiveSecond {
    pub unix_millis: u64,
    /// The time that the counts cover; more than a second if the control thread was busy.
    pub secs: f64,
    pub requests: u64,
    pub client_errors: u64,
    pub errors: u64,
}

/// The end of a step, and the time that it covers.
#[derive(Debug, Clone, Copy)]
pub struct StepTime {
    pub unix_millis: u64,
    pub secs: f64,
}

#[derive(Default)]
pub(super) struct History {
    steps: VecDeque<StepTime>,
    live: VecDeque<LiveSecond>,
    total: Series,
    series: BTreeMap<SeriesKey, Series>,
    /// The counts of all entry points in the current second.
    second: Taken,
    seconds: u64,
    last_second_millis: Option<u64>,
    last_step_millis: Option<u64>,
    /// The series that had requests in the last step and no room here.
    not_kept: usize,
    not_kept_now: usize,
}

/// The points of a series, and the counts behind them. `current` and `before` are the two halves of [`Recent`].
#[derive(Default)]
struct Series {
    points: VecDeque<Point>,
    step: Taken,
    current: Taken,
    before: Taken,
}

/// A copy of the history.
pub struct HistoryView {
    pub steps: Vec<StepTime>,
    pub live: Vec<LiveSecond>,
    pub total: SeriesView,
    pub series: Vec<(SeriesKey, SeriesView)>,
    pub not_kept: usize,
}

/// A copy of one series. The last point belongs to the last step.
pub struct SeriesView {
    pub points: Vec<Point>,
    pub recent: Recent,
}

impl History {
    /// Adds counts to a series. A series begins with its first request, if there is room.
    pub(super) fn add(&mut self, key: &SeriesKey, taken: &Taken) {
        if let Some(series) = self.series.get_mut(key) {
            series.step.add(taken);
            return;
        }
        // Entry points always have a series: their number is that of the static configuration.
        let is_entry_point = matches!(key, SeriesKey::EntryPoint(_));
        if taken.requests == 0 && !is_entry_point {
            return;
        }
        if self.series.len() >= HISTORY_SERIES_MAX && !is_entry_point {
            self.not_kept_now += 1;
            return;
        }
        let series = Series { step: taken.clone(), ..Series::default() };
        self.series.insert(key.clone(), series);
    }

    pub(super) fn add_to_total(&mut self, taken: &Taken) {
        self.second.add(taken);
    }

    /// Ends a second; returns whether a step ends with it.
    pub(super) fn end_second(&mut self, unix_millis: u64) -> bool {
        let second = std::mem::take(&mut self.second);
        let secs = elapsed_secs(&mut self.last_second_millis, unix_millis, 1);
        self.total.step.add(&second);
        push(
            &mut self.live,
            LiveSecond {
                unix_millis,
                secs,
                requests: second.requests,
                client_errors: second.client_errors,
                errors: second.errors,
            },
            LIVE_MAX,
        );
        self.seconds += 1;
        self.seconds.is_multiple_of(STEP_SECS)
    }

    /// Ends a step: each series gets its point.
    pub(super) fn end_step(&mut self, unix_millis: u64) {
        let secs = elapsed_secs(&mut self.last_step_millis, unix_millis, STEP_SECS);
        push(&mut self.steps, StepTime { unix_millis, secs }, POINTS_MAX);
        let starts_half = (self.seconds / STEP_SECS).is_multiple_of(u64::from(RECENT_STEPS));
        self.total.end_step(starts_half);
        self.series.values_mut().for_each(|series| series.end_step(starts_half));
        self.series.retain(|key, series| matches!(key, SeriesKey::EntryPoint(_)) || series.has_requests());
        self.not_kept = std::mem::take(&mut self.not_kept_now);
    }

    pub(super) fn view(&self) -> HistoryView {
        let series = self.series.iter().map(|(key, series)| (key.clone(), self.copy(series))).collect();
        HistoryView { series, ..self.summary() }
    }

    /// The view without its series, of which there may be many.
    pub(super) fn summary(&self) -> HistoryView {
        HistoryView {
            steps: self.steps.iter().copied().collect(),
            live: self.live.iter().copied().collect(),
            total: self.copy(&self.total),
            series: Vec::new(),
            not_kept: self.not_kept,
        }
    }

    pub(super) fn series(&self, key: &SeriesKey) -> Option<SeriesView> {
        self.series.get(key).map(|series| self.copy(series))
    }

    fn copy(&self, series: &Series) -> SeriesView {
        let mut sum = series.before.clone();
        sum.add(&series.current);
        let steps_of_half = (self.seconds / STEP_SECS) % u64::from(RECENT_STEPS);
        let covered = self.steps.len().min((u64::from(RECENT_STEPS) + steps_of_half) as usize);
        let secs = self.steps.iter().rev().take(covered).map(|step| step.secs).sum();
        SeriesView { points: series.points.iter().copied().collect(), recent: Recent { secs, counts: point(&sum) } }
    }
}

impl Series {
    fn end_step(&mut self, starts_half: bool) {
        let step = std::mem::take(&mut self.step);
        push(&mut self.points, point(&step), POINTS_MAX);
        self.current.add(&step);
        if starts_half {
            self.before = std::mem::take(&mut self.current);
        }
    }

    fn has_requests(&self) -> bool {
        self.points.iter().any(|point| point.requests > 0)
    }
}

fn point(taken: &Taken) -> Point {
    let whole = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    Point {
        requests: whole(taken.requests),
        client_errors: whole(taken.client_errors),
        errors: whole(taken.errors),
        p50_millis: percentile_millis(&taken.latencies, 0.5),
        p95_millis: percentile_millis(&taken.latencies, 0.95),
        p99_millis: percentile_millis(&taken.latencies, 0.99),
    }
}

/// The time since the last call in seconds; the usual time if there was none, or if the clock was set.
fn elapsed_secs(last: &mut Option<u64>, unix_millis: u64, usual: u64) -> f64 {
    let elapsed = last.replace(unix_millis).and_then(|last| unix_millis.checked_sub(last));
    let is_plausible = |millis: &u64| (1..=usual * 60_000).contains(millis);
    elapsed.filter(is_plausible).map_or(usual as f64, |millis| millis as f64 / 1000.0)
}

fn push<T>(queue: &mut VecDeque<T>, item: T, count_max: usize) {
    if queue.len() >= count_max {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_request() -> Taken {
        Taken { requests: 1, ..Taken::default() }
    }

    fn frontend(number: usize) -> SeriesKey {
        SeriesKey::Frontend { provider: "file".into(), name: number.to_string() }
    }

    fn step(history: &mut History, number: u64) {
        for second in 1..=STEP_SECS {
            history.end_second((number * STEP_SECS + second) * 1000);
        }
        history.end_step((number + 1) * STEP_SECS * 1000);
    }

    #[test]
    fn history_ends_after_fifteen_minutes_and_silent_series_leave() {
        let mut history = History::default();
        history.add(&frontend(1), &one_request());
        for number in 0..POINTS_MAX as u64 {
            step(&mut history, number);
        }
        assert_eq!(history.series(&frontend(1)).expect("still there").points.len(), POINTS_MAX);
        step(&mut history, POINTS_MAX as u64);
        assert!(history.series(&frontend(1)).is_none());
        assert_eq!((history.steps.len(), history.live.len()), (POINTS_MAX, LIVE_MAX));
    }

    #[test]
    fn series_beyond_the_bound_are_counted_and_entry_points_always_kept() {
        let mut history = History::default();
        for number in 0..HISTORY_SERIES_MAX + 3 {
            history.add(&frontend(number), &one_request());
        }
        history.add(&SeriesKey::EntryPoint("http".into()), &Taken::default());
        step(&mut history, 0);
        let view = history.view();
        assert_eq!((view.series.len(), view.not_kept), (HISTORY_SERIES_MAX + 1, 3));
    }

    #[test]
    fn recent_covers_one_to_two_minutes() {
        let mut history = History::default();
        for number in 0..40 {
            history.add_to_total(&one_request());
            step(&mut history, number);
            let Recent { secs, counts } = history.view().total.recent;
            assert_eq!(f64::from(counts.requests) * STEP_SECS as f64, secs, "after step {number}");
            assert!(secs < 120.0 && (number < 12 || secs >= 60.0), "{secs} s after step {number}");
        }
    }

    #[test]
    fn clock_that_jumps_changes_no_rate() {
        let mut last = None;
        assert_eq!(elapsed_secs(&mut last, 50_000, 5), 5.0);
        assert_eq!(elapsed_secs(&mut last, 57_500, 5), 7.5);
        assert_eq!(elapsed_secs(&mut last, 1_000, 5), 5.0);
        assert_eq!(elapsed_secs(&mut last, 9_000_000_000, 5), 5.0);
    }
}
