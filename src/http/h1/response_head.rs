//! Parses the response heads that backend servers send.

use super::framing;
use super::normalise::{NormalisedHead, may_be_normalised, normalise};
use super::progress::{self, HeadLimits, ParseProgress};
use super::scan::{self, Scanned};
use crate::http::connection_auth;
use crate::http::deviation::{Deviation, Deviations};
use crate::http::head::{BodyFraming, ResponseHead, Version};
use crate::http::keep_alive::KeepAlive;
use crate::http::known::KnownField;
use crate::http::span::Span;
use crate::http::violation::Violation;

/// A response that cannot be used: the client gets 502, and the upstream connection closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidResponse {
    /// For the log.
    pub why: &'static str,
    pub rule: Violation,
}

impl From<Violation> for InvalidResponse {
    fn from(rule: Violation) -> Self {
        InvalidResponse { why: rule.why(), rule }
    }
}

impl std::fmt::Display for InvalidResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.rule.fmt(f)
    }
}

impl std::error::Error for InvalidResponse {}

/// The result of [`parse_server_response`].
#[derive(Debug)]
pub enum ResponseProgress {
    /// More bytes are needed.
    Partial,
    /// The head is complete; its `len` says where the body starts.
    Complete,
    /// The head is complete and was written again, without its deviations. The parsed head refers to `bytes` instead of the received bytes,
    /// of which the head took `received_len`.
    Normalised { bytes: Vec<u8>, received_len: usize, deviations: Deviations },
}

/// Parses the head of a server's response, for traffic and health checks alike. A head that [`parse_response`] refuses is normalised if
/// every program reads its deviations alike ([`crate::http::deviation`]).
///
/// # Errors
/// The response cannot be used.
#[inline]
pub fn parse_server_response(
    bytes: &[u8],
    request_method_is_head: bool,
    head: &mut ResponseHead,
) -> Result<ResponseProgress, InvalidResponse> {
    match parse_response(bytes, request_method_is_head, &HeadLimits::RESPONSE, head) {
        Ok(ParseProgress::Complete) => Ok(ResponseProgress::Complete),
        Ok(ParseProgress::Partial) => Ok(ResponseProgress::Partial),
        Err(invalid) => parse_normalised(bytes, request_method_is_head, head, invalid),
    }
}

#[cold]
fn parse_normalised(
    bytes: &[u8],
    to_head: bool,
    head: &mut ResponseHead,
    invalid: InvalidResponse,
) -> Result<ResponseProgress, InvalidResponse> {
    if !may_be_normalised(bytes, invalid.rule) {
        return Err(invalid);
    }
    let limits = HeadLimits::RESPONSE;
    let received_len = match progress::head_end(bytes, 0) {
        Some(end) if end <= limits.head_bytes_max => end,
        None if bytes.len() < limits.head_bytes_max => return Ok(ResponseProgress::Partial),
        _ => return Err(Violation::HeadTooLong.into()),
    };
    let NormalisedHead { bytes, deviations } = normalise(&bytes[..received_len])?;
    match parse_response(&bytes, to_head, &limits, head)? {
        ParseProgress::Complete => {}
        ParseProgress::Partial => return Err(invalid),
    }
    // The other rules of a later version may concern the connection.
    head.keep_alive &= !deviations.contains(Deviation::Version);
    Ok(ResponseProgress::Normalised { bytes, received_len, deviations })
}

