//! Scans field lines, reading each byte once from left to right.

use super::progress::HeadLimits;
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

/// The first byte at or after `at` that is below 0x20 or DEL; the length if there is none.
pub(super) fn first_control(bytes: &[u8], mut at: usize) -> usize {
    // Long values are scanned first in blocks that the compiler turns into vector comparisons.
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let hit = block.iter().fold(0, |hit, byte| hit | u8::from(*byte < 0x20) | u8::from(*byte == 0x7f));
        if hit != 0 {
            break;
        }
        at += 16;
    }
    first(bytes, at, |word| below(word, 0x20) | equal(word, 0x7f), |byte| byte < 0x20 || byte == 0x7f)
}

/// The first byte at or after `at` that cannot be in a request target: a control, a space, DEL, `#`; the length if there is none.
pub(crate) fn target_end(bytes: &[u8], at: usize) -> usize {
    first(
        bytes,
        at,
        |word| below(word, 0x21) | equal(word, 0x7f) | equal(word, b'#'),
        |byte| byte < 0x21 || byte == 0x7f || byte == b'#',
    )
}

/// The first byte at or after `at` that matches; the length if there is none. `mark_word` sets the highest bit of each matching byte of
/// eight, and `matches_byte` tests one byte of a shorter rest. A borrow in `mark_word` can mark bytes above a real match, never below
/// it, so the lowest mark is always right.
fn first(bytes: &[u8], mut at: usize, mark_word: impl Fn(u64) -> u64, matches_byte: impl Fn(u8) -> bool) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let marks = mark_word(u64::from_le_bytes(*chunk));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && !matches_byte(bytes[at]) {
        at += 1;
    }
    at
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of `word` that are below `bound`.
fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGHS
}

/// Marks the bytes of `word` that equal `byte`.
fn equal(word: u64, byte: u8) -> u64 {
    let difference = word ^ (ONES * u64::from(byte));
    difference.wrapping_sub(ONES) & !difference & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn word_scan_finds_the_same_byte_as_a_byte_scan(bytes in proptest::collection::vec(any::<u8>(), 0..64), at in 0usize..64) {
            let at = at.min(bytes.len());
            let slow = |stop: fn(u8) -> bool| {
                bytes[at..].iter().position(|b| stop(*b)).map_or(bytes.len(), |n| n + at)
            };
            prop_assert_eq!(first_control(&bytes, at), slow(|b| b < 0x20 || b == 0x7f));
            prop_assert_eq!(target_end(&bytes, at), slow(|b| b < 0x21 || b == 0x7f || b == b'#'));
        }
    }
}
