//! Every reason for which a message is refused, in one table: the answer, the log's words, and where the rule comes from.
//!
//! Ringway refuses rather than normalises wherever RFC 9112 allows both: two programs that read the same bytes differently are
//! what request smuggling lives on.

use crate::http::reply::Reply;

/// One rule that a head or a body can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    RequestLine,
    Method,
    Connect,
    Target,
    TargetForm,
    TargetEscape,
    TargetTooLong,
    Version,
    VersionUnknown,
    HeadTooLong,
    TooManyFields,
    BareCr,
    BareLf,
    LeadingSpace,
    Fold,
    EmptyName,
    NameByte,
    SpaceBeforeColon,
    NoColon,
    ValueByte,
    HostMissing,
    HostRepeated,
    HostInvalid,
    LengthInvalid,
    LengthRepeated,
    LengthAndCoding,
    CodingRepeated,
    CodingNotChunked,
    CodingInHttp10,
    TooManyOptions,
    Expectation,
    StatusLine,
    BodyTruncated,
    ChunkSize,
    ChunkSizeTooLong,
    ChunkExtension,
    ChunkOverhead,
    ChunkEnd,
    Trailer,
    TrailerTooLong,
}

impl Rule {
    /// All rows of the table, in its order.
    pub const ALL: [Rule; 40] = [
        Rule::RequestLine,
        Rule::Method,
        Rule::Connect,
        Rule::Target,
        Rule::TargetForm,
        Rule::TargetEscape,
        Rule::TargetTooLong,
        Rule::Version,
        Rule::VersionUnknown,
        Rule::HeadTooLong,
        Rule::TooManyFields,
        Rule::BareCr,
        Rule::BareLf,
        Rule::LeadingSpace,
        Rule::Fold,
        Rule::EmptyName,
        Rule::NameByte,
        Rule::SpaceBeforeColon,
        Rule::NoColon,
        Rule::ValueByte,
        Rule::HostMissing,
        Rule::HostRepeated,
        Rule::HostInvalid,
        Rule::LengthInvalid,
        Rule::LengthRepeated,
        Rule::LengthAndCoding,
        Rule::CodingRepeated,
        Rule::CodingNotChunked,
        Rule::CodingInHttp10,
        Rule::TooManyOptions,
        Rule::Expectation,
        Rule::StatusLine,
        Rule::BodyTruncated,
        Rule::ChunkSize,
        Rule::ChunkSizeTooLong,
        Rule::ChunkExtension,
        Rule::ChunkOverhead,
        Rule::ChunkEnd,
        Rule::Trailer,
        Rule::TrailerTooLong,
    ];

