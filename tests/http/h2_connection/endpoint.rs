//! One side of a connection as the tests drive it: frames go in, frames come out.

use std::time::Duration;

use ringway::http::h2::connection::{
    Buffers, Connection, Data, LocalSettings, Note, Opened, Received, StreamFailure, StreamKey,
};
use ringway::http::head_limits::HeadLimits;
use ringway::http::{RequestHead, ResponseHead};

use super::h2_observer::Observer;
use super::wire::{self, Frame, PREFACE};

/// Lends new buffers.
pub struct Plain;

impl Buffers for Plain {
    fn lend(&self) -> Vec<u8> {
        Vec::with_capacity(4096)
    }

    fn give_back(&self, _buffer: Vec<u8>) {}
}

/// Settings under which the tests run, unless they say otherwise.
pub const LOCAL: LocalSettings = LocalSettings {
    streams_max: 100,
    head: HeadLimits::REQUEST,
    stream_window: 65_535,
    connection_window: 65_535,
    connect_protocol: true,
};

/// The fields of a small GET.
pub const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.example")];
/// The fields of a small POST.
pub const POST: &[(&str, &str)] =
    &[(":method", "POST"), (":scheme", "http"), (":path", "/p"), (":authority", "a.example")];
/// Lines of a small response, as the request path writes them.
pub const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nx-a: b\r\n\r\n";
/// Lines of a small request, as the request path writes them.
pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// How a side reacted to what it received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// No stream was reset, and the connection goes on.
    Accepted,
    /// A stream was reset with this code.
    Stream(u32, u32),
    /// The connection ended with this code.
    Connection(u32),
}

pub struct Endpoint {
    pub connection: Connection,
    pub now: Duration,
    observer: Observer,
}

impl Endpoint {
    /// A server before the preface.
    pub fn new_server(local: LocalSettings) -> Self {
        Endpoint { connection: Connection::server(local), now: Duration::from_secs(1), observer: Observer::new(false) }
    }

    /// A client that has sent its preface and got nothing.
    pub fn new_client(local: LocalSettings) -> Self {
        Endpoint {
            connection: Connection::client(local, false),
            now: Duration::from_secs(1),
            observer: Observer::new(true),
        }
    }

    /// A server whose client has sent its preface and `settings`.
    pub fn server(settings: &[(u16, u32)]) -> Self {
        let mut endpoint = Endpoint::new_server(LOCAL);
        endpoint.receive(&[PREFACE, &wire::settings(settings).bytes()].concat());
        assert_eq!(endpoint.reaction(), Reaction::Accepted);
        endpoint
    }

    /// A client whose server has sent `settings`.
    pub fn client(settings: &[(u16, u32)]) -> Self {
        let mut endpoint = Endpoint::new_client(LOCAL);
        endpoint.send(&[wire::settings(settings)]);
        assert_eq!(endpoint.reaction(), Reaction::Accepted);
        endpoint
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        self.observer.received(bytes);
        self.connection.receive(bytes, self.now, &Plain);
    }

    /// Receives frames.
    pub fn send(&mut self, frames: &[Frame]) {
        self.receive(&wire::bytes_of(frames));
    }

    /// Takes the output as bytes, and checks its frames.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        let output = self.connection.take_output(Vec::new());
        self.observer.sent(&output);
        output
    }

    /// Takes the output as frames.
    pub fn output(&mut self) -> Vec<Frame> {
        self.observer.sent(&self.connection.take_output(Vec::new()))
    }

    /// Takes the output and says how this side reacted.
    pub fn reaction(&mut self) -> Reaction {
        let output = self.output();
        if let Some(error) = self.connection.error() {
            let last = output.iter().rfind(|frame| frame.kind == wire::GOAWAY).expect("no GOAWAY with the error");
            let code = last.payload[4..].first_chunk::<4>().map(|code| u32::from_be_bytes(*code));
            assert_eq!(code, Some(error.code.number()), "{error:?}");
            assert!(self.connection.is_finished() && !self.connection.wants_input());
            return Reaction::Connection(error.code.number());
        }
        let reset = output.iter().find(|frame| frame.kind == wire::RST_STREAM);
        reset.map_or(Reaction::Accepted, |frame| Reaction::Stream(frame.stream, frame.number()))
    }

    /// The next request that has arrived whole.
    pub fn accept(&mut self) -> StreamKey {
        match self.connection.next_opened() {
            Some(Opened::Request(key)) => key,
            other => panic!("no request: {other:?}"),
        }
    }

    /// Takes the head of a request as its lines.
    pub fn request_lines(&mut self, key: StreamKey) -> (RequestHead, Vec<u8>) {
        let (mut head, mut bytes) = (RequestHead::default(), Vec::new());
        self.connection.take_request(key, &mut head, &mut bytes);
        (head, bytes)
    }

    /// Takes the next head of a response, if one has arrived.
    pub fn response(&mut self, key: StreamKey) -> Result<Option<(Received, u16)>, StreamFailure> {
        let (mut head, mut bytes) = (ResponseHead::default(), Vec::new());
        let received = self.connection.take_response(key, &mut head, &mut bytes)?;
        Ok(received.map(|received| (received, head.status)))
    }

    /// Reads all data that has arrived on a stream.
    pub fn read(&mut self, key: StreamKey) -> (Vec<u8>, Result<Data, StreamFailure>) {
        let mut payload = Vec::new();
        let result = self.connection.read_data(key, &Plain, |piece| {
            payload.extend_from_slice(piece);
            true
        });
        (payload, result)
    }

    /// A request of a client, sent and taken out of the output.
    pub fn open(&mut self, lines: &[u8], end_stream: bool) -> StreamKey {
        let key = self.connection.open(lines.starts_with(b"HEAD ")).expect("no stream is free");
        self.connection.send_head(key, lines, end_stream).expect("the head is sent");
        key
    }

    pub fn notes(&mut self) -> Vec<Note> {
        std::iter::from_fn(|| self.connection.next_note()).collect()
    }

    pub fn release(&mut self, key: StreamKey) {
        self.connection.release(key, &Plain);
    }
}
