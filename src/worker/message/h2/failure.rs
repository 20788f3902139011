//! Failures of a stream as I/O errors, which the request path understands for every protocol version.

use std::{error, fmt, io};

use crate::error::Refusal;
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

/// The failure as an I/O error.
#[cold]
pub fn to_io(failure: StreamFailure) -> io::Error {
    match failure {
        StreamFailure::Reset(ErrorCode::Http11Required) => {
            io::Error::new(io::ErrorKind::ConnectionReset, Refusal::NeedsExclusive)
        }
        StreamFailure::Reset(code) => io::Error::new(io::ErrorKind::ConnectionReset, StreamReset(code)),
        StreamFailure::Refused => io::Error::new(io::ErrorKind::ConnectionReset, Refusal::Unprocessed),
        StreamFailure::Broken(code) => io::Error::new(io::ErrorKind::InvalidData, StreamReset(code)),
        StreamFailure::ConnectionLost => io::ErrorKind::ConnectionAborted.into(),
        StreamFailure::Malformed(violation) => io::Error::new(io::ErrorKind::InvalidData, InvalidBody(violation)),
    }
}
