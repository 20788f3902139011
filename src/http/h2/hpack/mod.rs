//! Header compression (RFC 7541).

mod codes;
mod decode;
mod fixed;

pub use decode::Decoder;
