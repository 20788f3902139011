//! Message bodies on the wire: with a length, chunked (RFC 9112 7.1), or until the connection closes.

use std::ops::Range;

use super::progress::HeadLimits;
use super::scan::{self, Scanned};
use crate::http::deviation::{Deviation, Deviations};
use crate::http::edits::Edits;
use crate::http::head::BodyFraming;
use crate::http::trailer::is_allowed_trailer;
use crate::http::violation::{InvalidBody, Violation};
use crate::limits::{CHUNK_OVERHEAD_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, TRAILER_BYTES_MAX, TRAILER_FIELDS_MAX};

/// The result of one call of [`Decoder::decode`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecodeStep {
    /// Bytes of the input that were decoded, payload and framing.
    pub consumed: usize,
    /// The payload among them, as a range of the input.
    pub data: Option<Range<usize>>,
    /// The body is complete; the input after `consumed` belongs to the next message.
    pub done: bool,
}

/// Decodes a body from input that may be cut at any byte. Allocates only for trailers, and for the edits that [`Decoder::of_request`]
/// copies.
#[derive(Debug, Clone)]
pub struct Decoder {
    state: State,
    /// Payload bytes left of the body or of the current chunk; while a chunk size is read, the size so far.
    left: u64,
    /// Digits of the current chunk size.
    digits: u32,
    /// Bytes of chunk extensions that count towards [`CHUNK_OVERHEAD_BYTES_MAX`].
    overhead: u64,
    /// Set for the body of a response, whose deviations are normalised ([`crate::http::deviation`]).
    is_lenient: bool,
    deviations: Deviations,
    /// Boxed, as `own` is: few bodies have trailers.
    trailers: Option<Box<Trailers>>,
    /// Edits of the request head: trailers with an edited name are dropped.
    own: Option<Box<Edits>>,
}

#[derive(Debug, Clone, Default)]
struct Trailers {
    /// The lines that may be forwarded, then the line that is being read.
    bytes: Vec<u8>,
    /// End of the lines that may be forwarded.
    end: usize,
    /// The last line is among those that may be forwarded.
    is_last_kept: bool,
    /// Number of lines read, dropped ones included.
    fields: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Done,
    Length,
    UntilClose,
    Size,
    /// Spaces or tabs behind a chunk size of a response.
    SizePad,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    LastLf,
}

impl Decoder {
    pub fn new(body: BodyFraming) -> Self {
        let (state, left) = match body {
            BodyFraming::None | BodyFraming::Length(0) => (State::Done, 0),
            BodyFraming::Length(length) => (State::Length, length),
            BodyFraming::Chunked => (State::Size, 0),
            BodyFraming::UntilClose => (State::UntilClose, 0),
        };
        Decoder {
            state,
            left,
            digits: 0,
            overhead: 0,
            is_lenient: false,
            deviations: Deviations::default(),
            trailers: None,
            own: None,
        }
    }

    /// A decoder for a response's body: it normalises what every program reads alike.
    pub fn of_response(body: BodyFraming) -> Self {
        Decoder { is_lenient: true, ..Decoder::new(body) }
    }

    /// The deviations that were normalised so far.
    pub fn deviations(&self) -> Deviations {
        self.deviations
    }

    /// Makes the decoder drop trailers with a name that `edits` concerns: a server that adds trailers to the fields of the head would
    /// otherwise see a client's value of a field that only the proxy may set. Call it before the first byte of a request's body is decoded.
    /// Has no effect unless the body is chunked and there are edits.
    pub fn drop_edited_trailers(&mut self, edits: &Edits) {
        if self.is_chunked() && !edits.is_empty() {
            self.own = Some(Box::new(edits.clone()));
        }
    }

    /// Decodes input, at most one run of payload per call. Call again with the rest of the input until all is consumed or `done` is set.
    #[inline]
    pub fn decode(&mut self, input: &[u8]) -> Result<DecodeStep, InvalidBody> {
        self.decode_within(input, usize::MAX)
    }

