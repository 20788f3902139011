//! The trailing-slash redirect (docs/reference/rules.md#trailing-slash): its location and its body.

use super::path;

/// `Location` of the redirect that adds or removes the trailing slash of `path` (decoded); `query` keeps its `?`.
///
/// Double slashes and dot segments are always removed, so that a location cannot begin with `//` and thereby name another host.
pub(crate) fn location(decoded: &[u8], query: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(decoded.len() + query.len() + 1);
    let (bare, slash) = match decoded.strip_suffix(b"/") {
        Some(bare) => (bare, false),
        None => (decoded, true),
    };
    path::encode_into(bare, &mut encoded);
    let mut location = cleaned(&encoded);
    if (slash || bare.ends_with(b"/")) && location != b"/" {
        location.push(b'/');
    }
    for &byte in query {
        match byte.is_ascii() {
            true => location.push(byte),
            false => location.extend_from_slice(format!("%{byte:x}").as_bytes()),
        }
    }
    location
}

/// The body of a 301 to `location` for a GET request, as in Traefik v1. Responses to other methods have no body.
pub fn moved_permanently_body(location: &[u8]) -> Vec<u8> {
    let mut body = b"<a href=\"".to_vec();
    for &byte in location {
        match byte {
            b'&' => body.extend_from_slice(b"&amp;"),
            b'<' => body.extend_from_slice(b"&lt;"),
            b'>' => body.extend_from_slice(b"&gt;"),
            b'"' => body.extend_from_slice(b"&#34;"),
            b'\'' => body.extend_from_slice(b"&#39;"),
            _ => body.push(byte),
        }
    }
    body.extend_from_slice(b"\">Moved Permanently</a>.\n\n");
    body
}

/// The shortest equivalent absolute path. Only the root has a trailing slash.
fn cleaned(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => out.truncate(memchr::memrchr(b'/', &out).unwrap_or(0)),
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirected(path: &str, query: &str) -> String {
        String::from_utf8(location(path.as_bytes(), query.as_bytes())).expect("ascii")
    }

    #[test]
    fn location_toggles_slash_and_keeps_query() {
        assert_eq!(redirected("/foo/", "?q=a%20b"), "/foo?q=a%20b");
        assert_eq!(redirected("/foo", "?"), "/foo/?");
        assert_eq!(redirected("/", ""), "/");
        assert_eq!(redirected("/a b/é/", ""), "/a%20b/%C3%A9");
        assert_eq!(redirected("/x/", "?é"), "/x?%c3%a9");
    }

    #[test]
    fn location_never_names_another_host() {
        assert_eq!(redirected("//evil.com/", ""), "/evil.com");
        assert_eq!(redirected("//evil.com", ""), "/evil.com/");
        assert_eq!(redirected("/..//evil.com/", ""), "/evil.com");
        assert_eq!(redirected("/\\evil.com/", ""), "/%5Cevil.com");
        assert_eq!(redirected("/a//", ""), "/a/");
        assert_eq!(redirected("///", ""), "/");
    }

    #[test]
    fn body_is_that_of_traefik() {
        assert_eq!(moved_permanently_body(b"/x"), b"<a href=\"/x\">Moved Permanently</a>.\n\n");
        assert_eq!(
            moved_permanently_body(b"/x?a=<b>&'\""),
            b"<a href=\"/x?a=&lt;b&gt;&amp;&#39;&#34;\">Moved Permanently</a>.\n\n"
        );
    }
}
