//! Reading the heads that clients send.

use super::codec::{Limits, Progress};
use super::framing;
use super::host;
use super::scan::{self, Scanned};
pub use super::strict::Reject;
use super::strict::Rule;
use crate::http::head::{Body, Known, RequestHead, Span, Version};
use crate::limits::{LEADING_LINES_MAX, METHOD_BYTES_MAX};

/// Reads a request head. `bytes` starts where the request does; `head` is filled anew and keeps its memory.
///
/// On `Complete` the body starts at `head.len`. Empty lines before the request count as part of the head (RFC 9112 2.2). On
/// `Partial` the caller reads more and asks again, best when [`super::codec::head_end`] says so.
///
/// # Errors
/// The rules of [`super::strict`]. The outcome depends on the bytes alone, never on how they were cut.
pub fn parse_request(bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<Progress, Reject> {
    head.fields.clear();
    let window = &bytes[..bytes.len().min(limits.head_bytes_max)];
    let complete = parse_window(window, limits, head)?;
    match complete {
        true => Ok(Progress::Complete),
        false if bytes.len() >= limits.head_bytes_max => Err(Rule::HeadTooLong.into()),
        false => Ok(Progress::Partial),
    }
}

fn parse_window(bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<bool, Rule> {
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

/// The request line's parts and where the next line starts.
struct RequestLine {
    method: Span,
    target: Span,
    version: Version,
    next: usize,
}

fn skip_empty_lines(bytes: &[u8]) -> Result<Option<usize>, Rule> {
    let mut at = 0;
    for _ in 0..LEADING_LINES_MAX {
        match bytes[at..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => at += 2,
            [b'\r', ..] => return Err(Rule::BareCr),
            _ => break,
        }
    }
    Ok(Some(at))
}

/// `method SP target SP version CRLF`, one space each (RFC 9112 3).
fn request_line(bytes: &[u8], start: usize, limits: &Limits) -> Result<Option<RequestLine>, Rule> {
    let Some(method_end) = method_end(bytes, start)? else { return Ok(None) };
    let target_start = method_end + 1;
    // One byte more than allowed is looked at, so that a target of just the limit still sees its end.
    let bound = bytes.len().min(target_start.saturating_add(limits.target_bytes_max).saturating_add(1));
    let target_end = scan::target_end(&bytes[..bound], target_start);
    let length = target_end - target_start.min(target_end);
    match bytes.get(target_end) {
        _ if length > limits.target_bytes_max => return Err(Rule::TargetTooLong),
        None => return Ok(None),
        Some(b' ') if length == 0 => return Err(Rule::RequestLine),
        Some(b' ') => {}
        Some(b'\r' | b'\n') => return Err(Rule::Version),
        Some(_) => return Err(Rule::Target),
    }
    let Some((version, next)) = version(bytes, target_end + 1)? else { return Ok(None) };
    let method = Span::new(start, method_end);
    if method.of(bytes) == b"CONNECT" {
        return Err(Rule::Connect);
    }
    Ok(Some(RequestLine { method, target: Span::new(target_start, target_end), version, next }))
}

fn method_end(bytes: &[u8], start: usize) -> Result<Option<usize>, Rule> {
    let mut end = start;
    while bytes.get(end).is_some_and(|byte| scan::is_token_byte(*byte)) {
        end += 1;
        if end - start > METHOD_BYTES_MAX {
            return Err(Rule::Method);
        }
    }
    match bytes.get(end) {
        None => Ok(None),
        Some(b' ') if end > start => Ok(Some(end)),
        Some(_) => Err(Rule::Method),
    }
}

/// The version at `at` and where the line behind its CRLF starts. Judged when all of `HTTP/x.y CRLF` is there, or at the first byte
/// that cannot be in it.
fn version(bytes: &[u8], at: usize) -> Result<Option<(Version, usize)>, Rule> {
    const PATTERN: &[u8] = b"HTTP/0.0\r\n";
    let rest = &bytes[at..];
    for (byte, expected) in rest.iter().zip(PATTERN) {
        let fits = if *expected == b'0' { byte.is_ascii_digit() } else { byte == expected };
        if !fits {
            return Err(match (byte, expected) {
                (b' ', _) => Rule::RequestLine,
                (b'\n', b'\r') => Rule::BareLf,
                (_, b'\n') => Rule::BareCr,
                _ => Rule::Version,
            });
        }
    }
    let Some(text) = rest.get(..PATTERN.len()) else { return Ok(None) };
    match &text[5..8] {
        b"1.1" => Ok(Some((Version::Http11, at + PATTERN.len()))),
        b"1.0" => Ok(Some((Version::Http10, at + PATTERN.len()))),
        _ => Err(Rule::VersionUnknown),
    }
}

struct TargetForm {
    target: Span,
    is_empty: bool,
    /// Of an absolute-form target: it routes, whatever Host says (RFC 9112 3.2.2).
    authority: Option<Span>,
}

fn target_form(bytes: &[u8], line: &RequestLine) -> Result<TargetForm, Rule> {
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
        .ok_or(Rule::TargetForm)?;
    let authority_end = memchr::memchr2(b'/', b'?', &target[scheme.len()..]).map_or(target.len(), |n| n + scheme.len());
    let path = &target[authority_end..];
    if path.first() == Some(&b'?') {
        return Err(Rule::TargetForm);
    }
    check_escapes(path)?;
    Ok(TargetForm {
        target: Span::new(start + authority_end, start + target.len()),
        is_empty: path.is_empty(),
        authority: Some(Span::new(start + scheme.len(), start + authority_end)),
    })
}

/// `%` in the path is followed by two hexadecimal digits; the query is the origin's affair.
fn check_escapes(target: &[u8]) -> Result<(), Rule> {
    let path = &target[..memchr::memchr(b'?', target).unwrap_or(target.len())];
    for at in memchr::memchr_iter(b'%', path) {
        let digits = path.get(at + 1..at + 3).ok_or(Rule::TargetEscape)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Rule::TargetEscape);
        }
    }
    Ok(())
}

/// What the fields say about host, body, connection and upgrade.
fn read_fields(bytes: &[u8], head: &mut RequestHead, authority: Option<Span>) -> Result<(), Rule> {
    let mut facts = framing::Facts::default();
    let mut host: Option<Span> = None;
    let mut expects = false;
    let mut upgrade = (0, false);
    for field in &head.fields {
        let value = field.value.of(bytes);
        match field.known {
            Known::Host if host.is_some() => return Err(Rule::HostRepeated),
            Known::Host => host = Some(field.value),
            Known::Expect if value.eq_ignore_ascii_case(b"100-continue") => expects = true,
            Known::Expect => return Err(Rule::Expectation),
            Known::Upgrade => upgrade = (upgrade.0 + 1, value.eq_ignore_ascii_case(b"websocket")),
            Known::ContentLength => facts.content_length(value)?,
            Known::TransferEncoding => facts.transfer_encoding(value)?,
            Known::Connection => facts.has_connection = true,
            _ => {}
        }
    }
    head.host = effective_host(bytes, head.version, host, authority)?;
    head.body = request_body(&facts, head.version)?;
    let options = framing::connection_options(bytes, &mut head.fields, &facts)?;
    let http11 = head.version == Version::Http11;
    head.keep_alive = !options.close && (http11 || options.keep_alive);
    head.expect_continue = expects && http11 && head.body != Body::None;
    head.websocket =
        options.upgrade && upgrade == (1, true) && http11 && head.body == Body::None && head.method.of(bytes) == b"GET";
    Ok(())
}

/// A request never lasts until the connection ends: without framing it has no body (RFC 9112 6.3).
fn request_body(facts: &framing::Facts, version: Version) -> Result<Body, Rule> {
    match (facts.chunked, facts.length) {
        (true, _) if version == Version::Http10 => Err(Rule::CodingInHttp10),
        (true, Some(_)) => Err(Rule::LengthAndCoding),
        (true, None) => Ok(Body::Chunked),
        (false, None | Some(0)) => Ok(Body::None),
        (false, Some(length)) => Ok(Body::Length(length)),
    }
}

/// The one host that everything after this uses; all that are there must be valid.
fn effective_host(bytes: &[u8], version: Version, host: Option<Span>, authority: Option<Span>) -> Result<Span, Rule> {
    if let Some(field) = host {
        let value = field.of(bytes);
        // HTTP/1.0 knows no Host: an empty one says as little as none.
        let absent = value.is_empty() && version == Version::Http10;
        if !absent && !host::is_valid(value) {
            return Err(Rule::HostInvalid);
        }
    } else if version == Version::Http11 {
        return Err(Rule::HostMissing);
    }
    match authority {
        Some(span) if host::is_valid(span.of(bytes)) => Ok(span),
        Some(_) => Err(Rule::HostInvalid),
        None => Ok(host.unwrap_or_default()),
    }
}
