//! A client of HTTP/2 that sends frames exactly as a test makes them, and keeps what comes back. Written by hand from RFC 9113, without
//! the proxy's own code: a fault there must not be repeated here.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use super::http2_fields::{request, status_of};
use super::http2_frames::*;

/// Time limit for what a test waits for, unless it names its own.
pub const WAIT: Duration = Duration::from_secs(10);

/// A socket, with TLS or without.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    fn socket(&self) -> &TcpStream {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(session) => &session.sock,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Wire::Plain(socket) => socket.write_all(bytes),
            Wire::Tls(session) => session.write_all(bytes).and_then(|()| session.flush()),
        }
    }

    fn read(&mut self, piece: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.read(piece),
            Wire::Tls(session) => session.read(piece),
        }
    }
}

/// What has arrived on one stream.
#[derive(Debug, Default, Clone)]
pub struct Stream {
    /// The statuses of its heads, interim ones included; trailers have none.
    pub statuses: Vec<u16>,
    pub body: Vec<u8>,
    /// END_STREAM has arrived.
    pub is_ended: bool,
    /// The code of RST_STREAM.
    pub reset: Option<u32>,
}

impl Stream {
    /// The final status; 0 if there is none.
    pub fn status(&self) -> u16 {
        self.statuses.iter().copied().find(|status| *status >= 200).unwrap_or(0)
    }

    pub fn is_over(&self) -> bool {
        self.is_ended || self.reset.is_some()
    }
}

pub struct Http2 {
    wire: Wire,
    unparsed: Vec<u8>,
    /// The stream and the fragments of a header block whose end has not arrived.
    block: Option<(u32, bool, Vec<u8>)>,
    pub streams: BTreeMap<u32, Stream>,
    /// The code of the last GOAWAY.
    pub goaway: Option<u32>,
    /// The last stream identifier of the last GOAWAY.
    pub last_stream: Option<u32>,
    /// The proxy has closed the connection.
    pub is_closed: bool,
    /// The settings that the proxy announced.
    pub settings: BTreeMap<u16, u32>,
    pub settings_acks: usize,
    pub ping_acks: usize,
    next: u32,
}

impl Http2 {
    /// Connects without TLS, by prior knowledge (RFC 9113 3.3); nothing has been sent.
    pub fn connect(port: u16) -> Http2 {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("the proxy accepts connections");
        Http2::on(Wire::Plain(socket))
    }

    pub fn on(wire: Wire) -> Http2 {
        wire.socket().set_nodelay(true).expect("no delay");
        wire.socket().set_write_timeout(Some(Duration::from_secs(2))).expect("a limit");
        Http2 {
            wire,
            unparsed: Vec::new(),
            block: None,
            streams: BTreeMap::new(),
            goaway: None,
            last_stream: None,
            is_closed: false,
            settings: BTreeMap::new(),
            settings_acks: 0,
            ping_acks: 0,
            next: 1,
        }
    }

    /// Sends the preface and these settings, and waits for those of the proxy.
    pub fn begin(mut self, own: &[(u16, u32)]) -> Http2 {
        self.send(&[PREFACE, &settings(own)[..], &settings_ack()].concat());
        assert!(self.wait(WAIT, |c| !c.settings.is_empty()), "no SETTINGS: {}", self.state());
        self
    }

    /// A connection without TLS on which requests may be sent.
    pub fn to(port: u16) -> Http2 {
        Http2::connect(port).begin(&[])
    }

