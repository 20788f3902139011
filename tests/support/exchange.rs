//! The whole exchange without a network or a driver: a client that repeats one request, an origin that repeats one response, and between
//! them a worker with a thousand routes. No operation ever has to wait, so that one poll serves all requests.

#[path = "http2_requests.rs"]
mod http2;
#[path = "shared.rs"]
mod shared;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ringway::config::dynamic::Frontend;
use ringway::config::snapshot::ServerEndpoint;
use ringway::error::Cause;
use ringway::net::driver::DriverInfo;
use ringway::net::{Duplex, ReadHalf, TimeLimit, WriteHalf};
use ringway::observe::trace::{self, DatadogNames, Format, Propagation, Sampler, TraceReceiver, TraceSender, Tracing};
use ringway::worker::{ClientInfo, ConnectionTask, Dial, Dialled, VersionOffer, Worker, serve};

use http2::Http2Requests;
pub use http2::block;

const HOSTS: usize = 1000;
/// Growth of a full read buffer.
const SMALL_READ_BYTES: usize = 8 * 1024;

/// A request, its response, and the middlewares between them.
pub struct Scenario {
    pub request: Vec<u8>,
    pub answer: Vec<u8>,
    /// Adds the middlewares to a frontend, and how many these are.
    pub configure: fn(&mut Frontend),
    pub middlewares: usize,
    /// The client speaks HTTP/2 and opens so many streams at a time; `request` is a header block and its body then. HTTP/1.1 if `None`.
    pub streams_at_once: Option<usize>,
    /// The share of requests that are traced; tracing is off if `None`.
    pub traced_share: Option<f64>,
}

impl Scenario {
    /// The same over HTTP/2, `at_once` streams at a time.
    pub fn get_http2(body_bytes: usize, at_once: usize) -> Scenario {
        Scenario { request: block(b"GET", &[]), streams_at_once: Some(at_once), ..Scenario::get(body_bytes) }
    }

    /// A GET without middlewares, with a response body of `body_bytes`.
    pub fn get(body_bytes: usize) -> Scenario {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {body_bytes}\r\nServer: memory\r\n\r\n"
        );
        let mut answer = head.into_bytes();
        answer.resize(answer.len() + body_bytes, b'x');
        let request =
            "GET /bytes/128?x=1 HTTP/1.1\r\nHost: h500.bench.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
        Scenario {
            request: request.into(),
            answer,
            configure: |_| {},
            middlewares: 0,
            streams_at_once: None,
            traced_share: None,
        }
    }
}

/// A worker with its client and origin in memory.
pub struct InMemoryProxy {
    worker: Rc<Worker<OriginDial>>,
    request: Rc<[u8]>,
    answer_bytes: usize,
    streams_at_once: Option<usize>,
    /// Takes the traces.
    _traces: TraceReceiver,
}

/// Called with the number of each request, counted from 0, before the client sends the request.
pub type BeforeRequest = Rc<dyn Fn(usize)>;

impl InMemoryProxy {
    pub fn new(scenario: Scenario) -> Self {
        let mut shared = shared::shared(shared::hosts("http://10.0.0.1:80", HOSTS, scenario.configure), 1);
        let frontends = &shared.snapshot.load().snapshot.routers[0];
        assert!(
            frontends.values().all(|frontend| frontend.outer.middlewares().len() == scenario.middlewares),
            "unexpected number of middlewares"
        );
        let (sender, traces) = trace::queue();
        shared.tracing = scenario.traced_share.map(|share| Arc::new(tracing(share, sender)));
        let choice = DriverInfo { name: "none", reason: String::new(), is_fallback: false };
        // The head of a response takes fewer bytes in HTTP/2.
        let answer_bytes = scenario.answer.len() - scenario.streams_at_once.map_or(0, |_| 80);
        let worker = Worker::new(0, Arc::new(shared), choice, OriginDial(scenario.answer.into()));
        InMemoryProxy {
            worker,
            request: scenario.request.into(),
            answer_bytes,
            streams_at_once: scenario.streams_at_once,
            _traces: traces,
        }
    }

