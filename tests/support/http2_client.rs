//! A client that sends HTTP/2 frames as they are, also malformed ones, with header blocks written by hand, and keeps what comes back.
//! It shares no code with `src/http/h2`, so that a fault there is not in the tests too.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags; ACK has the bit of END_STREAM.
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
/// The flags of a request without a body, in one frame.
pub const WHOLE: u8 = END_STREAM | END_HEADERS;

pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER_BYTES: usize = 9;
/// Time limit for a whole response.
const ANSWER_SECS_MAX: u64 = 10;
/// A write that takes longer fails: the proxy reads nothing more.
const WRITE_SECS_MAX: u64 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What came back for one stream, and about the connection in the meantime.
#[derive(Debug, Default, Clone)]
pub struct Answer {
    /// The status of the last head; 0 without one.
    pub status: u16,
    pub body: Vec<u8>,
    /// END_STREAM arrived.
    pub is_whole: bool,
    /// The code of RST_STREAM.
    pub reset: Option<u32>,
    /// The code of GOAWAY.
    pub goaway: Option<u32>,
    /// The connection ended.
    pub is_closed: bool,
}

/// A connection, with TLS or without.
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

    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
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

pub struct Http2Client {
    wire: Wire,
    received: Vec<u8>,
    has_ended: bool,
    next_stream: u32,
    /// SETTINGS and PING of the proxy are acknowledged.
    replies: bool,
    /// The code of the last GOAWAY.
    pub goaway: Option<u32>,
}

impl Http2Client {
    /// Connects with prior knowledge, and announces these settings.
    pub fn to(port: u16, settings: &[(u16, u32)]) -> Http2Client {
        Http2Client::over(Wire::Plain(connect(port)), settings)
    }

    /// Announces these settings on a connection that is made.
    pub fn over(wire: Wire, settings: &[(u16, u32)]) -> Http2Client {
        let mut client = Http2Client { replies: true, ..Http2Client::silent(wire) };
        client.send([PREFACE, &self::settings(settings)].concat());
        client
    }

    /// A client that has sent nothing yet, and replies to no frame: what it sends may end anywhere.
    pub fn silent(wire: Wire) -> Http2Client {
        let socket = wire.socket();
        socket.set_nodelay(true).expect("no delay");
        socket.set_write_timeout(Some(Duration::from_secs(WRITE_SECS_MAX))).expect("a limit");
        Http2Client { wire, received: Vec::new(), has_ended: false, next_stream: 1, replies: false, goaway: None }
    }

    /// The identifier of the next stream.
    pub fn new_stream(&mut self) -> u32 {
        let id = self.next_stream;
        self.next_stream += 2;
        id
    }

