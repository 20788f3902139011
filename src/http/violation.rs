//! Violations of HTTP for which a message is refused, in one table: status, log text, and the source of the rule.
//!
//! Where RFC 9112 allows both, Ringway refuses a message rather than normalising it: request smuggling exploits two programs that parse the
//! same bytes differently.

use super::reply::Reply;

/// A rule of HTTP that a head or a body violates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Violation {
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
    NameUppercase,
    ValueSpace,
    ConnectionField,
    TeNotTrailers,
    PseudoUnknown,
    PseudoRepeated,
    PseudoMissing,
    PseudoAfterField,
    PseudoInTrailers,
    Scheme,
    PathEmpty,
    HostDiffers,
    ConnectForm,
    TunnelProtocol,
    Status,
    SwitchingProtocols,
    InterimEnd,
    LengthMismatch,
    TrailersWithoutEnd,
}

impl Violation {
    /// All violations, in the order of their declaration.
    pub const ALL: [Violation; 59] = [
        Violation::RequestLine,
        Violation::Method,
        Violation::Connect,
        Violation::Target,
        Violation::TargetForm,
        Violation::TargetEscape,
        Violation::TargetTooLong,
        Violation::Version,
        Violation::VersionUnknown,
        Violation::HeadTooLong,
        Violation::TooManyFields,
        Violation::BareCr,
        Violation::BareLf,
        Violation::LeadingSpace,
        Violation::Fold,
        Violation::EmptyName,
        Violation::NameByte,
        Violation::SpaceBeforeColon,
        Violation::NoColon,
        Violation::ValueByte,
        Violation::HostMissing,
        Violation::HostRepeated,
        Violation::HostInvalid,
        Violation::LengthInvalid,
        Violation::LengthRepeated,
        Violation::LengthAndCoding,
        Violation::CodingRepeated,
        Violation::CodingNotChunked,
        Violation::CodingInHttp10,
        Violation::TooManyOptions,
        Violation::Expectation,
        Violation::StatusLine,
        Violation::BodyTruncated,
        Violation::ChunkSize,
        Violation::ChunkSizeTooLong,
        Violation::ChunkExtension,
        Violation::ChunkOverhead,
        Violation::ChunkEnd,
        Violation::Trailer,
        Violation::TrailerTooLong,
        Violation::NameUppercase,
        Violation::ValueSpace,
        Violation::ConnectionField,
        Violation::TeNotTrailers,
        Violation::PseudoUnknown,
        Violation::PseudoRepeated,
        Violation::PseudoMissing,
        Violation::PseudoAfterField,
        Violation::PseudoInTrailers,
        Violation::Scheme,
        Violation::PathEmpty,
        Violation::HostDiffers,
        Violation::ConnectForm,
        Violation::TunnelProtocol,
        Violation::Status,
        Violation::SwitchingProtocols,
        Violation::InterimEnd,
        Violation::LengthMismatch,
        Violation::TrailersWithoutEnd,
    ];

