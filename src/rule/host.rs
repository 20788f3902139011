//! Host names of requests and rules: removal of the port and of a trailing dot, and lower-casing (docs/reference/rules.md#matchers).

use crate::http::host_name::without_trailing_dot;

/// The host that `Host` rules are compared with: without port, brackets and trailing dot, trimmed, lower-cased. A text that is not of the
/// form `name:port` or `[address]:port` is taken whole.
pub fn canonical_host<'a>(host: &[u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    fold(without_trailing_dot(without_port(host).trim_ascii()), lower_char, scratch);
    scratch
}

/// The form in which the name in a rule is compared: trimmed, without a trailing dot, and lower-cased.
pub(super) fn lower_host_name(name: &str) -> String {
    let name = name.trim();
    let name = name.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(name);
    name.chars().map(lower_char).collect()
}

fn without_port(host: &[u8]) -> &[u8] {
    let Some(colon) = memchr::memrchr(b':', host) else { return host };
    let name = &host[..colon];
    match name {
        [b'[', inner @ .., b']'] if !inner.iter().any(|byte| matches!(byte, b'[' | b']')) => inner,
        _ if name.iter().any(|byte| matches!(byte, b':' | b'[' | b']')) => host,
        _ => name,
    }
}

/// The host that `HostRegexp` rules are compared with: up to the first colon, without a trailing dot.
pub(super) fn before_colon(host: &[u8]) -> &[u8] {
    without_trailing_dot(&host[..memchr::memchr(b':', host).unwrap_or(host.len())])
}

/// Writes `host` lower-cased to `out`. Unless all of it is ASCII, each character is mapped by `change`; bytes that are not UTF-8 stay
/// as they are.
pub(super) fn fold(host: &[u8], change: fn(char) -> char, out: &mut Vec<u8>) {
    out.clear();
    if host.is_ascii() {
        out.extend_from_slice(host);
        out.make_ascii_lowercase();
        return;
    }
    for chunk in host.utf8_chunks() {
        for c in chunk.valid().chars() {
            out.extend_from_slice(change(c).encode_utf8(&mut [0; 4]).as_bytes());
        }
        out.extend_from_slice(chunk.invalid());
    }
}

/// Lower-cases a character to exactly one character, as Go does.
fn lower_char(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// The ASCII letter that a case-insensitive expression considers equal to this character, else the lower-cased character. The index
/// must find every host that such an expression can match.
pub(super) fn fold_char(c: char) -> char {
    if c == '\u{17f}' { 's' } else { lower_char(c) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_host_has_no_port_and_is_lower_case() {
        let canonical =
            |host: &str| String::from_utf8_lossy(canonical_host(host.as_bytes(), &mut Vec::new())).into_owned();
        assert_eq!(canonical("FOO.Bar:8080"), "foo.bar");
        assert_eq!(canonical("foo.bar:"), "foo.bar");
        assert_eq!(canonical("foo.bar."), "foo.bar");
        assert_eq!(canonical("foo.bar.:8080"), "foo.bar");
        assert_eq!(canonical("foo.bar.."), "foo.bar.", "an empty label is no trailing dot");
        assert_eq!(canonical("."), ".");
        assert_eq!(canonical("[::1]:80"), "::1");
        assert_eq!(canonical("[::1]"), "[::1]");
        assert_eq!(canonical("::1"), "::1");
        assert_eq!(canonical(" MÜNCHEN.de "), "münchen.de");
        assert_eq!((lower_host_name(" Foo.bar. "), lower_host_name(".")), ("foo.bar".to_owned(), ".".to_owned()));
        assert_eq!(before_colon(b"foo.bar.:80"), b"foo.bar");
        assert_eq!(canonical(""), "");
    }
}