    /// Status for a request, log text, source. What a backend sends is 502 whatever it breaks, and cut off once the client has its head.
    pub fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Rule::RequestLine => (400, "request line is not `method target version`", "RFC 9112 3"),
            Rule::Method => (400, "method is no token or too long", "RFC 9112 3.1"),
            Rule::Connect => {
                (501, "CONNECT: this proxy opens no tunnels to addresses of the client's choice", "RFC 9110 9.3.6")
            }
            Rule::Target => (400, "byte that no request target may hold", "RFC 9112 3.2"),
            Rule::TargetForm => (400, "target is neither a path, an http(s) URI, nor `OPTIONS *`", "RFC 9112 3.2"),
            Rule::TargetEscape => (400, "bad percent escape in the path", "RFC 3986 2.1"),
            Rule::TargetTooLong => (414, "target is longer than the limit", "RFC 9110 15.5.15"),
            Rule::Version => (400, "no HTTP version after the target", "RFC 9112 2.3"),
            Rule::VersionUnknown => (505, "version is neither HTTP/1.1 nor HTTP/1.0", "RFC 9110 15.6.6"),
            Rule::HeadTooLong => (431, "head is longer than the limit", "RFC 6585 5"),
            Rule::TooManyFields => (431, "more fields than the limit", "RFC 6585 5"),
            Rule::BareCr => (400, "CR without LF", "RFC 9112 2.2"),
            Rule::BareLf => (400, "line ended by LF alone", "RFC 9112 2.2"),
            Rule::LeadingSpace => (400, "whitespace before the first field", "RFC 9112 2.2"),
            Rule::Fold => (400, "folded field line", "RFC 9112 5.2"),
            Rule::EmptyName => (400, "empty field name", "RFC 9110 5.1"),
            Rule::NameByte => (400, "byte that no field name may hold", "RFC 9110 5.1"),
            Rule::SpaceBeforeColon => (400, "whitespace in or after a field name", "RFC 9112 5.1"),
            Rule::NoColon => (400, "field line without colon", "RFC 9112 5"),
            Rule::ValueByte => (400, "control byte in a field value", "RFC 9110 5.5"),
            Rule::HostMissing => (400, "HTTP/1.1 without Host", "RFC 9112 3.2"),
            Rule::HostRepeated => (400, "more than one Host", "RFC 9112 3.2"),
            Rule::HostInvalid => (400, "invalid host", "RFC 9112 3.2, RFC 9110 4.2.1"),
            Rule::LengthInvalid => (400, "Content-Length is no decimal number below 2^63", "RFC 9110 8.6"),
            Rule::LengthRepeated => (400, "more than one Content-Length", "RFC 9112 6.3"),
            Rule::LengthAndCoding => (400, "Content-Length together with Transfer-Encoding", "RFC 9112 6.1, 6.3"),
            Rule::CodingRepeated => (400, "more than one Transfer-Encoding", "RFC 9112 6.1, 7.1"),
            Rule::CodingNotChunked => (400, "Transfer-Encoding is not exactly `chunked`", "RFC 9112 6.1, 6.3"),
            Rule::CodingInHttp10 => (400, "Transfer-Encoding in HTTP/1.0", "RFC 9112 6.1"),
            Rule::TooManyOptions => (400, "more Connection options than the limit", "RFC 9110 7.6.1"),
            Rule::Expectation => (417, "expectation other than 100-continue", "RFC 9110 10.1.1"),
            Rule::StatusLine => (502, "status line is not `version status reason`", "RFC 9112 4"),
            Rule::BodyTruncated => (400, "connection ended before the body did", "RFC 9112 8"),
            Rule::ChunkSize => (400, "chunk size line is not `hexadecimal[;extension] CRLF`", "RFC 9112 7.1"),
            Rule::ChunkSizeTooLong => (400, "chunk size has more digits than the limit", "RFC 9112 7.1"),
            Rule::ChunkExtension => (400, "control byte in a chunk extension", "RFC 9112 7.1.1"),
            Rule::ChunkOverhead => (400, "chunk extensions outweigh the payload", "RFC 9112 7.1.1"),
            Rule::ChunkEnd => (400, "chunk data is not followed by CRLF", "RFC 9112 7.1"),
            Rule::Trailer => (400, "what follows the last chunk is no field line", "RFC 9112 7.1.2"),
            Rule::TrailerTooLong => (400, "trailers are longer than the limit", "RFC 9112 7.1.2"),
        }
    }

    pub fn status(self) -> u16 {
        self.row().0
    }
    pub fn why(self) -> &'static str {
        self.row().1
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (_, why, source) = self.row();
        write!(f, "{why} ({source})")
    }
}

// `ALL` leaves no row out: the two orders are one, and the last one is in it.
const _: () = {
    let mut at = 0;
    while at < Rule::ALL.len() {
        assert!(Rule::ALL[at] as usize == at);
        at += 1;
    }
    assert!(Rule::TrailerTooLong as usize + 1 == Rule::ALL.len());
};

/// A request that is answered without being understood; its connection ends, as nothing behind doubtful framing can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    pub status: u16,
    pub body: &'static str,
    /// For the log.
    pub why: &'static str,
    pub rule: Rule,
}

impl Reject {
    /// The answer: v1's words (static.md 4), `Connection: close`. v1 sent no Date with it.
    pub fn reply(&self) -> Reply {
        Reply::text(self.status, self.body).closing()
    }
}

impl From<Rule> for Reject {
    fn from(rule: Rule) -> Self {
        let (status, why, _) = rule.row();
        let body = match (rule, status) {
            (Rule::HostMissing, _) => "400 Bad Request: missing required Host header",
            (_, 414) => "414 URI Too Long",
            (_, 417) => "417 Expectation Failed",
            (_, 431) => "431 Request Header Fields Too Large",
            (_, 501) => "501 Not Implemented",
            (_, 505) => "505 HTTP Version Not Supported",
            _ => "400 Bad Request",
        };
        Reject { status, body, why, rule }
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.rule.fmt(f)
    }
}

impl std::error::Error for Reject {}
