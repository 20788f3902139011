//! The network behind the worker: the servers that it dials, and the configurations that route to them.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use super::http2_origin::Http2Server;
use super::link::{Party, Random, Shared as SharedLink, Wire, add_faults, connect};
use super::origin::{ReceivedRequests, Server};
use super::scheduler::{Scheduler, yield_times};
use super::versions::{AnyServer, Versions};
use crate::config::dynamic::{Backend, Buffering, DynamicConfig, Frontend, Headers, MaxConn, Route, Server as Written};
use crate::config::snapshot::{ServerEndpoint, ServerProtocol};
use crate::error::Cause;
use crate::limits;
use crate::net::TimeLimit;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::dial::{ConnectionTask, Dial, Dialled, VersionOffer};

/// The requests that `/limited` allows at a time, in every configuration.
pub const LIMITED_TO: i64 = 2;
/// The longest bodies that `/held` buffers, of a request and of a response.
const HELD_REQUEST_BYTES_MAX: i64 = 10_000;
const HELD_RESPONSE_BYTES_MAX: i64 = 30_000;
/// The bytes that the worker may hold in memory for one client.
pub const HELD_BYTES_MAX: usize = (HELD_REQUEST_BYTES_MAX + HELD_RESPONSE_BYTES_MAX) as usize;

/// Dials the servers of a simulation.
pub struct Network {
    faultless: bool,
    random: RefCell<Random>,
    scheduler: Rc<Scheduler>,
    received: ReceivedRequests,
    servers: RefCell<Vec<SharedLink<AnyServer>>>,
}

impl Network {
    pub fn new(faultless: bool, random: Random, scheduler: &Rc<Scheduler>) -> Self {
        Network {
            faultless,
            random: random.into(),
            scheduler: Rc::clone(scheduler),
            received: ReceivedRequests::default(),
            servers: RefCell::default(),
        }
    }

    /// Checks that the worker holds no connection to a server any more; returns the requests that the servers have received.
    pub fn end(&self) -> Vec<(String, String)> {
        assert!(!self.servers.borrow().iter().any(is_held), "a server's connection is still held");
        self.received.take()
    }

    /// The bytes that the worker may reserve for its connections to servers: the grown receive windows of HTTP/2.
    pub fn held_bytes_max(&self) -> usize {
        let servers = self.servers.borrow();
        let shared = servers.iter().filter(|link| is_held(link) && link.borrow().party.is_http2());
        shared.count() * limits::GROWN_CONNECTION_WINDOW_BYTES as usize
    }
}

fn is_held(link: &SharedLink<AnyServer>) -> bool {
    !link.borrow().near.dropped
}

impl Dial for Rc<Network> {
    type Io = Wire<AnyServer>;

    async fn dial(
        &self,
        endpoint: &ServerEndpoint,
        _: Option<&ClientInfo>,
        _: VersionOffer,
        _limit: TimeLimit<'_>,
    ) -> Result<Dialled<Wire<AnyServer>>, Cause> {
        let mut random = self.random.borrow_mut().split();
        yield_times(random.below(8)).await;
        if !self.faultless && random.once_in(8) {
            return Err(match random.below(2) {
                0 => Cause::Io(io::ErrorKind::ConnectionRefused.into()),
                _ => Cause::TimedOut,
            });
        }
        let table = endpoint.authority.split('.').nth(2).and_then(|part| part.parse().ok()).expect("10.0.TABLE.x");
        let is_http2 = endpoint.speaks == ServerProtocol::Http2;
        let (faultless, received) = (self.faultless, &self.received);
        let server = match is_http2 {
            false => AnyServer::Http1(Box::new(Server::new(table, faultless, random.split(), received))),
            true => {
                let server = Http2Server::new(table, faultless, random.split(), received, &self.scheduler);
                AnyServer::Http2(Box::new(server))
            }
        };
        let (link, wire) = connect(server, random.split(), &self.scheduler);
        if !self.faultless {
            // A stalled server keeps its client waiting until the client disconnects: that must not happen often.
            add_faults(&link, 40, &mut random);
        }
        self.servers.borrow_mut().push(link);
        Ok(Dialled { io: wire, is_http2 })
    }

    fn run(&self, task: ConnectionTask) {
        self.scheduler.spawn(task);
    }
}

/// Configuration `number`: the addresses of its servers and a header that its middlewares set contain that number. The last configuration
/// has no `/one`.
pub fn document(number: u64, versions: Versions) -> DynamicConfig {
    let backend = |numbers: &[u64]| {
        let url = |last_octet: &u64| {
            let scheme = if versions.is_http2(*last_octet) { "h2c" } else { "http" };
            format!("{scheme}://10.0.{number}.{last_octet}:80")
        };
        let server = |last_octet: &u64| (format!("server{last_octet}"), Written { url: url(last_octet), weight: 1 });
        Backend { servers: numbers.iter().map(server).collect(), ..Backend::default() }
    };
    let frontend = |name: &str| {
        let headers = Headers {
            custom_request_headers: [("X-Table".to_owned(), number.to_string())].into(),
            ..Headers::default()
        };
        let route = Route { rule: format!("PathPrefix:/{name}") };
        let written = Frontend {
            backend: name.to_owned(),
            pass_host_header: true,
            headers: Some(Box::new(headers)),
            routes: [("rule".to_owned(), route)].into(),
            ..Frontend::default()
        };
        (name.to_owned(), written)
    };
    let limit = MaxConn { amount: LIMITED_TO, extractor_func: "request.host".to_owned() };
    let buffering = Buffering {
        max_request_body_bytes: HELD_REQUEST_BYTES_MAX,
        max_response_body_bytes: HELD_RESPONSE_BYTES_MAX,
        ..Buffering::default()
    };
    let mut document = DynamicConfig {
        backends: [
            ("one".to_owned(), backend(&[1, 2])),
            ("limited".to_owned(), Backend { max_conn: Some(limit), ..backend(&[3]) }),
            ("held".to_owned(), Backend { buffering: Some(buffering), ..backend(&[4, 5]) }),
        ]
        .into(),
        frontends: ["one", "limited", "held"].map(frontend).into(),
        tls: Vec::new(),
    };
    if number == 2 {
        document.frontends.remove("one");
        document.backends.remove("one");
    }
    document
}