    /// Serves one connection of `count` requests, each of which gets a whole response.
    pub fn serve(&self, count: usize, before_request: BeforeRequest) {
        let requests = match self.streams_at_once {
            None => Requests::Repeated(Rc::clone(&self.request)),
            Some(at_once) => Requests::Streams(Http2Requests::new(&self.request, at_once)),
        };
        let received = Rc::new(Cell::new(0));
        let client = Duplex {
            reader: ClientReader {
                requests,
                left: count,
                count,
                before_request,
                received: Rc::clone(&received),
                awaited: self.streams_at_once.map_or(0, |_| count * self.answer_bytes),
            },
            writer: CountingWriter { received: Rc::clone(&received), has_request: Rc::default() },
        };
        let peer = Box::new(ClientInfo {
            entry: 0,
            address: ([192, 0, 2, 7], 4711).into(),
            ip_text: "192.0.2.7".into(),
            secure: false,
            certs: Vec::new(),
            server_name: None,
            trusted: true,
            arrival: None,
            bound: Default::default(),
            has_sent_ahead: Default::default(),
        });
        let mut serving = pin!(serve(Rc::clone(&self.worker), client, peer));
        // An HTTP/2 connection lets others go first after some turns, and waits for nothing.
        let is_served =
            (0..=100 * count).any(|_| serving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        assert!(is_served, "the worker waited");
        assert!(received.get() >= count * self.answer_bytes, "{} bytes came back", received.get());
    }
}

fn tracing(share: f64, queue: TraceSender) -> Tracing {
    let datadog = DatadogNames { trace_id: String::new(), parent_id: String::new(), priority: String::new() };
    Tracing {
        propagation: Propagation::new(Format::TraceContext, "", &datadog, 1),
        sampler: Sampler::new("probabilistic", share).expect("a sampler"),
        has_long_ids: true,
        same_span: false,
        is_debug: false,
        queue,
    }
}

/// Every connection to the origin repeats this response.
struct OriginDial(Rc<[u8]>);

impl Dial for OriginDial {
    type Io = Duplex<OriginReader, CountingWriter>;

    async fn dial(
        &self,
        _origin: &ServerEndpoint,
        _: Option<&ClientInfo>,
        _: VersionOffer,
        _limit: TimeLimit<'_>,
    ) -> Result<Dialled<Self::Io>, Cause> {
        let has_request = Rc::new(Cell::new(false));
        let reader = OriginReader { has_request: Rc::clone(&has_request), answer: Rc::clone(&self.0), position: 0 };
        Ok(Dialled::http1(Duplex { reader, writer: CountingWriter { received: Rc::default(), has_request } }))
    }

    fn run(&self, _task: ConnectionTask) {
        unreachable!("the servers speak HTTP/1.1");
    }
}

/// What the client sends.
enum Requests {
    Repeated(Rc<[u8]>),
    Streams(Http2Requests),
}

struct ClientReader {
    requests: Requests,
    left: usize,
    count: usize,
    before_request: BeforeRequest,
    received: Rc<Cell<usize>>,
    /// The client closes once it has received so many bytes: the end of an HTTP/2 connection ends its streams.
    awaited: usize,
}

impl ReadHalf for ClientReader {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        (self.before_request)(self.count - self.left);
        if self.left == 0 {
            poll_fn(|_| if self.received.get() >= self.awaited { Poll::Ready(()) } else { Poll::Pending }).await;
            return (Ok(0), buffer);
        }
        let before = buffer.len();
        match &mut self.requests {
            Requests::Repeated(request) => {
                self.left -= 1;
                buffer.extend_from_slice(request);
            }
            Requests::Streams(streams) => self.left -= streams.append(self.left, &mut buffer),
        }
        (Ok(buffer.len() - before), buffer)
    }

    async fn readable(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn is_reusable(&mut self) -> bool {
        false
    }

    fn is_closed_by_peer(&mut self) -> bool {
        false
    }

    fn abort(&mut self) {}
}

/// Counts and drops written bytes, and marks for the read half that a request was sent.
pub struct CountingWriter {
    received: Rc<Cell<usize>>,
    has_request: Rc<Cell<bool>>,
}

impl WriteHalf for CountingWriter {
    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        self.received.set(self.received.get() + buffer.len());
        self.has_request.set(true);
        (Ok(()), buffer)
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends one response for each request.
pub struct OriginReader {
    has_request: Rc<Cell<bool>>,
    answer: Rc<[u8]>,
    /// Bytes of the current response that are sent.
    position: usize,
}

impl ReadHalf for OriginReader {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        assert!(self.position > 0 || self.has_request.replace(false), "a response was read without a request");
        if buffer.capacity() == buffer.len() {
            buffer.reserve(SMALL_READ_BYTES);
        }
        let left = &self.answer[self.position..];
        let part = &left[..left.len().min(buffer.capacity() - buffer.len())];
        buffer.extend_from_slice(part);
        self.position = (self.position + part.len()) % self.answer.len();
        (Ok(part.len()), buffer)
    }

    async fn readable(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn is_reusable(&mut self) -> bool {
        self.position == 0 && !self.has_request.get()
    }

    fn is_closed_by_peer(&mut self) -> bool {
        false
    }

    fn abort(&mut self) {}
}
