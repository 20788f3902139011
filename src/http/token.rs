//! Tokens (RFC 9110 5.6.2): the characters of methods and field names.

/// The end of the token that starts at `at`, and whether the token contains a `_`.
pub(super) fn token_end(bytes: &[u8], at: usize) -> (usize, bool) {
    let (end, seen) = classes(bytes, at);
    (end, seen & UNDERSCORE != 0)
}

/// A text that may be a token in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LowerToken {
    Valid {
        underscore: bool,
    },
    /// The text is a token, but contains an upper case letter.
    Upper,
    Invalid,
}

/// Whether a text is a token in lower case.
pub(super) fn lower_token(text: &[u8]) -> LowerToken {
    match classes(text, 0) {
        (end, _) if end < text.len() || text.is_empty() => LowerToken::Invalid,
        (_, seen) if seen & UPPER != 0 => LowerToken::Upper,
        (_, seen) => LowerToken::Valid { underscore: seen & UNDERSCORE != 0 },
    }
}

/// The end of the token that starts at `at`, and the classes of its bytes.
fn classes(bytes: &[u8], at: usize) -> (usize, u8) {
    let mut seen = 0;
    let mut end = at;
    for &byte in &bytes[at..] {
        let class = TOKEN[byte as usize];
        if class == 0 {
            break;
        }
        seen |= class;
        end += 1;
    }
    (end, seen)
}

/// Whether RFC 9110 5.6.2 allows the byte in a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize] != 0
}

const UNDERSCORE: u8 = 2;
const UPPER: u8 = 4;

/// The class of each byte: 0 is not a token byte, 1 is a token byte, 2 is the underscore, 4 an upper case letter.
static TOKEN: [u8; 256] = token_table();

const fn token_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = match c {
            b'_' => UNDERSCORE,
            b'A'..=b'Z' => UPPER,
            b'0'..=b'9' | b'a'..=b'z' => 1,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'`' | b'|' | b'~' => 1,
            _ => 0,
        };
        byte += 1;
    }
    table
}
