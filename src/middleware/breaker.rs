//! The circuit breaker and its expression (docs/reference/middlewares.md#circuit-breaker).
//!
//! Standby: all requests pass; after responses, at most every 100 ms, the expression is evaluated. If it holds, the breaker trips: all
//! requests get 503 for 10 s. Then the breaker recovers for 10 s: a share of the requests passes that grows from 0 to a half. If the
//! expression holds meanwhile, the breaker trips again; otherwise it returns to standby. The phase changes only when requests arrive or
//! responses are counted, never by a timer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::expression::{self, Comparison, Expression, InvalidExpression, Literal, Operator};
use super::rolling_window::{Histogram, Rolling};
use super::{ChainState, RequestInfo, Verdict};
use crate::http::Reply;

const SECOND: u64 = 1_000_000_000;
const TRIPPED_NANOS: u64 = 10 * SECOND;
const RECOVERY_NANOS: u64 = 10 * SECOND;
const CHECK_NANOS: u64 = SECOND / 10;
/// The admitted share of requests at the end of the recovery.
const RECOVERY_SHARE: f64 = 0.5;
const COUNTER_SLOTS: usize = 10;
const LATENCY_SLOTS: usize = 6;

/// A frontend's breaker.
#[derive(Debug)]
pub struct Breaker {
    state: Arc<BreakerState>,
}

/// Phase and counters of a breaker. Survives reloads as long as the expression stays the same.
#[derive(Debug)]
pub struct BreakerState {
    text: String,
    expression: Expression<Test>,
    uses_latency: bool,
    /// Whether the phase is standby. Every request reads this without taking the lock: a breaker in standby costs one atomic load.
    standby: AtomicBool,
    inner: Mutex<Inner>,
}

/// The phase of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerPhase {
    Standby,
    Tripped { until_nanos: u64 },
    Recovering { since_nanos: u64 },
}

#[derive(Debug)]
struct Inner {
    gate: Gate,
    last_check_nanos: Option<u64>,
    /// Numerator and denominator of each ratio of the expression, per time slot.
    ratios: Rolling<Vec<(u64, u64)>>,
    latencies: Rolling<Histogram>,
}

/// The phase, and the requests counted in the recovery.
#[derive(Debug, Clone, Copy)]
struct Gate {
    phase: BreakerPhase,
    admitted: u64,
    refused: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Ratio { index: usize, ratio: Ratio, operator: Operator, value: f64 },
    Latency { quantile: f64, operator: Operator, millis: i64 },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ratio {
    NetworkErrors,
    Codes { from: i64, to: i64, of_from: i64, of_to: i64 },
}

impl BreakerState {
    pub fn new(text: &str) -> Result<Self, InvalidExpression> {
        let mut ratios = 0;
        let expression = expression::parse(text, |comparison| compile(comparison, &mut ratios))?;
        let mut uses_latency = false;
        expression.visit(&mut |test| uses_latency |= matches!(test, Test::Latency { .. }));
        let inner = Inner {
            gate: Gate { phase: BreakerPhase::Standby, admitted: 0, refused: 0 },
            last_check_nanos: None,
            ratios: Rolling::new(COUNTER_SLOTS, SECOND),
            latencies: Rolling::new(LATENCY_SLOTS, 10 * SECOND),
        };
        let standby = AtomicBool::new(true);
        Ok(BreakerState { text: text.to_owned(), expression, uses_latency, standby, inner: Mutex::new(inner) })
    }

    /// The expression as written. A reload carries the state over to the breaker with the same text.
    pub fn expression(&self) -> &str {
        &self.text
    }

    pub fn phase(&self) -> BreakerPhase {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).gate.phase
    }

    /// Whether a request may pass at `now_nanos`. Ends the tripped phase and the recovery when their time has elapsed.
    pub fn admits(&self, now_nanos: u64) -> bool {
        if self.standby.load(Ordering::Relaxed) {
            return true;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let admits = inner.gate.admits(now_nanos);
        if inner.gate.phase == BreakerPhase::Standby {
            self.standby.store(true, Ordering::Relaxed);
        }
        admits
    }

    /// Whether a request would pass at `now_nanos`. Nothing changes.
    pub fn would_admit(&self, now_nanos: u64) -> bool {
        let mut gate = self.inner.lock().unwrap_or_else(PoisonError::into_inner).gate;
        gate.admits(now_nanos)
    }

    /// Counts a response, then evaluates the expression, unless the breaker is tripped or the last evaluation is less than `CHECK_NANOS`
    /// ago.
    pub fn record(&self, status: u16, latency_nanos: u64, now_nanos: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.count(&mut inner, status, latency_nanos, now_nanos);
        let is_too_soon = inner.last_check_nanos.is_some_and(|last| now_nanos.saturating_sub(last) < CHECK_NANOS);
        if is_too_soon || matches!(inner.gate.phase, BreakerPhase::Tripped { .. }) {
            return;
        }
        inner.last_check_nanos = Some(now_nanos);
        if self.holds(&mut inner, now_nanos) {
            inner.gate.phase = BreakerPhase::Tripped { until_nanos: now_nanos + TRIPPED_NANOS };
            inner.ratios.clear();
            inner.latencies.clear();
            self.standby.store(false, Ordering::Relaxed);
        }
    }

    fn count(&self, inner: &mut Inner, status: u16, latency_nanos: u64, now_nanos: u64) {
        let slot = inner.ratios.current(now_nanos);
        self.expression.visit(&mut |test| {
            let Test::Ratio { index, ratio, .. } = test else { return };
            if slot.len() <= *index {
                slot.resize(index + 1, (0, 0));
            }
            let (part, whole) = ratio.counts(status);
            slot[*index].0 += u64::from(part);
            slot[*index].1 += u64::from(whole);
        });
        if self.uses_latency {
            inner.latencies.current(now_nanos).record(latency_nanos / 1_000);
        }
    }

    fn holds(&self, inner: &mut Inner, now_nanos: u64) -> bool {
        let mut sums: Vec<(u64, u64)> = Vec::new();
        for slot in inner.ratios.live(now_nanos) {
            sums.resize(sums.len().max(slot.len()), (0, 0));
            for (sum, count) in sums.iter_mut().zip(slot) {
                *sum = (sum.0 + count.0, sum.1 + count.1);
            }
        }
        let latencies: Vec<&Histogram> = inner.latencies.live(now_nanos).collect();
        self.expression.holds(&|test| match test {
            Test::Ratio { index, operator, value, .. } => {
                let (part, whole) = sums.get(*index).copied().unwrap_or_default();
                operator.holds(if whole == 0 { 0.0 } else { part as f64 / whole as f64 }, *value)
            }
            Test::Latency { quantile, operator, millis } => {
                let micros = Histogram::quantile(latencies.iter().copied(), *quantile);
                operator.holds((micros / 1_000) as i64, *millis)
            }
        })
    }
}

impl Gate {
    /// Whether a request passes. Ends the tripped phase and the recovery when their time has elapsed.
    fn admits(&mut self, now_nanos: u64) -> bool {
        if let BreakerPhase::Tripped { until_nanos } = self.phase {
            if now_nanos < until_nanos {
                return false;
            }
            (self.admitted, self.refused) = (0, 0);
            self.phase = BreakerPhase::Recovering { since_nanos: now_nanos };
        }
        let BreakerPhase::Recovering { since_nanos } = self.phase else { return true };
        let elapsed = now_nanos.saturating_sub(since_nanos);
        if elapsed > RECOVERY_NANOS {
            self.phase = BreakerPhase::Standby;
            return true;
        }
        self.admits_share(elapsed)
    }

