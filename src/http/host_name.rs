//! Compares host names as clients and configurations write them: case, a trailing dot and the scheme's default port do not distinguish
//! hosts (RFC 3986 3.2.2 and 6.2.3, RFC 1034 3.1).

use std::borrow::Cow;

/// The name without the dot that marks it as complete. A dot alone stays.
pub fn without_trailing_dot(name: &[u8]) -> &[u8] {
    match name {
        [rest @ .., b'.'] if !rest.is_empty() => rest,
        _ => name,
    }
}

/// The host and the port of `host[:port]` or `[address][:port]`; the brackets stay. An empty port counts as none.
pub fn split_port(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(colon) = memchr::memrchr(b':', host) else { return (host, None) };
    let (name, port) = (&host[..colon], &host[colon + 1..]);
    let is_whole = !name.contains(&b':') || name.ends_with(b"]");
    match is_whole && port.iter().all(u8::is_ascii_digit) {
        true => (name, Some(port).filter(|port| !port.is_empty())),
        false => (host, None),
    }
}

/// The form of `host[:port]` in which equal hosts are equal bytes: lower case and without a trailing dot. The port stays.
pub fn comparable(host: &[u8]) -> Cow<'_, [u8]> {
    let (name, port) = split_port(host);
    let bare = without_trailing_dot(name);
    if bare.len() == name.len() && !host.iter().any(u8::is_ascii_uppercase) {
        return Cow::Borrowed(host);
    }
    let mut text = bare.to_ascii_lowercase();
    if let Some(port) = port {
        text.push(b':');
        text.extend_from_slice(port);
    }
    Cow::Owned(text)
}

/// Whether two texts `host[:port]` name the same host and port; `default_port` is that of the scheme.
pub fn is_same_host(one: &[u8], other: &[u8], default_port: &[u8]) -> bool {
    let [(one, one_port), (other, other_port)] = [split_port(one), split_port(other)];
    without_trailing_dot(one).eq_ignore_ascii_case(without_trailing_dot(other))
        && one_port.unwrap_or(default_port) == other_port.unwrap_or(default_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_split_at_the_last_colon() {
        for (host, name, port) in [
            ("a.example:80", "a.example", Some("80")),
            ("a.example", "a.example", None),
            ("a.example:", "a.example", None),
            ("[::1]:80", "[::1]", Some("80")),
            ("[::1]", "[::1]", None),
            ("::1", "::1", None),
            ("a:b", "a:b", None),
        ] {
            assert_eq!(split_port(host.as_bytes()), (name.as_bytes(), port.map(str::as_bytes)), "{host}");
        }
    }

    #[test]
    fn same_host_ignores_case_trailing_dot_and_default_port() {
        for (one, other, is_same) in [
            ("A.Example.", "a.example", true),
            ("a.example:80", "a.example", true),
            ("a.example.:80", "A.example:80", true),
            ("a.example:8080", "a.example", false),
            ("a.example:8080", "a.example.:8080", true),
            ("[::1]:80", "[::1]", true),
            ("a.example..", "a.example", false),
            (".", "", false),
        ] {
            assert_eq!(is_same_host(one.as_bytes(), other.as_bytes(), b"80"), is_same, "{one} {other}");
        }
        assert_eq!(*comparable(b"A.b.:81"), *b"a.b:81");
        assert_eq!(*comparable(b"a.b:81"), *b"a.b:81");
        assert_eq!(*comparable(b"."), *b".");
    }
}
