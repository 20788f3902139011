//! Turns header blocks into heads (RFC 9113 8.2, 8.3): lines like those of HTTP/1.1, and the parsed head that refers to them.
//!
//! The fields keep their order. Cookie crumbs become one field (RFC 9113 8.2.3), and the Host that stands beside `:authority` is dropped.

mod budget;
mod cookies;
mod pseudo;
mod request;
mod response;
mod trailers;

use budget::Budget;

use super::hpack::{Decoded, Decoder, FieldSink};
use crate::http::head::{BodyFraming, RequestHead, ResponseHead};
use crate::http::head_limits::HeadLimits;
use crate::http::violation::{RejectedRequest, Violation};

/// Why a header block gives no head. After every error but `Compression` the decoder is ready for the next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// The block cannot be decoded: a connection error of type COMPRESSION_ERROR (RFC 9113 4.3).
    Compression(&'static str),
    /// Requests only: the stream gets a response with this status.
    Rejected(RejectedRequest),
    /// The message is malformed: a stream error of type PROTOCOL_ERROR (RFC 9113 8.1.1).
    Malformed(Violation),
}

/// Decodes the block of a request into its lines and its head.
///
/// The lines are `METHOD target HTTP/2.0`, a Host with the authority if there is one, and the fields. An extended CONNECT (RFC 8441) becomes a
/// GET with Upgrade and Connection.
///
/// # Errors
/// The rules of HTTP/2 are checked as strictly as those of HTTP/1.1: no byte of a field can end its line. Lines and head are then empty.
pub fn decode_request(
    decoder: &mut Decoder,
    block: &[u8],
    end_stream: bool,
    limits: &HeadLimits,
    head: &mut RequestHead,
    lines: &mut Vec<u8>,
) -> Result<(), HeadError> {
    lines.clear();
    let mut fields = request::RequestFields::new(limits, head);
    let result = run(decoder, block, lines, &mut fields).and_then(|()| fields.finish(lines, end_stream));
    if result.is_err() {
        lines.clear();
        head.fields.clear();
    }
    result
}

/// Decodes the block of a response, final or interim, into its lines and its head. The first line is `HTTP/2.0 status `, without a reason.
///
/// # Errors
/// As for a request, but whitespace around a value is trimmed, and a Content-Length that is repeated with the same value is tolerated.
pub fn decode_response(
    decoder: &mut Decoder,
    block: &[u8],
    end_stream: bool,
    to_head: bool,
    limits: &HeadLimits,
    head: &mut ResponseHead,
    lines: &mut Vec<u8>,
) -> Result<(), HeadError> {
    lines.clear();
    let mut fields = response::ResponseFields::new(limits, head);
    let result = run(decoder, block, lines, &mut fields).and_then(|()| fields.finish(lines, end_stream, to_head));
    if result.is_err() {
        lines.clear();
        head.fields.clear();
    }
    result
}

/// Decodes trailers into the lines that may be forwarded. Whitespace around a value is trimmed: a text in `grpc-message` may end with a space.
///
/// # Errors
/// A trailer violates the rules of HTTP/2, or all together exceed the bounds of trailers. There are then no lines.
pub fn decode_trailers(decoder: &mut Decoder, block: &[u8], lines: &mut Vec<u8>) -> Result<(), HeadError> {
    lines.clear();
    let mut fields = trailers::TrailerFields::new();
    let result = run(decoder, block, lines, &mut fields);
    if result.is_err() {
        lines.clear();
    }
    result
}

/// The rules for the fields of one kind of message.
trait FieldRules {
    fn budget(&self) -> &Budget;

    /// Takes a field, whose line is the end of `lines`.
    fn field(&mut self, lines: &mut Vec<u8>, field: Decoded) -> Result<(), HeadError>;
}

/// Passes the fields of a block to their rules, up to the first one that is refused.
struct Sink<'a, R> {
    rules: &'a mut R,
    failure: Option<HeadError>,
}

impl<R: FieldRules> FieldSink for Sink<'_, R> {
    #[inline]
    fn room(&self) -> usize {
        if self.failure.is_some() { 0 } else { self.rules.budget().room() }
    }

    #[inline]
    fn take(&mut self, lines: &mut Vec<u8>, field: Decoded) {
        if self.failure.is_none() {
            self.failure = self.rules.field(lines, field).err();
        }
        if self.failure.is_some() {
            lines.clear();
        }
    }
}

fn run(decoder: &mut Decoder, block: &[u8], lines: &mut Vec<u8>, rules: &mut impl FieldRules) -> Result<(), HeadError> {
    let mut sink = Sink { rules, failure: None };
    decoder.decode(block, lines, &mut sink).map_err(HeadError::Compression)?;
    sink.failure.map_or(Ok(()), Err)
}

/// The framing of a body. A stream that has ended has none, which must not contradict its Content-Length.
fn framing(length: Option<u64>, end_stream: bool) -> Result<BodyFraming, HeadError> {
    match length {
        Some(1..) if end_stream => Err(HeadError::Malformed(Violation::LengthMismatch)),
        Some(0) => Ok(BodyFraming::None),
        _ if end_stream => Ok(BodyFraming::None),
        Some(length) => Ok(BodyFraming::Length(length)),
        None => Ok(BodyFraming::Chunked),
    }
}
