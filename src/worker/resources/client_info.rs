//! The client of a connection.

use std::net::{IpAddr, SocketAddr};

/// The client of a connection and what the proxy knows of it.
#[derive(Debug, Clone)]
pub struct ClientInfo {
    /// Index of the entry point.
    pub entry: usize,
    pub address: SocketAddr,
    /// The IP address as text, for header fields and the log.
    pub ip_text: Box<str>,
    pub secure: bool,
    /// The certificate chain that the client sent in its TLS handshake, in DER, the client's own certificate first.
    pub certs: Vec<Vec<u8>>,
    /// The X-Forwarded-* headers of this peer are trusted; decided by its address alone.
    pub trusted: bool,
}

/// The IPv4 address of an IPv4-mapped IPv6 address; other addresses are returned unchanged.
pub fn unmap_ipv4(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Fills `bytes` with unpredictable bytes. Aborts the process if the system has no random source: guessable bytes would be worse.
pub fn fill_random(bytes: &mut [u8]) {
    if aws_lc_rs::rand::fill(bytes).is_err() {
        std::process::abort();
    }
}
