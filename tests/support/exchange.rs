//! The whole exchange without a network or a driver: a client that asks the same again and again, an origin that answers the same, and
//! between them a worker with a table of a thousand routes. Nothing ever has to be waited for, so one poll serves all requests.

#[path = "shared.rs"]
mod shared;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use ringway::config::dynamic::Frontend;
use ringway::config::snapshot::ServerEndpoint;
use ringway::error::Cause;
use ringway::net::driver::DriverInfo;
use ringway::net::{Duplex, ReadHalf, TimeLimit, WriteHalf};
use ringway::worker::{ClientInfo, Dial, Worker, serve};

const HOSTS: usize = 1000;
/// What a buffer without room grows by.
const SMALL_READ_BYTES: usize = 8 * 1024;

/// What is asked and answered, by way of which frontends.
pub struct Play {
    pub request: Vec<u8>,
    pub answer: Vec<u8>,
    /// Gives the frontends their steps, so many of them.
    pub dress: fn(&mut Frontend),
    pub steps: usize,
}

impl Play {
    /// A GET without steps, answered with a body of that many bytes.
    pub fn get(body_bytes: usize) -> Play {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {body_bytes}\r\nServer: memory\r\n\r\n"
        );
        let mut answer = head.into_bytes();
        answer.resize(answer.len() + body_bytes, b'x');
        let request =
            "GET /bytes/128?x=1 HTTP/1.1\r\nHost: h500.bench.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
        Play { request: request.into(), answer, dress: |_| {}, steps: 0 }
    }
}

/// A worker, ready to serve.
pub struct Stage {
    worker: Rc<Worker<Answering>>,
    request: Rc<[u8]>,
    answer_bytes: usize,
}

/// Called before the request of that number is sent, counted from 0.
pub type Watch = Rc<dyn Fn(usize)>;

impl Stage {
    pub fn new(play: Play) -> Self {
        let shared = shared::shared(shared::hosts("http://10.0.0.1:80", HOSTS, play.dress), 1);
        let frontends = &shared.snapshot.load().snapshot.routers[0];
        assert!(
            frontends.values().all(|frontend| frontend.outer.middlewares().len() == play.steps),
            "other steps than expected"
        );
        let choice = DriverInfo { name: "none", reason: String::new(), is_fallback: false };
        let answer_bytes = play.answer.len();
        let worker = Rc::new(Worker::new(0, Arc::new(shared), choice, Answering(play.answer.into())));
        Stage { worker, request: play.request.into(), answer_bytes }
    }

    /// Serves one connection of `count` requests, each of which is answered in full.
    pub fn serve(&self, count: usize, watch: Watch) {
        let got = Rc::new(Cell::new(0));
        let client = Duplex {
            reader: Asking { request: Rc::clone(&self.request), left: count, count, watch },
            writer: Taking { got: Rc::clone(&got), asked: Rc::default() },
        };
        let peer = Box::new(ClientInfo {
            entry: 0,
            address: ([192, 0, 2, 7], 4711).into(),
            ip_text: "192.0.2.7".into(),
            secure: false,
            certs: Vec::new(),
            trusted: true,
        });
        let served = pin!(serve(Rc::clone(&self.worker), client, peer)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(served.is_ready(), "something was waited for");
        assert!(got.get() >= count * self.answer_bytes, "{} bytes came back", got.get());
    }
}

/// Every connection gives this answer.
struct Answering(Rc<[u8]>);

impl Dial for Answering {
    type Io = Duplex<Replying, Taking>;

    async fn dial(&self, _origin: &ServerEndpoint, _limit: TimeLimit<'_>) -> Result<Self::Io, Cause> {
        let asked = Rc::new(Cell::new(false));
        let reader = Replying { asked: Rc::clone(&asked), answer: Rc::clone(&self.0), given: 0 };
        Ok(Duplex { reader, writer: Taking { got: Rc::default(), asked } })
    }
}

struct Asking {
    request: Rc<[u8]>,
    left: usize,
    count: usize,
    watch: Watch,
}

impl ReadHalf for Asking {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        (self.watch)(self.count - self.left);
        if self.left == 0 {
            return (Ok(0), buffer);
        }
        self.left -= 1;
        buffer.extend_from_slice(&self.request);
        (Ok(self.request.len()), buffer)
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

/// Takes whatever is sent, and tells the other half of it.
pub struct Taking {
    got: Rc<Cell<usize>>,
    asked: Rc<Cell<bool>>,
}

impl WriteHalf for Taking {
    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        self.got.set(self.got.get() + buffer.len());
        self.asked.set(true);
        (Ok(()), buffer)
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers once for each request.
pub struct Replying {
    asked: Rc<Cell<bool>>,
    answer: Rc<[u8]>,
    /// How much of the answer that is under way.
    given: usize,
}

impl ReadHalf for Replying {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        assert!(self.given > 0 || self.asked.replace(false), "an answer is wanted that nobody asked for");
        if buffer.capacity() == buffer.len() {
            buffer.reserve(SMALL_READ_BYTES);
        }
        let left = &self.answer[self.given..];
        let part = &left[..left.len().min(buffer.capacity() - buffer.len())];
        buffer.extend_from_slice(part);
        self.given = (self.given + part.len()) % self.answer.len();
        (Ok(part.len()), buffer)
    }

    async fn readable(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn is_reusable(&mut self) -> bool {
        self.given == 0 && !self.asked.get()
    }

    fn is_closed_by_peer(&mut self) -> bool {
        false
    }

    fn abort(&mut self) {}
}
