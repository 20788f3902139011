//! Tests of a connection: its rules, floods, every cut of a conversation, and random conversations of both roles.

mod conversations;
mod floods;
mod rules;

use std::time::Duration;

use super::connection::{Buffers, Connection, Data, LocalSettings, Opened, PREFACE, StreamKey};
use super::frame::{self, FrameHeader, HEADER_BYTES};
use crate::http::head_limits::HeadLimits;
use crate::http::{RequestHead, ResponseHead};

/// Allocates each buffer.
pub struct Heap;

impl Buffers for Heap {
    fn lend(&self) -> Vec<u8> {
        Vec::with_capacity(64)
    }

    fn give_back(&self, _buffer: Vec<u8>) {}
}

pub const LOCAL: LocalSettings = LocalSettings {
    streams_max: 4,
    head: HeadLimits::REQUEST,
    stream_window: 65_536,
    connection_window: 100_000,
    connect_protocol: true,
};

/// The header block of `GET https://a/`, and the same for POST.
pub const GET: &[u8] = &[0x82, 0x87, 0x84, 0x01, 1, b'a'];
pub const POST: &[u8] = &[0x83, 0x87, 0x84, 0x01, 1, b'a'];

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::push_header(&mut out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
    out
}

pub fn headers(stream: u32, block: &[u8], ends: bool) -> Vec<u8> {
    frame(frame::HEADERS, frame::END_HEADERS | u8::from(ends), stream, block)
}

pub fn data(stream: u32, payload: &[u8], ends: bool) -> Vec<u8> {
    frame(frame::DATA, u8::from(ends), stream, payload)
}

pub fn number(kind: u8, stream: u32, number: u32) -> Vec<u8> {
    frame(kind, 0, stream, &number.to_be_bytes())
}

/// A server that has received the preface and an empty SETTINGS; its first output has been taken.
pub fn server() -> Connection {
    let mut server = Connection::server(LOCAL);
    feed(&mut server, PREFACE);
    feed(&mut server, &frame(frame::SETTINGS, 0, 0, &[]));
    let _ = server.take_output(Vec::new());
    server
}

pub fn feed(connection: &mut Connection, bytes: &[u8]) {
    connection.receive(bytes, Duration::ZERO, &Heap);
}

/// A frame as (type, flags, stream, payload).
pub type Seen = (u8, u8, u32, Vec<u8>);

/// Takes the output apart.
pub fn frames(bytes: &[u8]) -> Vec<Seen> {
    let (mut seen, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let header = FrameHeader::parse(*bytes[at..].first_chunk().expect("a whole header"));
        let payload = bytes[at + HEADER_BYTES..][..header.length].to_vec();
        at += HEADER_BYTES + header.length;
        seen.push((header.kind, header.flags, header.stream, payload));
    }
    seen
}

/// The output as short words, for example `RST 1 CANCEL`; acknowledgements and window updates are not among them.
pub fn said(connection: &mut Connection) -> Vec<String> {
    let output = connection.take_output(Vec::new());
    let code = |payload: &[u8]| super::connection::ErrorCode::of(frame::number(payload)).as_str();
    let words = |(kind, _, stream, payload): Seen| match kind {
        frame::RST_STREAM => Some(format!("RST {stream} {}", code(&payload))),
        frame::GOAWAY => Some(format!("GOAWAY {} {}", frame::number(&payload), code(&payload[4..]))),
        frame::SETTINGS | frame::WINDOW_UPDATE | frame::PING => None,
        _ => Some(format!("{kind} {stream}")),
    };
    frames(&output).into_iter().filter_map(words).collect()
}

/// The stream of the next request.
pub fn request(server: &mut Connection) -> StreamKey {
    match server.next_opened() {
        Some(Opened::Request(key)) => {
            server.take_request(key, &mut RequestHead::default(), &mut Vec::new());
            key
        }
        other => panic!("{other:?}"),
    }
}

/// The part of a body that has arrived, and whether that is all.
pub fn body(connection: &mut Connection, key: StreamKey) -> (Vec<u8>, Data) {
    let mut bytes = Vec::new();
    let read = connection.read_data(key, &Heap, |piece| {
        bytes.extend_from_slice(piece);
        true
    });
    (bytes, read.expect("no failure"))
}

pub fn response(client: &mut Connection, key: StreamKey) -> Option<u16> {
    let mut head = ResponseHead::default();
    client.take_response(key, &mut head, &mut Vec::new()).expect("no failure").map(|_| head.status)
}
