//! Logs what servers do wrong. A server's own fault, such as a malformed response, is logged at the default level, but not for each of
//! thousands of requests.

use std::io;

use crate::config::snapshot::{Frontend, ServerEndpoint};
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::Violation;
use crate::http::deviation::Deviations;
use crate::http::h2::connection::ConnectionError;
use crate::worker::bounds::invalid_body;
use crate::worker::message::h2::failure::is_refusal;
use crate::worker::message::stream::RelayError;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

impl<D: Dial> Worker<D> {
    /// Logs which server failed, for which frontend, why, and what the client gets. A malformed or incomplete response is an error; the same
    /// one is logged once in ten minutes for each server, and the others are warnings.
    /// `ids` are those of the request's trace and span, if it is recorded.
    pub fn log_upstream_error(
        &self,
        frontend: &Frontend,
        endpoint: &ServerEndpoint,
        error: &ProxyError,
        ids: Option<(u128, u64)>,
    ) {
        let (trace, span) = ids.map(|(trace, span)| (format!("{trace:032x}"), format!("{span:016x}"))).unzip();
        let (trace, span) = (trace.as_deref(), span.as_deref());
        let (backend, server) = (&frontend.backend.name, &endpoint.url);
        let is_cut = error.phase == ExchangePhase::Stream;
        if is_cut || matches!(error.cause, Cause::Malformed(_)) {
            let outcome = if is_cut { "the client's response is cut off" } else { "the response is lost" };
            let key = format!("{server} {error}");
            if let Some(repeated) = self.may_log_again(&self.shared.server_lines, &key) {
                let text = format!("{error}; {outcome}: mend the server{repeated}");
                tracing::error!(frontend = %frontend.name, %backend, %server, TraceId = trace, SpanId = span, "backend server failed: {text}");
                return;
            }
        }
        tracing::warn!(frontend = %frontend.name, %backend, %server, TraceId = trace, SpanId = span, "backend server failed: {error}");
    }

    /// Keeps the reason of a failed attempt for `/api/errors`.
    pub fn note_failure(&self, ctx: &mut ExchangeContext, error: &ProxyError) {
        if self.shared.metrics.traffic().is_some() {
            ctx.failure = error.to_string();
        }
    }

    /// Logs that no TLS connection to a server can be made: the operator has to change a certificate or an option. The same reason is logged
    /// once in ten minutes for each server.
    pub fn log_tls_failure(&self, endpoint: &ServerEndpoint, reason: &str) {
        let lines = &self.shared.server_lines;
        if let Some(repeated) = self.may_log_again(lines, &format!("{} {reason}", endpoint.url)) {
            tracing::error!(server = %endpoint.url, "no TLS connection to the server: {reason}{repeated}");
        }
    }

    /// Logs that a server broke a rule of HTTP/2, which has ended its connection with all requests on it. The same rule is logged once in ten
    /// minutes for each server.
    pub fn log_link_failure(&self, url: &str, error: &ConnectionError) {
        let lines = &self.shared.server_lines;
        if let Some(repeated) = self.may_log_again(lines, &format!("{url} {}", error.why)) {
            let ConnectionError { why, source, .. } = error;
            tracing::error!(
                server = %url,
                "the HTTP/2 connection to the server failed: {why} ({source}). If the server speaks HTTP/1.1 only, use http:// instead of \
                 h2c:// in its URL; else mend the server{repeated}"
            );
        }
    }

    /// Logs that a response broke off, if the server is the reason.
    pub fn log_cut_response(&self, frontend: &Frontend, endpoint: &ServerEndpoint, result: Result<(), RelayError>) {
        if let Err(RelayError::Source(error)) = result {
            self.log_upstream_error(
                frontend,
                endpoint,
                &ProxyError::new(ExchangePhase::Stream, body_cause(error)),
                None,
            );
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

/// The error of a request that could not be sent.
pub fn send_error(error: io::Error) -> ProxyError {
    let phase = if is_refusal(&error) { ExchangePhase::Refused } else { ExchangePhase::Send };
    ProxyError::new(phase, Cause::Io(error))
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
