//! Reading and writing the path of a request target: percent-decoding, encoding as Go does, and resolution of dot segments
//! (docs/reference/security-promises.md#path-traversal, docs/reference/rules.md#path-handling; RFC 3986 sections 2.3, 3.3 and 5.2.4).

use crate::http::percent::hex_byte;

/// The error of a target that cannot be read safely; the response is 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedPath;

/// Memory for one path, which later requests reuse.
#[derive(Debug, Default)]
pub(crate) struct PathBuffers {
    decoded: Vec<u8>,
    clean: Vec<u8>,
}

/// The path and query of a target, as both matchers and modifiers use them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathView<'a> {
    /// The percent-decoded path that rules are matched against.
    pub path: &'a [u8],
    /// The encoded path; if it was sanitised, with dot segments resolved and slashes merged.
    pub raw: &'a [u8],
    /// The query with its `?`, or empty.
    pub query: &'a [u8],
    /// Whether the target must not be forwarded as received: it has dot segments or no path.
    pub rewritten: bool,
}

/// Reads a raw target. A path with a malformed escape is an error. With `sanitize`, so is a path whose dot segments depend on whether
/// encoded slashes and backslashes count as separators. Nothing is copied unless the path has an escape, or `sanitize` is set and it has a
/// dot segment, a double slash or a backslash.
pub(crate) fn read<'a>(
    target: &'a [u8],
    sanitize: bool,
    buffers: &'a mut PathBuffers,
) -> Result<PathView<'a>, RefusedPath> {
    let (raw, query) = target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()));
    if raw.is_empty() {
        return Ok(PathView { path: b"/", raw: b"/", query, rewritten: true });
    }
    if raw == b"*" {
        return Ok(PathView { path: raw, raw, query, rewritten: false });
    }
    let has_escape = memchr::memchr(b'%', raw).is_some();
    if !sanitize {
        if !has_escape {
            return Ok(PathView { path: raw, raw, query, rewritten: false });
        }
        buffers.decoded.clear();
        decode_into(raw, &mut buffers.decoded)?;
        return Ok(PathView { path: &buffers.decoded, raw, query, rewritten: false });
    }
    if raw[0] != b'/' {
        return Err(RefusedPath);
    }
    if !has_escape && !looks_unclean(raw) {
        return Ok(PathView { path: raw, raw, query, rewritten: false });
    }
    let rewritten = resolve(raw, &mut buffers.clean)?;
    buffers.decoded.clear();
    decode_into(&buffers.clean, &mut buffers.decoded)?;
    merge_slashes(&mut buffers.decoded);
    Ok(PathView { path: &buffers.decoded, raw: &buffers.clean, query, rewritten })
}

/// Appends the encoded path as Go's `URL.EscapedPath` does: the raw form if it is legal and decodes to `path`, else the encoding of `path`.
pub(crate) fn escaped_path(path: &[u8], raw: &[u8], out: &mut Vec<u8>) {
    if !raw.is_empty() && raw.iter().all(|byte| is_legal_raw(*byte)) && decodes_to(raw, path) {
        out.extend_from_slice(raw);
    } else if path == b"*" {
        out.push(b'*');
    } else {
        encode_into(path, out);
    }
}

/// Appends a raw path with illegal bytes percent-encoded; its escapes stay as they are.
pub(crate) fn escape_illegal(raw: &[u8], out: &mut Vec<u8>) {
    for &byte in raw {
        if is_legal_raw(byte) {
            out.push(byte);
        } else {
            push_escape(byte, out);
        }
    }
}

/// Two lengths in a raw path: of the front that decodes to the first `len` bytes of the path, with adjacent slashes merged as
/// sanitising does, and of all slashes that follow, encoded or not.
pub(crate) fn raw_front(raw: &[u8], len: usize) -> (usize, usize) {
    let (mut front, mut taken, mut is_after_slash) = (0, 0, false);
    while let Some((byte, width)) = next_byte(&raw[front..]).filter(|_| taken < len) {
        taken += usize::from(!(is_after_slash && byte == b'/'));
        is_after_slash = byte == b'/';
        front += width;
    }
    let mut end = front;
    while let Some((b'/', width)) = next_byte(&raw[end..]) {
        end += width;
    }
    (front, end - front)
}

/// Appends `path` percent-encoded as Go does: with upper-case digits; alphanumerics and `$&+,/:;=@-_.~` are not encoded.
pub(crate) fn encode_into(path: &[u8], out: &mut Vec<u8>) {
    for &byte in path {
        if is_unreserved(byte) || b"$&+,/:;=@".contains(&byte) {
            out.push(byte);
        } else {
            push_escape(byte, out);
        }
    }
}

