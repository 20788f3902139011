//! A server of this project and one of the crate `h2` receive the same frames of a client: they accept the same requests with the same
//! fields and bodies, and they refuse the same frames with the same code, but for the differences listed here. The first refusal ends a
//! run: what follows depends on it.
#![no_main]

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ringway::http::head_limits::HeadLimits;
use ringway::http::h2::connection::{Buffers, Connection, Data, LocalSettings, Opened, StreamKey};
use ringway::http::{BodyFraming, RequestHead, Violation};
use ringway_fuzz::h2_server::{Accepted, Server};
use ringway_fuzz::h2_wire::*;

const STREAMS_MAX: u32 = 20;
const LOCAL: LocalSettings = LocalSettings {
    streams_max: STREAMS_MAX,
    head: HeadLimits::REQUEST,
    stream_window: 65_535,
    connection_window: 65_535,
    connect_protocol: true,
};

/// Fields that a request is made of; an input chooses some of them in any order.
const FIELDS: [(&str, &str); 32] = [
    (":method", "GET"),
    (":method", "POST"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":path", "/"),
    (":path", "/a?b=c"),
    (":authority", "a.example"),
    (":authority", "a.example:81"),
    ("host", "a.example"),
    ("host", "b.example"),
    ("content-length", "3"),
    ("content-length", "0"),
    ("cookie", "a=b"),
    ("cookie", "c=d"),
    ("x-a", ""),
    ("x-a", "value"),
    ("te", "trailers"),
    ("te", "gzip"),
    ("connection", "close"),
    ("transfer-encoding", "chunked"),
    ("upgrade", "h2c"),
    ("X-Upper", "a"),
    ("x-space ", "a"),
    ("x-value", " a "),
    ("x-value", "a\nb"),
    (":status", "200"),
    (":unknown", "a"),
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":path", ""),
    ("expect", "100-continue"),
    ("", "a"),
];

/// Fields that the crate leaves to its application, which may make a request malformed: alone, or beside another field.
const UNCHECKED_FIELDS: [&[u8]; 7] = [
    b"\0\x07x-value\x03 a ",
    b"\0\x02te\x04gzip",
    b"\0\x05:path\0",
    b"\0\x04host",
    b"\0\x0econtent-length",
    b"\0\x07:method\x07CONNECT",
    b"\0\x09:protocol",
];

/// Fields that each request has (RFC 9113 8.3.1). The crate does not demand all of them.
const REQUIRED_FIELDS: [&[u8]; 3] = [b":method", b":scheme", b":path"];

struct Plain;

impl Buffers for Plain {
    fn lend(&self) -> Vec<u8> {
        Vec::new()
    }

    fn give_back(&self, _buffer: Vec<u8>) {}
}

