//! Header compression (RFC 7541).

mod codes;
mod decode;
mod encode;
mod fixed;

pub use decode::Decoder;
pub use encode::{Literal, push_field, push_indexed, push_named, push_value};
pub use fixed::TABLE;
