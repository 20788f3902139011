//! The network behind the worker: the servers that it dials, and the configurations that route to them.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use super::link::{Random, Shared as SharedLink, Wire, add_faults, connect};
use super::origin::{ReceivedRequests, Server};
use super::scheduler::{Scheduler, yield_times};
use crate::config::dynamic::{Backend, Buffering, DynamicConfig, Frontend, Headers, MaxConn, Route, Server as Written};
use crate::config::snapshot::ServerEndpoint;
use crate::error::Cause;
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
    servers: RefCell<Vec<SharedLink<Server>>>,
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
        let is_held = |link: &SharedLink<Server>| !link.borrow().near.dropped;
        assert!(!self.servers.borrow().iter().any(is_held), "a server's connection is still held");
        self.received.take()
    }
}

impl Dial for Rc<Network> {
    type Io = Wire<Server>;

    async fn dial(
        &self,
        endpoint: &ServerEndpoint,
        _: Option<&ClientInfo>,
        _: VersionOffer,
        _limit: TimeLimit<'_>,
    ) -> Result<Dialled<Wire<Server>>, Cause> {
        let mut random = self.random.borrow_mut().split();
        yield_times(random.below(8)).await;
        if !self.faultless && random.once_in(8) {
            return Err(match random.below(2) {
                0 => Cause::Io(io::ErrorKind::ConnectionRefused.into()),
                _ => Cause::TimedOut,
            });
        }
        let table = endpoint.authority.split('.').nth(2).and_then(|part| part.parse().ok()).expect("10.0.TABLE.x");
        let server = Server::new(table, self.faultless, random.split(), &self.received);
        let (link, wire) = connect(server, random.split(), &self.scheduler);
        if !self.faultless {
            // A stalled server keeps its client waiting until the client disconnects: that must not happen often.
            add_faults(&link, 40, &mut random);
        }
        self.servers.borrow_mut().push(link);
        Ok(Dialled::http1(wire))
    }

    fn run(&self, _task: ConnectionTask) {
        unreachable!("the servers speak HTTP/1.1");
    }
}

/// Configuration `number`: the addresses of its servers and a header that its middlewares set contain that number. The last configuration
/// has no `/one`.
pub fn document(number: u64) -> DynamicConfig {
    let backend = |numbers: &[u64]| {
        let url = |last_octet: &u64| format!("http://10.0.{number}.{last_octet}:80");
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
