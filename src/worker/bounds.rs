//! Maps a failure to the bound that it exceeded, and counts it. A request that exceeds no bound calls these functions with `Ok` only.

use std::io;

use super::message::stream::RelayError;
use super::resources::client_info::ClientInfo;
use super::resources::dial::Dial;
use super::resources::verify::VerifyError;
use super::worker::Worker;
use crate::http::{InvalidBody, Violation};
use crate::limits::Bound;
use crate::net::{RateTooLow, is_timeout};
use crate::tls::session;

impl<D: Dial> Worker<D> {
    pub fn exceeded(&self, bound: Bound) {
        self.shared.metrics.exceeded(bound, 1);
    }

    /// Returns `result` unchanged; counts it for `bound` if it is a time-out.
    pub fn timed<T>(&self, bound: Bound, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            if is_timeout(error) {
                self.exceeded(bound);
            }
        })
    }

    /// Counts and logs a client's failed TLS handshake. Scanners and clients that do not trust the certificate fail all day: level debug, as
    /// Go's servers log none either. A client whose own certificate is refused is another matter: its operator expects it to work.
    pub(super) fn handshake_failed(&self, peer: &ClientInfo, error: &io::Error) {
        if is_timeout(error) {
            self.exceeded(Bound::Handshake);
        }
        let session_error = error.get_ref().and_then(|inner| inner.downcast_ref::<session::Error>());
        if let Some(refusal) = session_error.and_then(|error| error.refused_client.as_deref()) {
            self.log_refused_certificate(peer, refusal);
        }
        let entry_point = &self.shared.entry_points[peer.entry].name;
        tracing::debug!(client = %peer.address, %entry_point, "TLS handshake failed: {error}");
    }

    /// Returns the result of relaying a body unchanged; if it is an error, counts the bound that the body exceeded.
    pub fn relayed<T>(&self, result: Result<T, RelayError>) -> Result<T, RelayError> {
        result.inspect_err(|(RelayError::Source(error) | RelayError::Sink(error))| self.body_failed(error))
    }

    /// Counts the bound that a body exceeded, if that is the reason of `error`.
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
            // The sender broke off, or sent another length than it has announced: no bound was exceeded.
            Violation::BodyTruncated | Violation::LengthMismatch => return,
            Violation::ChunkOverhead => Bound::ChunkOverhead,
            Violation::TrailerTooLong => Bound::Trailers,
            _ => Bound::ChunkFraming,
        });
        tracing::debug!("body refused: {invalid}");
    }

    /// The result of a check on the pool's threads, if the check ran; counts a full queue.
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
