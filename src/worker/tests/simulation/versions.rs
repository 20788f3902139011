//! The HTTP versions of a simulation: which clients and servers of a seed speak which one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::client::{Client, PlannedRequest};
use super::http2_client::Http2Client;
use super::http2_origin::Http2Server;
use super::link::{Party, Random};
use super::network::HELD_BYTES_MAX;
use super::origin::Server;
use crate::limits;

/// Events on HTTP/2 streams in all seeds, with their number.
pub static SEEN: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// Events that a run must have: without them it would show nothing.
pub const EXPECTED: [&str; 16] = [
    "client: Whole(200)",
    "client: Whole(413)",
    "client: Whole(429)",
    "client: Whole(502)",
    "client: Whole(504)",
    "client: cancelled",
    "client: Reset(InternalError)",
    "client: Reset(ProtocolError)",
    "client: disconnected",
    "server: whole",
    "server: refused",
    "server: goes away",
    "server: second request",
    "server: Reset(Cancel)",
    "server: reset",
    "server: disconnected",
];

/// Counts an event on an HTTP/2 stream.
pub fn note_event(side: &str, event: &str) {
    *SEEN.lock().expect("a count").entry(format!("{side}: {event}")).or_default() += 1;
}

/// The versions of one side of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    Http1,
    Http2,
    Both,
}

impl Versions {
    /// Half of the seeds have no HTTP/2 on this side.
    pub fn choose(random: &mut Random) -> Versions {
        [Versions::Http1, Versions::Http1, Versions::Http2, Versions::Both][random.below(4) as usize]
    }

    /// Whether party `number` of the side speaks HTTP/2.
    pub fn is_http2(self, number: u64) -> bool {
        match self {
            Versions::Http1 => false,
            Versions::Http2 => true,
            Versions::Both => number % 2 == 1,
        }
    }
}

pub enum AnyClient {
    Http1(Box<Client>),
    Http2(Box<Http2Client>),
}

impl AnyClient {
    /// A client of HTTP/1.1 that sends `requests`; at most `window` of them ahead of their responses.
    pub fn http1(requests: Vec<PlannedRequest>, window: usize) -> Self {
        AnyClient::Http1(Box::new(Client::new(requests, window)))
    }

    /// The bytes that the worker may hold in memory for the client: a request and a response for each stream, and pipelined requests or a
    /// receive window that has grown.
    pub fn held_bytes_max(&self) -> usize {
        match self {
            AnyClient::Http1(_) => HELD_BYTES_MAX + limits::PIPELINED_BYTES_MAX,
            AnyClient::Http2(client) => {
                client.width() * HELD_BYTES_MAX + limits::GROWN_CONNECTION_WINDOW_BYTES as usize
            }
        }
    }

    pub fn leave(&mut self) {
        match self {
            AnyClient::Http1(client) => client.leave(),
            AnyClient::Http2(client) => client.leave(),
        }
    }

    /// Handles the end of the connection; `in_order`: the proxy has ended it with a FIN, and all bytes before it have arrived.
    pub fn end(&mut self, in_order: bool) {
        match self {
            AnyClient::Http1(client) => client.end(in_order),
            AnyClient::Http2(client) => client.end(),
        }
    }

    pub fn assert_served(&self) {
        match self {
            AnyClient::Http1(client) => client.assert_served(),
            AnyClient::Http2(client) => client.assert_served(),
        }
    }

    pub fn statuses(&self) -> Vec<u16> {
        match self {
            AnyClient::Http1(client) => client.statuses.clone(),
            AnyClient::Http2(client) => client.statuses().collect(),
        }
    }

    fn party(&mut self) -> &mut dyn Party {
        match self {
            AnyClient::Http1(client) => &mut **client,
            AnyClient::Http2(client) => &mut **client,
        }
    }
}

pub enum AnyServer {
    Http1(Box<Server>),
    Http2(Box<Http2Server>),
}

impl AnyServer {
    fn party(&mut self) -> &mut dyn Party {
        match self {
            AnyServer::Http1(server) => &mut **server,
            AnyServer::Http2(server) => &mut **server,
        }
    }
}

impl Party for AnyClient {
    fn receive(&mut self, bytes: &[u8]) {
        self.party().receive(bytes);
    }

    fn outgoing(&mut self) -> &mut Vec<u8> {
        self.party().outgoing()
    }

    fn has_finished(&self) -> bool {
        match self {
            AnyClient::Http1(client) => client.has_finished(),
            AnyClient::Http2(client) => client.has_finished(),
        }
    }

    fn is_http2(&self) -> bool {
        matches!(self, AnyClient::Http2(_))
    }

    fn turn(&mut self) {
        self.party().turn();
    }
}

impl Party for AnyServer {
    fn receive(&mut self, bytes: &[u8]) {
        self.party().receive(bytes);
    }

    fn outgoing(&mut self) -> &mut Vec<u8> {
        self.party().outgoing()
    }

    fn has_finished(&self) -> bool {
        match self {
            AnyServer::Http1(server) => server.has_finished(),
            AnyServer::Http2(server) => server.has_finished(),
        }
    }

    fn is_http2(&self) -> bool {
        matches!(self, AnyServer::Http2(_))
    }

    fn turn(&mut self) {
        self.party().turn();
    }
}
