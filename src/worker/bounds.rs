//! Which bound a failure says was exceeded, and its counter. A request that exceeds none passes here only with results that are good.

use std::io;

use super::Worker;
use super::relay::RelayError;
use super::upstream::Dial;
use super::verify::VerifyError;
use crate::http::{InvalidBody, Violation};
use crate::limits::Bound;
use crate::net::{RateTooLow, is_timeout};

impl<D: Dial> Worker<D> {
    pub fn exceeded(&self, bound: Bound) {
        self.shared.metrics.exceeded(bound, 1);
    }

    /// Passes `waited` on; counts it for `bound` if the time was over.
    pub fn timed<T>(&self, bound: Bound, waited: io::Result<T>) -> io::Result<T> {
        waited.inspect_err(|error| {
            if is_timeout(error) {
                self.exceeded(bound);
            }
        })
    }

    /// Passes on what became of a body; counts the bound that ended it.
    pub fn relayed<T>(&self, result: Result<T, RelayError>) -> Result<T, RelayError> {
        result.inspect_err(|(RelayError::Source(error) | RelayError::Sink(error))| self.body_failed(error))
    }

    /// Counts the bound that `error` says a body went beyond, if it says so.
    pub fn body_failed(&self, error: &io::Error) {
        if let Some(invalid) = invalid_body(error) {
            self.body_refused(invalid);
        } else if error.get_ref().is_some_and(|inner| inner.is::<RateTooLow>()) {
            self.exceeded(Bound::BodyBytesPerStall);
        } else if is_timeout(error) {
            self.exceeded(Bound::StalledBody);
        }
    }

    pub fn body_refused(&self, invalid: InvalidBody) {
        self.exceeded(match invalid.0 {
            // Its sender broke off: no bound of ours.
            Violation::BodyTruncated => return,
            Violation::ChunkOverhead => Bound::ChunkOverhead,
            Violation::TrailerTooLong => Bound::Trailers,
            _ => Bound::ChunkFraming,
        });
        tracing::debug!("body refused: {invalid}");
    }

    /// What a check on the pool's threads gave; counts one that found no place there.
    pub fn verdict<T>(&self, verdict: Result<T, VerifyError>) -> Option<T> {
        if matches!(verdict, Err(VerifyError::QueueFull)) {
            self.exceeded(Bound::VerifyQueue);
        }
        verdict.ok()
    }
}

/// The rule that a body broke, if that is why it ended.
pub fn invalid_body(error: &io::Error) -> Option<InvalidBody> {
    error.get_ref()?.downcast_ref().copied()
}
