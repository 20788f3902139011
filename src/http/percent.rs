//! Percent escapes of URLs (RFC 3986 2.1).

use std::borrow::Cow;

/// Decodes the escapes of a text. A `%` that no valid escape follows stays. Copies only a text that contains a `%`.
pub fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        match behind.get(..2).filter(|_| first == b'%').and_then(hex_byte) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    Cow::Owned(bytes)
}

/// The value of two hexadecimal digits, or `None` for any other text.
pub fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match digits {
        [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn escapes_are_decoded_and_other_percent_signs_stay() {
        for (text, expected) in [("a%2Fb%20c", "a/b c"), ("100%", "100%"), ("%zz%+1%4", "%zz%+1%4"), ("%2525", "%25")] {
            assert_eq!(decoded(text.as_bytes()), expected.as_bytes());
        }
    }
}
