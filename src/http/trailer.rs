//! Trailer fields, for every version of HTTP.

use super::known::KnownField;

/// Whether a field may be forwarded as a trailer: not if it frames, routes, authenticates or describes the content (RFC 9110 6.5.1), and
/// not if it is a forwarding field, for which the proxy is responsible.
pub(super) fn is_allowed_trailer(known: KnownField, name: &[u8]) -> bool {
    const NEVER: [&[u8]; 14] = [
        b"set-cookie",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"cache-control",
        b"location",
        b"range",
        b"max-forwards",
        b"pragma",
        b"vary",
        b"retry-after",
        b"www-authenticate",
        b"forwarded",
        b"sec-websocket-key",
    ];
    let forwarded = name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"x-forwarded-"));
    matches!(known, KnownField::Other | KnownField::Date)
        && !forwarded
        && !NEVER.iter().any(|n| name.eq_ignore_ascii_case(n))
}
