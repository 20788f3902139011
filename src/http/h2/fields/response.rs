//! The head of a response, built while its fields are decoded.

use super::budget::Budget;
use super::request::value_span;
use super::{FieldRules, HeadError, framing};
use crate::http::connection_auth;
use crate::http::content_length;
use crate::http::h2::hpack::{Decoded, Name};
use crate::http::head::{BodyFraming, Field, ResponseHead, Version};
use crate::http::head_limits::HeadLimits;
use crate::http::keep_alive::KeepAlive;
use crate::http::known::KnownField;
use crate::http::span::Span;
use crate::http::violation::Violation;

pub(super) struct ResponseFields<'a> {
    head: &'a mut ResponseHead,
    budget: Budget,
    has_status: bool,
    length: Option<u64>,
}

impl<'a> ResponseFields<'a> {
    pub fn new(limits: &HeadLimits, head: &'a mut ResponseHead) -> Self {
        head.fields.clear();
        head.version = Version::Http2;
        head.keep_alive = true;
        head.has_date = false;
        head.binds_connection = false;
        head.announced = KeepAlive::default();
        let budget = Budget::new(limits.head_bytes_max, limits.fields_max);
        ResponseFields { head, budget, has_status: false, length: None }
    }

    /// Completes the head once all fields have been taken.
    pub fn finish(&mut self, lines: &mut Vec<u8>, end_stream: bool, to_head: bool) -> Result<(), HeadError> {
        if !self.has_status {
            return Err(HeadError::Malformed(Violation::PseudoMissing));
        }
        lines.extend_from_slice(b"\r\n");
        let head = &mut *self.head;
        head.len = lines.len();
        if head.status < 200 && end_stream {
            return Err(HeadError::Malformed(Violation::InterimEnd));
        }
        // Here the length is that of the content that another request would get (RFC 9110 8.6).
        let is_bodiless = to_head || matches!(head.status, 100..200 | 204 | 304);
        head.body = if is_bodiless { BodyFraming::None } else { framing(self.length, end_stream)? };
        Ok(())
    }

    /// Writes the first line in place of `:status`.
    fn status(&mut self, lines: &mut Vec<u8>, field: &Decoded) -> Result<(), HeadError> {
        let text = value_span(field.start, field).of(lines);
        let status = match text {
            [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] => {
                text.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
            }
            _ => return Err(HeadError::Malformed(Violation::Status)),
        };
        if status == 101 {
            return Err(HeadError::Malformed(Violation::SwitchingProtocols));
        }
        self.has_status = true;
        self.head.status = status;
        lines.truncate(field.start);
        lines.extend_from_slice(b"HTTP/2.0 ");
        lines.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        lines.extend_from_slice(b" \r\n");
        let end = lines.len() - 2;
        self.head.reason = Span::new(end, end);
        Ok(())
    }

    #[inline]
    fn regular(&mut self, lines: &mut Vec<u8>, known: KnownField, field: &Decoded) -> Result<(), HeadError> {
        let value = value_span(field.start, field);
        let text = value.of(lines);
        match known {
            KnownField::Connection
            | KnownField::KeepAlive
            | KnownField::ProxyConnection
            | KnownField::TransferEncoding
            | KnownField::Upgrade => return Err(HeadError::Malformed(Violation::ConnectionField)),
            KnownField::ContentLength => {
                let before = self.length;
                match content_length::note(&mut self.length, text) {
                    Ok(()) => {}
                    Err(Violation::LengthRepeated) if self.length == before => {
                        lines.truncate(field.start);
                        return Ok(());
                    }
                    Err(rule) => return Err(HeadError::Malformed(rule)),
                }
            }
            KnownField::Date => self.head.has_date = true,
            KnownField::WwwAuthenticate | KnownField::ProxyAuthenticate => {
                self.head.binds_connection |= connection_auth::has_bound_challenge(text);
            }
            _ => {}
        }
        let name = Span::new(field.start, field.start + field.name_len);
        self.head.fields.push(Field { name, value, known, hop: false });
        Ok(())
    }
}

/// Trims the whitespace around the value of the last line, of which every program reads the value alike.
#[inline]
pub(super) fn trim_value(lines: &mut Vec<u8>, field: &mut Decoded) -> Result<(), HeadError> {
    match field.value_fault {
        None => Ok(()),
        Some(Violation::ValueSpace) => {
            let value = value_span(field.start, field);
            let text = value.of(lines);
            let before = text.len() - text.trim_ascii_start().len();
            let len = text.trim_ascii().len();
            let start = value.start as usize;
            lines.copy_within(start + before..start + before + len, start);
            lines.truncate(start + len);
            lines.extend_from_slice(b"\r\n");
            field.value_len = len;
            Ok(())
        }
        Some(rule) => Err(HeadError::Malformed(rule)),
    }
}

impl FieldRules for ResponseFields<'_> {
    fn budget(&self) -> &Budget {
        &self.budget
    }

    fn field(&mut self, lines: &mut Vec<u8>, mut field: Decoded) -> Result<(), HeadError> {
        self.budget.charge(&field).map_err(HeadError::Malformed)?;
        trim_value(lines, &mut field)?;
        match field.name {
            Name::Invalid(rule) => Err(HeadError::Malformed(rule)),
            Name::Field(_) if !self.has_status => Err(HeadError::Malformed(Violation::PseudoMissing)),
            Name::Field(known) => self.regular(lines, known, &field),
            Name::Status if self.has_status => Err(HeadError::Malformed(Violation::PseudoRepeated)),
            _ if !self.head.fields.is_empty() => Err(HeadError::Malformed(Violation::PseudoAfterField)),
            Name::Status => self.status(lines, &field),
            _ => Err(HeadError::Malformed(Violation::PseudoUnknown)),
        }
    }
}
