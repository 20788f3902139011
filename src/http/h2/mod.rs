//! The wire format of HTTP/2 (RFC 9113) and HPACK (RFC 7541). This module uses no runtime and no clock.

pub mod fields;
pub mod hpack;
pub mod pack;
