//! Resolves the escapes in label values. Traefik puts values between the quotes of generated toml, so a rule that needs `\d` is written
//! `\\d` in labels (docs/reference/labels.md#label-text).

use std::fmt;

/// The reason why a label's value cannot stand between the quotes of a toml string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidEscape {
    /// A `"` without a backslash.
    Quote,
    /// A line break; it must be written `\n`.
    LineBreak,
    /// A backslash followed by a character that makes no escape; the text is empty if the value ends with the backslash.
    Unknown(String),
    /// `\uXXXX` or `\UXXXXXXXX` without enough hex digits, or with a number that is no character.
    NoCharacter(String),
}

/// Resolves `\b \t \n \f \r \" \\ \uXXXX \UXXXXXXXX`.
pub fn unescape(value: &str) -> Result<String, InvalidEscape> {
    let mut text = String::with_capacity(value.len());
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => return Err(InvalidEscape::Quote),
            '\n' | '\r' => return Err(InvalidEscape::LineBreak),
            '\\' => text.push(escaped(&mut rest)?),
            _ => text.push(c),
        }
    }
    Ok(text)
}

fn escaped(rest: &mut std::str::Chars) -> Result<char, InvalidEscape> {
    match rest.next() {
        Some('b') => Ok('\u{8}'),
        Some('t') => Ok('\t'),
        Some('n') => Ok('\n'),
        Some('f') => Ok('\u{c}'),
        Some('r') => Ok('\r'),
        Some('"') => Ok('"'),
        Some('\\') => Ok('\\'),
        Some('u') => code_point(rest, 'u', 4),
        Some('U') => code_point(rest, 'U', 8),
        Some(other) => Err(InvalidEscape::Unknown(other.to_string())),
        None => Err(InvalidEscape::Unknown(String::new())),
    }
}

fn code_point(rest: &mut std::str::Chars, kind: char, digits: usize) -> Result<char, InvalidEscape> {
    let hex: String = rest.by_ref().take(digits).collect();
    let invalid = || InvalidEscape::NoCharacter(format!("\\{kind}{hex}"));
    if hex.len() != digits || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(invalid());
    }
    u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32).ok_or_else(invalid)
}

impl fmt::Display for InvalidEscape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidEscape::Quote => f.write_str("it contains a bare double quote: write \\\" instead"),
            InvalidEscape::LineBreak => f.write_str("it contains a line break: remove it, or write \\n instead"),
            InvalidEscape::Unknown(c) => {
                write!(f, "\\{c} is no escape: for a backslash in the text write two, as in \\\\{c}")
            }
            InvalidEscape::NoCharacter(text) => {
                write!(f, "{text} names no character: write \\uXXXX or \\UXXXXXXXX with hexadecimal digits")
            }
        }
    }
}

impl std::error::Error for InvalidEscape {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescape_resolves_every_escape() {
        let all = "a\\b\\t\\n\\f\\r\\\"\\\\\\u00e9\\U0001F600z";
        assert_eq!(unescape(all).unwrap(), "a\u{8}\t\n\u{c}\r\"\\\u{e9}\u{1f600}z");
        assert_eq!(unescape("Path:/{id:\\\\d+}").unwrap(), "Path:/{id:\\d+}");
        assert_eq!(unescape("").unwrap(), "");
    }

    #[test]
    fn unescape_rejects_text_that_breaks_toml() {
        assert_eq!(unescape("a\"b"), Err(InvalidEscape::Quote));
        assert_eq!(unescape("a\nb"), Err(InvalidEscape::LineBreak));
        assert_eq!(unescape("\\d"), Err(InvalidEscape::Unknown("d".into())));
        assert_eq!(unescape("end\\"), Err(InvalidEscape::Unknown(String::new())));
        for short in ["\\u12", "\\uD800", "\\U00110000", "\\u+123"] {
            assert!(matches!(unescape(short), Err(InvalidEscape::NoCharacter(_))), "{short}");
        }
    }
}
