//! Keeps entity tags, lengths and digests true although compression changes the bytes of a body, and maps the changed tags in later
//! requests back to the server's (docs/reference/middlewares.md#compression).

use super::{Request, Response};

/// Fields that count or digest the bytes of the plain body, or offer parts of it.
const BYTE_FIELDS: &[&str] =
    &["Content-Length", "Accept-Ranges", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest"];

/// Changes the fields of a response that describe the plain body, for a body that is compressed: the entity tag becomes weak, because
/// plain and compressed bytes are equivalent and not equal (RFC 9110 8.8.1).
pub fn describe_compressed(response: &mut Response) {
    BYTE_FIELDS.iter().for_each(|name| response.remove(name));
    if let Some(tag) = response.first(b"etag").filter(|tag| tag.starts_with(b"\"")) {
        let weak = [b"W/", tag].concat();
        response.set("ETag", &weak);
    }
}

/// Changes the fields of a 304 as those of the 200 that the client has (RFC 9110 15.4.5). `If-None-Match` says which form it has; without
/// the tag there, the form that the client would get now.
pub fn describe_not_modified(request: &Request, response: &mut Response, takes_gzip: bool) {
    let tag = response.first(b"etag").filter(|tag| tag.starts_with(b"\""));
    let held = tag.map_or((false, false), |tag| {
        let mut held = (false, false);
        for value in request.view().all(b"if-none-match") {
            for (is_weak, opaque) in entity_tags(value) {
                match opaque == tag {
                    true if is_weak => held.1 = true,
                    true => held.0 = true,
                    false => {}
                }
            }
        }
        held
    });
    let is_compressed = match held {
        (true, false) => false,
        (false, true) => true,
        _ => takes_gzip,
    };
    if is_compressed {
        describe_compressed(response);
    }
}

/// The trailer fields, as lines that end in CRLF each, that stay true for a compressed body: those that neither count nor digest bytes.
pub fn trailers_of_compressed(trailers: &[u8]) -> Vec<u8> {
    let is_kept = |line: &&[u8]| {
        let name = line.split(|&b| b == b':').next().unwrap_or_default();
        !BYTE_FIELDS.iter().chain(&["ETag"]).any(|field| field.as_bytes().eq_ignore_ascii_case(name))
    };
    trailers.split_inclusive(|&b| b == b'\n').filter(is_kept).flatten().copied().collect()
}

/// Maps the preconditions of a request back to the bytes that the server has.
///
/// * `If-Match` compares strongly, so a weakened tag would never match: it gets its strong form again. A tag that the server itself made
///   weak still matches nothing.
/// * `If-Range` with a weak tag, or with a date from a client that takes gzip, may stand for compressed bytes: a part of the plain bytes
///   must not be appended to them. The whole body is requested instead (RFC 9110 14.2 allows that always).
pub fn restore_preconditions(request: &mut Request, takes_gzip: bool) {
    if let Some(if_range) = request.first(b"if-range") {
        let is_strong = if_range.starts_with(b"\"");
        let is_weak = if_range.starts_with(b"W/");
        if is_weak || (takes_gzip && !is_strong) {
            request.edits.remove(b"Range");
            request.edits.remove(b"If-Range");
        }
    }
    if request.view().all(b"if-match").any(|value| entity_tags(value).any(|(is_weak, _)| is_weak)) {
        let mut strong: Vec<u8> = Vec::new();
        for (_, opaque) in request.view().all(b"if-match").flat_map(entity_tags) {
            if !strong.is_empty() {
                strong.extend_from_slice(b", ");
            }
            strong.extend_from_slice(opaque);
        }
        request.edits.set(b"If-Match", &strong);
    }
}

/// The entity tags in a list: whether each is weak, and its opaque part with the quotes.
fn entity_tags(value: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let start = memchr::memchr(b'"', rest)?;
        let len = memchr::memchr(b'"', &rest[start + 1..])? + 2;
        let is_weak = rest[..start].ends_with(b"W/");
        let opaque = &rest[start..start + len];
        rest = &rest[start + len..];
        Some((is_weak, opaque))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_split_at_their_quotes() {
        let list: Vec<_> = entity_tags(br#"W/"a,b", "xW/","y", "unclosed"#).collect();
        assert_eq!(list, [(true, &b"\"a,b\""[..]), (false, b"\"xW/\""), (false, b"\"y\"")]);
        assert_eq!(entity_tags(b"*").count(), 0);
    }

    #[test]
    fn trailers_of_compressed_lose_digests_and_entity_tags_only() {
        let kept =
            trailers_of_compressed(b"Server-Timing: a:b\r\ncontent-digest: x\r\nETag: \"a\"\r\ngrpc-status: 0\r\n");
        assert_eq!(kept, b"Server-Timing: a:b\r\ngrpc-status: 0\r\n");
        assert_eq!(trailers_of_compressed(b""), b"");
    }
}
