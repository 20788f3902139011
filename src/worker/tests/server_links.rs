//! Requests to servers that speak HTTP/2, over connections in memory: shared connections, their limits and their ends.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt::Write, io};

use super::harness::{self, Base, TIMEOUTS, check_counts};
use super::memory_transport::{self, FarEnd, NearEnd, Shared, Wire};
use super::pipe::{ScriptStep, ScriptedPeer, Segmentation};
use super::{on_both_drivers, send, text, until};
use crate::config::dynamic::{Backend, DynamicConfig, Frontend, Route, Server};
use crate::config::snapshot::ServerEndpoint;
use crate::error::Cause;
use crate::http::h2::connection::{Connection, Data, ErrorCode, LocalSettings, Opened, StreamKey};
use crate::http::{HeadLimits, RequestHead};
use crate::limits;
use crate::net::TimeLimit;
use crate::worker::downstream::h1::serve;
use crate::worker::resources::buffers::BufferPool;
use crate::worker::{ClientInfo, ConnectionTask, Dial, Dialled, Timeouts, VersionOffer, Worker};

/// How a server treats a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Responds,
    /// Refuses the first request of the connection.
    RefusesFirst,
    /// Refuses every request.
    RefusesAll,
    /// Ends the connection (GOAWAY) just before the request with this number arrives.
    GoawayBefore(usize),
    /// Ends the connection after the response to the first request.
    GoawayAfterFirst,
    /// Breaks the connection off when the request with this number arrives.
    BreaksAt(usize),
    /// Resets every request.
    Resets(ErrorCode),
    /// Sends no response.
    IsSilent,
    /// Sends what is no HTTP/2.
    SpeaksOther,
}

/// A server's end of a connection.
struct Http2Server {
    connection: Connection,
    buffers: BufferPool,
    behaviour: Behaviour,
    output: Vec<u8>,
    /// Requests in progress, with the part of the body that has arrived.
    requests: Vec<(StreamKey, String, Vec<u8>)>,
    seen: usize,
    log: Rc<RefCell<Vec<String>>>,
    most: Rc<Cell<usize>>,
    has_broken: bool,
    near: NearEnd,
}

impl Http2Server {
    fn work(&mut self) {
        while let Some(opened) = self.connection.next_opened() {
            let Opened::Request(key) = opened else { panic!("{opened:?}") };
            let (mut head, mut lines) = (RequestHead::default(), Vec::new());
            self.connection.take_request(key, &mut head, &mut lines);
            self.seen += 1;
            match self.behaviour {
                Behaviour::BreaksAt(number) if number == self.seen => self.has_broken = true,
                Behaviour::RefusesFirst if self.seen == 1 => self.connection.reset(key, ErrorCode::RefusedStream),
                Behaviour::RefusesAll => self.connection.reset(key, ErrorCode::RefusedStream),
                Behaviour::Resets(code) => self.connection.reset(key, code),
                _ => {
                    self.requests.push((key, String::from_utf8(lines).expect("text"), Vec::new()));
                    continue;
                }
            }
            self.connection.release(key, &self.buffers);
        }
        self.most.set(self.most.get().max(self.requests.len()));
        self.requests.retain_mut(|(key, lines, body)| {
            let read = self.connection.read_data(*key, &self.buffers, |payload| {
                body.extend_from_slice(payload);
                true
            });
            match read {
                Ok(Data::All) if self.behaviour == Behaviour::IsSilent => {
                    let Some(failure) = self.connection.failure(*key) else { return true };
                    self.log.borrow_mut().push(format!("{failure:?}"));
                    self.connection.release(*key, &self.buffers);
                    return false;
                }
                Ok(Data::All) => {}
                Ok(_) => return true,
                Err(failure) => {
                    self.log.borrow_mut().push(format!("{failure:?}"));
                    self.connection.release(*key, &self.buffers);
                    return false;
                }
            }
            let mut line = text(lines.as_bytes()).replace('\n', "|");
            let _ = write!(line, "{}", body.escape_ascii());
            self.log.borrow_mut().push(line);
            let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
            self.connection.send_head(*key, response, false).expect("open");
            assert_eq!(self.connection.send_data(*key, b"ok", true), Ok(2));
            self.connection.release(*key, &self.buffers);
            if self.behaviour == Behaviour::GoawayAfterFirst {
                self.connection.shut_down();
            }
            false
        });
        let output = self.connection.take_output(Vec::new());
        self.output.extend_from_slice(&output);
        if self.behaviour == Behaviour::SpeaksOther {
            self.output = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
        }
        self.near.wake();
    }
}

impl FarEnd for Http2Server {
    fn near(&mut self) -> &mut NearEnd {
        &mut self.near
    }

