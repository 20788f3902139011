//! What reading a request and reading a response have in common: bounds, progress, and when to look again.

use crate::limits;

/// Bounds of one head: above them 431 or 414 for a request, 502 for a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Start line, fields and the empty line together.
    pub head_bytes_max: usize,
    pub fields_max: usize,
    pub target_bytes_max: usize,
}

impl HeadLimits {
    /// Those of a client's request.
    pub const REQUEST: HeadLimits = HeadLimits {
        head_bytes_max: limits::REQUEST_HEAD_BYTES_MAX,
        fields_max: limits::HEAD_FIELDS_MAX,
        target_bytes_max: limits::TARGET_BYTES_MAX,
    };
    /// Those of a backend's response.
    pub const RESPONSE: HeadLimits =
        HeadLimits { head_bytes_max: limits::RESPONSE_HEAD_BYTES_MAX, ..HeadLimits::REQUEST };
}

/// Tests and fuzz targets parse under the limits that run, so that what they find is what a client would.
impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits::REQUEST
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseProgress {
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
    fn what_is_not_told_otherwise_is_parsed_under_the_limits_that_run() {
        let HeadLimits { head_bytes_max, fields_max, target_bytes_max } = HeadLimits::default();
        assert_eq!((head_bytes_max, fields_max, target_bytes_max), (512 * 1024, 1024, 64 * 1024));
    }

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