    /// Whether one more request keeps the admitted share below its target, which grows with the time since the recovery began.
    fn admits_share(&mut self, elapsed: u64) -> bool {
        let target = RECOVERY_SHARE * elapsed as f64 / RECOVERY_NANOS as f64;
        let share = (self.admitted + 1) as f64 / (self.admitted + self.refused + 1) as f64;
        let admits = share < target;
        self.admitted += u64::from(admits);
        self.refused += u64::from(!admits);
        admits
    }
}

impl Ratio {
    fn counts(self, status: u16) -> (bool, bool) {
        let status = i64::from(status);
        match self {
            Ratio::NetworkErrors => (status == 502 || status == 504, true),
            Ratio::Codes { from, to, of_from, of_to } => {
                ((from..to).contains(&status), (of_from..of_to).contains(&status))
            }
        }
    }
}

impl Breaker {
    pub fn new(state: Arc<BreakerState>) -> Self {
        Breaker { state }
    }

    pub fn on_request(&self, info: &RequestInfo, chain_state: &mut ChainState) -> Verdict {
        if self.state.admits(info.now.mono_nanos) {
            chain_state.breaker_entered_nanos = info.now.mono_nanos;
            return Verdict::Next;
        }
        refuse()
    }

    /// The verdict that a request would get now. Nothing changes.
    pub fn preview(&self, info: &RequestInfo) -> Verdict {
        if self.state.would_admit(info.now.mono_nanos) { Verdict::Next } else { refuse() }
    }

    /// The phase and the expression.
    pub fn state(&self) -> &BreakerState {
        &self.state
    }

    pub fn on_response(&self, status: u16, info: &RequestInfo, chain_state: &ChainState) {
        let now = info.now.mono_nanos;
        self.state.record(status, now.saturating_sub(chain_state.breaker_entered_nanos), now);
    }
}

fn refuse() -> Verdict {
    Verdict::Reply { reply: Reply::text(503, "Service Unavailable"), label: None }
}

fn compile(comparison: Comparison, ratios: &mut usize) -> Result<Test, String> {
    let Comparison { function, arguments, operator: Some(operator), literal: Some(literal) } = comparison else {
        return Err("a comparison, as in NetworkErrorRatio() > 0.5".into());
    };
    let ratio = match (function.as_str(), &arguments[..]) {
        ("NetworkErrorRatio", []) => Ratio::NetworkErrors,
        ("NetworkErrorRatio", _) => return Err("NetworkErrorRatio() without arguments".into()),
        ("ResponseCodeRatio", &[Literal::Int(from), Literal::Int(to), Literal::Int(of_from), Literal::Int(of_to)]) => {
            Ratio::Codes { from, to, of_from, of_to }
        }
        ("ResponseCodeRatio", _) => {
            return Err("ResponseCodeRatio(from, to, dividedByFrom, dividedByTo) with whole numbers".into());
        }
        ("LatencyAtQuantileMS", &[Literal::Float(quantile)]) => match literal {
            Literal::Int(millis) => return Ok(Test::Latency { quantile, operator, millis }),
            _ => return Err("LatencyAtQuantileMS(..) compared with a whole number of milliseconds, as in > 100".into()),
        },
        ("LatencyAtQuantileMS", _) => return Err("LatencyAtQuantileMS(50.0), the quantile with a decimal point".into()),
        _ => return Err("NetworkErrorRatio(), ResponseCodeRatio(...) or LatencyAtQuantileMS(...)".into()),
    };
    let Literal::Float(value) = literal else {
        return Err(format!("{function}(...) compared with a number that has a decimal point, as in > 0.5"));
    };
    *ratios += 1;
    Ok(Test::Ratio { index: *ratios - 1, ratio, operator, value })
}
