//! What precedes HTTP on a connection: a PROXY protocol header, and the first message of a TLS handshake. The functions only look at the
//! bytes: the caller owns and consumes them. Headers for connections to servers are written here too.

pub mod client_hello;
pub mod proxy_protocol;
pub mod proxy_version;
pub mod proxy_writer;

pub use client_hello::{ClientHelloInfo, InvalidHello, Peek, peek_hello};
pub use proxy_protocol::{InvalidProxy, ProxiedAddresses, ProxyHeader, parse_proxy};
pub use proxy_version::ProxyVersion;
pub use proxy_writer::{ProxiedConnection, local_header, proxy_header};
