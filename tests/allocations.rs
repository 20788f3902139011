//! A request on warm connections allocates no memory: neither for its head, its route and its exchange, nor for its response.

#[path = "support/exchange.rs"]
mod exchange;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ringway::http::h2::connection::{Buffers, Connection, Data, LocalSettings, Opened, Received};
use ringway::http::head_limits::HeadLimits;
use ringway::http::{RequestHead, ResponseHead};

/// The system's allocator, counting the allocations of each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending no longer has its counter.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed unchanged to the system's allocator; counting changes a thread-local cell and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller fulfils the conditions of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Requests until all buffers have their size and all counters exist.
const WARM_UP: usize = 20;
const REQUESTS: usize = 1000;

#[test]
fn warm_request_allocates_nothing() {
    assert_allocates_nothing(exchange::Scenario::get(12));
}

#[test]
fn warm_request_that_is_not_sampled_allocates_nothing() {
    assert_allocates_nothing(exchange::Scenario { traced_share: Some(0.0), ..exchange::Scenario::get(12) });
}

#[test]
fn warm_stream_allocates_nothing() {
    assert_allocates_nothing(exchange::Scenario::get_http2(12, 1));
    let request = exchange::block(b"POST", &[b'y'; 256]);
    assert_allocates_nothing(exchange::Scenario { request, ..exchange::Scenario::get_http2(12, 1) });
}

fn assert_allocates_nothing(scenario: exchange::Scenario) {
    let proxy = exchange::InMemoryProxy::new(scenario);
    let allocated = Rc::new(Cell::new([0; 2]));
    let seen = Rc::clone(&allocated);
    let has_ended = Cell::new(false);
    let started = Instant::now();
    proxy.serve(
        WARM_UP + REQUESTS,
        Rc::new(move |number| {
            let [warm, _] = seen.get();
            let now = COUNT.get();
            // The closing of an HTTP/2 connection reads on for a moment, into a buffer of its own.
            if !has_ended.replace(number == WARM_UP + REQUESTS) {
                seen.set([if number <= WARM_UP { now } else { warm }, now]);
            }
        }),
    );
    let [warm, end] = allocated.get();
    assert!(warm > 0, "the counter counts");
    // A busy machine shows one allocation that depends on time, not on requests, in some runs: more than that and one a second would grow
    // with the requests.
    let allowed = 1 + started.elapsed().as_secs() as usize;
    assert!(end - warm <= allowed, "{} allocations in {REQUESTS} requests, {allowed} allowed", end - warm);
}

/// Buffers that are used again.
#[derive(Default)]
struct Pool(RefCell<Vec<Vec<u8>>>);

impl Buffers for Pool {
    fn lend(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(4096))
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut buffer = buffer;
        buffer.clear();
        self.0.borrow_mut().push(buffer);
    }
}

/// A client and a server of HTTP/2 in memory, with the memory that they use for their messages.
struct TwoSides {
    client: Connection,
    server: Connection,
    pool: Pool,
    request: (RequestHead, Vec<u8>),
    response: (ResponseHead, Vec<u8>),
    line: Vec<u8>,
}

impl TwoSides {
    fn carry(&mut self) {
        let line = std::mem::take(&mut self.line);
        let (now, pool) = (Duration::from_secs(1), &self.pool);
        let line = self.client.take_output(line);
        self.server.receive(&line, now, pool);
        let mut line = line;
        line.clear();
        let line = self.server.take_output(line);
        self.client.receive(&line, now, pool);
        self.line = line;
        self.line.clear();
        while self.client.next_woken().is_some() || self.server.next_woken().is_some() {}
    }

    /// Exchanges messages with bodies and trailers on several streams at once.
    fn exchange(&mut self) {
        let mut asked = [None; 16];
        for key in &mut asked {
            *key = self.client.open(false);
            let key = key.expect("a free stream");
            let lines = b"POST / HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\nCookie: a=b\r\n\r\n";
            self.client.send_head(key, lines, false).expect("sent");
            assert_eq!(self.client.send_data(key, b"payload", true), Ok(7));
        }
        self.carry();
        while let Some(Opened::Request(key)) = self.server.next_opened() {
            self.server.take_request(key, &mut self.request.0, &mut self.request.1);
            assert_eq!(self.server.read_data(key, &self.pool, |piece| piece == b"payload"), Ok(Data::All));
            self.server.send_head(key, b"HTTP/1.1 200 OK\r\nX-A: b\r\nDate: now\r\n\r\n", false).expect("sent");
            assert_eq!(self.server.send_data(key, b"answer", false), Ok(6));
            self.server.send_trailers(key, b"X-T: u\r\n").expect("sent");
            self.server.release(key, &self.pool);
        }
        self.carry();
        for key in asked.into_iter().flatten() {
            let (head, lines) = &mut self.response;
            assert_eq!(self.client.take_response(key, head, lines), Ok(Some(Received::Final)));
            assert_eq!(self.client.read_data(key, &self.pool, |piece| piece == b"answer"), Ok(Data::All));
            assert_eq!(self.client.trailers(key), b"x-t: u\r\n");
            self.client.release(key, &self.pool);
        }
    }
}

#[test]
fn warm_streams_of_a_connection_allocate_nothing_in_either_role() {
    let local = LocalSettings {
        streams_max: 100,
        head: HeadLimits::REQUEST,
        stream_window: 65_535,
        connection_window: 65_535,
        connect_protocol: false,
    };
    let (client, server) = (Connection::client(local, true), Connection::server(local));
    let (request, response) = Default::default();
    let mut sides = TwoSides { client, server, pool: Pool::default(), request, response, line: Vec::new() };
    (0..WARM_UP).for_each(|_| sides.exchange());
    let warm = COUNT.get();
    assert!(warm > 0, "the counter counts");
    (0..REQUESTS / 16).for_each(|_| sides.exchange());
    assert_eq!(COUNT.get() - warm, 0, "allocations in {REQUESTS} streams");
}
