//! JSON as Go's encoder writes it: compact, with `<`, `>`, `&`, U+2028 and U+2029 escaped, so that a client's text can neither end
//! a line nor become markup.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// Serializes the value as compact JSON, without a newline at the end. The types of this crate always serialize: their keys are
/// strings.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let written = value.serialize(&mut Serializer::with_formatter(&mut out, GoStyle));
    debug_assert!(written.is_ok(), "to_json was given a value whose keys are not strings");
    out
}

/// Appends a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
pub fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends the content of a JSON string, escaped but without quotes.
pub fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    // The fast path: a log line has about thirty texts, and nearly all of them are plain.
    if is_plain(text) {
        return out.extend_from_slice(text);
    }
    for chunk in text.utf8_chunks() {
        push_fragment(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Whether the text is ASCII without a byte that needs an escape. Checks whole blocks, the last of which overlaps the one before,
/// without a branch for each byte.
pub fn is_plain(text: &[u8]) -> bool {
    fn all(bytes: &[u8]) -> bool {
        bytes.iter().fold(true, |plain, &byte| plain & is_plain_byte(byte))
    }
    fn in_blocks<const N: usize>(text: &[u8]) -> Option<bool> {
        let last = text.last_chunk::<N>()?;
        Some(text.as_chunks::<N>().0.iter().all(|block| all(block)) && all(last))
    }
    in_blocks::<16>(text).or_else(|| in_blocks::<8>(text)).or_else(|| in_blocks::<4>(text)).unwrap_or_else(|| all(text))
}

fn is_plain_byte(byte: u8) -> bool {
    let needs_escape = (byte == b'"') | (byte == b'\\') | (byte == b'<') | (byte == b'>') | (byte == b'&');
    (b' '..0x7f).contains(&byte) & !needs_escape
}

fn push_fragment(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let len = match byte {
            b'"' | b'\\' | b'<' | b'>' | b'&' | 0..=0x1f | 0x7f => 1,
            0xe2 if is_line_separator(&bytes[at..]) => 3,
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain_from..at]);
        push_escape(out, &bytes[at..at + len]);
        plain_from = at + len;
    }
    out.extend_from_slice(&bytes[plain_from..]);
}

/// Whether the bytes begin with U+2028 or U+2029, which end a line for some readers.
fn is_line_separator(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xe2, 0x80, 0xa8]) || bytes.starts_with(&[0xe2, 0x80, 0xa9])
}

fn push_escape(out: &mut Vec<u8>, character: &[u8]) {
    match character {
        b"\"" => out.extend_from_slice(b"\\\""),
        b"\\" => out.extend_from_slice(b"\\\\"),
        b"\n" => out.extend_from_slice(b"\\n"),
        b"\r" => out.extend_from_slice(b"\\r"),
        b"\t" => out.extend_from_slice(b"\\t"),
        [0xe2, _, last] => out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" }),
        other => {
            out.extend_from_slice(b"\\u00");
            push_hex(out, other[0]);
        }
    }
}

/// Appends two lower-case hexadecimal digits.
pub fn push_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

/// Compact formatting with Go's escapes for markup.
struct GoStyle;

impl Formatter for GoStyle {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut escaped = Vec::with_capacity(fragment.len());
        push_fragment(&mut escaped, fragment);
        writer.write_all(&escaped)
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        let character = match escape {
            CharEscape::Quote => b'"',
            CharEscape::ReverseSolidus => b'\\',
            CharEscape::Solidus => return writer.write_all(b"/"),
            CharEscape::Backspace => 8,
            CharEscape::FormFeed => 12,
            CharEscape::LineFeed => b'\n',
            CharEscape::CarriageReturn => b'\r',
            CharEscape::Tab => b'\t',
            CharEscape::AsciiControl(byte) => byte,
        };
        let mut escaped = Vec::with_capacity(6);
        push_escape(&mut escaped, &[character]);
        writer.write_all(&escaped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_is_escaped_as_in_go_and_parses_back() {
        let text = "a\"b\\c\n\r\t\u{1}\u{7f}<&>\u{2028}é\u{1f600}";
        let mut out = Vec::new();
        push_string(&mut out, text.as_bytes());
        let expected = "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f\\u003c\\u0026\\u003e\\u2028é\u{1f600}\"";
        assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        assert_eq!(to_json(text), out);
    }

    #[test]
    fn every_ascii_byte_is_plain_or_escaped() {
        for byte in 0..=0x7f_u8 {
            // The fast path for plain texts, and the slow path, which the zero byte forces.
            let (mut fast, mut slow) = (Vec::new(), Vec::new());
            push_escaped(&mut fast, &[byte]);
            push_escaped(&mut slow, &[byte, 0]);
            assert_eq!([&fast[..], b"\\u0000"].concat(), slow, "{byte:#x}");
            let quoted = [b"\"", &fast[..], b"\""].concat();
            assert_eq!(serde_json::from_slice::<String>(&quoted).unwrap().as_bytes(), [byte]);
        }
    }

    #[test]
    fn byte_that_needs_escape_is_found_at_any_position() {
        for len in 0..40 {
            let mut text = vec![b'a'; len];
            assert!(is_plain(&text));
            for at in 0..len {
                for byte in [b'"', b'\\', b'<', b'>', b'&', 0x1f, 0x7f, 0x80, 0xff] {
                    text[at] = byte;
                    assert!(!is_plain(&text), "{byte:#x} at {at} of {len}");
                }
                text[at] = b'~';
                assert!(is_plain(&text));
            }
        }
    }

    #[test]
    fn invalid_utf8_becomes_replacement_character() {
        let mut out = Vec::new();
        push_string(&mut out, b"a\xffb\xe2\x80");
        assert_eq!(out, b"\"a\\ufffdb\\ufffd\"");
    }
}
