//! The wire format of HTTP/1.x (RFC 9112): parsers and decoders that are fed bytes.

pub mod body;
mod normalise;
pub mod response_head;
pub mod progress;
mod framing;
mod scan;
pub mod request_head;
