//! Layer 4: streams and datagrams whose contents the proxy does not read.

mod record;
mod route;
mod server;
pub(super) mod tcp;
mod terminate;
pub mod udp;

pub use route::{Unrouted, route};
