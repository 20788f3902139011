//! Tokens (RFC 9110 5.6.2): the characters of methods and field names.

/// Where the token that starts at `at` ends, and whether a `_` was in it.
pub(super) fn token_end(bytes: &[u8], at: usize) -> (usize, bool) {
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
    (end, seen & UNDERSCORE != 0)
}

/// A byte that RFC 9110 5.6.2 allows in a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize] != 0
}

const UNDERSCORE: u8 = 2;

/// Per byte: 0 no token byte, 1 token byte, 2 the underscore.
static TOKEN: [u8; 256] = token_table();

const fn token_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = match c {
            b'_' => UNDERSCORE,
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => 1,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'`' | b'|' | b'~' => 1,
            _ => 0,
        };
        byte += 1;
    }
    table
}
