//! Breaker expressions. First line: the expression; the bytes behind it: the responses. An accepted expression can always be evaluated,
//! parentheses around it change nothing, and the breaker follows its phases.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::middleware::breaker::{BreakerPhase, BreakerState};
use ringway::middleware::expression::{Comparison, parse};

const SECOND: u64 = 1_000_000_000;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (text, responses) = (String::from_utf8_lossy(&bytes[..end]), bytes.get(end + 1..).unwrap_or_default());
    let as_written = |text: &str| parse(text, Ok::<Comparison, String>);
    match as_written(&text) {
        Ok(expression) => {
            // An expression may be nested as deeply as the limit allows; one more level may be too deep.
            if let Ok(wrapped) = as_written(&format!("({text})")) {
                assert_eq!(format!("{wrapped:?}"), format!("{expression:?}"));
            }
            let mut tests = 0;
            expression.visit(&mut |_| tests += 1);
            assert!(tests > 0);
            assert!(expression.holds(&|_| true) && !expression.holds(&|_| false));
        }
        Err(invalid) => {
            assert!(invalid.at <= text.len(), "the error position is outside the text");
            assert!(BreakerState::new(&text).is_err());
        }
    }
    if let Ok(breaker) = BreakerState::new(&text) {
        assert_eq!(breaker.expression(), text);
        run(&breaker, responses);
    }
});

/// Runs the breaker with three bytes per response: status class, latency, and time since the last response.
fn run(breaker: &BreakerState, responses: &[u8]) {
    let mut now = SECOND;
    for response in responses.chunks_exact(3) {
        now += u64::from(response[2]) * SECOND / 16;
        let admits = breaker.admits(now);
        match breaker.phase() {
            BreakerPhase::Standby => assert!(admits),
            BreakerPhase::Tripped { until_nanos } => assert!(!admits && now < until_nanos),
            BreakerPhase::Recovering { since_nanos } => assert!(since_nanos <= now && now - since_nanos <= 10 * SECOND),
        }
        if admits {
            let status = [200, 302, 404, 500, 502, 503, 504, 599][usize::from(response[0] & 7)];
            breaker.record(status, u64::from(response[1]) * SECOND / 64, now);
        }
    }
}
