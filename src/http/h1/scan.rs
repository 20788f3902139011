//! Scans field lines, reading each byte once from left to right.

use super::progress::HeadLimits;
use crate::http::byte_scan::first_control;
use crate::http::head::Field;
use crate::http::known::KnownField;
use crate::http::span::Span;
use crate::http::token::token_end;
use crate::http::violation::Violation;

/// The result of a scan of field lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scanned {
    /// The fields are complete; the body starts at this offset, after the empty line.
    Complete(usize),
    /// More bytes are needed.
    Partial,
}

/// Reads field lines from `at` up to and including the empty line, and appends them to `fields`.
pub(super) fn fields(
    bytes: &[u8],
    mut at: usize,
    limits: &HeadLimits,
    fields: &mut Vec<Field>,
) -> Result<Scanned, Violation> {
    loop {
        match bytes.get(at) {
            None => return Ok(Scanned::Partial),
            Some(b'\r') => {
                return match bytes.get(at + 1) {
                    None => Ok(Scanned::Partial),
                    Some(b'\n') => Ok(Scanned::Complete(at + 2)),
                    Some(_) => Err(Violation::BareCr),
                };
            }
            Some(b'\n') => return Err(Violation::BareLf),
            Some(b' ' | b'\t') if fields.is_empty() => return Err(Violation::LeadingSpace),
            Some(b' ' | b'\t') => return Err(Violation::Fold),
            Some(_) => {}
        }
        if fields.len() >= limits.fields_max {
            return Err(Violation::TooManyFields);
        }
        match field_line(bytes, at)? {
            Some((field, next)) => {
                fields.push(field);
                at = next;
            }
            None => return Ok(Scanned::Partial),
        }
    }
}

/// The field line at `at`, and the start of the next line; `None` if more bytes are needed.
fn field_line(bytes: &[u8], at: usize) -> Result<Option<(Field, usize)>, Violation> {
    let (name_end, underscore) = token_end(bytes, at);
    match bytes.get(name_end) {
        None => return Ok(None),
        Some(b':') if name_end == at => return Err(Violation::EmptyName),
        Some(b':') => {}
        Some(b' ' | b'\t') => return Err(Violation::SpaceBeforeColon),
        Some(b'\r' | b'\n') => return Err(Violation::NoColon),
        Some(_) => return Err(Violation::NameByte),
    }
    let mut start = name_end + 1;
    while let Some(b' ' | b'\t') = bytes.get(start) {
        start += 1;
    }
    let Some((line_end, next)) = value_line_end(bytes, start)? else { return Ok(None) };
    let mut end = line_end;
    while end > start && matches!(bytes[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    let known = KnownField::of_name(&bytes[at..name_end], underscore);
    let field = Field { name: Span::new(at, name_end), value: Span::new(start, end), known, hop: false };
    Ok(Some((field, next)))
}

/// The end of a value (or reason phrase) that begins at `at`, and the start of the line after its CRLF; `None` if more bytes are needed.
pub(super) fn value_line_end(bytes: &[u8], mut at: usize) -> Result<Option<(usize, usize)>, Violation> {
    loop {
        at = first_control(bytes, at);
        match bytes.get(at) {
            None => return Ok(None),
            Some(b'\t') => at += 1,
            Some(b'\n') => return Err(Violation::BareLf),
            Some(b'\r') => {
                return match bytes.get(at + 1) {
                    None => Ok(None),
                    Some(b'\n') => Ok(Some((at, at + 2))),
                    Some(_) => Err(Violation::BareCr),
                };
            }
            Some(_) => return Err(Violation::ValueByte),
        }
    }
}
