//! The client of a connection.

use std::cell::Cell;
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
    /// The server name of the client's TLS handshake, in lower case; only noted for HTTP/2, whose requests are compared with it.
    pub server_name: Option<Box<str>>,
    /// The X-Forwarded-* headers of this peer are trusted; decided by its address alone.
    pub trusted: bool,
    /// The client's bound connection to a server.
    pub bound: BoundState,
    /// Bytes have arrived behind a request that asks for an upgrade, before its response. Only meaningful during such a request.
    pub has_sent_ahead: Cell<bool>,
}

impl ClientInfo {
    /// The client as the requests of one stream see it: a server's connection that it authenticates is bound to that stream's place.
    pub fn for_stream(&self) -> ClientInfo {
        ClientInfo { bound: BoundState::default(), has_sent_ahead: Cell::default(), ..self.clone() }
    }
}

/// The part of a client connection in the bound connections of its worker.
#[derive(Debug, Clone, Default)]
pub struct BoundState {
    /// The key of the client connection; 0 until a connection has been bound to it.
    pub owner: Cell<u64>,
    /// The request in progress uses the bound connection.
    pub in_use: Cell<bool>,
}

impl BoundState {
    /// Whether a connection has been bound to the client at some time.
    pub fn has_owner(&self) -> bool {
        self.owner.get() != 0
    }
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
