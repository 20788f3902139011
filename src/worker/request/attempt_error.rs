//! Why an attempt brought no response to the client.

use std::io;

use crate::error::ProxyError;
use crate::http::{RejectedRequest, Reply};
use crate::worker::bounds::invalid_body;
use crate::worker::message::stream::RelayError;

/// Why an attempt brought no response to the client.
pub enum AttemptError {
    Upstream(ProxyError),
    /// A pooled connection was stale, and the request may be sent again, to another server.
    StaleConnection(ProxyError),
    /// The server has refused the request, which may be sent to another server.
    Refused(ProxyError),
    /// The client broke off or sent bytes that are no body. The reply, if the client is still connected.
    Downstream(Option<Reply>),
    /// The client failed in the middle of a response, and only a reset tells it that the response was cut.
    Truncated,
}

impl From<ProxyError> for AttemptError {
    fn from(error: ProxyError) -> Self {
        AttemptError::Upstream(error)
    }
}

/// The error of an attempt whose client failed, with a reply if the client is still connected.
pub fn downstream_error(error: RelayError) -> AttemptError {
    let RelayError::Source(error) = error else { return AttemptError::Downstream(None) };
    AttemptError::Downstream(match invalid_body(&error) {
        Some(invalid) => Some(RejectedRequest::from(invalid.0).reply()),
        None if error.kind() == io::ErrorKind::TimedOut => Some(Reply::text(408, "Request Timeout")),
        None => None,
    })
}
