//! Finds bytes that end a field value or a request target, eight or more bytes at once.

/// The first byte at or after `at` that is below 0x20 or DEL; the length if there is none.
#[inline]
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
#[inline]
pub(super) fn target_end(bytes: &[u8], at: usize) -> usize {
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
