//! Packs heads, written as lines by [`crate::http::forward`], into header blocks.
//!
//! Fields go out in their order; a name or a whole field of the static table as its index, all else as literals. The dynamic table is not
//! used: every connection would need memory for it, and looking fields up in it costs more than the bytes that it saves.

use super::hpack::{Literal, push_field, push_indexed, push_named, push_value};
use super::outgoing_name::{Form, form};
use crate::http::upgrade::protocols;

/// The first bytes of the first header block on a connection: a size update that says that the encoder uses no dynamic table
/// (RFC 7541 4.2, 6.3). A peer may have set a bound below the default, and has to be told that the encoder keeps to it.
pub const FIRST_BLOCK_PREFIX: [u8; 1] = [0x20];

/// A head that has no form in HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpackable(pub &'static str);

/// Indices of the static table.
mod index {
    pub const AUTHORITY: u8 = 1;
    pub const METHOD: u8 = 2;
    pub const GET: u8 = 2;
    pub const POST: u8 = 3;
    pub const PATH: u8 = 4;
    pub const ROOT: u8 = 4;
    pub const HTTP: u8 = 6;
    pub const HTTPS: u8 = 7;
    pub const STATUS: u8 = 8;
    pub const ACCEPT_ENCODING: u8 = 16;
}

/// Appends the header block of a request. `lines` is the head as [`crate::http::forward::write_request`] writes it, with Host first.
///
/// # Errors
/// The first line is no request line, or the method is CONNECT. With `extended_connect`, Upgrade does not name exactly one protocol.
pub fn encode_request(lines: &[u8], secure: bool, extended_connect: bool, out: &mut Vec<u8>) -> Result<(), Unpackable> {
    let (line, mut fields) = first_line(lines);
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let (Some(method), Some(target), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Unpackable("the head begins with no request line"));
    };
    out.reserve(lines.len());
    match method {
        b"CONNECT" => return Err(Unpackable("a CONNECT request has another form in HTTP/2")),
        _ if extended_connect => push_connect(fields, out)?,
        b"GET" => push_indexed(out, index::GET),
        b"POST" => push_indexed(out, index::POST),
        _ => push_value(out, Literal::WithoutIndexing, index::METHOD, method),
    }
    push_indexed(out, if secure { index::HTTPS } else { index::HTTP });
    let mut rest = fields;
    if let Some((_, host)) = next_field(&mut rest).filter(|(name, _)| name.eq_ignore_ascii_case(b"host")) {
        if !host.is_empty() {
            push_value(out, Literal::WithoutIndexing, index::AUTHORITY, host);
        }
        fields = rest;
    }
    match target {
        b"/" => push_indexed(out, index::ROOT),
        _ => push_value(out, Literal::WithoutIndexing, index::PATH, target),
    }
    push_fields(fields, extended_connect, out);
    Ok(())
}

/// Appends method and protocol of an extended CONNECT (RFC 8441 4).
fn push_connect(mut fields: &[u8], out: &mut Vec<u8>) -> Result<(), Unpackable> {
    let mut chosen = None;
    while let Some((name, value)) = next_field(&mut fields) {
        if !name.eq_ignore_ascii_case(b"upgrade") {
            continue;
        }
        for protocol in protocols(value) {
            if chosen.replace(protocol).is_some() {
                return Err(Unpackable("an upgrade to one of several protocols has no form in HTTP/2"));
            }
        }
    }
    let protocol = chosen.ok_or(Unpackable("the head asks for no upgrade"))?;
    push_value(out, Literal::WithoutIndexing, index::METHOD, b"CONNECT");
    push_named(out, b":protocol", protocol);
    Ok(())
}

/// Appends the header block of a response. With `extended_connect`, a 101 becomes a 200 (RFC 8441 5).
pub fn encode_response(lines: &[u8], extended_connect: bool, out: &mut Vec<u8>) {
    let (line, fields) = first_line(lines);
    let status = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    out.reserve(lines.len());
    match status {
        b"101" if extended_connect => push_indexed(out, index::STATUS),
        b"200" => push_indexed(out, index::STATUS),
        b"204" => push_indexed(out, index::STATUS + 1),
        b"206" => push_indexed(out, index::STATUS + 2),
        b"304" => push_indexed(out, index::STATUS + 3),
        b"400" => push_indexed(out, index::STATUS + 4),
        b"404" => push_indexed(out, index::STATUS + 5),
        b"500" => push_indexed(out, index::STATUS + 6),
        _ => push_value(out, Literal::WithoutIndexing, index::STATUS, status),
    }
    push_fields(fields, extended_connect, out);
}

/// Appends the header block of trailers: lines that each end in CRLF.
pub fn encode_trailers(lines: &[u8], out: &mut Vec<u8>) {
    out.reserve(lines.len());
    push_fields(lines, false, out);
}

fn push_fields(mut lines: &[u8], extended_connect: bool, out: &mut Vec<u8>) {
    while let Some((name, value)) = next_field(&mut lines) {
        match form(name) {
            Form::Plain(index::ACCEPT_ENCODING) if value == b"gzip, deflate" => {
                push_indexed(out, index::ACCEPT_ENCODING);
            }
            Form::Plain(index) => push_value(out, Literal::WithoutIndexing, index, value),
            Form::Secret(index) => push_value(out, Literal::NeverIndexed, index, value),
            Form::Named(name) => push_named(out, name, value),
            Form::Te if value.eq_ignore_ascii_case(b"trailers") => {
                push_named(out, b"te", b"trailers");
            }
            Form::Handshake if extended_connect => {}
            Form::Literal | Form::Handshake => push_field(out, name, value),
            Form::Te | Form::Dropped => {}
        }
    }
}

/// The first line without its CRLF, and the lines behind it.
fn first_line(lines: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', lines).map_or(lines.len(), |lf| lf + 1);
    let (line, rest) = lines.split_at(end);
    (line.trim_ascii_end(), rest)
}

/// Takes the next field line off `lines`: its name, and its value without the whitespace around it. `None` at the empty line or the end.
#[inline]
fn next_field<'a>(lines: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let end = memchr::memchr(b'\n', lines)?;
    let (line, rest) = lines.split_at(end + 1);
    let colon = memchr::memchr(b':', line).filter(|colon| *colon > 0)?;
    *lines = rest;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}
