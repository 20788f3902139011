//! HTTP/2: heads to header blocks and back.

mod block;
pub mod fields;
mod hpack;
mod pack;
