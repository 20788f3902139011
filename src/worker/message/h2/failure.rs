//! Failures of a stream as I/O errors, which the request path understands for every protocol version.

use std::{error, fmt, io};

use crate::http::InvalidBody;
use crate::http::h2::connection::{ErrorCode, StreamFailure};

/// The peer reset the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamReset(pub ErrorCode);

impl fmt::Display for StreamReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream was reset with {}", self.0.as_str())
    }
}

impl error::Error for StreamReset {}

/// The peer certainly has not processed the request of the stream (RFC 9113 8.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRefused;

impl fmt::Display for StreamRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream was refused")
    }
}

impl error::Error for StreamRefused {}

/// The failure as an I/O error.
#[cold]
pub fn to_io(failure: StreamFailure) -> io::Error {
    match failure {
        StreamFailure::Reset(code) => io::Error::new(io::ErrorKind::ConnectionReset, StreamReset(code)),
        StreamFailure::Refused => io::Error::new(io::ErrorKind::ConnectionReset, StreamRefused),
        StreamFailure::Broken(code) => io::Error::new(io::ErrorKind::InvalidData, StreamReset(code)),
        StreamFailure::ConnectionLost => io::ErrorKind::ConnectionAborted.into(),
        StreamFailure::Malformed(violation) => io::Error::new(io::ErrorKind::InvalidData, InvalidBody(violation)),
    }
}

/// Whether the error says that the server certainly has not processed the request.
pub fn is_refusal(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(|inner| inner.is::<StreamRefused>()) || requires_http1(error)
}

/// Whether the error says that the server takes the request over HTTP/1.1 only (HTTP_1_1_REQUIRED, RFC 9113 7).
pub fn requires_http1(error: &io::Error) -> bool {
    let reset = error.get_ref().and_then(|inner| inner.downcast_ref::<StreamReset>());
    reset.is_some_and(|reset| reset.0 == ErrorCode::Http11Required)
}
