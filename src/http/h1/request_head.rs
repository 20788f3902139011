//! Parses the request heads that clients send.

use super::framing;
use super::progress::{HeadLimits, ParseProgress};
use super::scan::{self, Scanned};
use crate::http::byte_scan::target_end;
use crate::http::connection_auth;
use crate::http::head::{BodyFraming, RequestHead, Upgrade, Version};
use crate::http::host;
use crate::http::known::KnownField;
use crate::http::span::Span;
use crate::http::target::check_escapes;
use crate::http::token::is_token_byte;
use crate::http::upgrade::UpgradeOffer;
use crate::http::violation::{RejectedRequest, Violation};
use crate::limits::{LEADING_LINES_MAX, METHOD_BYTES_MAX};

/// Parses a request head. `bytes` starts with the request; `head` is overwritten and keeps its memory.
///
/// On `Complete` the body starts at `head.len`. Empty lines before the request count as part of the head (RFC 9112 2.2). On
/// `Partial` the caller reads more and parses again, best when [`super::progress::head_end`] says so.
///
/// # Errors
/// The violations of [`crate::http::violation`]. The outcome depends on the bytes alone, never on how they were cut into reads.
pub fn parse_request(
    bytes: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<ParseProgress, RejectedRequest> {
    head.fields.clear();
    let window = &bytes[..bytes.len().min(limits.head_bytes_max)];
    let complete = parse_window(window, limits, head)?;
    match complete {
        true => Ok(ParseProgress::Complete),
        false if bytes.len() >= limits.head_bytes_max => Err(Violation::HeadTooLong.into()),
        false => Ok(ParseProgress::Partial),
    }
}

fn parse_window(bytes: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Result<bool, Violation> {
    let Some(start) = skip_empty_lines(bytes)? else { return Ok(false) };
    let Some(line) = request_line(bytes, start, limits)? else { return Ok(false) };
    let Scanned::Complete(len) = scan::fields(bytes, line.next, limits, &mut head.fields)? else { return Ok(false) };
    head.len = len;
    head.method = line.method;
    head.version = line.version;
    let form = target_form(bytes, &line)?;
    head.target = form.target;
    head.target_is_empty = form.is_empty;
    read_fields(bytes, head, form.authority)?;
    Ok(true)
}

/// The parts of the request line, and the start of the next line.
struct RequestLine {
    method: Span,
    target: Span,
    version: Version,
    next: usize,
}

fn skip_empty_lines(bytes: &[u8]) -> Result<Option<usize>, Violation> {
    let mut at = 0;
    for _ in 0..LEADING_LINES_MAX {
        match bytes[at..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => at += 2,
            [b'\r', ..] => return Err(Violation::BareCr),
            _ => break,
        }
    }
    Ok(Some(at))
}

/// Parses `method SP target SP version CRLF` with exactly one space each (RFC 9112 3).
fn request_line(bytes: &[u8], start: usize, limits: &HeadLimits) -> Result<Option<RequestLine>, Violation> {
    let Some(method_end) = method_end(bytes, start)? else { return Ok(None) };
    let target_start = method_end + 1;
    // Scans one byte more than allowed, to find the space after a target of exactly the limit.
    let bound = bytes.len().min(target_start.saturating_add(limits.target_bytes_max).saturating_add(1));
    let target_end = target_end(&bytes[..bound], target_start);
    let length = target_end - target_start.min(target_end);
    match bytes.get(target_end) {
        _ if length > limits.target_bytes_max => return Err(Violation::TargetTooLong),
        None => return Ok(None),
        Some(b' ') if length == 0 => return Err(Violation::RequestLine),
        Some(b' ') => {}
        Some(b'\r' | b'\n') => return Err(Violation::Version),
        Some(_) => return Err(Violation::Target),
    }
    let Some((version, next)) = version(bytes, target_end + 1)? else { return Ok(None) };
    let method = Span::new(start, method_end);
    if method.of(bytes) == b"CONNECT" {
        return Err(Violation::Connect);
    }
    Ok(Some(RequestLine { method, target: Span::new(target_start, target_end), version, next }))
}

fn method_end(bytes: &[u8], start: usize) -> Result<Option<usize>, Violation> {
    let mut end = start;
    while bytes.get(end).is_some_and(|byte| is_token_byte(*byte)) {
        end += 1;
        if end - start > METHOD_BYTES_MAX {
            return Err(Violation::Method);
        }
    }
    match bytes.get(end) {
        None => Ok(None),
        Some(b' ') if end > start => Ok(Some(end)),
        Some(_) => Err(Violation::Method),
    }
}

/// The version at `at`, and the start of the line after its CRLF. `None` until all of `HTTP/x.y CRLF` has arrived, unless a byte differs
/// from it.
#[inline]
fn version(bytes: &[u8], at: usize) -> Result<Option<(Version, usize)>, Violation> {
    const PATTERN: &[u8] = b"HTTP/0.0\r\n";
    let rest = &bytes[at..];
    for (byte, expected) in rest.iter().zip(PATTERN) {
        let fits = if *expected == b'0' { byte.is_ascii_digit() } else { byte == expected };
        if !fits {
            return Err(match (byte, expected) {
                (b' ', _) => Violation::RequestLine,
                (b'\n', b'\r') => Violation::BareLf,
                (_, b'\n') => Violation::BareCr,
                _ => Violation::Version,
            });
        }
    }
    let Some(text) = rest.get(..PATTERN.len()) else { return Ok(None) };
    match &text[5..8] {
        b"1.1" => Ok(Some((Version::Http11, at + PATTERN.len()))),
        b"1.0" => Ok(Some((Version::Http10, at + PATTERN.len()))),
        _ => Err(Violation::VersionUnknown),
    }
}

struct TargetForm {
    target: Span,
    is_empty: bool,
    /// The authority of an absolute-form target, which overrides Host (RFC 9112 3.2.2).
    authority: Option<Span>,
}

fn target_form(bytes: &[u8], line: &RequestLine) -> Result<TargetForm, Violation> {
    let target = line.target.of(bytes);
    let start = line.target.start as usize;
    if target[0] == b'/' {
        check_escapes(target)?;
        return Ok(TargetForm { target: line.target, is_empty: false, authority: None });
    }
    if target == b"*" && line.method.of(bytes) == b"OPTIONS" {
        return Ok(TargetForm { target: line.target, is_empty: false, authority: None });
    }
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|text| text.eq_ignore_ascii_case(scheme)))
        .ok_or(Violation::TargetForm)?;
    let authority_end = memchr::memchr2(b'/', b'?', &target[scheme.len()..]).map_or(target.len(), |n| n + scheme.len());
    let path = &target[authority_end..];
    if path.first() == Some(&b'?') {
        return Err(Violation::TargetForm);
    }
    check_escapes(path)?;
    Ok(TargetForm {
        target: Span::new(start + authority_end, start + target.len()),
        is_empty: path.is_empty(),
        authority: Some(Span::new(start + scheme.len(), start + authority_end)),
    })
}