    /// As [`decode`](Self::decode), with at most `payload_max` bytes of payload.
    pub fn decode_within(&mut self, input: &[u8], payload_max: usize) -> Result<DecodeStep, InvalidBody> {
        let mut step = DecodeStep::default();
        while step.consumed < input.len() && self.state != State::Done {
            if matches!(self.state, State::Length | State::Data | State::UntilClose) {
                if step.data.is_some() {
                    break;
                }
                let rest = input.len() - step.consumed;
                let run = self.payload_within(rest.min(payload_max));
                step.data = Some(step.consumed..step.consumed + run);
                step.consumed += run;
                self.skip(run as u64);
                continue;
            }
            self.framing_byte(input[step.consumed])?;
            step.consumed += 1;
        }
        step.done = self.state == State::Done;
        Ok(step)
    }

    /// Notes that the connection has closed.
    ///
    /// # Errors
    /// [`Violation::BodyTruncated`] unless the body was complete, or lasts until the connection closes.
    pub fn finish(&mut self) -> Result<(), InvalidBody> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(Violation::BodyTruncated.into()),
        }
    }

    fn is_chunked(&self) -> bool {
        !matches!(self.state, State::Done | State::Length | State::UntilClose)
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Payload bytes that follow without framing in between: the rest of a body with a length, or of the current chunk. `None` if framing
    /// comes next, and for a body that lasts until the connection closes.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length | State::Data => Some(self.left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Accounts for `count` payload bytes that were spliced past this decoder. A count above [`Decoder::remaining`] counts as that.
    pub fn skip(&mut self, count: u64) {
        match self.state {
            State::Length | State::Data => {
                self.left = self.left.saturating_sub(count);
                if self.left == 0 {
                    self.state = if self.state == State::Length { State::Done } else { State::DataCr };
                }
            }
            _ => {}
        }
    }

    /// The trailer fields that may be forwarded, as lines that each end in CRLF. Complete once the body is done.
    pub fn trailers(&self) -> &[u8] {
        self.trailers.as_ref().map_or(&[], |trailers| &trailers.bytes[..trailers.end])
    }

    fn payload_within(&self, count: usize) -> usize {
        if self.state == State::UntilClose { count } else { self.left.min(count as u64) as usize }
    }

    fn framing_byte(&mut self, byte: u8) -> Result<(), Violation> {
        match self.state {
            State::Size => self.size_byte(byte),
            State::SizePad => match byte {
                b' ' | b'\t' => self.overhead_byte(),
                b';' => self.next(State::Extension),
                b'\r' => self.next(State::SizeLf),
                _ => Err(Violation::ChunkSize),
            },
            State::Extension => match byte {
                b'\r' => self.next(State::SizeLf),
                b'\t' => self.overhead_byte(),
                0..0x20 | 0x7f => Err(Violation::ChunkExtension),
                _ => self.overhead_byte(),
            },
            State::SizeLf if byte == b'\n' => {
                // Each chunk is granted twice its size plus 16 bytes, which any sender may need: only the excess adds up.
                self.overhead = self.overhead.saturating_sub(self.left.saturating_mul(2).saturating_add(16));
                self.digits = 0;
                self.next(if self.left == 0 { State::Trailer } else { State::Data })
            }
            State::SizeLf => Err(Violation::ChunkSize),
            State::DataCr if byte == b'\r' => self.next(State::DataLf),
            State::DataLf if byte == b'\n' => self.next(State::Size),
            State::DataCr | State::DataLf => Err(Violation::ChunkEnd),
            State::Trailer if byte == b'\r' && self.trailers.is_none() => self.next(State::LastLf),
            State::Trailer => self.trailer_byte(byte),
            State::LastLf if byte == b'\n' => self.next(State::Done),
            State::LastLf => Err(Violation::Trailer),
            State::Done | State::Length | State::UntilClose | State::Data => Ok(()),
        }
    }

    fn next(&mut self, state: State) -> Result<(), Violation> {
        self.state = state;
        Ok(())
    }

    fn overhead_byte(&mut self) -> Result<(), Violation> {
        self.overhead += 1;
        if self.overhead > CHUNK_OVERHEAD_BYTES_MAX { Err(Violation::ChunkOverhead) } else { Ok(()) }
    }

    /// Reads a byte of a chunk size: hexadecimal digits only, at least one; no sign, no `0x`, no `_`, no space
    /// (docs/reference/security-promises.md#chunk-size).
    fn size_byte(&mut self, byte: u8) -> Result<(), Violation> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b';' if self.digits > 0 => return self.next(State::Extension),
            b'\r' if self.digits > 0 => return self.next(State::SizeLf),
            b' ' | b'\t' if self.digits > 0 && self.is_lenient => {
                self.deviations.insert(Deviation::PaddedChunkSize);
                self.next(State::SizePad)?;
                return self.overhead_byte();
            }
            _ => return Err(Violation::ChunkSize),
        };
        self.digits += 1;
        // The limit of 2^60 is far above any body, and the multiplication below it cannot overflow.
        if self.digits > CHUNK_SIZE_DIGITS_MAX || self.left >= 1 << 56 {
            return Err(Violation::ChunkSizeTooLong);
        }
        self.left = self.left * 16 + u64::from(digit);
        Ok(())
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<(), Violation> {
        let trailers = self.trailers.get_or_insert_default();
        if trailers.bytes[trailers.end..].last() == Some(&b'\r') && byte != b'\n' {
            return Err(Violation::Trailer);
        }
        if trailers.bytes.len() >= TRAILER_BYTES_MAX {
            return Err(Violation::TrailerTooLong);
        }
        trailers.bytes.push(byte);
        if byte != b'\n' {
            return Ok(());
        }
        let line = trailers.take_line(self.own.as_deref(), self.is_lenient)?;
        if line == TrailerLine::Deviating {
            self.deviations.insert(Deviation::Trailer);
        }
        if line == TrailerLine::End { self.next(State::Done) } else { Ok(()) }
    }
}

