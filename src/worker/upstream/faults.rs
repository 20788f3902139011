//! Logs what servers do wrong. A server's own fault, such as a malformed response, is logged at the default level, but not for each of
//! thousands of requests.

use std::io;

use crate::config::snapshot::{Frontend, ServerEndpoint};
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::Violation;
use crate::http::deviation::Deviations;
use crate::worker::bounds::invalid_body;
use crate::worker::message::stream::RelayError;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

impl<D: Dial> Worker<D> {
    /// Logs which server failed, for which frontend, why, and what the client gets. A malformed or incomplete response is an error; each
    /// server has one such line in `SERVER_FAULT_LOG_SECS`, and the others are warnings.
    pub fn log_upstream_error(&self, frontend: &Frontend, endpoint: &ServerEndpoint, error: &ProxyError) {
        let (backend, server) = (&frontend.backend.name, &endpoint.url);
        let outcome = match error.phase {
            ExchangePhase::Stream => "the client's response is cut off",
            _ => "the response is lost",
        };
        let is_fault = matches!(error.cause, Cause::Malformed(_)) || error.phase == ExchangePhase::Stream;
        if is_fault && endpoint.server.state.may_log_fault(self.clock.mono_nanos()) {
            tracing::error!(frontend = %frontend.name, %backend, %server, "backend server failed: {error}; {outcome}: mend the server");
        } else {
            tracing::warn!(frontend = %frontend.name, %backend, %server, "backend server failed: {error}");
        }
    }

    /// Logs that a response broke off, if the server is the reason.
    pub fn log_cut_response(&self, frontend: &Frontend, endpoint: &ServerEndpoint, result: Result<(), RelayError>) {
        if let Err(RelayError::Source(error)) = result {
            self.log_upstream_error(frontend, endpoint, &ProxyError::new(ExchangePhase::Stream, body_cause(error)));
        }
    }

    /// Logs each deviation from HTTP that was normalised, once for each server. A deviation that costs the client a field is an error.
    pub fn log_deviations(&self, endpoint: &ServerEndpoint, deviations: Deviations) {
        if deviations.is_empty() {
            return;
        }
        let seen = endpoint.server.state.note_deviations(deviations.bits());
        for deviation in deviations.without(seen).iter() {
            let row = deviation.row();
            let server = &endpoint.url;
            let text = format!(
                "the server sends {} ({}); the client gets {}. Logged once for each server: mend the server",
                row.what, row.source, row.here
            );
            if deviation.loses_a_field() {
                tracing::error!(%server, "{text}");
            } else {
                tracing::warn!(%server, "{text}");
            }
        }
    }
}

/// The cause of a response body that could not be read.
pub fn body_cause(error: io::Error) -> Cause {
    match invalid_body(&error) {
        Some(invalid) if invalid.0 == Violation::BodyTruncated => Cause::Closed,
        Some(invalid) => Cause::Malformed(invalid.0.why()),
        None if error.kind() == io::ErrorKind::TimedOut => Cause::TimedOut,
        None => Cause::Io(error),
    }
}
