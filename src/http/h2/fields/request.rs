//! The head of a request, built while its fields are decoded.

use super::budget::Budget;
use super::pseudo::{Pseudo, rejected};
use super::{FieldRules, HeadError, cookies, framing};
use crate::http::h2::hpack::{Decoded, Name};
use crate::http::head::{BodyFraming, Field, RequestHead, Upgrade, Version};
use crate::http::head_limits::HeadLimits;
use crate::http::host_name::is_same_host;
use crate::http::known::KnownField;
use crate::http::span::Span;
use crate::http::violation::Violation;
use crate::http::{connection_auth, content_length, host};

pub(super) struct RequestFields<'a> {
    head: &'a mut RequestHead,
    target_bytes_max: usize,
    budget: Budget,
    pseudo: Pseudo,
    /// The pseudo-header fields are complete, and their lines are written.
    is_open: bool,
    is_https: bool,
    has_host_field: bool,
    expects_continue: bool,
    length: Option<u64>,
    /// Cookie fields in the head.
    cookies: usize,
}

impl<'a> RequestFields<'a> {
    pub fn new(limits: &HeadLimits, head: &'a mut RequestHead) -> Self {
        head.fields.clear();
        head.host = Span::default();
        head.version = Version::Http2;
        head.keep_alive = true;
        head.upgrade = Upgrade::None;
        head.websocket = false;
        head.binds_connection = false;
        head.target_is_empty = false;
        head.extended_connect = false;
        RequestFields {
            head,
            target_bytes_max: limits.target_bytes_max,
            budget: Budget::new(limits.head_bytes_max, limits.fields_max),
            pseudo: Pseudo::default(),
            is_open: false,
            is_https: false,
            has_host_field: false,
            expects_continue: false,
            length: None,
            cookies: 0,
        }
    }

    /// Completes the head once all fields have been taken.
    pub fn finish(&mut self, lines: &mut Vec<u8>, end_stream: bool) -> Result<(), HeadError> {
        if !self.is_open {
            self.open(lines, lines.len())?;
        }
        if self.pseudo.authority.is_none() && !self.has_host_field {
            return Err(rejected(Violation::HostMissing));
        }
        if self.cookies > 1 {
            cookies::join(lines, &mut self.head.fields);
            // A Host field behind the crumbs has moved with its line.
            let host = self.head.fields.iter().find(|field| field.known == KnownField::Host);
            self.head.host = host.map_or(self.head.host, |field| field.value);
        }
        lines.extend_from_slice(b"\r\n");
        let body = framing(self.length, end_stream)?;
        let head = &mut *self.head;
        head.len = lines.len();
        // The data of an extended CONNECT are those of the tunnel.
        head.body = if head.extended_connect { BodyFraming::None } else { body };
        head.expect_continue = self.expects_continue && head.body != BodyFraming::None;
        Ok(())
    }

    /// Writes the first lines of the head in place of the pseudo-header fields, which end at `pseudo_end`.
    fn open(&mut self, lines: &mut Vec<u8>, pseudo_end: usize) -> Result<(), HeadError> {
        self.is_open = true;
        self.is_https = self.pseudo.write_lines(lines, pseudo_end, self.target_bytes_max, self.head)?;
        Ok(())
    }

    #[inline]
    fn regular(
        &mut self,
        lines: &mut Vec<u8>,
        known: KnownField,
        start: usize,
        field: &Decoded,
    ) -> Result<(), HeadError> {
        let value = value_span(start, field);
        if known != KnownField::Other && !self.note(lines, known, start, value)? {
            return Ok(());
        }
        let name = Span::new(start, start + field.name_len);
        self.head.fields.push(Field { name, value, known, hop: false });
        Ok(())
    }

    /// Interprets a field that the proxy knows. Returns whether its line stays a field.
    fn note(&mut self, lines: &mut Vec<u8>, known: KnownField, start: usize, value: Span) -> Result<bool, HeadError> {
        let text = value.of(lines);
        match known {
            KnownField::Connection
            | KnownField::KeepAlive
            | KnownField::ProxyConnection
            | KnownField::TransferEncoding
            | KnownField::Upgrade => return Err(HeadError::Malformed(Violation::ConnectionField)),
            KnownField::Te if !text.eq_ignore_ascii_case(b"trailers") => {
                return Err(HeadError::Malformed(Violation::TeNotTrailers));
            }
            KnownField::Host => return self.note_host(lines, start, value),
            KnownField::Cookie => return Ok(self.note_cookie(lines, value)),
            KnownField::Expect if text.eq_ignore_ascii_case(b"100-continue") => self.expects_continue = true,
            KnownField::Expect => return Err(rejected(Violation::Expectation)),
            KnownField::Authorization => self.head.binds_connection |= connection_auth::is_bound_credential(text),
            KnownField::ContentLength => {
                content_length::note(&mut self.length, text).map_err(HeadError::Malformed)?;
            }
            _ => {}
        }
        Ok(true)
    }

    /// Compares Host with the authority, beside which its line is dropped.
    fn note_host(&mut self, lines: &mut Vec<u8>, start: usize, value: Span) -> Result<bool, HeadError> {
        if std::mem::replace(&mut self.has_host_field, true) {
            return Err(rejected(Violation::HostRepeated));
        }
        let text = value.of(lines);
        if !host::is_valid(text) {
            return Err(rejected(Violation::HostInvalid));
        }
        if self.pseudo.authority.is_none() {
            self.head.host = value;
            return Ok(true);
        }
        let default_port: &[u8] = if self.is_https { b"443" } else { b"80" };
        if !is_same_host(text, self.head.host.of(lines), default_port) {
            return Err(HeadError::Malformed(Violation::HostDiffers));
        }
        lines.truncate(start);
        Ok(false)
    }

    /// Joins a crumb to the one before it. Crumbs with other fields in between are joined at the end.
    fn note_cookie(&mut self, lines: &mut Vec<u8>, value: Span) -> bool {
        match self.head.fields.last_mut() {
            Some(before) if before.known == KnownField::Cookie => {
                cookies::append_crumb(lines, before, value);
                false
            }
            _ => {
                self.cookies += 1;
                true
            }
        }
    }
}

/// The value of a field whose line starts at `start`.
#[inline]
pub(super) fn value_span(start: usize, field: &Decoded) -> Span {
    let value_start = start + field.name_len + 2;
    Span::new(value_start, value_start + field.value_len)
}

impl FieldRules for RequestFields<'_> {
    fn budget(&self) -> &Budget {
        &self.budget
    }

    #[inline]
    fn field(&mut self, lines: &mut Vec<u8>, field: Decoded) -> Result<(), HeadError> {
        self.budget.charge(&field).map_err(rejected)?;
        if let Some(fault) = field.value_fault {
            return Err(HeadError::Malformed(fault));
        }
        let mut start = field.start;
        match field.name {
            Name::Invalid(rule) => Err(HeadError::Malformed(rule)),
            Name::Field(known) => {
                if !self.is_open {
                    let line_len = lines.len() - start;
                    self.open(lines, start)?;
                    start = lines.len() - line_len;
                }
                self.regular(lines, known, start, &field)
            }
            _ if self.is_open => Err(HeadError::Malformed(Violation::PseudoAfterField)),
            name => self.pseudo.note(name, value_span(start, &field)),
        }
    }
}
