//! Dynamic weights: servers with clearly fewer failures (statuses 500 to 504) than the others get more requests
//! (docs/reference/backends.md#balancing, "drr").

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// The largest dynamic weight.
const WEIGHT_MAX: u32 = 4096;
/// The factor by which a weight is raised or lowered at once.
const FACTOR: u32 = 4;
const SECOND: u64 = 1_000_000_000;
/// The time after a change of the weights during which they are not changed again.
const PAUSE_NANOS: u64 = 10 * SECOND;
/// The time over which requests and failures are counted.
const WINDOW_SECS: usize = 10;
/// A failure rate is bad if it is above this factor times the sum of the median of the rates and their median deviation.
const THRESHOLD: f64 = 1.5;
/// A rate that is added to an even number of rates, so that the median is not the higher one of the two in the middle.
const SENTINEL: f64 = 0.005;

/// The weights of a balancer's servers, and the failures from which they follow.
#[derive(Debug)]
pub(super) struct DynamicWeights {
    weights: Box<[AtomicU32]>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    configured: Vec<u32>,
    windows: Vec<Window>,
    /// The time of the last change of the weights.
    changed_nanos: Option<u64>,
}

/// The requests and failures of the last [`WINDOW_SECS`] seconds, one slot for each second.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    slots: [Slot; WINDOW_SECS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    second: u64,
    requests: u32,
    failures: u32,
}

impl DynamicWeights {
    pub fn new(configured: Vec<u32>) -> Self {
        let weights = configured.iter().map(|&weight| AtomicU32::new(weight)).collect();
        let windows = vec![Window::default(); configured.len()];
        DynamicWeights { weights, inner: Mutex::new(Inner { configured, windows, changed_nanos: None }) }
    }

    pub fn weight(&self, index: usize) -> u32 {
        self.weights[index].load(Ordering::Relaxed)
    }

    /// Counts a response. Changes the weights if the last change is at least [`PAUSE_NANOS`] ago and every window is ready.
    pub fn record(&self, index: usize, status: u16, now_nanos: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now_nanos / SECOND;
        if let Some(window) = inner.windows.get_mut(index) {
            window.count(now, (500..=504).contains(&status));
        }
        let is_pausing = inner.changed_nanos.is_some_and(|at| now_nanos.saturating_sub(at) < PAUSE_NANOS);
        if is_pausing || inner.windows.len() < 2 || !inner.windows.iter().all(|window| window.is_ready(now)) {
            return;
        }
        if let Some(weights) = self.next_weights(&inner, now) {
            for (current, weight) in self.weights.iter().zip(weights) {
                current.store(weight, Ordering::Relaxed);
            }
            inner.changed_nanos = Some(now_nanos);
        }
    }

    /// The weights that follow from the failures, or `None` if they are those in use.
    fn next_weights(&self, inner: &Inner, now: u64) -> Option<Vec<u32>> {
        let current: Vec<u32> = (0..self.weights.len()).map(|at| self.weight(at)).collect();
        let rates: Vec<f64> = inner.windows.iter().map(|window| window.failure_rate(now)).collect();
        let good = good_servers(&rates);
        let is_mixed = good.iter().any(|&g| g) && !good.iter().all(|&g| g);
        let next: Vec<u32> = match is_mixed {
            true => current.iter().zip(&good).map(|(&weight, &good)| raised(weight, good)).collect(),
            false => current
                .iter()
                .zip(&inner.configured)
                .map(|(&weight, &configured)| (weight / FACTOR).max(configured))
                .collect(),
        };
        (next != current).then(|| reduced(next))
    }
}

fn raised(weight: u32, good: bool) -> u32 {
    let more = weight.saturating_mul(FACTOR);
    if good && more <= WEIGHT_MAX { more } else { weight }
}

/// The weights divided by their greatest common divisor, so that equal weights stay small.
fn reduced(weights: Vec<u32>) -> Vec<u32> {
    let divisor = weights.iter().fold(0, |a, &b| gcd(a, b)).max(1);
    weights.into_iter().map(|weight| weight / divisor).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// For each rate, whether it is not bad in comparison with the others: see [`THRESHOLD`].
fn good_servers(rates: &[f64]) -> Vec<bool> {
    let mut set = rates.to_vec();
    if set.len().is_multiple_of(2) {
        set.push(SENTINEL);
    }
    let middle = median(&mut set);
    let mut deviations: Vec<f64> = set.iter().map(|rate| (rate - middle).abs()).collect();
    let limit = (middle + median(&mut deviations)) * THRESHOLD;
    rates.iter().map(|&rate| rate <= limit).collect()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Window {
    fn count(&mut self, now: u64, failed: bool) {
        let slot = &mut self.slots[now as usize % WINDOW_SECS];
        if slot.second != now {
            *slot = Slot { second: now, ..Slot::default() };
        }
        slot.requests += 1;
        slot.failures += u32::from(failed);
    }

    /// The slots with requests within the window.
    fn live(&self, now: u64) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.requests > 0 && slot.second + WINDOW_SECS as u64 > now)
    }

    /// Whether there were requests in at least half of the window's seconds; with fewer the rate is not meaningful.
    fn is_ready(&self, now: u64) -> bool {
        self.live(now).count() >= WINDOW_SECS / 2
    }

    fn failure_rate(&self, now: u64) -> f64 {
        let (requests, failures) = self
            .live(now)
            .fold((0, 0), |(requests, failures), slot| (requests + slot.requests, failures + slot.failures));
        if requests == 0 { 0.0 } else { f64::from(failures) / f64::from(requests) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records the status of each server ten times per second for `secs` seconds.
    fn run(dynamic: &DynamicWeights, from_sec: u64, secs: u64, statuses: &[u16]) {
        for tick in 0..secs * 10 {
            for (index, &status) in statuses.iter().enumerate() {
                dynamic.record(index, status, from_sec * SECOND + tick * SECOND / 10);
            }
        }
    }

    fn weights(dynamic: &DynamicWeights) -> Vec<u32> {
        (0..dynamic.weights.len()).map(|at| dynamic.weight(at)).collect()
    }

    #[test]
    fn failing_server_loses_and_regains_its_share() {
        let dynamic = DynamicWeights::new(vec![1, 1, 1]);
        run(&dynamic, 0, 9, &[200, 200, 503]);
        assert_eq!(weights(&dynamic), [4, 4, 1]);
        run(&dynamic, 9, 11, &[200, 200, 503]);
        assert_eq!(weights(&dynamic), [16, 16, 1]);
        run(&dynamic, 20, 60, &[200, 200, 200]);
        assert_eq!(weights(&dynamic), [1, 1, 1]);
    }

    #[test]
    fn weights_are_bounded() {
        let dynamic = DynamicWeights::new(vec![3, 1]);
        run(&dynamic, 0, 200, &[200, 500]);
        assert!(dynamic.weight(0) <= WEIGHT_MAX && dynamic.weight(0) > 512);
        assert_eq!(dynamic.weight(1), 1);
    }

    #[test]
    fn equal_failure_rates_keep_configured_weights() {
        let dynamic = DynamicWeights::new(vec![2, 1]);
        run(&dynamic, 0, 60, &[200, 200]);
        assert_eq!(weights(&dynamic), [2, 1]);
        run(&dynamic, 60, 60, &[500, 500]);
        assert_eq!(weights(&dynamic), [2, 1]);
    }
}