/// Parses a response head strictly. `bytes` starts with the response; `head` is overwritten and keeps its memory. An interim response (1xx) is a
/// head without a body, which the next head follows; a 101 is followed by another protocol.
///
/// # Errors
/// The violations of [`crate::http::violation`] that concern fields and framing. Nothing is repaired, with one exception: Content-Length
/// together with Transfer-Encoding (RFC 9112 6.3) is tolerated. The length is then marked to be dropped, and the connection is not reused.
pub fn parse_response(
    bytes: &[u8],
    request_method_is_head: bool,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<ParseProgress, InvalidResponse> {
    head.fields.clear();
    let window = &bytes[..bytes.len().min(limits.head_bytes_max)];
    let complete = parse_window(window, request_method_is_head, limits, head)?;
    match complete {
        true => Ok(ParseProgress::Complete),
        false if bytes.len() >= limits.head_bytes_max => Err(Violation::HeadTooLong.into()),
        false => Ok(ParseProgress::Partial),
    }
}

fn parse_window(bytes: &[u8], to_head: bool, limits: &HeadLimits, head: &mut ResponseHead) -> Result<bool, Violation> {
    let Some(next) = status_line(bytes, head)? else { return Ok(false) };
    let Scanned::Complete(len) = scan::fields(bytes, next, limits, &mut head.fields)? else { return Ok(false) };
    head.len = len;
    read_fields(bytes, to_head, head)?;
    Ok(true)
}

/// Parses `HTTP/1.x SP status [SP reason] CRLF` (RFC 9112 4). The space before an empty reason is optional: many servers omit it, and it
/// does not matter.
fn status_line(bytes: &[u8], head: &mut ResponseHead) -> Result<Option<usize>, Violation> {
    const PATTERN: &[u8] = b"HTTP/1.d ddd";
    for (byte, expected) in bytes.iter().zip(PATTERN) {
        let fits = if *expected == b'd' { byte.is_ascii_digit() } else { byte == expected };
        if !fits {
            return Err(Violation::StatusLine);
        }
    }
    let Some(text) = bytes.get(..PATTERN.len()) else { return Ok(None) };
    head.version = match text[7] {
        b'0' => Version::Http10,
        b'1' => Version::Http11,
        _ => return Err(Violation::StatusLine),
    };
    head.status = text[9..].iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    if head.status < 100 {
        return Err(Violation::StatusLine);
    }
    let start = match bytes.get(PATTERN.len()) {
        None => return Ok(None),
        Some(b' ') => PATTERN.len() + 1,
        Some(b'\r') => PATTERN.len(),
        Some(_) => return Err(Violation::StatusLine),
    };
    let Some((end, next)) = scan::value_line_end(bytes, start)? else { return Ok(None) };
    head.reason = Span::new(start, end);
    Ok(Some(next))
}

fn read_fields(bytes: &[u8], to_head: bool, head: &mut ResponseHead) -> Result<(), Violation> {
    let mut framing_fields = framing::FramingFields::default();
    head.has_date = false;
    head.binds_connection = false;
    head.announced = KeepAlive::default();
    for field in &head.fields {
        let value = field.value.of(bytes);
        match field.known {
            KnownField::ContentLength => framing_fields.content_length(value)?,
            KnownField::TransferEncoding => framing_fields.transfer_encoding(value)?,
            KnownField::Connection => framing_fields.has_connection = true,
            KnownField::Date => head.has_date = true,
            KnownField::KeepAlive => head.announced.add(value),
            KnownField::WwwAuthenticate | KnownField::ProxyAuthenticate => {
                head.binds_connection |= connection_auth::has_bound_challenge(value);
            }
            _ => {}
        }
    }
    if framing_fields.chunked && head.version == Version::Http10 {
        return Err(Violation::CodingInHttp10);
    }
    let options = framing::connection_options(bytes, &mut head.fields, &framing_fields)?;
    let doubly_framed = framing_fields.chunked && framing_fields.length.is_some();
    if doubly_framed {
        for field in head.fields.iter_mut().filter(|field| field.known == KnownField::ContentLength) {
            field.hop = true;
        }
    }
    head.body = response_body(&framing_fields, to_head, head.status);
    let persistent = !options.close && (head.version == Version::Http11 || options.keep_alive);
    let is_exhausted = head.announced.forbids_reuse();
    head.keep_alive =
        persistent && !is_exhausted && !doubly_framed && head.body != BodyFraming::UntilClose && head.status != 101;
    Ok(())
}

/// The framing of a response body: the rules of RFC 9112 6.3, in their order.
fn response_body(fields: &framing::FramingFields, to_head: bool, status: u16) -> BodyFraming {
    if to_head || matches!(status, 100..200 | 204 | 304) {
        return BodyFraming::None;
    }
    match (fields.chunked, fields.length) {
        (true, _) => BodyFraming::Chunked,
        (false, Some(0)) => BodyFraming::None,
        (false, Some(length)) => BodyFraming::Length(length),
        (false, None) => BodyFraming::UntilClose,
    }
}
