//! Layer 4: streams and datagrams whose contents the proxy does not read.

pub mod udp;
