//! The head of a message as ranges into the one buffer it was received in: nothing is copied, order, case and duplicates stay.

use super::edits::Edits;

/// A range of bytes in the head's own buffer. Offsets count from the head's first byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        Span { start: start as u32, end: end as u32 }
    }
    pub fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start as usize..self.end as usize]
    }
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

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

    /// As [`Known::of`], for a caller that already knows whether a `_` is in the name.
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Field {
    pub name: Span,
    pub value: Span,
    pub known: KnownField,
    /// Named by a Connection field, and not one of those that must stay (docs/reference/security-promises.md#connection-named-fields).
    pub hop: bool,
}

/// How the body behind a head is framed (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodyFraming {
    #[default]
    None,
    /// So many bytes, more than zero.
    Length(u64),
    Chunked,
    /// Responses only: all bytes until the connection ends.
    UntilClose,
}

/// A parsed request head. Kept per connection and filled anew, so that a warm connection allocates nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// Bytes of the head in the buffer, the empty line included: the body starts there.
    pub len: usize,
    pub method: Span,
    /// The target in origin form (`/path?query`) or `*`; for an absolute-form target its path and query (empty path: see `target_is_empty`).
    pub target: Span,
    pub version: Version,
    /// The host that routes: the absolute-form authority if there is one, else the Host field; port included, as sent.
    pub host: Span,
    pub fields: Vec<Field>,
    pub body: BodyFraming,
    /// The client's connection may carry another request after this one.
    pub keep_alive: bool,
    /// `Expect: 100-continue` from an HTTP/1.1 client with a body.
    pub expect_continue: bool,
    /// A well-formed WebSocket upgrade: `Connection: upgrade`, `Upgrade: websocket`, no body.
    pub websocket: bool,
    /// An absolute-form target without a path (`GET http://h HTTP/1.1`): forwarded as `/`.
    pub target_is_empty: bool,
}

/// A parsed response head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseHead {
    pub len: usize,
    pub status: u16,
    pub reason: Span,
    pub version: Version,
    pub fields: Vec<Field>,
    pub body: BodyFraming,
    /// The origin's connection may be used again after this response's body.
    pub keep_alive: bool,
    /// A Date field is there.
    pub has_date: bool,
}

/// A request as the steps of the chain see it: what was received, with the edits made so far laid over it.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    pub head: &'a RequestHead,
    /// The buffer of the head; its ranges point in here.
    pub bytes: &'a [u8],
    pub edits: &'a Edits,
}

#[derive(Clone, Copy)]
pub struct ResponseView<'a> {
    pub head: &'a ResponseHead,
    pub bytes: &'a [u8],
    pub edits: &'a Edits,
}

impl<'a> RequestView<'a> {
    pub fn method(&self) -> &'a [u8] {
        self.head.method.of(self.bytes)
    }

    /// The target in origin form or `*`, as received; `/` for an absolute-form target without a path (`*` with OPTIONS, RFC 9112 3.2.4).
    pub fn target(&self) -> &'a [u8] {
        match (self.head.target_is_empty, self.method()) {
            (false, _) => self.head.target.of(self.bytes),
            (true, b"OPTIONS") => b"*",
            (true, _) => b"/",
        }
    }

    /// The host that routes, port included, as sent; empty for HTTP/1.0 without one.
    pub fn host(&self) -> &'a [u8] {
        self.head.host.of(self.bytes)
    }

    /// The first value of a field, any case; edits count.
    pub fn first(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// All values of a field in order, any case; edits count.
    pub fn all<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        values(&self.head.fields, self.bytes, self.edits, name)
    }

    /// The first value of a field that the parser knows; edits count.
    pub fn known(&self, known: KnownField) -> Option<&'a [u8]> {
        first_known(&self.head.fields, self.bytes, self.edits, known)
    }
}

impl<'a> ResponseView<'a> {
    pub fn status(&self) -> u16 {
        self.head.status
    }

    pub fn reason(&self) -> &'a [u8] {
        self.head.reason.of(self.bytes)
    }

    /// The first value of a field, any case; edits count.
    pub fn first(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// All values of a field in order, any case; edits count.
    pub fn all<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        values(&self.head.fields, self.bytes, self.edits, name)
    }

    /// The first value of a field that the parser knows; edits count.
    pub fn known(&self, known: KnownField) -> Option<&'a [u8]> {
        first_known(&self.head.fields, self.bytes, self.edits, known)
    }
}

fn values<'a, 'n>(
    fields: &'a [Field],
    bytes: &'a [u8],
    edits: &'a Edits,
    name: &'n [u8],
) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
    let received = if edits.replaces(name) { &[] } else { fields };
    received
        .iter()
        .filter(move |field| field.name.of(bytes).eq_ignore_ascii_case(name))
        .map(move |field| field.value.of(bytes))
        .chain(edits.values(name))
}

fn first_known<'a>(fields: &'a [Field], bytes: &'a [u8], edits: &'a Edits, known: KnownField) -> Option<&'a [u8]> {
    if edits.is_empty() {
        return fields.iter().find(|field| field.known == known).map(|field| field.value.of(bytes));
    }
    match known {
        KnownField::Other | KnownField::ForwardedAlias => None,
        _ => values(fields, bytes, edits, known.name()).next(),
    }
}
