//! Header compression (RFC 7541).

mod decode;

pub use decode::Decoder;
