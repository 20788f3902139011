//! The Content-Length of a message, for every version of HTTP.

use super::violation::Violation;

/// Notes a Content-Length: digits only, and only once (RFC 9110 8.6). Equal values may legally be merged; they are refused because only a
/// broken or hostile sender repeats them.
#[inline]
pub(super) fn note(length: &mut Option<u64>, value: &[u8]) -> Result<(), Violation> {
    let number = decimal(value).ok_or(Violation::LengthInvalid)?;
    match length.replace(number) {
        Some(_) => Err(Violation::LengthRepeated),
        None => Ok(()),
    }
}

/// Parses 1*DIGIT below 2^63.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let number = text.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    i64::try_from(number).ok().map(|_| number)
}
