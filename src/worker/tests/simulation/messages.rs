//! The messages of a simulation: requests and responses that carry their own identity and can be checked to the byte.

use super::link::Random;
use crate::http::h1::body::Decoder;
use crate::http::h1::progress::{HeadLimits, ParseProgress};
use crate::http::h1::request_head::parse_request;
use crate::http::h1::response_head::parse_response;
use crate::http::{BodyFraming, Field, RequestHead, ResponseHead};

/// The number of bytes after which a body repeats itself.
const PERIOD: usize = 52;

/// The body that belongs to `id`. The bytes of two ids, or at two close positions of one body, differ.
pub fn pattern(id: &str, len: usize) -> Vec<u8> {
    let start = id.bytes().fold(7usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte))) % PERIOD;
    let period: Vec<u8> = (0..PERIOD).map(|at| b'a' + ((start + at * 7) / 2 % 26) as u8).collect();
    let mut bytes = period.repeat(len.div_ceil(PERIOD));
    bytes.truncate(len);
    bytes
}

/// A random payload length: mostly small, sometimes beyond every buffer of a first read, and rarely beyond the buffers of two connections.
pub fn payload_len(random: &mut Random) -> usize {
    if random.once_in(1000) {
        return 200_000 + random.below(300_000) as usize;
    }
    match random.below(20) {
        0 => 20_000 + random.below(60_000) as usize,
        1..5 => random.below(3000) as usize,
        _ => random.below(60) as usize,
    }
}

/// `payload` in chunks of random sizes, with the last chunk.
pub fn chunks(payload: &[u8], random: &mut Random) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), payload);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(1 + random.below(4000) as usize));
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = after;
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// Received bytes, parsed into heads and bodies as they arrive.
#[derive(Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    at: usize,
    body: Option<Decoder>,
}

/// A received head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status of a response; 0 for a request.
    pub status: u16,
    /// The method of a request; empty for a response.
    pub method: String,
    pub target: String,
    fields: Vec<(String, String)>,
    pub body: BodyFraming,
}

impl Head {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.0.eq_ignore_ascii_case(name)).map(|field| &*field.1)
    }
}

/// The next part of a stream of messages.
#[derive(Debug)]
pub enum Next {
    Nothing,
    Head(Head),
    /// Bytes of the body, and whether the body is complete.
    Data(Vec<u8>, bool),
}

impl Incoming {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next part of a stream of requests. The proxy must send valid requests only, so an invalid one fails the test.
    pub fn next_of_request(&mut self) -> Next {
        if self.body.is_some() {
            return self.data();
        }
        let (pending, mut head) = (&self.bytes[self.at..], RequestHead::default());
        if pending.is_empty() {
            return Next::Nothing;
        }
        match parse_request(pending, &HeadLimits::default(), &mut head) {
            Ok(ParseProgress::Partial) => Next::Nothing,
            Ok(ParseProgress::Complete) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let (method, target) = (text(head.method.of(pending)), text(head.target.of(pending)));
                let fields = texts(&head.fields, pending);
                self.begin(head.len, head.body);
                Next::Head(Head { status: 0, method, target, fields, body: head.body })
            }
            Err(refused) => panic!("the proxy sent an invalid request: {refused:?}: {}", pending.escape_ascii()),
        }
    }

    /// The next part of a stream of responses.
    pub fn next_of_response(&mut self, to_head: bool) -> Next {
        if self.body.is_some() {
            return self.data();
        }
        let (pending, mut head) = (&self.bytes[self.at..], ResponseHead::default());
        match parse_response(pending, to_head, &HeadLimits::default(), &mut head) {
            Ok(ParseProgress::Partial) => Next::Nothing,
            Ok(ParseProgress::Complete) => {
                let fields = texts(&head.fields, pending);
                let (method, target) = (String::new(), String::new());
                self.begin(head.len, head.body);
                Next::Head(Head { status: head.status, method, target, fields, body: head.body })
            }
            Err(invalid) => panic!("the proxy sent an invalid response: {invalid}: {}", pending.escape_ascii()),
        }
    }

    fn begin(&mut self, len: usize, body: BodyFraming) {
        self.at += len;
        self.body = Some(Decoder::new(body));
    }

    fn data(&mut self) -> Next {
        let Some(decoder) = &mut self.body else { return Next::Nothing };
        let mut data = Vec::new();
        let before = self.at;
        while self.at < self.bytes.len() && !decoder.is_done() {
            let pending = &self.bytes[self.at..];
            let step = decoder.decode(pending).expect("the proxy frames bodies well");
            data.extend_from_slice(step.data.map_or(&[][..], |range| &pending[range]));
            self.at += step.consumed;
        }
        let done = decoder.is_done();
        if done {
            self.body = None;
        } else if self.at == before {
            return Next::Nothing;
        }
        Next::Data(data, done)
    }
}

fn texts(fields: &[Field], bytes: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|field| (text(field.name.of(bytes)), text(field.value.of(bytes)))).collect()
}
