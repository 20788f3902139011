//! Errors of requests to the Engine: their text for the log, and whether the connection is lost.

use std::error::Error;
use std::{fmt, io};

use crate::tls::verifier::refusal;

/// The reason why a request to the Engine gave no result.
#[derive(Debug)]
pub enum RequestError {
    /// Connecting, sending or receiving failed.
    Connection(Box<dyn Error + Send + Sync>),
    /// The Engine answered with a status other than 2xx.
    Status {
        code: u16,
        message: String,
    },
    /// The response is no JSON, or too long.
    Content(String),
    TimedOut,
}

impl RequestError {
    /// Whether the connection, or what was negotiated at its start, is of no further use.
    pub fn ends_session(&self) -> bool {
        match self {
            RequestError::Connection(_) | RequestError::TimedOut => true,
            RequestError::Status { .. } => self.is_version_refused(),
            RequestError::Content(_) => false,
        }
    }

    /// Whether the Engine refuses the API version in the path: it was upgraded or downgraded since the version was negotiated.
    pub fn is_version_refused(&self) -> bool {
        matches!(self, RequestError::Status { code: 400, message } if message.contains(" version "))
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Connection(error) => {
                write!(f, "{error}")?;
                let mut cause = error.source();
                while let Some(inner) = cause {
                    write!(f, ": {inner}")?;
                    cause = inner.source();
                }
                Ok(())
            }
            RequestError::Status { code, message } => write!(f, "status {code}: {message}"),
            RequestError::Content(reason) => f.write_str(reason),
            RequestError::TimedOut => f.write_str("no response in time"),
        }
    }
}

impl Error for RequestError {}

/// The error's text: what failed, where, and what to do about it.
pub fn explain(endpoint: &str, doing: &str, error: &RequestError) -> String {
    if let RequestError::Connection(cause) = error
        && let Some(tls) = refusal::explain_cause(&**cause)
    {
        return format!("cannot {doing} at {endpoint}: {tls}");
    }
    let advice = match (error, io_kind(error)) {
        (RequestError::Connection(_), _) if endpoint.starts_with("ssh://") => {
            "check that `ssh HOST docker version` works for the proxy's user without a question: a known host, a key without passphrase, docker there"
        }
        (_, Some(io::ErrorKind::PermissionDenied)) => {
            "permission denied: run the proxy as a user of the group that owns the socket, or correct the socket's mode"
        }
        (_, Some(io::ErrorKind::NotFound)) => {
            "there is no such socket: start the Docker Engine, or mount its socket into the proxy's container, or correct the endpoint"
        }
        (_, Some(io::ErrorKind::ConnectionRefused)) => {
            "nothing listens there: start the Docker Engine or correct the endpoint"
        }
        (RequestError::TimedOut, _) => "the Docker Engine did not answer in time: check its log and the host's load",
        (RequestError::Status { code: 401 | 403, .. }, _) => {
            "access refused: allow the proxy the GET requests that docs/socket-proxy.md lists"
        }
        (error, _) if error.is_version_refused() => {
            "the Docker Engine was changed: its API version is negotiated again at the next attempt"
        }
        (RequestError::Content(_), _) => "check that the endpoint is the address of a Docker Engine",
        _ => "check that the Docker Engine runs and is reachable",
    };
    format!("cannot {doing} at {endpoint}: {error}: {advice}")
}

/// The kind of the I/O error that is among the causes.
fn io_kind(error: &RequestError) -> Option<io::ErrorKind> {
    let RequestError::Connection(first) = error else { return None };
    let mut cause: Option<&(dyn Error + 'static)> = Some(&**first);
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
        let denied = RequestError::Connection(io::Error::from(io::ErrorKind::PermissionDenied).into());
        let text = explain("unix:///x.sock", "list containers", &denied);
        for part in ["list containers", "unix:///x.sock", "group that owns the socket"] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
    }

    #[test]
    fn refused_version_ends_the_session_and_other_errors_of_one_item_do_not() {
        let status = |code, message: &str| RequestError::Status { code, message: message.to_owned() };
        let old = "client version 1.24 is too old. Minimum supported API version is 1.44, please upgrade your client";
        let new = "client version 1.53 is too new. Maximum supported API version is 1.41";
        for (error, ends) in [
            (status(400, old), true),
            (status(400, new), true),
            (status(400, "bad parameter"), false),
            (status(500, old), false),
            (status(404, "no such container"), false),
            (RequestError::Content("no JSON".to_owned()), false),
            (RequestError::TimedOut, true),
        ] {
            assert_eq!(error.ends_session(), ends, "{error}");
        }
    }
}
