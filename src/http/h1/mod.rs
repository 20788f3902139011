//! HTTP/1.x on the wire (RFC 9112): machines that are fed bytes.

pub mod body;
pub mod client;
pub mod codec;
mod framing;
mod host;
mod scan;
pub mod server;
pub mod strict;

pub(crate) use scan::{is_token_byte, target_end};
