//! The client of a connection.

use std::net::{IpAddr, SocketAddr};

/// Who is on the other end of a client connection.
#[derive(Debug, Clone)]
pub struct ClientInfo {
    /// Index of the entry point.
    pub entry: usize,
    pub address: SocketAddr,
    /// The address as text, for the fields and the log.
    pub ip_text: Box<str>,
    pub secure: bool,
    /// The certificates it showed in its TLS handshake, in DER, its own first.
    pub certs: Vec<Vec<u8>>,
    /// The peer's own X-Forwarded-* words count: judged by its address alone.
    pub trusted: bool,
}

/// An IPv4 client that came over an IPv6 socket is an IPv4 client.
pub fn unmap_ipv4(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Unpredictable bytes; a system without a random source must not go on with guessable ones.
pub fn fill_random(bytes: &mut [u8]) {
    if aws_lc_rs::rand::fill(bytes).is_err() {
        std::process::abort();
    }
}
