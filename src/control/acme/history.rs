//! The pauses after failures, per name and per order. Times are durations since an origin that the caller chooses.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::failure::OrderError;
use super::plan::CertificateOrder;

/// A name that has failed so often in a row gets a certificate of its own, so that names beside it have theirs.
const FAILURES_LEFT_OUT: u32 = 2;

/// The pauses between attempts, and the time-outs.
#[derive(Debug, Clone, Copy)]
pub struct RetrySchedule {
    /// The pause after the first failure; every further failure triples it.
    pub retry_first: Duration,
    /// The maximum pause, unless the authority asks for more.
    pub retry_max: Duration,
    /// The maximum time between two checks of which certificates are due.
    pub check_every: Duration,
    /// The time in which an authority has to validate an order of several names. Names that are not validated then count as failed, so that
    /// a later order can leave them out.
    pub validation_max: Duration,
    /// The time-out of one attempt, from the order to the saved file, without the propagation of DNS records.
    pub order_max: Duration,
    /// The minimum pause between two requests for the renewal window of one certificate (RFC 9773 4.3.2).
    pub renewal_info_min: Duration,
}

impl Default for RetrySchedule {
    /// Attempts at 0, 1, 4, 13, 40 minutes and so on, with pauses up to 12 hours: five attempts in the first hour, as many failed validations
    /// as Let's Encrypt allows for a name.
    fn default() -> RetrySchedule {
        RetrySchedule {
            retry_first: Duration::from_secs(60),
            retry_max: Duration::from_secs(12 * 3600),
            check_every: Duration::from_secs(24 * 3600),
            validation_max: Duration::from_secs(60),
            order_max: Duration::from_secs(180),
            renewal_info_min: Duration::from_secs(60),
        }
    }
}

impl RetrySchedule {
    /// The pause after `failures` failures in a row. `random` lengthens it by up to a fifth, so that proxies (or names) that failed at the
    /// same time do not try again at the same time.
    pub fn pause(&self, failures: u32, random: u32) -> Duration {
        let factor = 3u32.saturating_pow(failures.saturating_sub(1));
        let pause = self.retry_first.saturating_mul(factor).min(self.retry_max);
        pause + pause.mul_f64(0.2 * f64::from(random) / f64::from(u32::MAX))
    }
}

/// Failures in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    pub count: u32,
    /// The time before which there is no further attempt.
    pub not_before: Duration,
    /// The reason of the last failure.
    pub reason: String,
    /// Whether the pause is the authority's wish and longer than a first pause of our own.
    is_asked_for: bool,
}

/// The failures of names, and of orders whose failure is not one of names.
#[derive(Debug, Default)]
pub struct FailureHistory {
    orders: HashMap<CertificateOrder, Failures>,
    names: HashMap<String, Failures>,
}

impl FailureHistory {
    /// Records a failure at `now`. Returns the number of failures in a row and the pause before the next attempt.
    pub fn failed(
        &mut self,
        order: &CertificateOrder,
        error: &OrderError,
        now: Duration,
        schedule: &RetrySchedule,
        random: u32,
    ) -> (u32, Duration) {
        let asked = error.retry_after.unwrap_or_default();
        let record = |entry: &mut Failures, reason: &str| {
            entry.count = entry.count.saturating_add(1);
            let pause = schedule.pause(entry.count, random).max(asked);
            entry.not_before = now.saturating_add(pause);
            entry.reason = reason.to_owned();
            entry.is_asked_for = asked > schedule.retry_first.mul_f64(1.2);
            (entry.count, pause)
        };
        if error.names.is_empty() {
            return record(self.orders.entry(order.clone()).or_default(), &error.reason);
        }
        let recorded =
            error.names.iter().map(|(name, reason)| record(self.names.entry(name.clone()).or_default(), reason));
        recorded.max_by_key(|(_, pause)| *pause).unwrap_or_default()
    }

    /// Forgets the failures of an order and its names. If the new certificate is due at once (the clock is wrong by months, or the authority
    /// dates it in the past), it is not ordered again before `pause` has elapsed.
    pub fn succeeded(&mut self, order: &CertificateOrder, now: Duration, pause: Duration) {
        order.names.iter().for_each(|name| drop(self.names.remove(name)));
        let not_before = now.saturating_add(pause);
        self.orders.insert(order.clone(), Failures { not_before, ..Failures::default() });
    }

    /// Forgets orders that are not planned any more and that `is_kept` does not keep, and names that no order has.
    pub fn keep_only(&mut self, planned: &[CertificateOrder], is_kept: impl Fn(&CertificateOrder) -> bool) {
        self.orders.retain(|order, _| planned.contains(order) || is_kept(order));
        let names: HashSet<&String> = planned.iter().flat_map(|order| &order.names).collect();
        self.names.retain(|name, _| names.contains(name));
    }