    fn poll_read(&mut self, cx: &Context<'_>, room: usize) -> Poll<io::Result<Vec<u8>>> {
        let count = self.output.len().min(room);
        if count > 0 {
            return Poll::Ready(Ok(self.output.drain(..count).collect()));
        }
        if self.has_broken || self.near.finished || self.connection.is_finished() {
            return Poll::Ready(Ok(Vec::new()));
        }
        self.near.wait(cx)
    }

    fn poll_write(&mut self, _cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.has_broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if matches!(self.behaviour, Behaviour::GoawayBefore(number) if number == self.seen + 1) {
            self.connection.shut_down();
        }
        self.connection.receive(bytes, Duration::ZERO, &self.buffers);
        self.work();
        Poll::Ready(Ok(bytes.len()))
    }

    fn is_silent(&mut self) -> bool {
        self.output.is_empty() && !self.has_broken && !self.near.finished && !self.connection.is_finished()
    }

    fn is_gone(&mut self) -> bool {
        self.has_broken
    }
}

/// Opens connections to servers with one behaviour after another; the last one stays.
struct Http2Dial {
    behaviours: RefCell<Vec<Behaviour>>,
    streams_max: u32,
    opened: RefCell<Vec<Shared<Http2Server>>>,
    log: Rc<RefCell<Vec<String>>>,
    /// The most requests that one connection carried at a time.
    most: Rc<Cell<usize>>,
    delay: Duration,
    fails: bool,
}

impl Dial for Rc<Http2Dial> {
    type Io = Wire<Http2Server>;

    async fn dial(
        &self,
        _: &ServerEndpoint,
        _: Option<&ClientInfo>,
        _: VersionOffer,
        _: TimeLimit<'_>,
    ) -> Result<Dialled<Self::Io>, Cause> {
        let behaviour = {
            let mut behaviours = self.behaviours.borrow_mut();
            if behaviours.len() > 1 { behaviours.remove(0) } else { behaviours[0] }
        };
        monoio::time::sleep(self.delay).await;
        if self.fails {
            self.log.borrow_mut().push("dial".to_owned());
            return Err(Cause::Io(io::ErrorKind::ConnectionRefused.into()));
        }
        let settings = LocalSettings {
            streams_max: self.streams_max,
            head: HeadLimits::REQUEST,
            stream_window: limits::STREAM_WINDOW_BYTES,
            connection_window: limits::CONNECTION_WINDOW_BYTES,
            connect_protocol: false,
        };
        let server = Http2Server {
            connection: Connection::server(settings),
            buffers: BufferPool::default(),
            behaviour,
            output: Vec::new(),
            requests: Vec::new(),
            seen: 0,
            log: Rc::clone(&self.log),
            most: Rc::clone(&self.most),
            has_broken: false,
            near: NearEnd::default(),
        };
        let (server, io) = memory_transport::connect(server);
        self.opened.borrow_mut().push(server);
        Ok(Dialled::http2(io))
    }

    fn run(&self, task: ConnectionTask) {
        monoio::spawn(task);
    }
}

/// A run: clients that come at the same time, each with its own connection.
struct Play<'a> {
    behaviours: &'a [Behaviour],
    streams_max: u32,
    fails: bool,
    timeouts: Timeouts,
    draining: bool,
    clients: Vec<Vec<ScriptStep>>,
    servers: &'a [&'a str],
}

impl Default for Play<'_> {
    fn default() -> Self {
        Play {
            behaviours: &[Behaviour::Responds],
            streams_max: 100,
            fails: false,
            timeouts: TIMEOUTS,
            draining: false,
            clients: Vec::new(),
            servers: &["10.0.0.1:80"],
        }
    }
}

struct Played {
    clients: Vec<String>,
    log: Vec<String>,
    dials: usize,
    most: usize,
    /// Connections that are still shared at the end.
    kept: usize,
    exceeded: Vec<String>,
}