    /// Sends bytes; false if the proxy has closed the connection, or takes nothing for two seconds.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.write(bytes.as_ref()).is_ok()
    }

    /// The next unused identifier of a stream.
    pub fn next_id(&mut self) -> u32 {
        let id = self.next;
        self.next += 2;
        id
    }

    /// Sends a GET for this path; returns its stream.
    pub fn get(&mut self, path: &str) -> u32 {
        let id = self.next_id();
        self.send(headers(id, END_STREAM, &request("GET", path)));
        id
    }

    /// A request on a stream of its own, and all that comes back on it.
    pub fn exchange(&mut self, path: &str) -> Stream {
        let id = self.get(path);
        self.end_of(id)
    }

    /// What has come on this stream.
    pub fn stream(&self, id: u32) -> Stream {
        self.streams.get(&id).cloned().unwrap_or_default()
    }

    /// Waits until the stream or the connection is over; returns what has come on it.
    pub fn end_of(&mut self, id: u32) -> Stream {
        self.wait(WAIT, |c| c.stream(id).is_over());
        self.stream(id)
    }

    /// Reads until `holds`, the end of the connection or the end of the time; returns whether it holds.
    pub fn wait(&mut self, limit: Duration, holds: impl Fn(&Http2) -> bool) -> bool {
        let end = Instant::now() + limit;
        while !holds(self) && !self.is_closed && Instant::now() < end {
            self.read_once(end.saturating_duration_since(Instant::now()));
        }
        holds(self)
    }

    /// Reads what is there without waiting for more.
    pub fn drain(&mut self) {
        while !self.is_closed && self.read_once(Duration::from_millis(1)) {}
    }

    /// Whether the proxy closes the connection within this time.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        self.wait(limit, |c| c.is_closed)
    }

    /// The proxy has said that it ends the connection, or has ended it.
    pub fn is_given_up(&self) -> bool {
        self.is_closed || self.goaway.is_some()
    }

    /// Resets by code.
    pub fn resets(&self) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        for code in self.streams.values().filter_map(|stream| stream.reset) {
            *counts.entry(code).or_default() += 1;
        }
        counts
    }

    /// A summary for the message of a failed check.
    pub fn state(&self) -> String {
        let last = self.streams.iter().next_back();
        format!(
            "GOAWAY {:?} (last stream {:?}), closed {}, resets {:?}, last of {} streams: {last:?}",
            self.goaway,
            self.last_stream,
            self.is_closed,
            self.resets(),
            self.streams.len()
        )
    }

    /// Reads once; false if nothing came.
    fn read_once(&mut self, limit: Duration) -> bool {
        let mut piece = vec![0; 64 * 1024];
        self.wire.socket().set_read_timeout(Some(limit.max(Duration::from_millis(1)))).expect("a limit");
        match self.wire.read(&mut piece) {
            Ok(0) => self.is_closed = true,
            Ok(bytes) => self.unparsed.extend_from_slice(&piece[..bytes]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return false,
            Err(_) => self.is_closed = true,
        }
        while let Some((frame, bytes)) = first_frame(&self.unparsed) {
            self.unparsed.drain(..bytes);
            self.take(frame);
        }
        true
    }

    fn take(&mut self, frame: Frame) {
        let number = |at: usize| frame.payload.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let is_end = frame.has(END_STREAM);
        match frame.kind {
            DATA => {
                let stream = self.streams.entry(frame.stream).or_default();
                stream.body.extend_from_slice(&frame.payload);
                stream.is_ended |= is_end;
            }
            HEADERS => self.fragment(frame.stream, is_end, frame.flags, &frame.payload),
            CONTINUATION => self.fragment(frame.stream, false, frame.flags, &frame.payload),
            RST_STREAM => self.streams.entry(frame.stream).or_default().reset = number(0),
            SETTINGS if frame.has(ACK) => self.settings_acks += 1,
            SETTINGS => self.settings.extend(settings_of(&frame.payload)),
            PING if frame.has(ACK) => self.ping_acks += 1,
            PING => {
                self.send(self::frame(PING, ACK, 0, &frame.payload));
            }
            GOAWAY => (self.last_stream, self.goaway) = (number(0), number(4)),
            _ => {}
        }
    }

    fn fragment(&mut self, id: u32, is_end: bool, flags: u8, bytes: &[u8]) {
        let (_, is_last, mut block) = self.block.take().unwrap_or((id, is_end, Vec::new()));
        block.extend_from_slice(bytes);
        if flags & END_HEADERS == 0 {
            self.block = Some((id, is_last, block));
            return;
        }
        let stream = self.streams.entry(id).or_default();
        stream.statuses.extend(status_of(&block));
        stream.is_ended |= is_last;
    }
}
