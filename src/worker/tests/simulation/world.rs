//! What stands behind the worker: servers to be dialled, and the tables that lead to them.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use super::course::{Course, looks};
use super::link::{Random, Shared as Linked, Wire, add_faults, connect};
use super::origin::{Seen, Server};
use crate::config::dynamic::{Backend, Buffering, DynamicConfig, Frontend, Headers, MaxConn, Route, Server as Written};
use crate::config::snapshot::ServerEndpoint;
use crate::error::Cause;
use crate::net::TimeLimit;
use crate::worker::resources::dial::Dial;

/// Connections that `/limited` has in every table.
pub const LIMITED_TO: i64 = 2;
/// What `/held` takes of a request, and of a response.
const HELD_REQUEST_BYTES_MAX: i64 = 10_000;
const HELD_RESPONSE_BYTES_MAX: i64 = 30_000;
/// What the worker may hold for one client.
pub const HELD_BYTES_MAX: usize = (HELD_REQUEST_BYTES_MAX + HELD_RESPONSE_BYTES_MAX) as usize;

/// The servers, as the worker meets them by dialling.
pub struct World {
    honest: bool,
    random: RefCell<Random>,
    course: Rc<Course>,
    seen: Seen,
    servers: RefCell<Vec<Linked<Server>>>,
}

impl World {
    pub fn new(honest: bool, random: Random, course: &Rc<Course>) -> Self {
        World {
            honest,
            random: random.into(),
            course: Rc::clone(course),
            seen: Seen::default(),
            servers: RefCell::default(),
        }
    }

    /// What the servers have seen; the worker holds none of them any more.
    pub fn end(&self) -> Vec<(String, String)> {
        let is_held = |link: &Linked<Server>| !link.borrow().near.dropped;
        assert!(!self.servers.borrow().iter().any(is_held), "a server's connection is still held");
        self.seen.take()
    }
}

impl Dial for Rc<World> {
    type Io = Wire<Server>;

    async fn dial(&self, origin: &ServerEndpoint, _limit: TimeLimit<'_>) -> Result<Wire<Server>, Cause> {
        let mut random = self.random.borrow_mut().split();
        looks(random.below(8)).await;
        if !self.honest && random.once_in(8) {
            return Err(match random.below(2) {
                0 => Cause::Io(io::ErrorKind::ConnectionRefused.into()),
                _ => Cause::TimedOut,
            });
        }
        let table = origin.authority.split('.').nth(2).and_then(|part| part.parse().ok()).expect("10.0.TABLE.x");
        let server = Server::new(table, self.honest, random.split(), &self.seen);
        let (link, wire) = connect(server, random.split(), &self.course);
        if !self.honest {
            // A server that stands still keeps its client waiting until that leaves: it must not happen often.
            add_faults(&link, 40, &mut random);
        }
        self.servers.borrow_mut().push(link);
        Ok(wire)
    }
}

/// Table `number`: every server and every step of it says which table it belongs to. The last one does without `/one`.
pub fn document(number: u64) -> DynamicConfig {
    let backend = |places: &[u64]| {
        let url = |place: &u64| format!("http://10.0.{number}.{place}:80");
        let server = |place: &u64| (format!("server{place}"), Written { url: url(place), weight: 1 });
        Backend { servers: places.iter().map(server).collect(), ..Backend::default() }
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
