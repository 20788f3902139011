//! HTTP/2 (RFC 9113) and HPACK (RFC 7541) without I/O: no runtime and no clock. `hpack` has the header compression, `fields` and `pack`
//! turn header blocks into lines and back, the other modules have the frames and the state of a connection with its streams.

mod blocks;
mod buffers;
pub mod connection;
mod control;
mod events;
pub mod fields;
mod flood;
mod frame;
pub mod hpack;
mod incoming;
mod input;
mod outgoing;
mod output;
mod outgoing_name;
pub mod pack;
mod receive;
mod rule;
mod settings;
pub(crate) mod stream;
mod streams;

#[cfg(test)]
mod tests;