/// Takes an input apart.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    fn fields(&mut self) -> Vec<(&'static str, &'static str)> {
        (0..self.byte() % 8).map(|_| FIELDS[usize::from(self.byte()) % FIELDS.len()]).collect()
    }

    /// The next frames: a whole header block, or one frame.
    fn frames(&mut self) -> Vec<Frame> {
        let (kind, stream) = (self.byte() % 16, u32::from(self.byte() % 16));
        let flags = self.byte();
        let end = flags & END_STREAM;
        match kind {
            0..=2 => {
                let path = FIELDS[4 + usize::from(flags / 2 % 2)];
                let start = [FIELDS[usize::from(flags / 4 % 2)], FIELDS[2], path, FIELDS[6]];
                vec![headers(stream, end, &[&start[..], &self.fields()].concat())]
            }
            3 => vec![headers(stream, end, &self.fields())],
            4 => {
                let block = block(&[&[FIELDS[0], FIELDS[2], FIELDS[4], FIELDS[6]], &self.fields()[..]].concat());
                let (first, second) = block.split_at(usize::from(self.byte()) % block.len());
                vec![Frame::new(HEADERS, end, stream, first), Frame::new(CONTINUATION, END_HEADERS, stream, second)]
            }
            5 | 6 => vec![data(stream, end, &vec![flags; usize::from(self.byte()) % 8])],
            7 => {
                let padding = usize::from(self.byte() % 8);
                let payload = [&[padding as u8][..], &vec![0; usize::from(self.byte() % 8)]].concat();
                vec![data(stream, end | PADDED, &payload)]
            }
            8 => vec![reset(stream, u32::from(flags) % 16)],
            9 => vec![window_update(stream, [0, 1, 1000, 0x7fff_ffff][usize::from(flags) % 4])],
            10 => {
                let value = [0, 1, 2, 16_384, 65_535, 0x00ff_ffff, 0x7fff_ffff, 0xffff_ffff];
                vec![settings(&[(u16::from(flags % 10), value[usize::from(self.byte()) % 8])])]
            }
            11 => vec![Frame::new(PING, flags & ACK, 0, &[0; 8])],
            12 => vec![Frame::new(PRIORITY, 0, stream, &priority_on(u32::from(flags % 16)))],
            13 => vec![goaway(stream, 0)],
            _ => {
                let length = usize::from(self.byte()) % 12;
                vec![Frame::new(self.byte() % 12, flags, stream, &vec![self.byte(); length])]
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaction {
    Accepted,
    Stream(u32, u32),
    Connection(u32),
}

fn reaction(output: &[u8]) -> Reaction {
    let frames = frames_of(output);
    for frame in &frames {
        if let (GOAWAY, Some(code)) = (frame.kind, frame.payload.get(4..8)) {
            let code = u32::from_be_bytes([code[0], code[1], code[2], code[3]]);
            if code != NO_ERROR {
                return Reaction::Connection(code);
            }
        }
    }
    let reset = frames.iter().find(|frame| frame.kind == RST_STREAM);
    reset.map_or(Reaction::Accepted, |frame| Reaction::Stream(frame.stream, frame.number()))
}

/// The server of this project.
struct Own {
    connection: Connection,
    keys: Vec<(StreamKey, Option<(RequestHead, Vec<u8>)>)>,
    /// Why the request that arrived last was rejected.
    rejected: Option<Violation>,
    /// The streams of all header blocks so far.
    streams: Vec<u32>,
    /// This server or the other one has refused a frame.
    has_refused: bool,
}

impl Own {
    fn receive(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.connection.receive(bytes, Duration::from_secs(1), &Plain);
        self.rejected = None;
        while let Some(opened) = self.connection.next_opened() {
            match opened {
                Opened::Request(key) => {
                    let (mut head, mut lines) = (RequestHead::default(), Vec::new());
                    self.connection.take_request(key, &mut head, &mut lines);
                    self.keys.push((key, Some((head, lines))));
                }
                // The status is sent to the client: for the crate this is the application's affair.
                Opened::Rejected(key, rejected) => {
                    self.keys.push((key, None));
                    self.rejected = Some(rejected.rule);
                }
            }
        }
        self.connection.take_output(Vec::new())
    }
}

/// Whether a difference is known, and RFC 9113 agrees with this project.
fn is_known(frames: &[Frame], are_trailers: bool, ours: Reaction, theirs: Reaction) -> bool {
    use Reaction::{Accepted, Connection, Stream};
    let Some(first) = frames.first() else { return false };
    let block: Vec<u8> = frames.iter().flat_map(|frame| frame.payload.iter().copied()).collect();
    let has = |field: &&[u8]| block.windows(field.len()).any(|part| part == *field);
    match (first.kind, ours, theirs) {
        // Section 4.2 demands FRAME_SIZE_ERROR for a frame that is too short for what it must contain.
        (_, Connection(FRAME_SIZE_ERROR), Connection(PROTOCOL_ERROR)) => true,
        // Section 6.5.2 demands FLOW_CONTROL_ERROR.
        (SETTINGS, Connection(FLOW_CONTROL_ERROR), Connection(PROTOCOL_ERROR)) => true,
        // Section 6.9 asks for a stream error; on a closed stream the frame is ignored.
        (WINDOW_UPDATE, Stream(_, PROTOCOL_ERROR) | Accepted, Connection(PROTOCOL_ERROR)) => true,
        // Section 5.1.1 demands a connection error for an identifier of the server's, and for one below another stream's.
        (HEADERS | CONTINUATION, Connection(PROTOCOL_ERROR), Stream(_, PROTOCOL_ERROR)) => true,
        // Section 8.1.1 asks for a stream error if a request is malformed; for the crate some fields are no header block.
        (HEADERS | CONTINUATION, Stream(_, PROTOCOL_ERROR), Connection(PROTOCOL_ERROR)) => true,
        // Sections 8.1, 8.2 and 8.3 make these messages malformed; trailers have no pseudo-header fields.
        (HEADERS | CONTINUATION, Stream(_, PROTOCOL_ERROR), Accepted) => {
            // The crate forgets that the first part of a block was malformed.
            let is_in_pieces = frames.len() > 1 || first.kind == CONTINUATION;
            UNCHECKED_FIELDS.iter().any(has) || !REQUIRED_FIELDS.iter().all(has) || are_trailers || is_in_pieces
        }
        // The crate judges a block before its last frame has arrived.
        (HEADERS | CONTINUATION, Accepted, _) if frames.iter().all(|frame| frame.flags & END_HEADERS == 0) => true,
        // Trailers that may not be forwarded are dropped here.
        (HEADERS, Accepted, Stream(_, PROTOCOL_ERROR)) => are_trailers && UNCHECKED_FIELDS.iter().any(has),
        // The fields may have been in the part of the block that arrived before.
        (CONTINUATION, Accepted, Stream(_, PROTOCOL_ERROR)) => are_trailers,
        // Section 4.3 demands COMPRESSION_ERROR.
        (_, Connection(COMPRESSION_ERROR), Connection(PROTOCOL_ERROR)) => true,
        // Section 5.1 demands a connection error with STREAM_CLOSED behind END_STREAM.
        (_, Connection(STREAM_CLOSED), Stream(..) | Connection(PROTOCOL_ERROR)) => true,
        // Section 8.4 demands a connection error: a client cannot push.
        (PUSH_PROMISE, Connection(PROTOCOL_ERROR), _) => true,
        // Section 6.3 asks for a stream error.
        (PRIORITY, Stream(_, FRAME_SIZE_ERROR), Connection(PROTOCOL_ERROR)) => true,
        // Section 6.4 allows no RST_STREAM on an idle stream.
        (PRIORITY, Connection(PROTOCOL_ERROR), Stream(..)) => true,
        _ => false,
    }
}

/// Whether both refuse a request: this project with a response, whose reason is in `rejected`, the crate with a reset or GOAWAY.
fn is_rejected(rejected: Option<Violation>, ours: Reaction, theirs: Reaction) -> bool {
    let is_refused = matches!(theirs, Reaction::Stream(_, PROTOCOL_ERROR) | Reaction::Connection(PROTOCOL_ERROR));
    rejected.is_some() && ours == Reaction::Accepted && is_refused
}

/// Compares a request that both have accepted, and what has come of its body.
fn compare(own: &mut Own, index: usize, theirs: &mut Accepted) {
    let (key, head) = &own.keys[index];
    let Some((head, lines)) = head else { return };
    let request = &theirs.request;
    if !head.extended_connect {
        assert_eq!(head.method.of(lines), request.method().as_str().as_bytes());
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        assert_eq!(head.target.of(lines), target.as_bytes());
    }
    for (name, value) in request.headers() {
        let name = name.as_str().as_bytes();
        if !matches!(name, b"cookie" | b"host" | b"te" | b"content-length" | b"upgrade" | b"connection") {
            let has = head.fields.iter().any(|f| f.name.of(lines) == name && f.value.of(lines) == value.as_bytes());
            assert!(has, "{} is missing in {}", name.escape_ascii(), lines.escape_ascii());
        }
    }
    let mut body = Vec::new();
    let ours = own.connection.read_data(*key, &Plain, |piece| {
        body.extend_from_slice(piece);
        true
    });
    let stream = theirs.request.body_mut();
    let (mut their_body, mut context) = (Vec::new(), Context::from_waker(Waker::noop()));
    let is_complete = loop {
        match stream.poll_data(&mut context) {
            Poll::Ready(Some(Ok(piece))) => their_body.extend_from_slice(&piece),
            Poll::Ready(Some(Err(_))) => return assert!(ours.is_err() || ours == Ok(Data::All) || own.has_refused),
            Poll::Ready(None) => break true,
            Poll::Pending => break false,
        }
    };
    assert_eq!(body, their_body);
    // The frame that ended the run may have ended the stream or the connection.
    let has_failed = ours.is_err() && own.has_refused;
    let has_body = head.body != BodyFraming::None;
    assert!(ours == Ok(if is_complete { Data::All } else { Data::Part }) || !has_body || has_failed, "{ours:?} {is_complete}");
}

fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader(bytes);
    let mut own = Own { connection: Connection::server(LOCAL), keys: Vec::new(), rejected: None, streams: Vec::new(), has_refused: false };
    let mut other = Server::new(STREAMS_MAX);
    let start = [PREFACE, &settings(&[]).bytes()].concat();
    assert_eq!(reaction(&own.receive(&start)), Reaction::Accepted);
    assert_eq!(reaction(&other.receive(&start)), Reaction::Accepted);
    let mut is_refused = false;
    while !reader.0.is_empty() && !is_refused {
        let frames = reader.frames();
        let wire = bytes_of(&frames);
        let are_trailers = frames.first().is_some_and(|first| own.streams.contains(&first.stream));
        own.streams.extend(frames.iter().filter(|frame| frame.kind == HEADERS).map(|frame| frame.stream));
        let (ours, mut theirs) = (reaction(&own.receive(&wire)), reaction(&other.receive(&wire)));
        // The crate ends some connections without GOAWAY.
        if let (Reaction::Accepted, Some(error)) = (theirs, other.error) {
            theirs = Reaction::Connection(error.into());
        }
        assert!(ours == theirs || is_known(&frames, are_trailers, ours, theirs) || is_rejected(own.rejected, ours, theirs), "{ours:?} here ({:?}), {theirs:?} there: {frames:?}", own.rejected);
        is_refused = ours != Reaction::Accepted || theirs != Reaction::Accepted;
        own.has_refused = is_refused;
        if !is_refused {
            assert_eq!(own.keys.len(), other.accepted.len(), "{frames:?}");
        }
        // Behind GOAWAY of a client the crate accepts no request.
        is_refused |= frames.iter().any(|frame| frame.kind == GOAWAY);
    }
    for index in 0..own.keys.len().min(other.accepted.len()) {
        compare(&mut own, index, &mut other.accepted[index]);
    }
});
