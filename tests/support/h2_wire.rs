//! Frames of HTTP/2, written and read without the proxy's own code, for peers in tests and fuzz targets (RFC 9113 4.1, 6).

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const PRIORITY_FIELDS: u8 = 0x20;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// The window of a connection and of a stream without a setting.
pub const DEFAULT_WINDOW: u32 = 65_535;
/// The longest payload without a setting.
pub const PAYLOAD_MAX: usize = 16_384;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Frame {
        Frame { kind, flags, stream, payload: payload.to_vec() }
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The first four bytes of the payload as a number.
    pub fn number(&self) -> u32 {
        self.payload.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    pub fn bytes(&self) -> Vec<u8> {
        let [_, length @ ..] = (self.payload.len() as u32).to_be_bytes();
        [&length[..], &[self.kind, self.flags], &self.stream.to_be_bytes(), &self.payload].concat()
    }
}

/// Frames in a row as bytes.
pub fn bytes_of(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(Frame::bytes).collect()
}

/// Reads frames in a row. Panics if the last one is cut: an output is always made of whole frames.
pub fn frames_of(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<9>() {
        let [a, b, c, kind, flags, id @ ..] = *header;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let (payload, rest) = rest.split_at_checked(length).expect("a frame is cut");
        frames.push(Frame::new(kind, flags, u32::from_be_bytes(id), payload));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a frame's header is cut");
    frames
}

pub fn settings(pairs: &[(u16, u32)]) -> Frame {
    let payload: Vec<u8> =
        pairs.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    Frame::new(SETTINGS, 0, 0, &payload)
}

pub fn window_update(stream: u32, increment: u32) -> Frame {
    Frame::new(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub fn reset(stream: u32, code: u32) -> Frame {
    Frame::new(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub fn goaway(last: u32, code: u32) -> Frame {
    Frame::new(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

pub fn data(stream: u32, flags: u8, payload: &[u8]) -> Frame {
    Frame::new(DATA, flags, stream, payload)
}

/// HEADERS with a whole block.
pub fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Frame {
    Frame::new(HEADERS, flags | END_HEADERS, stream, &block(fields))
}

/// Payload of PRIORITY: the stream depends on another one.
pub fn priority_on(dependency: u32) -> Vec<u8> {
    [&dependency.to_be_bytes()[..], &[15]].concat()
}

/// A header block of literals without indexing, without Huffman coding (RFC 7541 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        push_text(&mut out, name.as_bytes());
        push_text(&mut out, value.as_bytes());
    }
    out
}

/// A string literal: its length as an integer with a prefix of 7 bits (RFC 7541 5.1, 5.2).
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    if text.len() < 127 {
        out.push(text.len() as u8);
    } else {
        out.push(127);
        let mut left = text.len() - 127;
        while left >= 128 {
            out.push((left % 128) as u8 | 128);
            left /= 128;
        }
        out.push(left as u8);
    }
    out.extend_from_slice(text);
}
