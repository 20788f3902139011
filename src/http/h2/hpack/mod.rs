//! Header compression (RFC 7541).

mod codes;
mod decode;
mod encode;
mod fixed;
mod huffman;
mod integer;
mod name;
mod table;
#[cfg(test)]
mod tests;

pub use decode::{Decoded, Decoder, FieldSink};
pub use encode::{Literal, push_field, push_indexed, push_named, push_value};
pub use fixed::TABLE;
pub use name::Name;
