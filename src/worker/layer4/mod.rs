//! Layer 4: streams and datagrams whose contents the proxy does not read.

mod record;
mod route;
mod server;
mod tcp;
mod terminate;
pub mod udp;

pub use route::{Routed, Unrouted, route};
