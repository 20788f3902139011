//! Turns header blocks into heads (RFC 9113 8.2, 8.3): lines like those of HTTP/1.1, and the parsed head that refers to them.

use super::hpack::Decoder;
use crate::http::head::{RequestHead, ResponseHead};
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
pub fn decode_request(
    _decoder: &mut Decoder,
    _block: &[u8],
    _end_stream: bool,
    _limits: &HeadLimits,
    _head: &mut RequestHead,
    _lines: &mut Vec<u8>,
) -> Result<(), HeadError> {
    todo!()
}

/// Decodes the block of a response, final or interim, into its lines and its head.
pub fn decode_response(
    _decoder: &mut Decoder,
    _block: &[u8],
    _end_stream: bool,
    _to_head: bool,
    _limits: &HeadLimits,
    _head: &mut ResponseHead,
    _lines: &mut Vec<u8>,
) -> Result<(), HeadError> {
    todo!()
}

/// Decodes trailers into the lines that may be forwarded.
pub fn decode_trailers(_decoder: &mut Decoder, _block: &[u8], _lines: &mut Vec<u8>) -> Result<(), HeadError> {
    todo!()
}
