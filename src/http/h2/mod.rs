//! The wire format of HTTP/2 (RFC 9113) and HPACK (RFC 7541). This module uses no runtime and no clock.

pub mod fields;
pub mod hpack;
mod outgoing_name;
pub mod pack;