/// Interprets the fields that concern host, body, connection and upgrade.
fn read_fields(bytes: &[u8], head: &mut RequestHead, authority: Option<Span>) -> Result<(), Violation> {
    let mut framing_fields = framing::FramingFields::default();
    let mut host: Option<Span> = None;
    let mut expects_continue = false;
    let mut offer: Option<UpgradeOffer> = None;
    head.binds_connection = false;
    for field in &head.fields {
        let value = field.value.of(bytes);
        match field.known {
            KnownField::Host if host.is_some() => return Err(Violation::HostRepeated),
            KnownField::Host => host = Some(field.value),
            KnownField::Expect if value.eq_ignore_ascii_case(b"100-continue") => expects_continue = true,
            KnownField::Expect => return Err(Violation::Expectation),
            KnownField::Authorization => head.binds_connection |= connection_auth::is_bound_credential(value),
            KnownField::Upgrade => offer.get_or_insert_default().add(value),
            KnownField::ContentLength => framing_fields.content_length(value)?,
            KnownField::TransferEncoding => framing_fields.transfer_encoding(value)?,
            KnownField::Connection => framing_fields.has_connection = true,
            _ => {}
        }
    }
    head.host = effective_host(bytes, head.version, host, authority)?;
    head.body = request_body(&framing_fields, head.version)?;
    let options = framing::connection_options(bytes, &mut head.fields, &framing_fields)?;
    let http11 = head.version == Version::Http11;
    head.keep_alive = !options.close && (http11 || options.keep_alive);
    head.expect_continue = expects_continue && http11 && head.body != BodyFraming::None;
    // An Upgrade that Connection does not list, or that HTTP/1.0 carries, asks for nothing (RFC 9110 7.8).
    head.upgrade = match &offer {
        Some(offer) if options.upgrade && http11 && offer.is_acceptable() => Upgrade::Forwarded,
        Some(_) if options.upgrade && http11 => Upgrade::Ignored,
        _ => Upgrade::None,
    };
    head.websocket = head.upgrade.is_forwarded() && offer.is_some_and(|offer| offer.has_websocket);
    Ok(())
}

/// The framing of a request body. A request without framing fields has no body (RFC 9112 6.3).
fn request_body(fields: &framing::FramingFields, version: Version) -> Result<BodyFraming, Violation> {
    match (fields.chunked, fields.length) {
        (true, _) if version == Version::Http10 => Err(Violation::CodingInHttp10),
        (true, Some(_)) => Err(Violation::LengthAndCoding),
        (true, None) => Ok(BodyFraming::Chunked),
        (false, None | Some(0)) => Ok(BodyFraming::None),
        (false, Some(length)) => Ok(BodyFraming::Length(length)),
    }
}

/// The host for routing: the authority if there is one, else the Host field. Both must be valid.
fn effective_host(
    bytes: &[u8],
    version: Version,
    host: Option<Span>,
    authority: Option<Span>,
) -> Result<Span, Violation> {
    if let Some(field) = host {
        let value = field.of(bytes);
        // HTTP/1.0 does not define Host: an empty one is the same as none.
        let absent = value.is_empty() && version == Version::Http10;
        if !absent && !host::is_valid(value) {
            return Err(Violation::HostInvalid);
        }
    } else if version == Version::Http11 {
        return Err(Violation::HostMissing);
    }
    match authority {
        Some(span) if host::is_valid(span.of(bytes)) => Ok(span),
        Some(_) => Err(Violation::HostInvalid),
        None => Ok(host.unwrap_or_default()),
    }
}
