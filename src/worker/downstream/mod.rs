//! Connections of clients, by protocol version.

mod handler;
pub mod h1;
