//! The field names that the proxy itself interprets, and the names of forwarding fields.

/// A field name that the proxy interprets. The parser identifies it once, so that later code compares one byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KnownField {
    #[default]
    Other,
    Host,
    Connection,
    ContentLength,
    TransferEncoding,
    Expect,
    Upgrade,
    Te,
    Trailer,
    KeepAlive,
    ProxyConnection,
    ProxyAuthenticate,
    ProxyAuthorization,
    Authorization,
    WwwAuthenticate,
    Http2Settings,
    Cookie,
    Date,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    XForwardedServer,
    XForwardedUri,
    XForwardedMethod,
    XForwardedPrefix,
    XRealIp,
    /// A name that becomes an X-Forwarded-* name or X-Real-Ip when `_` is read as `-`: never forwarded (GHSA-5m6w).
    ForwardedAlias,
}

impl KnownField {
    /// The field that a name means, in any case. A name that means a forwarding field only when `_` is read as `-` is an alias.
    pub fn of(name: &[u8]) -> KnownField {
        KnownField::of_name(name, name.contains(&b'_'))
    }

    /// As [`KnownField::of`], for a caller that knows whether the name contains a `_`.
    pub(crate) fn of_name(name: &[u8], underscore: bool) -> KnownField {
        if underscore {
            return if is_forwarded_alias(name) { KnownField::ForwardedAlias } else { KnownField::Other };
        }
        let Some(first) = name.first() else { return KnownField::Other };
        let candidates: &[KnownField] = match (name.len(), first | 0x20) {
            (2, b't') => &[KnownField::Te],
            (4, b'h') => &[KnownField::Host],
            (4, b'd') => &[KnownField::Date],
            (6, b'c') => &[KnownField::Cookie],
            (6, b'e') => &[KnownField::Expect],
            (7, b'u') => &[KnownField::Upgrade],
            (7, b't') => &[KnownField::Trailer],
            (9, b'x') => &[KnownField::XRealIp],
            (10, b'c') => &[KnownField::Connection],
            (10, b'k') => &[KnownField::KeepAlive],
            (13, b'a') => &[KnownField::Authorization],
            (14, b'c') => &[KnownField::ContentLength],
            (14, b'h') => &[KnownField::Http2Settings],
            (15, b'x') => &[KnownField::XForwardedFor, KnownField::XForwardedUri],
            (16, b'x') => &[KnownField::XForwardedHost, KnownField::XForwardedPort],
            (16, b'p') => &[KnownField::ProxyConnection],
            (16, b'w') => &[KnownField::WwwAuthenticate],
            (17, b't') => &[KnownField::TransferEncoding],
            (17, b'x') => &[KnownField::XForwardedProto],
            (18, b'x') => &[KnownField::XForwardedServer, KnownField::XForwardedMethod, KnownField::XForwardedPrefix],
            (18, b'p') => &[KnownField::ProxyAuthenticate],
            (19, b'p') => &[KnownField::ProxyAuthorization],
            _ => &[],
        };
        candidates.iter().copied().find(|known| name.eq_ignore_ascii_case(known.name())).unwrap_or(KnownField::Other)
    }

    /// The field's name in lower case; empty for `Other` and `ForwardedAlias`.
    pub fn name(self) -> &'static [u8] {
        match self {
            KnownField::Other | KnownField::ForwardedAlias => b"",
            KnownField::Host => b"host",
            KnownField::Connection => b"connection",
            KnownField::ContentLength => b"content-length",
            KnownField::TransferEncoding => b"transfer-encoding",
            KnownField::Expect => b"expect",
            KnownField::Upgrade => b"upgrade",
            KnownField::Te => b"te",
            KnownField::Trailer => b"trailer",
            KnownField::KeepAlive => b"keep-alive",
            KnownField::ProxyConnection => b"proxy-connection",
            KnownField::ProxyAuthenticate => b"proxy-authenticate",
            KnownField::ProxyAuthorization => b"proxy-authorization",
            KnownField::Authorization => b"authorization",
            KnownField::WwwAuthenticate => b"www-authenticate",
            KnownField::Http2Settings => b"http2-settings",
            KnownField::Cookie => b"cookie",
            KnownField::Date => b"date",
            KnownField::XForwardedFor => b"x-forwarded-for",
            KnownField::XForwardedProto => b"x-forwarded-proto",
            KnownField::XForwardedHost => b"x-forwarded-host",
            KnownField::XForwardedPort => b"x-forwarded-port",
            KnownField::XForwardedServer => b"x-forwarded-server",
            KnownField::XForwardedUri => b"x-forwarded-uri",
            KnownField::XForwardedMethod => b"x-forwarded-method",
            KnownField::XForwardedPrefix => b"x-forwarded-prefix",
            KnownField::XRealIp => b"x-real-ip",
        }
    }

    /// Whether the field belongs to one connection and is never copied to the other one (RFC 9110 7.6.1). Includes the framing fields,
    /// which are written separately for each connection.
    pub fn belongs_to_connection(self) -> bool {
        matches!(
            self,
            KnownField::Connection
                | KnownField::ContentLength
                | KnownField::TransferEncoding
                | KnownField::Upgrade
                | KnownField::Te
                | KnownField::Trailer
                | KnownField::KeepAlive
                | KnownField::ProxyConnection
                | KnownField::ProxyAuthenticate
                | KnownField::ProxyAuthorization
                | KnownField::Http2Settings
        )
    }
}

/// The common prefix of the names of forwarding fields.
const FORWARDED_PREFIX: &[u8] = b"x-forwarded-";

/// Whether a name is X-Forwarded-* or X-Real-Ip with `_` for one or more `-`: a backend that follows CGI rules would take the field for the
/// proxy's own.
fn is_forwarded_alias(name: &[u8]) -> bool {
    begins_as(name, FORWARDED_PREFIX) || (name.len() == 9 && begins_as(name, b"x-real-ip"))
}

/// Whether a name starts with `expected` for a reader that follows CGI rules: in any case, with `_` or `-` for each `-`.
pub(super) fn begins_as(name: &[u8], expected: &[u8]) -> bool {
    name.len() >= expected.len()
        && name.iter().zip(expected).all(|(n, e)| n.eq_ignore_ascii_case(e) || (*n == b'_' && *e == b'-'))
}

/// Whether a name starts with X-Forwarded-, whether or not it is a [`KnownField`].
pub(crate) fn is_forwarded_name(name: &[u8]) -> bool {
    name.get(..FORWARDED_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORWARDED_PREFIX))
}

/// Whether a field makes a request depend on the representation of its target, or asks for a part of that (RFC 9110 13.1, 14.2). Another
/// server, which is asked for something else on the client's behalf, must not see the field: it could answer 304, 412 or a part.
pub fn is_precondition(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] =
        [b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"range"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a field says where a request came from (X-Forwarded-*, X-Real-Ip, Forwarded). Such a field counts only from a trusted peer
/// (RFC 7239 8.1).
pub fn is_forwarding_field(name: &[u8]) -> bool {
    is_forwarded_name(name) || name.eq_ignore_ascii_case(b"x-real-ip") || name.eq_ignore_ascii_case(b"forwarded")
}
