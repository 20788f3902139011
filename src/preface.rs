//! What precedes HTTP on a connection: a PROXY protocol header, and the first message of a TLS handshake. Read, never consumed here:
//! the caller owns the bytes.

pub mod hello;
pub mod proxy;

pub use hello::{Hello, InvalidHello, Peek, peek_hello};
pub use proxy::{Addresses, InvalidProxy, Proxy, parse_proxy};