    /// The status of the response to such a request, the text for the log, and the source of the rule. For a backend's response the status
    /// is always 502; if the client has received its head, the response is cut off.
    pub fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Violation::RequestLine => (400, "request line is not `method target version`", "RFC 9112 3"),
            Violation::Method => (400, "method is not a token, or longer than the limit", "RFC 9112 3.1"),
            Violation::Connect => {
                (501, "CONNECT is not supported: this proxy opens no tunnels to other addresses", "RFC 9110 9.3.6")
            }
            Violation::Target => (400, "invalid byte in the request target", "RFC 9112 3.2"),
            Violation::TargetForm => (400, "target is neither a path, an http(s) URI, nor `OPTIONS *`", "RFC 9112 3.2"),
            Violation::TargetEscape => (400, "bad percent escape in the path", "RFC 3986 2.1"),
            Violation::TargetTooLong => (414, "target is longer than the limit", "RFC 9110 15.5.15"),
            Violation::Version => (400, "no HTTP version after the target", "RFC 9112 2.3"),
            Violation::VersionUnknown => (505, "version is neither HTTP/1.1 nor HTTP/1.0", "RFC 9110 15.6.6"),
            Violation::HeadTooLong => (431, "head is longer than the limit", "RFC 6585 5"),
            Violation::TooManyFields => (431, "more fields than the limit", "RFC 6585 5"),
            Violation::BareCr => (400, "CR without LF", "RFC 9112 2.2"),
            Violation::BareLf => (400, "line ended by LF alone", "RFC 9112 2.2"),
            Violation::LeadingSpace => (400, "whitespace before the first field", "RFC 9112 2.2"),
            Violation::Fold => (400, "folded field line", "RFC 9112 5.2"),
            Violation::EmptyName => (400, "empty field name", "RFC 9110 5.1"),
            Violation::NameByte => (400, "invalid byte in a field name", "RFC 9110 5.1"),
            Violation::SpaceBeforeColon => (400, "whitespace in or after a field name", "RFC 9112 5.1"),
            Violation::NoColon => (400, "field line without colon", "RFC 9112 5"),
            Violation::ValueByte => (400, "control byte in a field value", "RFC 9110 5.5"),
            Violation::HostMissing => (400, "HTTP/1.1 without Host", "RFC 9112 3.2"),
            Violation::HostRepeated => (400, "more than one Host", "RFC 9112 3.2"),
            Violation::HostInvalid => (400, "invalid host", "RFC 9112 3.2, RFC 9110 4.2.1"),
            Violation::LengthInvalid => (400, "Content-Length is not a decimal number below 2^63", "RFC 9110 8.6"),
            Violation::LengthRepeated => (400, "more than one Content-Length", "RFC 9112 6.3"),
            Violation::LengthAndCoding => (400, "Content-Length together with Transfer-Encoding", "RFC 9112 6.1, 6.3"),
            Violation::CodingRepeated => (400, "more than one Transfer-Encoding", "RFC 9112 6.1, 7.1"),
            Violation::CodingNotChunked => (400, "Transfer-Encoding is not exactly `chunked`", "RFC 9112 6.1, 6.3"),
            Violation::CodingInHttp10 => (400, "Transfer-Encoding in HTTP/1.0", "RFC 9112 6.1"),
            Violation::TooManyOptions => (400, "more Connection options than the limit", "RFC 9110 7.6.1"),
            Violation::Expectation => (417, "expectation other than 100-continue", "RFC 9110 10.1.1"),
            Violation::StatusLine => (502, "status line is not `version status reason`", "RFC 9112 4"),
            Violation::BodyTruncated => (400, "connection closed before the end of the body", "RFC 9112 8"),
            Violation::ChunkSize => (400, "chunk size line is not `hexadecimal[;extension] CRLF`", "RFC 9112 7.1"),
            Violation::ChunkSizeTooLong => (400, "chunk size has more digits than the limit", "RFC 9112 7.1"),
            Violation::ChunkExtension => (400, "control byte in a chunk extension", "RFC 9112 7.1.1"),
            Violation::ChunkOverhead => (400, "chunk extensions outweigh the payload", "RFC 9112 7.1.1"),
            Violation::ChunkEnd => (400, "chunk data is not followed by CRLF", "RFC 9112 7.1"),
            Violation::Trailer => (400, "invalid field line in the trailers", "RFC 9112 7.1.2"),
            Violation::TrailerTooLong => (400, "trailers are longer than the limit", "RFC 9112 7.1.2"),
            Violation::NameUppercase => (400, "uppercase letter in a field name", "RFC 9113 8.2.1"),
            Violation::ValueSpace => (400, "whitespace before or after a field value", "RFC 9113 8.2.1"),
            Violation::ConnectionField => (400, "field that belongs to a connection of HTTP/1.1", "RFC 9113 8.2.2"),
            Violation::TeNotTrailers => (400, "TE other than `trailers`", "RFC 9113 8.2.2"),
            Violation::PseudoUnknown => {
                (400, "pseudo-header field that is not defined for this message", "RFC 9113 8.3")
            }
            Violation::PseudoRepeated => (400, "pseudo-header field more than once", "RFC 9113 8.3"),
            Violation::PseudoMissing => (400, "required pseudo-header field is missing", "RFC 9113 8.3.1, 8.3.2"),
            Violation::PseudoAfterField => (400, "pseudo-header field after a regular field", "RFC 9113 8.3"),
            Violation::PseudoInTrailers => (400, "pseudo-header field in the trailers", "RFC 9113 8.1"),
            Violation::Scheme => (400, ":scheme is neither http nor https", "RFC 9113 8.3.1"),
            Violation::PathEmpty => (400, ":path is empty", "RFC 9113 8.3.1"),
            Violation::HostDiffers => (400, ":authority and Host name different hosts", "RFC 9113 8.3.1"),
            Violation::ConnectForm => {
                (400, "CONNECT with :scheme or :path, or :protocol without CONNECT", "RFC 9113 8.5, RFC 8441 4")
            }
            Violation::TunnelProtocol => {
                (501, "extended CONNECT for a protocol that is never tunnelled", "RFC 8441 4, RFC 9110 7.8")
            }
            Violation::Status => (502, ":status is not a three-digit status", "RFC 9113 8.3.2"),
            Violation::SwitchingProtocols => (502, "101 in HTTP/2", "RFC 9113 8.6"),
            Violation::InterimEnd => (502, "informational response ends the stream", "RFC 9113 8.1"),
            Violation::LengthMismatch => (400, "body is not as long as Content-Length says", "RFC 9113 8.1.1"),
            Violation::TrailersWithoutEnd => (400, "trailers do not end the stream", "RFC 9113 8.1"),
        }
    }

    #[cfg_attr(
        reachability,
        expect(
            dead_code,
            reason = "tests compare the status of each violation; the program answers with that of the error table"
        )
    )]
    pub fn status(self) -> u16 {
        self.row().0
    }
    pub fn why(self) -> &'static str {
        self.row().1
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (_, why, source) = self.row();
        write!(f, "{why} ({source})")
    }
}