pub(crate) fn push_escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// Whether this encoded path contains a segment `.` or `..`. Slashes and dots count encoded or not, and a backslash counts as a slash.
pub(crate) fn has_dot_segment(raw: &[u8]) -> bool {
    let mut segment: (usize, bool) = (0, true); // length, and whether all of it is dots
    let mut rest = raw;
    while let Some((byte, len)) = next_byte(rest) {
        rest = &rest[len..];
        if matches!(byte, b'/' | b'\\') {
            if segment.1 && (1..=2).contains(&segment.0) {
                return true;
            }
            segment = (0, true);
        } else {
            segment = (segment.0 + 1, segment.1 && byte == b'.');
        }
    }
    segment.1 && (1..=2).contains(&segment.0)
}

/// Appends the decoded form of a query component; `+` is a space. Returns `None` if an escape is malformed.
pub(crate) fn decode_query(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let (decoded, left) = match byte {
            b'%' => (escape_value(rest)?, &rest[3..]),
            b'+' => (b' ', after),
            _ => (byte, after),
        };
        out.push(decoded);
        rest = left;
    }
    Some(())
}

pub(crate) fn decode_into(raw: &[u8], out: &mut Vec<u8>) -> Result<(), RefusedPath> {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        out.push(escape_value(&rest[at..]).ok_or(RefusedPath)?);
        rest = &rest[at + 3..];
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The byte that the escape at the front of `text` encodes, or `None` if there is no valid escape.
fn escape_value(text: &[u8]) -> Option<u8> {
    let [b'%', digits @ ..] = text else { return None };
    hex_byte(digits.get(..2)?)
}

/// The first byte of a raw path, decoded, and the length of its encoded form. A `%` without a valid escape is a literal `%`.
fn next_byte(raw: &[u8]) -> Option<(u8, usize)> {
    escape_value(raw).map(|byte| (byte, 3)).or_else(|| raw.first().map(|&byte| (byte, 1)))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

/// Whether Go accepts this byte in the raw form of a path; any other byte makes it encode the whole path again.
fn is_legal_raw(byte: u8) -> bool {
    is_unreserved(byte) || b"$&+,/:;=@!'()*[]%".contains(&byte)
}

fn decodes_to(raw: &[u8], path: &[u8]) -> bool {
    let mut rest = raw;
    for &expected in path {
        let (byte, len) = match rest.first() {
            None => return false,
            Some(b'%') => match escape_value(rest) {
                Some(byte) => (byte, 3),
                None => return false,
            },
            Some(&byte) => (byte, 1),
        };
        if byte != expected {
            return false;
        }
        rest = &rest[len..];
    }
    rest.is_empty()
}

/// Whether a segment begins with a dot, is empty, or contains a backslash. [`resolve`] must then examine the path.
fn looks_unclean(raw: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in raw {
        if byte == b'\\' || (after_slash && matches!(byte, b'/' | b'.')) {
            return true;
        }
        after_slash = byte == b'/';
    }
    false
}

/// Writes the resolved form of a path that begins with a slash: dot segments removed, slashes merged, unreserved characters decoded.
/// Returns whether there were dot segments.
fn resolve(raw: &[u8], out: &mut Vec<u8>) -> Result<bool, RefusedPath> {
    out.clear();
    let mut has_dots = false;
    let mut hidden_separator = false;
    let mut open = true; // the path ends with a slash, or has no segment yet
    for segment in raw[1..].split(|byte| *byte == b'/') {
        let start = out.len();
        out.push(b'/');
        let mut rest = segment;
        while let Some(&first) = rest.first() {
            if first != b'%' {
                hidden_separator |= first == b'\\';
                out.push(first);
                rest = &rest[1..];
                continue;
            }
            let byte = escape_value(rest).ok_or(RefusedPath)?;
            hidden_separator |= matches!(byte, b'/' | b'\\');
            match is_unreserved(byte) {
                true => out.push(byte),
                false => out.extend_from_slice(&rest[..3]),
            }
            rest = &rest[3..];
        }
        open = true;
        match &out[start + 1..] {
            b"" => out.truncate(start),
            b"." => {
                has_dots = true;
                out.truncate(start);
            }
            b".." => {
                has_dots = true;
                out.truncate(start);
                out.truncate(memchr::memrchr(b'/', out).unwrap_or(0));
            }
            _ => open = false,
        }
    }
    if open {
        out.push(b'/');
    }
    // A server that splits at `%2f` or at a backslash sees other segments than one that does not: no resolution is right for both.
    if hidden_separator && (has_dots || has_dot_segment(out)) {
        return Err(RefusedPath);
    }
    Ok(has_dots)
}

fn merge_slashes(path: &mut Vec<u8>) {
    path.dedup_by(|next, before| *next == b'/' && *before == b'/');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_text(target: &str, sanitize: bool) -> Result<(String, String, bool), RefusedPath> {
        let mut buffers = PathBuffers::default();
        let view = read(target.as_bytes(), sanitize, &mut buffers)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(view.path), text(view.raw), view.rewritten))
    }

    fn clean(target: &str) -> Result<(String, String, bool), RefusedPath> {
        read_text(target, true)
    }

    fn ok(path: &str, raw: &str, rewritten: bool) -> Result<(String, String, bool), RefusedPath> {
        Ok((path.to_owned(), raw.to_owned(), rewritten))
    }

    #[test]
    fn unsanitised_path_is_only_percent_decoded() {
        assert_eq!(read_text("/a/../b%2f%41//?x=%zz", false), ok("/a/../b/A//", "/a/../b%2f%41//", false));
        assert_eq!(read_text("/a%zz", false), Err(RefusedPath));
        assert_eq!(read_text("/a%4", false), Err(RefusedPath));
        assert_eq!(read_text("*", false), ok("*", "*", false));
        assert_eq!(read_text("", false), ok("/", "/", true));
        assert_eq!(read_text("?q", true), ok("/", "/", true));
    }

    #[test]
    fn sanitising_resolves_dot_segments() {
        assert_eq!(clean("/public/../admin"), ok("/admin", "/admin", true));
        assert_eq!(clean("/public/%2e%2E/admin"), ok("/admin", "/admin", true));
        assert_eq!(clean("/a/./b/."), ok("/a/b/", "/a/b/", true));
        assert_eq!(clean("/a/b/.."), ok("/a/", "/a/", true));
        assert_eq!(clean("/../../x"), ok("/x", "/x", true));
        assert_eq!(clean("/.."), ok("/", "/", true));
        assert_eq!(clean("/a//../b"), ok("/b", "/b", true));
        assert_eq!(clean("/a/../b%20c%61"), ok("/b ca", "/b%20ca", true));
    }

    #[test]
    fn merged_slashes_and_unreserved_escapes_do_not_rewrite() {
        assert_eq!(clean("//admin"), ok("/admin", "/admin", false));
        assert_eq!(clean("/%61dmin//x/"), ok("/admin/x/", "/admin/x/", false));
        assert_eq!(clean("/a%2Fb"), ok("/a/b", "/a%2Fb", false));
        assert_eq!(clean("/.well-known/x"), ok("/.well-known/x", "/.well-known/x", false));
        assert_eq!(clean("/a/...//b"), ok("/a/.../b", "/a/.../b", false));
        assert_eq!(clean("/%252e%252e/x"), ok("/%2e%2e/x", "/%252e%252e/x", false));
    }

    #[test]
    fn traversal_with_encoded_separator_is_refused() {
        for target in [
            "/public%2f..%2fadmin",
            "/public/..%2fadmin",
            "/public/..%5Cadmin",
            "/public/..\\admin",
            "/a%2Fb/../c",
            "/x/%2e%2e%2fy",
            "/%2f../x",
        ] {
            assert_eq!(clean(target), Err(RefusedPath), "{target}");
        }
        assert_eq!(clean("/%zz"), Err(RefusedPath));
        assert_eq!(clean("relative"), Err(RefusedPath));
    }

    #[test]
    fn escaped_path_uses_raw_form_only_if_it_decodes_to_path() {
        let escaped = |path: &[u8], raw: &[u8]| {
            let mut out = Vec::new();
            escaped_path(path, raw, &mut out);
            String::from_utf8(out).expect("ascii")
        };
        assert_eq!(escaped(b"/a/b", b"/a%2Fb"), "/a%2Fb");
        assert_eq!(escaped(b"/bar", b"/%2Fbar"), "/bar");
        assert_eq!(escaped(b"/a!b", b"/a!b"), "/a!b");
        assert_eq!(escaped(b"/a!b*", b""), "/a%21b%2A");
        assert_eq!(escaped(b"/\xe9", b"/\xe9"), "/%E9");
        assert_eq!(escaped(b"/z?q=1", b""), "/z%3Fq=1");
        assert_eq!(escaped(b"*", b""), "*");
    }

    #[test]
    fn query_components_decode_plus_and_escapes() {
        let mut out = Vec::new();
        assert_eq!(decode_query(b"a+b%31", &mut out), Some(()));
        assert_eq!(out, b"a b1");
        assert_eq!(decode_query(b"%3", &mut out), None);
    }

    proptest! {
        #[test]
        fn sanitised_path_has_no_traversal_and_is_stable(target in "/([./a]|%2e|%2f|%61|%5c|\\\\|%){0,12}") {
            let mut buffers = PathBuffers::default();
            if let Ok(view) = read(target.as_bytes(), true, &mut buffers) {
                prop_assert!(!has_dot_segment(view.raw), "{:?}", String::from_utf8_lossy(view.raw));
                prop_assert!(view.path.starts_with(b"/"));
                prop_assert!(!view.path.windows(2).any(|pair| pair == b"//"));
                let raw = view.raw.to_vec();
                let path = view.path.to_vec();
                let mut again = PathBuffers::default();
                let second = read(&raw, true, &mut again).expect("a resolved path can be read again");
                prop_assert_eq!(second.path, &path[..]);
                prop_assert!(!second.rewritten);
            }
        }
    }
}
