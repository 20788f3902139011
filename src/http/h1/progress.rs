//! Shared by the parsers of request and response heads: progress, and when to parse again.

pub use crate::http::head_limits::HeadLimits;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseProgress {
    /// The head is complete; its `len` says where the body starts.
    Complete,
    /// More bytes are needed; the contents of the head are meaningless.
    Partial,
}

/// The end of the first empty line that ends after the first `from` bytes.
///
/// A caller whose parse of `from` bytes was `Partial` calls this after each read, and parses again if the result is `Some` or if `bytes`
/// has reached `head_bytes_max`. A head that arrives byte by byte is then scanned twice, not once per byte. A bare LF counts as a line end,
/// so that the head is parsed soon and refused.
pub fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    // The first `from` bytes may end with the LF of the previous line, or with that LF and a CR.
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
    fn head_end_is_found_for_every_split_of_the_input() {
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