impl Play<'_> {
    async fn run(&self) -> Played {
        let base = Base::of([document(self.servers)]);
        let shared = Arc::new(base.shared(self.timeouts));
        shared.draining.store(self.draining, Relaxed);
        let dial = Rc::new(Http2Dial {
            behaviours: RefCell::new(self.behaviours.to_vec()),
            streams_max: self.streams_max,
            opened: RefCell::default(),
            log: Rc::default(),
            most: Rc::default(),
            delay: Duration::from_millis(5),
            fails: self.fails,
        });
        let worker = harness::worker(&shared, Rc::clone(&dial));
        let timers = Rc::clone(&worker);
        monoio::spawn(async move { timers.run_timers().await });
        let clients: Vec<_> = self.clients.iter().map(|script| start(&worker, script)).collect();
        let mut texts = Vec::new();
        for (client, task) in clients {
            let mut task = pin!(task);
            let ended = monoio::time::timeout(Duration::from_secs(10), &mut task).await;
            assert!(ended.is_ok(), "the connection never ends: {:?}", text(&client.borrow().received));
            texts.push(text(&client.borrow().received));
        }
        check_counts(&shared, &shared.snapshot.load());
        // The task of a connection that has ended runs once more.
        monoio::time::sleep(Duration::from_millis(5)).await;
        if self.draining {
            worker.trim();
            monoio::time::sleep(Duration::from_millis(5)).await;
        }
        let kept = worker.server_links.len();
        let open = dial.opened.borrow().iter().filter(|server| !server.borrow().near.dropped).count();
        assert_eq!(open, kept, "open connections, and shared ones");
        worker.server_links.clear();
        monoio::time::sleep(Duration::from_millis(5)).await;
        assert!(dial.opened.borrow().iter().all(|server| server.borrow().near.dropped), "idle connections are closed");
        assert_eq!(worker.budget.used(), 0, "leaked reservations of the memory budget");
        Played {
            clients: texts,
            log: dial.log.take(),
            dials: dial.opened.borrow().len(),
            most: dial.most.get(),
            kept,
            exceeded: base.exceeded(),
        }
    }
}

type Client = (memory_transport::Shared<ScriptedPeer>, monoio::task::JoinHandle<()>);

fn start(worker: &Rc<Worker<Rc<Http2Dial>>>, script: &[ScriptStep]) -> Client {
    let (client, wire) = ScriptedPeer::new(script, Segmentation::Whole).connect();
    let serving = serve(Rc::clone(worker), wire, harness::peer());
    (client, monoio::spawn(async move { drop(serving.await) }))
}

fn document(servers: &[&str]) -> DynamicConfig {
    let server = |url: &&str| ((*url).to_owned(), Server { url: format!("h2c://{url}"), weight: 1 });
    let backend = Backend { servers: servers.iter().map(server).collect(), ..Backend::default() };
    let frontend = Frontend {
        backend: "b".to_owned(),
        pass_host_header: true,
        routes: [("rule".to_owned(), Route { rule: "PathPrefix:/".to_owned() })].into(),
        ..Frontend::default()
    };
    DynamicConfig {
        backends: [("b".to_owned(), backend)].into(),
        frontends: [("f".to_owned(), frontend)].into(),
        tls: Vec::new(),
    }
}

