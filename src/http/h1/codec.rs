//! What reading a request and reading a response have in common: bounds, progress, and when to look again.

/// Bounds of one head. static.md 11: about 1 MiB of head; everything above it is 431.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Start line, fields and the empty line together.
    pub head_bytes_max: usize,
    pub fields_max: usize,
    pub target_bytes_max: usize,
}

/// Default of [`Limits::head_bytes_max`]: Go's server default, which v1 used.
pub const HEAD_BYTES_MAX: usize = 1 << 20;
/// Default of [`Limits::fields_max`].
pub const FIELDS_MAX: usize = 256;
/// Default of [`Limits::target_bytes_max`]; RFC 9112 3 asks for at least 8000 octets of request line.
pub const TARGET_BYTES_MAX: usize = 64 << 10;
/// Longest method; a longer first word is garbage, not a method.
pub const METHOD_BYTES_MAX: usize = 32;
/// Options that all Connection fields of one head may name: each is compared with each field.
pub const CONNECTION_OPTIONS_MAX: usize = 64;
/// Empty lines that are skipped before a request line (RFC 9112 2.2).
pub const LEADING_LINES_MAX: usize = 2;

impl Default for Limits {
    fn default() -> Self {
        Limits { head_bytes_max: HEAD_BYTES_MAX, fields_max: FIELDS_MAX, target_bytes_max: TARGET_BYTES_MAX }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The head is whole; its `len` says where the body starts.
    Complete,
    /// More bytes are needed; the head's contents mean nothing yet.
    Partial,
}

/// Where the first empty line ends, looking only at what came after the first `from` bytes.
///
/// A caller whose last parse of `from` bytes was `Partial` asks this after each read, and parses again when it gets an answer or
/// when `bytes` has reached `head_bytes_max`: a head that drips in byte by byte is then scanned twice, not once per byte. A bare LF
/// counts as a line end here so that the parse comes soon and refuses it.
pub fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    // The LF of the line before may have come earlier, with a CR behind it.
    let mut at = from.saturating_sub(2).min(bytes.len());
    while let Some(found) = memchr::memchr(b'\n', &bytes[at..]) {
        at += found + 1;
        let end = match bytes[at..] {
            [b'\n', ..] => at + 1,
            [b'\r', b'\n', ..] => at + 2,
            _ => continue,
        };
        if end > from {
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_whichever_way_the_bytes_arrive() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        let end = text.len() - 4;
        for from in 0..end {
            assert_eq!(head_end(&text[..end - 1], from.min(end - 1)), None);
            assert_eq!(head_end(text, from), Some(end), "from {from}");
        }
        assert_eq!(head_end(text, end), None);
        assert_eq!(head_end(b"GET / HTTP/1.1\n\n", 0), Some(16));
        assert_eq!(head_end(b"", 0), None);
        assert_eq!(head_end(b"ab", 9), None);
    }
}