    /// Sends bytes; false if the proxy does not take them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.send(bytes.as_ref()).is_ok()
    }

    /// Sends a request without a body for the path, and returns its stream.
    pub fn get(&mut self, path: &str) -> u32 {
        let id = self.new_stream();
        self.send(frame(HEADERS, WHOLE, id, request("GET", path)));
        id
    }

    /// The response to a request without a body.
    pub fn fetch(&mut self, path: &str) -> Answer {
        let id = self.get(path);
        self.answer(id)
    }

    /// Reads until the stream or the connection ends. SETTINGS and PING are answered, and the windows are kept open.
    pub fn answer(&mut self, stream: u32) -> Answer {
        self.answer_within(stream, Duration::from_secs(ANSWER_SECS_MAX))
    }

    pub fn answer_within(&mut self, stream: u32, limit: Duration) -> Answer {
        let end = Instant::now() + limit;
        let mut answer = Answer::default();
        while let Some(frame) = self.next_frame(end.saturating_duration_since(Instant::now())) {
            let number =
                |at: usize| frame.payload.get(at..at + 4).map_or(0, |b| u32::from_be_bytes(b.try_into().expect("4")));
            match frame.kind {
                GOAWAY => answer.goaway = Some(number(4)),
                RST_STREAM if frame.stream == stream => {
                    answer.reset = Some(number(0));
                    return answer;
                }
                HEADERS if frame.stream == stream => {
                    answer.status = status_of(&frame.payload).unwrap_or(answer.status);
                }
                DATA if frame.stream == stream => {
                    answer.body.extend_from_slice(&frame.payload);
                    self.credit(&frame);
                }
                _ => {}
            }
            let ends = matches!(frame.kind, HEADERS | DATA) && frame.stream == stream && frame.flags & END_STREAM != 0;
            if ends {
                answer.is_whole = true;
                return answer;
            }
        }
        answer.is_closed = self.has_ended;
        answer
    }

    /// Gives the windows back what a frame has taken, so that long responses arrive.
    fn credit(&mut self, frame: &Frame) {
        let bytes = frame.payload.len() as u32;
        if bytes > 0 {
            self.send(window_update(0, bytes));
            if frame.flags & END_STREAM == 0 {
                self.send(window_update(frame.stream, bytes));
            }
        }
    }

    /// Reads until the connection ends, or nothing arrives for `quiet`. The answer is about no stream.
    pub fn rest(&mut self, quiet: Duration) -> Answer {
        let mut answer = Answer::default();
        while let Some(frame) = self.next_frame(quiet) {
            if let (GOAWAY, Some(code)) = (frame.kind, frame.payload.get(4..8)) {
                answer.goaway = Some(u32::from_be_bytes(code.try_into().expect("4 bytes")));
            }
        }
        answer.is_closed = self.has_ended;
        answer
    }

    /// Whether the end of the connection has arrived.
    pub fn is_closed(&self) -> bool {
        self.has_ended
    }

    /// Whether the proxy has ended the connection, or has sent GOAWAY with an error, by now.
    pub fn has_been_refused(&mut self) -> bool {
        let answer = self.rest(Duration::ZERO);
        answer.is_closed || answer.goaway.is_some_and(|code| code != 0)
    }

    /// The next frame; `None` if the connection has ended, or nothing arrived in time.
    pub fn next_frame(&mut self, limit: Duration) -> Option<Frame> {
        let end = Instant::now() + limit;
        loop {
            if let Some(arrived) = self.parsed() {
                match (arrived.kind, arrived.flags & ACK) {
                    (SETTINGS, 0) if self.replies => drop(self.send(frame(SETTINGS, ACK, 0, b""))),
                    (PING, 0) if self.replies => drop(self.send(frame(PING, ACK, 0, &arrived.payload))),
                    _ => {}
                }
                if let (GOAWAY, Some(code)) = (arrived.kind, arrived.payload.get(4..8)) {
                    self.goaway = Some(u32::from_be_bytes(code.try_into().expect("4 bytes")));
                }
                return Some(arrived);
            }
            if self.has_ended || !self.more(end.saturating_duration_since(Instant::now())) {
                return None;
            }
        }
    }

    fn parsed(&mut self) -> Option<Frame> {
        let header = self.received.get(..FRAME_HEADER_BYTES)?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) & 0x7fff_ffff;
        let (kind, flags) = (header[3], header[4]);
        let payload = self.received.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + length)?.to_vec();
        self.received.drain(..FRAME_HEADER_BYTES + length);
        Some(Frame { kind, flags, stream, payload })
    }

    /// Reads once; false if nothing came.
    fn more(&mut self, limit: Duration) -> bool {
        let mut piece = vec![0; 64 * 1024];
        self.wire.socket().set_read_timeout(Some(limit.max(Duration::from_millis(1)))).expect("a limit");
        match self.wire.read(&mut piece) {
            Ok(bytes @ 1..) => {
                self.received.extend_from_slice(&piece[..bytes]);
                true
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            _ => {
                self.has_ended = true;
                false
            }
        }
    }
}

/// A connection without TLS.
pub fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).expect("the proxy accepts connections")
}

/// A SETTINGS frame.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let values = values.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, values.collect::<Vec<u8>>())
}

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
}

/// The header block of a request without TLS for `a.test`.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    block(&[(":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", path)])
}

/// A header block of literal fields without indexing.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(0x00, name.as_ref(), value.as_ref())).collect()
}

/// A literal field with a new name; `kind` 0x40 stores it in the dynamic table.
pub fn literal(kind: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    for text in [name, value] {
        bytes.extend(integer(text.len()));
        bytes.extend_from_slice(text);
    }
    bytes
}

/// An integer with a prefix of 7 bits (RFC 7541 5.1).
fn integer(value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![value as u8];
    }
    let (mut bytes, mut rest) = (vec![127], value - 127);
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

/// The status of a response's header block, whose first field it is. `None` for trailers.
fn status_of(block: &[u8]) -> Option<u16> {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // The proxy's first block begins with an update of the table's size, to 0.
    let block = match block {
        [0x20..=0x3f, rest @ ..] => rest,
        _ => block,
    };
    let first = *block.first()?;
    if (0x88..=0x8e).contains(&first) {
        return INDEXED.get(usize::from(first - 0x88)).copied();
    }
    // The name is field 8 of the static table, in each of the three literal forms.
    if ![0x08, 0x18, 0x48].contains(&first) {
        return None;
    }
    let length = *block.get(1)?;
    let text = block.get(2..2 + usize::from(length & 0x7f))?;
    let digits = if length & 0x80 == 0 { text.to_vec() } else { huffman_digits(text) };
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// Decodes digits (RFC 7541 B): 0 to 2 have five bits, 3 to 9 six.
fn huffman_digits(bytes: &[u8]) -> Vec<u8> {
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let (mut digits, mut code, mut length) = (Vec::new(), 0u8, 0);
    for bit in bits {
        code = code << 1 | bit;
        length += 1;
        let digit = match (length, code) {
            (5, 0..=2) => code,
            (6, 0x19..=0x1f) => code - 0x19 + 3,
            (6.., _) => break,
            _ => continue,
        };
        digits.push(b'0' + digit);
        (code, length) = (0, 0);
    }
    digits
}