/// A complete line of the trailers.
#[derive(PartialEq, Eq)]
enum TrailerLine {
    /// The empty line at the end.
    End,
    Field,
    /// The line is no field, or continues the field above it.
    Deviating,
}

impl Trailers {
    /// Handles a complete line: keeps its field if it may be forwarded, or drops the line. With `is_lenient`, a line that is no field is
    /// dropped, and a line that continues a field is joined to it; otherwise both are errors.
    fn take_line(&mut self, own: Option<&Edits>, is_lenient: bool) -> Result<TrailerLine, Violation> {
        let line = &self.bytes[self.end..];
        if line == b"\r\n" {
            self.bytes.truncate(self.end);
            return Ok(TrailerLine::End);
        }
        if is_lenient && matches!(line, [b' ' | b'\t', ..]) && self.fields > 0 && line.ends_with(b"\r\n") {
            return self.join_line();
        }
        self.fields += 1;
        if self.fields > TRAILER_FIELDS_MAX {
            return Err(Violation::TrailerTooLong);
        }
        let limits = HeadLimits { fields_max: 1, ..HeadLimits::default() };
        let mut fields = Vec::with_capacity(1);
        match scan::fields(line, 0, &limits, &mut fields) {
            Ok(Scanned::Partial) => {}
            Err(_) if is_lenient && line.ends_with(b"\r\n") => {
                self.is_last_kept = false;
                self.bytes.truncate(self.end);
                return Ok(TrailerLine::Deviating);
            }
            Ok(Scanned::Complete(_)) | Err(_) => return Err(Violation::Trailer),
        }
        let is_forwarded = fields.first().is_some_and(|field| {
            let name = field.name.of(line);
            is_allowed_trailer(field.known, name) && !own.is_some_and(|edits| edits.concerns(name))
        });
        if is_forwarded {
            self.end = self.bytes.len();
        } else {
            self.bytes.truncate(self.end);
        }
        self.is_last_kept = is_forwarded;
        Ok(TrailerLine::Field)
    }

    /// Joins the last line to the field above it, with one space; drops the line if that field was dropped.
    fn join_line(&mut self) -> Result<TrailerLine, Violation> {
        self.fields += 1;
        if self.fields > TRAILER_FIELDS_MAX {
            return Err(Violation::TrailerTooLong);
        }
        let line = self.bytes.split_off(self.end);
        let value = line.trim_ascii();
        if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(Violation::Trailer);
        }
        if self.is_last_kept && !value.is_empty() {
            self.bytes.truncate(self.end - 2);
            self.bytes.push(b' ');
            self.bytes.extend_from_slice(value);
            self.bytes.extend_from_slice(b"\r\n");
            self.end = self.bytes.len();
        }
        Ok(TrailerLine::Deviating)
    }
}

/// The bytes that end a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends the line before a chunk of `len` bytes. Appends nothing for zero, which is the size of the last chunk.
pub fn chunk_prefix(out: &mut Vec<u8>, len: usize) {
    if len == 0 {
        return;
    }
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(len >> (place * 4)) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk with `trailers`: lines that each end in CRLF, as from [`Decoder::trailers`].
pub fn last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}
