//! What precedes HTTP on a connection: a PROXY protocol header, and the first message of a TLS handshake. Read, never consumed here:
//! the caller owns the bytes.

pub mod client_hello;
pub mod proxy_protocol;

pub use client_hello::{ClientHelloInfo, InvalidHello, Peek, peek_hello};
pub use proxy_protocol::{InvalidProxy, ProxiedAddresses, ProxyHeader, parse_proxy};
