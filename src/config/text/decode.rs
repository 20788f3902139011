//! Turns the bytes of a configuration file into text. Traefik reads any bytes; TOML is UTF-8. A byte of another encoding in a comment costs
//! nothing, anywhere else the error names its place.

use super::invalid::{InvalidConfig, SourceText};
use crate::diagnostics::Code;

/// Decodes a TOML file; `file` is its name for messages. A byte order mark is skipped. Bytes of comments that are not UTF-8 (Latin-1, most
/// likely) become question marks.
///
/// # Errors
/// A byte outside comments that is not UTF-8, or another encoding altogether. The error's text shows file, line and column.
pub fn decode(bytes: Vec<u8>, file: &str) -> Result<String, InvalidConfig> {
    let bytes = match bytes.as_slice() {
        [0xef, 0xbb, 0xbf, rest @ ..] => rest.to_vec(),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(utf16(file)),
        _ => bytes,
    };
    let mut bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(e) => e.into_bytes(),
    };
    let comments = comments(&bytes);
    let mut first_outside = None;
    let mut at = 0;
    // Each replaced byte has the length of its replacement, so that later places stay right.
    while let Err(e) = std::str::from_utf8(&bytes[at..]) {
        let from = at + e.valid_up_to();
        let until = e.error_len().map_or(bytes.len(), |length| from + length);
        if first_outside.is_none() && !comments.iter().any(|comment| comment.contains(&from)) {
            first_outside = Some((from, bytes[from]));
        }
        bytes[from..until].fill(b'?');
        at = until;
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match first_outside {
        None => Ok(text),
        Some((from, byte)) => {
            let message = format!("byte 0x{byte:02X} is not UTF-8");
            let help = "save the file as UTF-8; it is probably Latin-1".to_owned();
            Err(InvalidConfig::at(&SourceText { text: &text, file }, from..from + 1, Code::InvalidToml, message, help))
        }
    }
}

fn utf16(file: &str) -> InvalidConfig {
    let (message, help) = ("the file is UTF-16".to_owned(), "save it as UTF-8".to_owned());
    InvalidConfig::at(&SourceText { text: "?", file }, 0..1, Code::InvalidToml, message, help)
}

/// The byte ranges of the comments. A `#` inside of a string begins none.
fn comments(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        at = match bytes[at] {
            b'#' => {
                let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length);
                found.push(at..end);
                end
            }
            quote @ (b'"' | b'\'') => string_end(bytes, at, quote),
            _ => at + 1,
        };
    }
    found
}

/// The end of the string that begins at `start`. A string of one line ends with its line at the latest.
fn string_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let is_triple = |at: usize| bytes[at..].starts_with(&[quote; 3]);
    let is_long = is_triple(start);
    let mut at = start + if is_long { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' => at += 1,
            b'\n' if !is_long => return at,
            byte if byte == quote && !is_long => return at + 1,
            byte if byte == quote && is_triple(at) => return at + 3,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<String, (usize, usize, String)> {
        decode(bytes.to_vec(), "t.toml").map_err(|e| (e.line, e.column, format!("{}; {}", e.message, e.help)))
    }

    #[test]
    fn bytes_of_comments_may_have_any_encoding() {
        assert_eq!(decoded(b"# Z\xfcrich \xe4\xf6\na = 1 # \xff\r\nb = 2").unwrap(), "# Z?rich ??\na = 1 # ?\r\nb = 2");
        assert_eq!(decoded("# ü\na = 'ü'".as_bytes()).unwrap(), "# ü\na = 'ü'");
        assert_eq!(decoded(b"a = '''\n#'''#\xe4").unwrap(), "a = '''\n#'''#?");
        assert_eq!(decoded(b"a = \"\\\"#\" # \xe4").unwrap(), "a = \"\\\"#\" # ?");
    }

    #[test]
    fn byte_outside_comments_is_named_with_line_and_column() {
        let text = "byte 0xE4 is not UTF-8; save the file as UTF-8; it is probably Latin-1".to_owned();
        assert_eq!(decoded(b"# \xfc\na = \"\xe4\"").unwrap_err(), (2, 6, text.clone()));
        assert_eq!(decoded(b"a = '#\xe4'").unwrap_err(), (1, 7, text.clone()));
        assert_eq!(decoded(b"a = \"\"\"\n# \xe4\n\"\"\"").unwrap_err(), (2, 3, text.clone()));
        assert_eq!(
            decoded("# ü\nü = \"".bytes().chain([0xe4]).collect::<Vec<_>>().as_slice()).unwrap_err(),
            (2, 6, text)
        );
    }

    #[test]
    fn byte_order_marks_are_skipped_or_named() {
        assert_eq!(decoded(b"\xef\xbb\xbfa = 1").unwrap(), "a = 1");
        for start in [b"\xff\xfea\0", b"\xfe\xff\0a"] {
            assert_eq!(decoded(start).unwrap_err().2, "the file is UTF-16; save it as UTF-8");
        }
    }
}