    /// The time before which an order must not be tried; zero if neither the order nor one of its names has failed.
    pub fn not_before(&self, order: &CertificateOrder) -> Duration {
        let of_names = order.names.iter().filter_map(|name| self.names.get(name));
        of_names.chain(self.orders.get(order)).map(|failures| failures.not_before).max().unwrap_or_default()
    }

    /// The names that get a certificate of their own, so that the names beside them have theirs: names that keep failing, and names for which
    /// the authority asks for a long pause.
    pub fn left_out(&self) -> HashSet<String> {
        let is_out = |failures: &Failures| failures.count >= FAILURES_LEFT_OUT || failures.is_asked_for;
        self.names.iter().filter(|(_, failures)| is_out(failures)).map(|(name, _)| name.clone()).collect()
    }

    /// The last failure of an order or of one of its names.
    pub fn last(&self, order: &CertificateOrder) -> Option<&Failures> {
        let of_names = order.names.iter().filter_map(|name| self.names.get(name));
        of_names
            .chain(self.orders.get(order))
            .filter(|failures| failures.count > 0)
            .max_by_key(|failures| failures.not_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(names: &[&str]) -> CertificateOrder {
        CertificateOrder { names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn refused(name: &str) -> OrderError {
        OrderError::of_names(vec![(name.to_owned(), "refused".to_owned())])
    }

    #[test]
    fn pauses_grow_threefold_up_to_the_limit() {
        let schedule = RetrySchedule::default();
        let minutes = |failures| schedule.pause(failures, 0).as_secs() / 60;
        assert_eq!([1, 2, 3, 4].map(minutes), [1, 3, 9, 27]);
        assert_eq!(schedule.pause(40, 0), schedule.retry_max);
        assert_eq!(schedule.pause(1, u32::MAX), secs(72));
        let validated_twice = 2 * schedule.validation_max + schedule.pause(1, u32::MAX);
        assert!(validated_twice < secs(240), "a failing name is left out within four minutes");
    }

    #[test]
    fn failing_name_is_left_out_after_its_second_failure() {
        let (mut history, schedule) = (FailureHistory::default(), RetrySchedule::default());
        let both = order(&["good.x", "bad.x"]);
        assert_eq!(history.failed(&both, &refused("bad.x"), secs(10), &schedule, 0), (1, secs(60)));
        assert!(history.left_out().is_empty());
        assert_eq!(history.not_before(&both), secs(70));
        assert_eq!(history.not_before(&order(&["good.x"])), Duration::ZERO, "only the failed name waits");
        assert_eq!(history.failed(&both, &refused("bad.x"), secs(80), &schedule, 0), (2, secs(180)));
        assert_eq!(history.left_out(), ["bad.x".to_owned()].into());
        assert_eq!(history.last(&order(&["bad.x"])).map(|failures| failures.count), Some(2));
        history.succeeded(&order(&["bad.x"]), secs(300), secs(5));
        assert!(history.left_out().is_empty());
        assert_eq!(history.not_before(&both), Duration::ZERO);
    }

    #[test]
    fn pause_of_the_authority_is_kept_and_costs_no_other_name() {
        let (mut history, schedule) = (FailureHistory::default(), RetrySchedule::default());
        let limited = OrderError { retry_after: Some(secs(7_200)), ..refused("bad.x") };
        let both = order(&["good.x", "bad.x"]);
        assert_eq!(history.failed(&both, &limited, secs(0), &schedule, u32::MAX), (1, secs(7_200)));
        assert_eq!(history.left_out(), ["bad.x".to_owned()].into());
        let short = OrderError { retry_after: Some(secs(5)), ..refused("soon.x") };
        assert_eq!(history.failed(&order(&["soon.x"]), &short, secs(0), &schedule, 0), (1, secs(60)));
    }

    #[test]
    fn failure_of_the_authority_splits_no_order() {
        let (mut history, schedule) = (FailureHistory::default(), RetrySchedule::default());
        let both = order(&["a.x", "b.x"]);
        let down = OrderError::because("connection refused");
        for failures in 1..=5 {
            assert_eq!(history.failed(&both, &down, secs(0), &schedule, 0).0, failures);
        }
        assert!(history.left_out().is_empty());
        assert_eq!(history.not_before(&both), secs(60 * 81));
    }

    #[test]
    fn history_forgets_what_is_not_planned() {
        let (mut history, schedule) = (FailureHistory::default(), RetrySchedule::default());
        let (renewed, given_up) = (order(&["a.x"]), order(&["b.x"]));
        history.succeeded(&renewed, secs(0), schedule.retry_max);
        history.failed(&given_up, &refused("b.x"), secs(0), &schedule, 0);
        history.keep_only(&[], |order| order.names == ["a.x"]);
        assert_eq!(history.not_before(&renewed), schedule.retry_max, "the renewal keeps its pause");
        assert_eq!(history.not_before(&given_up), Duration::ZERO);
    }
}
