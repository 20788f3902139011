//! Which bound a failure says was exceeded, and its counter. A request that exceeds none passes here only with results that are good.

use std::io;

use super::Worker;
use super::relay::RelayError;
use super::upstream::Dial;
use super::verify::NoVerdict;
use crate::http::h1::body::InvalidBody;
use crate::limits::Bound;
use crate::net::{TooSlow, is_late};

impl<D: Dial> Worker<D> {
    pub fn exceeded(&self, bound: Bound) {
        self.shared.metrics.exceeded(bound, 1);
    }

    /// Passes `waited` on; counts it for `bound` if the time was over.
    pub fn timed<T>(&self, bound: Bound, waited: io::Result<T>) -> io::Result<T> {
        waited.inspect_err(|error| {
            if is_late(error) {
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
        let inner = error.get_ref();
        if let Some(invalid) = inner.and_then(|inner| inner.downcast_ref::<InvalidBody>()) {
            self.body_refused(*invalid);
        } else if inner.is_some_and(|inner| inner.is::<TooSlow>()) {
            self.exceeded(Bound::BodyBytesPerStall);
        } else if is_late(error) {
            self.exceeded(Bound::StalledBody);
        }
    }

    pub fn body_refused(&self, invalid: InvalidBody) {
        match invalid {
            InvalidBody::ChunkSize | InvalidBody::ChunkEnd | InvalidBody::Trailer => self.exceeded(Bound::ChunkFraming),
            InvalidBody::ChunkOverhead => self.exceeded(Bound::ChunkOverhead),
            InvalidBody::TrailerTooLong => self.exceeded(Bound::Trailers),
            // Its sender broke off: no bound of ours.
            InvalidBody::Truncated => {}
        }
    }

    /// What a check on the pool's threads gave; counts one that found no place there.
    pub fn verdict<T>(&self, verdict: Result<T, NoVerdict>) -> Option<T> {
        if matches!(verdict, Err(NoVerdict::QueueFull)) {
            self.exceeded(Bound::VerifyQueue);
        }
        verdict.ok()
    }
}
