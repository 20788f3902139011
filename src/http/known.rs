//! The field names that the proxy itself interprets, and the names of forwarding fields.

/// Fields that the proxy itself looks at, found once while parsing so that later steps compare one byte.
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
    /// A name that becomes one of the X-Forwarded-* or X-Real-Ip names when `_` is read as `-`: never forwarded (GHSA-5m6w).
    ForwardedAlias,
}

impl KnownField {
    /// Which field a name means; any case. Names that only become a forwarding field when `_` is read as `-` are aliases.
    pub fn of(name: &[u8]) -> KnownField {
        KnownField::of_name(name, name.contains(&b'_'))
    }

    /// As [`KnownField::of`], for a caller that already knows whether a `_` is in the name.
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
            (15, b'x') => &[KnownField::XForwardedFor, KnownField::XForwardedUri],
            (16, b'x') => &[KnownField::XForwardedHost, KnownField::XForwardedPort],
            (16, b'p') => &[KnownField::ProxyConnection],
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

    /// Fields that belong to one connection and are never copied to the next (RFC 9110 7.6.1), framing and Host included, which are
    /// written anew.
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
        )
    }
}

/// The prefix that names of forwarding fields share.
const FORWARDED_PREFIX: &[u8] = b"x-forwarded-";

/// X-Forwarded-* in whole or in part spelt with `_`: a backend behind CGI rules would read it as the proxy's own word.
fn is_forwarded_alias(name: &[u8]) -> bool {
    begins_as(name, FORWARDED_PREFIX) || (name.len() == 9 && begins_as(name, b"x-real-ip"))
}

/// Whether a name begins like that where CGI rules turn `-` into `_`: any case, a `_` for a `-`.
pub(super) fn begins_as(name: &[u8], expected: &[u8]) -> bool {
    name.len() >= expected.len()
        && name.iter().zip(expected).all(|(n, e)| n.eq_ignore_ascii_case(e) || (*n == b'_' && *e == b'-'))
}

/// A name of the X-Forwarded-* family, known or not.
pub(crate) fn is_forwarded_name(name: &[u8]) -> bool {
    name.get(..FORWARDED_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORWARDED_PREFIX))
}

/// Says where a request came from, and so counts only from a peer that is trusted (RFC 7239 8.1): X-Forwarded-*, X-Real-Ip, Forwarded.
pub fn is_forwarding_field(name: &[u8]) -> bool {
    is_forwarded_name(name) || name.eq_ignore_ascii_case(b"x-real-ip") || name.eq_ignore_ascii_case(b"forwarded")
}
