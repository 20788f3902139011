//! Frames: their header, types and flags (RFC 9113 4.1, 6).

use super::rule::Rule;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 9;
/// The longest payload of a frame that the proxy receives and sends: the smallest value of SETTINGS_MAX_FRAME_SIZE.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024;

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

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameHeader {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl FrameHeader {
    pub fn parse(bytes: [u8; HEADER_BYTES]) -> FrameHeader {
        let [a, b, c, kind, flags, id @ ..] = bytes;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        FrameHeader { length, kind, flags, stream: u32::from_be_bytes(id) & 0x7fff_ffff }
    }

    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Checks what the type says of length and stream (RFC 9113 6.1 to 6.10).
    pub fn check(self) -> Result<(), Rule> {
        if self.length > PAYLOAD_BYTES_MAX {
            return Err(Rule::FrameTooLong);
        }
        let on_stream = self.stream != 0;
        let (needs_stream, fits) = match self.kind {
            DATA => (Some(true), self.length > 0 || !self.has(PADDED)),
            HEADERS | CONTINUATION | PUSH_PROMISE | PRIORITY => (Some(true), true),
            RST_STREAM => (Some(true), self.length == 4),
            SETTINGS => (Some(false), self.length.is_multiple_of(6) && (!self.has(ACK) || self.length == 0)),
            PING => (Some(false), self.length == 8),
            GOAWAY => (Some(false), self.length >= 8),
            WINDOW_UPDATE => (None, self.length == 4),
            _ => (None, true),
        };
        match needs_stream {
            Some(true) if !on_stream => Err(Rule::StreamZero),
            Some(false) if on_stream => Err(Rule::NotStreamZero),
            _ if !fits => Err(Rule::FrameLength),
            _ => Ok(()),
        }
    }
}

/// Appends a frame's header.
#[inline]
pub fn push_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
}

/// Appends a frame whose payload is one number of 32 bits.
pub fn push_number(out: &mut Vec<u8>, kind: u8, stream: u32, number: u32) {
    push_header(out, 4, kind, 0, stream);
    out.extend_from_slice(&number.to_be_bytes());
}

/// The first four bytes as a number; 0 if there are fewer.
pub fn number(payload: &[u8]) -> u32 {
    payload.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The payload of a padded frame without its padding.
pub fn without_padding(header: FrameHeader, payload: &[u8]) -> Result<&[u8], Rule> {
    if !header.has(PADDED) {
        return Ok(payload);
    }
    let (padding, rest) = payload.split_first().ok_or(Rule::FrameLength)?;
    let length = rest.len().checked_sub(usize::from(*padding)).ok_or(Rule::Padding)?;
    rest.get(..length).ok_or(Rule::Padding)
}

/// Splits a header block that was written behind the header at `start` into HEADERS and CONTINUATION frames of at most `bytes_max` each.
pub fn finish_block(out: &mut Vec<u8>, start: usize, bytes_max: usize, flags: u8, stream: u32) {
    let body = start + HEADER_BYTES;
    let length = out.len() - body;
    if length <= bytes_max {
        return write_header(out, start, length, HEADERS, flags | END_HEADERS, stream);
    }
    let block = out.split_off(body);
    out.truncate(start);
    let count = block.chunks(bytes_max).count();
    for (number, piece) in block.chunks(bytes_max).enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let ends = if number + 1 == count { END_HEADERS } else { 0 };
        let first = if number == 0 { flags } else { 0 };
        push_header(out, piece.len(), kind, first | ends, stream);
        out.extend_from_slice(piece);
    }
}

/// Writes a frame's header over the bytes at `start`.
fn write_header(out: &mut [u8], start: usize, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    if let Some(place) = out.get_mut(start..start + HEADER_BYTES) {
        place.copy_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_read_as_it_was_written() {
        let mut out = Vec::new();
        push_header(&mut out, 16_384, HEADERS, END_STREAM | END_HEADERS, 0x7fff_ffff);
        let header = FrameHeader::parse(*out.first_chunk().expect("a header"));
        assert_eq!(header, FrameHeader { length: 16_384, kind: HEADERS, flags: 5, stream: 0x7fff_ffff });
        assert!(header.has(END_STREAM) && !header.has(PADDED));
    }

    #[test]
    fn length_and_stream_are_checked_by_type() {
        let frame = |length, kind, stream| FrameHeader { length, kind, flags: 0, stream }.check();
        assert_eq!(frame(16_385, 77, 0), Err(Rule::FrameTooLong));
        assert_eq!(frame(1, DATA, 0), Err(Rule::StreamZero));
        assert_eq!(frame(6, SETTINGS, 1), Err(Rule::NotStreamZero));
        for (length, kind, stream) in
            [(5, SETTINGS, 0), (7, PING, 0), (3, RST_STREAM, 1), (7, GOAWAY, 0), (5, WINDOW_UPDATE, 1)]
        {
            assert_eq!(frame(length, kind, stream), Err(Rule::FrameLength), "{kind}");
        }
        assert_eq!(FrameHeader { length: 6, kind: SETTINGS, flags: ACK, stream: 0 }.check(), Err(Rule::FrameLength));
        for (length, kind, stream) in [(0, DATA, 1), (8, PING, 0), (9, GOAWAY, 0), (4, WINDOW_UPDATE, 0), (99, 77, 5)] {
            assert_eq!(frame(length, kind, stream), Ok(()), "{kind}");
        }
    }

    #[test]
    fn padding_is_removed_and_never_longer_than_the_frame() {
        let padded = FrameHeader { flags: PADDED, ..FrameHeader::default() };
        assert_eq!(without_padding(padded, &[2, b'a', b'b', 0, 0]), Ok(&b"ab"[..]));
        assert_eq!(without_padding(padded, &[2, 0, 0]), Ok(&b""[..]));
        assert_eq!(without_padding(padded, &[3, 0, 0]), Err(Rule::Padding));
        assert_eq!(without_padding(padded, &[]), Err(Rule::FrameLength));
        assert_eq!(without_padding(FrameHeader::default(), b"abc"), Ok(&b"abc"[..]));
    }

    #[test]
    fn long_block_is_continued() {
        let block = |length: usize, max| {
            let mut out = vec![0; 3 + HEADER_BYTES];
            out.resize(3 + HEADER_BYTES + length, b'x');
            finish_block(&mut out, 3, max, END_STREAM, 5);
            out
        };
        let mut at = 3;
        let out = block(25, 10);
        let mut seen = Vec::new();
        while let Some(bytes) = out.get(at..).and_then(|rest| rest.first_chunk()) {
            let header = FrameHeader::parse(*bytes);
            seen.push((header.kind, header.flags, header.length, header.stream));
            at += HEADER_BYTES + header.length;
        }
        assert_eq!(seen, [(HEADERS, END_STREAM, 10, 5), (CONTINUATION, 0, 10, 5), (CONTINUATION, END_HEADERS, 5, 5)]);
        assert_eq!(at, out.len());
        let short = block(10, 10);
        assert_eq!(&short[3..12], [0, 0, 10, HEADERS, END_STREAM | END_HEADERS, 0, 0, 0, 5]);
    }
}
