//! Message heads, parsed into ranges of the buffer that received them. Nothing is copied; order, case and duplicates of fields are kept.

use super::connection_auth::is_bound_credential;
use super::edits::Edits;
use super::keep_alive::KeepAlive;
use super::known::KnownField;
use super::span::Span;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

impl Version {
    /// The version as it is written in a start line.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Field {
    pub name: Span,
    pub value: Span,
    pub known: KnownField,
    /// The field is not forwarded: a Connection field names it, or the proxy sends its own in its place (the context of a trace). Never set
    /// for a field that Connection cannot remove (docs/reference/security-promises.md#connection-named-fields).
    pub hop: bool,
}

/// The framing of a message body (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodyFraming {
    #[default]
    None,
    /// This number of bytes, at least one.
    Length(u64),
    Chunked,
    /// Responses only: the body lasts until the connection closes.
    UntilClose,
}

/// The upgrade that a request asks for: in HTTP/1.1 with the option `upgrade` in Connection and an Upgrade field, in HTTP/2 with an extended
/// CONNECT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Upgrade {
    #[default]
    None,
    /// The client asked for a protocol that the proxy never forwards: the request goes to the server without its Upgrade fields.
    Ignored,
    /// The request goes to the server with its Upgrade fields, and a 101 opens a tunnel.
    Forwarded,
}

impl Upgrade {
    /// Whether the bytes behind the request may be of another protocol: they are not read as a request before its response.
    pub fn is_requested(self) -> bool {
        self != Upgrade::None
    }

    /// Whether the server gets the Upgrade fields.
    pub fn is_forwarded(self) -> bool {
        self == Upgrade::Forwarded
    }
}

/// A parsed request head. Reused for all requests of a connection, so that later requests allocate nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// Length of the head in bytes, with leading empty lines and the final one: the body starts at this offset.
    pub len: usize,
    pub method: Span,
    /// The target in origin form (`/path?query`) or `*`. For an absolute-form target its path and query, which may be empty: see
    /// `target_is_empty`.
    pub target: Span,
    pub version: Version,
    /// The host for routing, as sent, port included: the authority of an absolute-form target, else the Host field.
    pub host: Span,
    pub fields: Vec<Field>,
    pub body: BodyFraming,
    /// The client's connection may be used for another request.
    pub keep_alive: bool,
    /// The client, of HTTP/1.1 or later, sent `Expect: 100-continue`, and the request has a body.
    pub expect_continue: bool,
    /// The upgrade that the client asks for.
    pub upgrade: Upgrade,
    /// The upgrade is forwarded, and `websocket` is one of its protocols.
    pub websocket: bool,
    /// The request authenticates its connection, not only itself ([`super::connection_auth`]).
    pub binds_connection: bool,
    /// The target is in absolute form without a path (`GET http://h HTTP/1.1`): see [`RequestView::target`].
    pub target_is_empty: bool,
    /// The request is an extended CONNECT of HTTP/2 (RFC 8441 4): the method is written as GET, and the stream itself becomes the tunnel.
    pub extended_connect: bool,
}

/// A parsed response head. Reused like [`RequestHead`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseHead {
    pub len: usize,
    pub status: u16,
    pub reason: Span,
    pub version: Version,
    pub fields: Vec<Field>,
    pub body: BodyFraming,
    /// The upstream connection may be reused after the body of this response.
    pub keep_alive: bool,
    /// The response has a Date field.
    pub has_date: bool,
    /// The response asks for credentials that authenticate the connection ([`super::connection_auth`]).
    pub binds_connection: bool,
    /// How long and for how many requests the server keeps the connection open, as it has announced.
    pub announced: KeepAlive,
}

impl ResponseHead {
    /// Whether the response opens a tunnel on a stream of HTTP/2, whose handshake has fewer fields than the one of HTTP/1.1
    /// (RFC 8441 5).
    pub fn is_tunnel_on_stream(&self) -> bool {
        self.status == 101 && self.version == Version::Http2
    }
}

/// A request as the middlewares see it: the received head with the edits made so far.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    pub head: &'a RequestHead,
    /// The buffer of the head, to which the spans of `head` refer.
    pub bytes: &'a [u8],
    pub edits: &'a Edits,
}

/// A response as the middlewares see it: the received head with the edits made so far.
#[derive(Clone, Copy)]
pub struct ResponseView<'a> {
    pub head: &'a ResponseHead,
    pub bytes: &'a [u8],
    pub edits: &'a Edits,
}

impl<'a> RequestView<'a> {
    #[inline]
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

    /// The host for routing, as sent, port included; empty for an HTTP/1.0 request without a host.
    #[inline]
    pub fn host(&self) -> &'a [u8] {
        self.head.host.of(self.bytes)
    }

    /// The first value of a field after the edits; the name in any case.
    pub fn first(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// All values of a field after the edits, in order; the name in any case.
    pub fn all<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        values(&self.head.fields, self.bytes, self.edits, name)
    }

    /// The first value of a [`KnownField`] after the edits.
    pub fn known(&self, known: KnownField) -> Option<&'a [u8]> {
        first_known(&self.head.fields, self.bytes, self.edits, known)
    }

    /// Whether the request, as received or after the edits, has credentials that authenticate its connection.
    #[inline]
    pub fn binds_connection(&self) -> bool {
        let is_edited = || self.edits.values(KnownField::Authorization.name()).any(is_bound_credential);
        self.head.binds_connection || (!self.edits.is_empty() && is_edited())
    }
}

impl<'a> ResponseView<'a> {
    pub fn reason(&self) -> &'a [u8] {
        self.head.reason.of(self.bytes)
    }

    /// The first value of a field after the edits; the name in any case.
    pub fn first(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// All values of a field after the edits, in order; the name in any case.
    pub fn all<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        values(&self.head.fields, self.bytes, self.edits, name)
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
