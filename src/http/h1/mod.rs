//! HTTP/1.x on the wire (RFC 9112): machines that are fed bytes.

pub mod body;
pub mod response_head;
pub mod progress;
mod framing;
mod host;
mod scan;
pub mod request_head;

pub(crate) use scan::target_end;