// `ALL` lists every variant, in declaration order.
const _: () = {
    let mut at = 0;
    while at < Violation::ALL.len() {
        assert!(Violation::ALL[at] as usize == at);
        at += 1;
    }
    assert!(Violation::TrailersWithoutEnd as usize + 1 == Violation::ALL.len());
};

/// A request that is refused because it violates HTTP. Its connection closes: nothing that follows a request with doubtful framing can be
/// trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectedRequest {
    pub status: u16,
    pub body: &'static str,
    /// For the log.
    pub why: &'static str,
    pub rule: Violation,
}

impl RejectedRequest {
    /// The local reply: the text that v1 sent (docs/reference/entry-points.md#refused-requests), with `Connection: close`. Unlike v1's, it
    /// is sent with a Date.
    pub fn reply(&self) -> Reply {
        Reply::text(self.status, self.body).closing()
    }
}

impl From<Violation> for RejectedRequest {
    fn from(rule: Violation) -> Self {
        let (status, why, _) = rule.row();
        let body = match (rule, status) {
            (Violation::HostMissing, _) => "400 Bad Request: missing required Host header",
            (_, 414) => "414 URI Too Long",
            (_, 417) => "417 Expectation Failed",
            (_, 431) => "431 Request Header Fields Too Large",
            (_, 501) => "501 Not Implemented",
            (_, 505) => "505 HTTP Version Not Supported",
            _ => "400 Bad Request",
        };
        RejectedRequest { status, body, why, rule }
    }
}

impl std::fmt::Display for RejectedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.rule.fmt(f)
    }
}

impl std::error::Error for RejectedRequest {}

/// The violation for which a body cannot be decoded further. Both connections close: neither side can know where the next message starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidBody(pub Violation);

impl From<Violation> for InvalidBody {
    fn from(rule: Violation) -> Self {
        InvalidBody(rule)
    }
}

impl std::fmt::Display for InvalidBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for InvalidBody {}
