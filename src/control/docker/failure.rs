//! Errors of the Engine's API client: their text for the log, and whether the connection is lost.

use std::error::Error as _;
use std::io;

use bollard::errors::Error;

use crate::tls::verifier::refusal;

/// The error's text: what failed, where, and what to do about it.
pub fn explain(endpoint: &str, doing: &str, error: &Error) -> String {
    if let Some(tls) = refusal::explain_cause(error) {
        return format!("cannot {doing} at {endpoint}: {tls}");
    }
    let advice = match (error, io_kind(error)) {
        (_, Some(io::ErrorKind::PermissionDenied)) => {
            "permission denied: run the proxy as a user of the group that owns the socket, or correct the socket's mode"
        }
        (_, Some(io::ErrorKind::NotFound)) | (Error::SocketNotFoundError(_), _) => {
            "there is no such socket: start the Docker Engine, or mount its socket into the proxy's container, or correct docker.endpoint"
        }
        (_, Some(io::ErrorKind::ConnectionRefused)) => {
            "nothing listens there: start the Docker Engine or correct docker.endpoint"
        }
        (Error::RequestTimeoutError, _) => {
            "the Docker Engine did not answer in time: check its log and the host's load"
        }
        (Error::DockerResponseServerError { status_code: 401 | 403, .. }, _) => {
            "access refused: allow GET on /version, /events and /containers for the proxy"
        }
        _ => "check that the Docker Engine runs and is reachable",
    };
    format!("cannot {doing} at {endpoint}: {error}: {advice}")
}

/// Whether the error means that the connection to the Engine is of no further use.
pub fn is_broken_connection(error: &Error) -> bool {
    io_kind(error).is_some() || !matches!(error, Error::DockerResponseServerError { .. } | Error::JsonDataError { .. })
}

/// The kind of the I/O error that is the error itself or among its causes.
fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    if let Error::IOError { err } = error {
        return Some(err.kind());
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explained_error_says_what_where_and_what_to_do() {
        let denied = Error::IOError { err: io::Error::from(io::ErrorKind::PermissionDenied) };
        let text = explain("unix:///x.sock", "list containers", &denied);
        for part in ["list containers", "unix:///x.sock", "group that owns the socket"] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
    }
}
