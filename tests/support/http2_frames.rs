//! Frames of HTTP/2 as bytes (RFC 9113 4 and 6), valid and invalid ones: nothing is checked.

use super::h2_wire;
pub use super::h2_wire::*;

/// Settings (RFC 9113 6.5.2).
pub const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;

/// The first frame in `bytes` and its length, if it is complete.
pub fn first_frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (header, rest) = bytes.split_first_chunk::<9>()?;
    let [a, b, c, kind, flags, id @ ..] = *header;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    let stream = u32::from_be_bytes(id) & 0x7fff_ffff;
    Some((Frame::new(kind, flags, stream, rest.get(..length)?), 9 + length))
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    Frame::new(kind, flags, stream, payload).bytes()
}

/// The header of a frame, with any length field.
pub fn frame_header(length: u32, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes()].concat()
}

pub fn data(stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, payload)
}

/// A header block of any length: HEADERS, then as many CONTINUATION frames as it takes.
pub fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    let mut pieces = block.chunks(PAYLOAD_MAX).peekable();
    let mut bytes = Vec::new();
    let (mut kind, mut flags) = (HEADERS, flags);
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        bytes.extend(frame(kind, flags | end, stream, piece));
        (kind, flags) = (CONTINUATION, 0);
    }
    bytes
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    h2_wire::reset(stream, code).bytes()
}

pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    h2_wire::settings(values).bytes()
}

pub fn settings_ack() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, b"")
}

pub fn settings_of(payload: &[u8]) -> Vec<(u16, u32)> {
    let value =
        |six: &[u8]| (u16::from_be_bytes([six[0], six[1]]), u32::from_be_bytes([six[2], six[3], six[4], six[5]]));
    payload.chunks_exact(6).map(value).collect()
}

pub fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"8 octets")
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    h2_wire::window_update(stream, increment).bytes()
}

pub fn priority(stream: u32, on: u32) -> Vec<u8> {
    frame(PRIORITY, 0, stream, &priority_on(on))
}
