//! Tokens (RFC 9110 5.6.2): the characters of methods and field names.

/// The end of the token that starts at `at`, and whether the token contains a `_`.
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

/// Whether RFC 9110 5.6.2 allows the byte in a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize] != 0
}

const UNDERSCORE: u8 = 2;

/// The class of each byte: 0 is not a token byte, 1 is a token byte, 2 is the underscore.
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
