//! Why a probe got no response, and how much of a response's body a probe reads.

use std::time::Duration;

use crate::tls::verifier::refusal;

/// How much of a response's body is checked.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long the body is awaited: a page that is a stream of events never ends, and is healthy.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(1);

/// The reason why a probe got no response.
pub struct ProbeFailure {
    pub reason: String,
    /// The TLS handshake failed.
    pub is_tls: bool,
}

impl From<String> for ProbeFailure {
    fn from(reason: String) -> Self {
        ProbeFailure { reason, is_tls: false }
    }
}

impl ProbeFailure {
    /// The text of the innermost cause: the outer ones say little. An error of TLS is explained.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        if let Some(reason) = refusal::explain_cause(error) {
            return ProbeFailure { reason, is_tls: true };
        }
        let mut last = error;
        while let Some(cause) = last.source() {
            last = cause;
        }
        last.to_string().into()
    }
}