fn get() -> Vec<ScriptStep> {
    one("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "ok")
}

fn post() -> Vec<ScriptStep> {
    one("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", "ok")
}

fn one(request: &str, end: &str) -> Vec<ScriptStep> {
    vec![send(request), until(end), ScriptStep::Close]
}

const OK: &str = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";

fn play(play: &Play<'_>, check: impl Fn(Played)) {
    on_both_drivers(async || check(play.run().await));
}

#[test]
fn requests_share_one_connection_that_is_dialled_once() {
    let case = Play { clients: vec![get(); 40], ..Play::default() };
    play(&case, |played| {
        assert!(played.clients.iter().all(|client| client == OK), "{:?}", played.clients);
        assert_eq!((played.dials, played.kept, played.log.len()), (1, 1, 40));
        assert!(played.most > 1, "the requests were carried at the same time");
        assert!(played.log[0].starts_with("GET / HTTP/2.0|host: a|"), "{}", played.log[0]);
    });
}

#[test]
fn full_connection_is_followed_by_another() {
    let case = Play { clients: vec![get(); 250], ..Play::default() };
    play(&case, |played| {
        assert!(played.clients.iter().all(|client| client == OK));
        assert!(played.dials >= 1 && played.most <= limits::SERVER_STREAMS_MAX as usize, "{}", played.most);
    });
}

#[test]
fn server_that_allows_one_stream_gets_one_at_a_time() {
    // Both requests go to one server, which announces its limit with its first bytes.
    let clients = vec![[get()[..2].to_vec(), get()].concat(); 6];
    let case = Play { streams_max: 1, clients, ..Play::default() };
    play(&case, |played| {
        assert!(played.clients.iter().all(|client| *client == OK.repeat(2)), "{:?}", played.clients);
        assert!(played.most <= 1, "{}", played.most);
    });
}

#[test]
fn refused_request_is_sent_again_with_any_method() {
    for behaviour in [Behaviour::RefusesFirst, Behaviour::GoawayBefore(1)] {
        for client in [get(), post()] {
            let case = Play { behaviours: &[behaviour, Behaviour::Responds], clients: vec![client], ..Play::default() };
            play(&case, |played| {
                assert_eq!(played.clients, [OK], "{behaviour:?}");
                // A refused stream says nothing about its connection; a GOAWAY ends it.
                let dials = if behaviour == Behaviour::RefusesFirst { 1 } else { 2 };
                assert_eq!((played.dials, played.log.len()), (dials, 1), "{behaviour:?} {:?}", played.log);
            });
        }
    }
}

#[test]
fn refused_request_goes_to_another_server() {
    let servers = &["10.0.0.1:80", "10.0.0.2:80"];
    let behaviours = &[Behaviour::RefusesAll, Behaviour::Responds];
    let case = Play { behaviours, servers, clients: vec![post()], ..Play::default() };
    play(&case, |played| {
        assert_eq!(played.clients, [OK]);
        assert!(played.log.len() == 1 && played.log[0].ends_with("body"), "{:?}", played.log);
    });
}

#[test]
fn request_that_every_server_refuses_gets_502() {
    let case = Play {
        behaviours: &[Behaviour::RefusesAll],
        clients: vec![one("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", "Bad Gateway")],
        ..Play::default()
    };
    play(&case, |played| {
        assert!(played.clients[0].starts_with("HTTP/1.1 502 Bad Gateway\n"), "{}", played.clients[0]);
        assert!(played.log.is_empty());
    });
}

#[test]
fn connection_that_the_server_ends_gets_no_further_request() {
    let clients = vec![[get()[..2].to_vec(), get()[..2].to_vec(), post()].concat()];
    let case = Play { behaviours: &[Behaviour::GoawayAfterFirst, Behaviour::Responds], clients, ..Play::default() };
    play(&case, |played| {
        assert_eq!(played.clients, [OK.repeat(3)]);
        assert_eq!((played.dials, played.log.len()), (2, 3));
    });
}

#[test]
fn lost_connection_repeats_what_may_be_repeated() {
    let behaviours = &[Behaviour::BreaksAt(2), Behaviour::Responds];
    let case = Play { behaviours, clients: vec![[get()[..2].to_vec(), get()].concat()], ..Play::default() };
    play(&case, |played| {
        assert_eq!(played.clients, [OK.repeat(2)]);
        assert_eq!(played.dials, 2);
    });
    let post = one("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", "Bad Gateway");
    let case = Play { behaviours, clients: vec![[get()[..2].to_vec(), post].concat()], ..Play::default() };
    play(&case, |played| {
        assert!(
            played.clients[0].starts_with(OK) && played.clients[0].contains("HTTP/1.1 502"),
            "{:?}",
            played.clients
        );
        assert_eq!((played.dials, played.log.len()), (1, 1));
    });
}

#[test]
fn reset_request_gets_502() {
    for code in [ErrorCode::InternalError, ErrorCode::Cancel, ErrorCode::Http11Required] {
        let client = one("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", "Bad Gateway");
        let case = Play { behaviours: &[Behaviour::Resets(code)], clients: vec![client], ..Play::default() };
        play(&case, |played| {
            assert!(played.clients[0].starts_with("HTTP/1.1 502 Bad Gateway\n"), "{code:?} {}", played.clients[0]);
        });
    }
}

#[test]
fn client_that_disconnects_cancels_its_stream_and_no_other() {
    let gone = vec![send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), ScriptStep::Close];
    let case = Play { behaviours: &[Behaviour::IsSilent], clients: vec![gone], ..Play::default() };
    play(&case, |played| {
        assert_eq!(played.log, ["Reset(Cancel)"]);
        assert_eq!((played.dials, played.kept), (1, 1), "the connection stays");
        assert_eq!(played.clients, [""]);
    });
}

#[test]
fn failed_dial_fails_all_requests_that_wait_for_it() {
    let client = one("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Bad Gateway");
    let case = Play { fails: true, clients: vec![client; 20], ..Play::default() };
    play(&case, |played| {
        assert!(played.clients.iter().all(|client| client.starts_with("HTTP/1.1 502 Bad Gateway\n")));
        assert_eq!((played.log.len(), played.dials), (1, 0), "one dial for all");
    });
}

#[test]
fn server_that_speaks_no_http2_gets_502() {
    let client = one("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Bad Gateway");
    let case = Play { behaviours: &[Behaviour::SpeaksOther], clients: vec![client], ..Play::default() };
    play(&case, |played| {
        assert!(played.clients[0].starts_with("HTTP/1.1 502 Bad Gateway\n"), "{}", played.clients[0]);
        assert_eq!(played.kept, 0);
    });
}

#[test]
fn draining_worker_keeps_no_connection() {
    let case = Play { draining: true, clients: vec![get()], ..Play::default() };
    play(&case, |played| {
        assert!(played.clients[0].ends_with("\nok"), "{:?}", played.clients);
        assert_eq!(played.kept, 0);
    });
}

#[test]
fn upgrade_to_a_server_without_extended_connect_gets_502() {
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let case = Play { clients: vec![one(upgrade, "Bad Gateway")], ..Play::default() };
    play(&case, |played| {
        assert!(played.clients[0].starts_with("HTTP/1.1 502 Bad Gateway\n"), "{}", played.clients[0]);
        assert!(played.exceeded.is_empty());
    });
}
