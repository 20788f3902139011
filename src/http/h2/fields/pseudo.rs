//! The pseudo-header fields of a request (RFC 9113 8.3.1), and the lines that they become.

use super::HeadError;
use crate::http::byte_scan::target_end;
use crate::http::h2::hpack::Name;
use crate::http::head::{Field, RequestHead, Upgrade};
use crate::http::host;
use crate::http::known::KnownField;
use crate::http::span::Span;
use crate::http::target::check_escapes;
use crate::http::token::is_token_byte;
use crate::http::upgrade::UpgradeOffer;
use crate::http::violation::Violation;
use crate::limits::METHOD_BYTES_MAX;

/// The values of the pseudo-header fields that have been read.
#[derive(Debug, Default)]
pub(super) struct Pseudo {
    method: Option<Span>,
    scheme: Option<Span>,
    pub authority: Option<Span>,
    path: Option<Span>,
    protocol: Option<Span>,
}

/// A request whose pseudo-header fields are in order.
struct Checked {
    method: Span,
    path: Span,
    protocol: Option<Span>,
    is_https: bool,
}

impl Pseudo {
    /// Notes a pseudo-header field.
    #[inline]
    pub fn note(&mut self, name: Name, value: Span) -> Result<(), HeadError> {
        let slot = match name {
            Name::Method => &mut self.method,
            Name::Scheme => &mut self.scheme,
            Name::Authority => &mut self.authority,
            Name::Path => &mut self.path,
            Name::Protocol => &mut self.protocol,
            _ => return Err(HeadError::Malformed(Violation::PseudoUnknown)),
        };
        match slot.replace(value) {
            Some(_) => Err(HeadError::Malformed(Violation::PseudoRepeated)),
            None => Ok(()),
        }
    }

    /// Replaces the first `len` bytes of `lines`, the lines of the pseudo-header fields, by the first lines of the head: the request line, Host if
    /// there is an authority, and the fields that ask for the upgrade of an extended CONNECT. Returns whether the scheme is https.
    pub fn write_lines(
        &self,
        lines: &mut Vec<u8>,
        len: usize,
        target_bytes_max: usize,
        head: &mut RequestHead,
    ) -> Result<bool, HeadError> {
        let checked = self.check(lines, target_bytes_max)?;
        let all = lines.len();
        head.method = append(lines, all, checked.method, b"GET", checked.protocol.is_some());
        lines.push(b' ');
        head.target = append(lines, all, checked.path, b"", false);
        lines.extend_from_slice(b" HTTP/2.0\r\n");
        if let Some(authority) = self.authority {
            let field = push_field(lines, all, b"host: ", Some(authority), KnownField::Host);
            head.host = field.value;
            head.fields.push(field);
        }
        head.extended_connect = checked.protocol.is_some();
        if let Some(protocol) = checked.protocol {
            head.upgrade = Upgrade::Forwarded;
            head.websocket = protocol.of(lines).eq_ignore_ascii_case(b"websocket");
            head.fields.push(push_field(lines, all, b"upgrade: ", Some(protocol), KnownField::Upgrade));
            head.fields.push(push_field(lines, all, b"connection: Upgrade", None, KnownField::Connection));
        }
        // The line of the first field moves behind them.
        lines.extend_from_within(len..all);
        lines.drain(..all);
        Ok(checked.is_https)
    }

    fn check(&self, lines: &[u8], target_bytes_max: usize) -> Result<Checked, HeadError> {
        let missing = HeadError::Malformed(Violation::PseudoMissing);
        let method = self.method.ok_or(missing)?;
        let name = method.of(lines);
        if name.is_empty() || name.len() > METHOD_BYTES_MAX || !name.iter().copied().all(is_token_byte) {
            return Err(rejected(Violation::Method));
        }
        self.check_connect(name == b"CONNECT")?;
        let is_https = match self.scheme.ok_or(missing)?.of(lines) {
            scheme if scheme.eq_ignore_ascii_case(b"https") => true,
            scheme if scheme.eq_ignore_ascii_case(b"http") => false,
            _ => return Err(HeadError::Malformed(Violation::Scheme)),
        };
        let path = self.path.ok_or(missing)?;
        check_path(path.of(lines), name, target_bytes_max)?;
        if self.authority.is_some_and(|authority| !host::is_valid(authority.of(lines))) {
            return Err(rejected(Violation::HostInvalid));
        }
        if self.protocol.is_some_and(|protocol| !is_tunnelled(protocol.of(lines))) {
            return Err(rejected(Violation::TunnelProtocol));
        }
        Ok(Checked { method, path, protocol: self.protocol, is_https })
    }

    /// Checks the form of a CONNECT (RFC 9113 8.5, RFC 8441 4). Without a protocol it is never served.
    fn check_connect(&self, is_connect: bool) -> Result<(), HeadError> {
        match (is_connect, self.protocol) {
            (false, None) | (true, Some(_)) => Ok(()),
            (true, None) if self.scheme.is_none() && self.path.is_none() && self.authority.is_some() => {
                Err(rejected(Violation::Connect))
            }
            (true, None) | (false, Some(_)) => Err(HeadError::Malformed(Violation::ConnectForm)),
        }
    }
}

/// Appends the text of `span`, or `other` if `is_other`. Returns where it stands once the first `all` bytes are removed.
#[inline]
fn append(lines: &mut Vec<u8>, all: usize, span: Span, other: &[u8], is_other: bool) -> Span {
    let start = lines.len() - all;
    match is_other {
        true => lines.extend_from_slice(other),
        false => lines.extend_from_within(span.start as usize..span.end as usize),
    }
    Span::new(start, lines.len() - all)
}

/// Appends a line of `prefix` and the text of `value`. The name of the field ends at the colon. Without a value, it is in the prefix.
#[inline]
fn push_field(lines: &mut Vec<u8>, all: usize, prefix: &[u8], value: Option<Span>, known: KnownField) -> Field {
    let start = lines.len() - all;
    lines.extend_from_slice(prefix);
    if let Some(value) = value {
        lines.extend_from_within(value.start as usize..value.end as usize);
    }
    let end = lines.len() - all;
    lines.extend_from_slice(b"\r\n");
    let name_end = start + known.name().len();
    Field { name: Span::new(start, name_end), value: Span::new(name_end + 2, end), known, hop: false }
}

/// Checks `:path` like a target in origin form, or `*` with OPTIONS.
#[inline]
fn check_path(path: &[u8], method: &[u8], target_bytes_max: usize) -> Result<(), HeadError> {
    match path {
        [] => Err(HeadError::Malformed(Violation::PathEmpty)),
        _ if path.len() > target_bytes_max => Err(rejected(Violation::TargetTooLong)),
        _ if target_end(path, 0) < path.len() => Err(rejected(Violation::Target)),
        [b'/', ..] => check_escapes(path).map_err(rejected),
        b"*" if method == b"OPTIONS" => Ok(()),
        _ => Err(rejected(Violation::TargetForm)),
    }
}

/// Whether `:protocol` is a single protocol that may be tunnelled.
fn is_tunnelled(protocol: &[u8]) -> bool {
    let mut offer = UpgradeOffer::default();
    offer.add(protocol);
    offer.is_acceptable() && !protocol.contains(&b',')
}

pub(super) fn rejected(violation: Violation) -> HeadError {
    HeadError::Rejected(violation.into())
}
