//! The client of a connection.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::detect::{ProxiedAddresses, ProxiedConnection, ProxyVersion, proxy_header};

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
    /// How the connection arrived; only noted if a server gets PROXY headers, or the client's connection began with one.
    pub arrival: Option<Box<Arrival>>,
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

    /// The PROXY header for a connection to a server that is made for this client. For a connection that arrived when no server got such
    /// headers, the destination is unknown: the unspecified address stands for it.
    pub fn proxy_header(&self, version: ProxyVersion) -> Vec<u8> {
        let arrival = self.arrival.as_deref();
        let unspecified = || match unmap_ipv4(self.address.ip()) {
            IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let destination = arrival.and_then(|arrival| arrival.destination).unwrap_or_else(unspecified);
        let connection = ProxiedConnection {
            addresses: ProxiedAddresses { source: self.address, destination },
            alpn: arrival.and_then(|arrival| arrival.alpn.as_deref()),
            server_name: arrival.and_then(|arrival| arrival.server_name.as_deref()),
        };
        proxy_header(version, &connection)
    }
}

/// The properties of a client's connection as it arrived, for the PROXY headers of connections to servers.
#[derive(Debug, Clone, Default)]
pub struct Arrival {
    /// The address that the client has connected to; `None` if the system did not tell.
    pub destination: Option<SocketAddr>,
    /// The server name of the client's TLS handshake, in lower case.
    pub server_name: Option<Box<str>>,
    /// The protocol on which that handshake agreed.
    pub alpn: Option<Box<[u8]>>,
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
