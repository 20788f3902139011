//! Choosing a server for a session, and a socket that is connected to it.

use std::io;
use std::net::IpAddr;

use crate::backend::{Lease, TriedServers};
use crate::config::snapshot::{Backend, ServerEndpoint, ServerProtocol};
use crate::net::udp::{self, DatagramSocket};
use crate::observe::metrics::DropReason;

/// The status under which the dynamic weights count a server that refuses datagrams.
const REFUSED_STATUS: u16 = 502;

/// A server, and the socket for it.
pub struct ChosenServer {
    pub lease: Lease,
    pub socket: DatagramSocket,
    /// Which of the server's addresses is in use.
    address: usize,
}

/// Chooses a server that has not been tried, and connects a socket to it.
///
/// # Errors
/// No server is left, or no socket.
pub fn choose(
    backend: &Backend,
    client: IpAddr,
    tried: &mut TriedServers,
    now_nanos: u64,
) -> Result<ChosenServer, DropReason> {
    loop {
        let lease = backend.balancer.pick_for_client(client, tried, now_nanos).map_err(|_| DropReason::NoServer)?;
        if tried.contains(lease.index) {
            return Err(DropReason::ServerFailed);
        }
        let endpoint = backend.endpoints.get(lease.index).ok_or(DropReason::NoServer)?;
        match connect(endpoint, 0) {
            Ok((socket, address)) => return Ok(ChosenServer { lease, socket, address }),
            Err(e) if udp::is_shortage(&e) => return Err(DropReason::Shortage),
            Err(_) => {
                note_failed(backend, &lease, now_nanos);
                tried.add(lease.index);
            }
        }
    }
}

impl ChosenServer {
    /// Goes on to the server's next address after the one in use has refused datagrams. Returns whether there is one.
    pub fn use_next_address(&mut self, backend: &Backend) -> bool {
        let endpoint = backend.endpoints.get(self.lease.index);
        let Some(Ok((socket, address))) = endpoint.map(|endpoint| connect(endpoint, self.address + 1)) else {
            return false;
        };
        (self.socket, self.address) = (socket, address);
        true
    }

    /// Counts a refusal as a failed connect: three in a row eject the server.
    pub fn note_refused(&self, backend: &Backend, now_nanos: u64) {
        note_failed(backend, &self.lease, now_nanos);
    }
}

fn note_failed(backend: &Backend, lease: &Lease, now_nanos: u64) {
    lease.server.state.note_connect_failed(now_nanos);
    backend.balancer.record(lease, REFUSED_STATUS, now_nanos);
}

/// Connects to the first of the server's addresses, from number `from` on, to which a route leads.
fn connect(endpoint: &ServerEndpoint, from: usize) -> io::Result<(DatagramSocket, usize)> {
    if endpoint.speaks != ServerProtocol::Udp {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let addresses = endpoint.addresses.load();
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    for (number, address) in addresses.iter().enumerate().skip(from) {
        match DatagramSocket::connected(*address) {
            Ok(socket) => return Ok((socket, number)),
            Err(e) if udp::is_shortage(&e) => return Err(e),
            Err(e) => failure = e,
        }
    }
    Err(failure)
}
