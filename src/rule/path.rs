//! Reading and writing the path of a request target: percent-decoding, Go's re-encoding, and the resolving of dot segments
//! (docs/reference/security-promises.md#path-traversal, docs/reference/rules.md#path-handling; RFC 3986 sections 2.3, 3.3 and 5.2.4).

use crate::http::percent::hex_byte;

/// The target cannot be read safely; the answer is 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedPath;

/// Memory for one path, kept between requests.
#[derive(Debug, Default)]
pub(crate) struct PathBuffers {
    decoded: Vec<u8>,
    clean: Vec<u8>,
}

/// One reading of a target: matching and modifying use the same one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathView<'a> {
    /// The percent-decoded path that rules are matched against.
    pub path: &'a [u8],
    /// The path still encoded; with sanitising on, the resolved form.
    pub raw: &'a [u8],
    /// The query with its `?`, or nothing.
    pub query: &'a [u8],
    /// The target must not be forwarded as received: it had dot segments, or no path at all.
    pub rewritten: bool,
}

/// Reads a raw target. A path with a malformed escape is refused; with `sanitize` also one whose dot segments depend on how an
/// encoded slash or a backslash is read. Without an escape, dot segment or double slash nothing is copied.
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
    let escaped = memchr::memchr(b'%', raw).is_some();
    if !sanitize {
        if !escaped {
            return Ok(PathView { path: raw, raw, query, rewritten: false });
        }
        buffers.decoded.clear();
        decode_into(raw, &mut buffers.decoded)?;
        return Ok(PathView { path: &buffers.decoded, raw, query, rewritten: false });
    }
    if raw[0] != b'/' {
        return Err(RefusedPath);
    }
    if !escaped && !looks_unclean(raw) {
        return Ok(PathView { path: raw, raw, query, rewritten: false });
    }
    let rewritten = resolve(raw, &mut buffers.clean)?;
    buffers.decoded.clear();
    decode_into(&buffers.clean, &mut buffers.decoded)?;
    merge_slashes(&mut buffers.decoded);
    Ok(PathView { path: &buffers.decoded, raw: &buffers.clean, query, rewritten })
}

/// Go's `URL.EscapedPath`: the raw form while it still decodes to the path, else the path encoded anew.
pub(crate) fn escaped_path(path: &[u8], raw: &[u8], out: &mut Vec<u8>) {
    if !raw.is_empty() && raw.iter().all(|byte| may_stand_raw(*byte)) && decodes_to(raw, path) {
        out.extend_from_slice(raw);
    } else if path == b"*" {
        out.push(b'*');
    } else {
        encode_into(path, out);
    }
}

/// Appends a raw path of which only what may not stand in one is encoded; its escapes stay as they are.
pub(crate) fn escape_illegal(raw: &[u8], out: &mut Vec<u8>) {
    for &byte in raw {
        if may_stand_raw(byte) {
            out.push(byte);
        } else {
            push_escape(byte, out);
        }
    }
}

/// The length of what `len` bytes of the decoded path are written with at the front of the raw one, slashes merged as sanitising does,
/// and of all slashes behind it, however they are written.
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

/// Appends `path` percent-encoded as Go encodes a path: upper-case digits, and only `$&+,/:;=@-_.~` and alphanumerics stay.
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

/// A segment `.` or `..` is left in this encoded path, however separators and dots are written.
pub(crate) fn has_dot_segment(raw: &[u8]) -> bool {
    let mut segment: (usize, bool) = (0, true); // length, and only dots so far
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

/// Appends the decoded form of a query component: `+` is a space. None if an escape is malformed.
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

/// The byte that the escape at the front stands for.
fn escape_value(text: &[u8]) -> Option<u8> {
    let [b'%', digits @ ..] = text else { return None };
    hex_byte(digits.get(..2)?)
}

/// The byte at the front of a raw path, and the length it is written with. A `%` that begins no escape stands for itself.
fn next_byte(raw: &[u8]) -> Option<(u8, usize)> {
    escape_value(raw).map(|byte| (byte, 3)).or_else(|| raw.first().map(|&byte| (byte, 1)))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

/// Bytes that Go accepts in the raw form of a path without encoding everything anew.
fn may_stand_raw(byte: u8) -> bool {
    is_unreserved(byte) || b"$&+,/:;=@!'()*[]%".contains(&byte)
}

fn decodes_to(raw: &[u8], path: &[u8]) -> bool {
    let mut rest = raw;
    for &wanted in path {
        let (byte, len) = match rest.first() {
            None => return false,
            Some(b'%') => match escape_value(rest) {
                Some(byte) => (byte, 3),
                None => return false,
            },
            Some(&byte) => (byte, 1),
        };
        if byte != wanted {
            return false;
        }
        rest = &rest[len..];
    }
    rest.is_empty()
}

/// A segment may begin with a dot, be empty, or hold a backslash: the slow reading decides.
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

/// Writes the resolved form of a path that begins with a slash: dot segments gone, slashes merged, unreserved characters decoded.
/// Says whether there were dot segments.
fn resolve(raw: &[u8], out: &mut Vec<u8>) -> Result<bool, RefusedPath> {
    out.clear();
    let mut dots = false;
    let mut hidden_separator = false;
    let mut open = true; // the last segment ends with a slash, or there is none yet
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
                dots = true;
                out.truncate(start);
            }
            b".." => {
                dots = true;
                out.truncate(start);
                out.truncate(memchr::memrchr(b'/', out).unwrap_or(0));
            }
            _ => open = false,
        }
    }
    if open {
        out.push(b'/');
    }
    // Who splits at `%2f` or a backslash sees other segments than who does not: no reading of such a traversal is right for both.
    if hidden_separator && (dots || has_dot_segment(out)) {
        return Err(RefusedPath);
    }
    Ok(dots)
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
    fn without_sanitising_only_escapes_are_read() {
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
    fn sanitising_merges_slashes_and_reads_unreserved_escapes_without_rewriting() {
        assert_eq!(clean("//admin"), ok("/admin", "/admin", false));
        assert_eq!(clean("/%61dmin//x/"), ok("/admin/x/", "/admin/x/", false));
        assert_eq!(clean("/a%2Fb"), ok("/a/b", "/a%2Fb", false));
        assert_eq!(clean("/.well-known/x"), ok("/.well-known/x", "/.well-known/x", false));
        assert_eq!(clean("/a/...//b"), ok("/a/.../b", "/a/.../b", false));
        assert_eq!(clean("/%252e%252e/x"), ok("/%2e%2e/x", "/%252e%252e/x", false));
    }

    #[test]
    fn a_traversal_with_a_hidden_separator_is_refused() {
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
    fn escaped_path_keeps_the_raw_form_only_while_it_fits() {
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
        fn a_sanitised_path_never_holds_a_traversal_and_is_stable(target in "/([./a]|%2e|%2f|%61|%5c|\\\\|%){0,12}") {
            let mut buffers = PathBuffers::default();
            if let Ok(view) = read(target.as_bytes(), true, &mut buffers) {
                prop_assert!(!has_dot_segment(view.raw), "{:?}", String::from_utf8_lossy(view.raw));
                prop_assert!(view.path.starts_with(b"/"));
                prop_assert!(!view.path.windows(2).any(|pair| pair == b"//"));
                let raw = view.raw.to_vec();
                let path = view.path.to_vec();
                let mut again = PathBuffers::default();
                let second = read(&raw, true, &mut again).expect("a resolved path is readable");
                prop_assert_eq!(second.path, &path[..]);
                prop_assert!(!second.rewritten);
            }
        }
    }
}
