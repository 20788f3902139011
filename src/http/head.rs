//! The head of a message as ranges into the one buffer it was received in: nothing is copied, order, case and duplicates stay.

use super::edits::Edits;
use super::known::KnownField;
use super::span::Span;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

impl Version {
    /// The version as a start line carries it.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }
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
