//! The static table (RFC 7541 appendix A).

use super::name::Name;
use crate::http::known::KnownField;

/// An entry of the static table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The whole field as a line: name, colon, space, value, CRLF.
    pub line: &'static [u8],
    pub name_len: usize,
    pub name: Name,
}

impl Row {
    /// The name, with the colon and the space behind it.
    pub fn prefix(&self) -> &'static [u8] {
        self.line.get(..self.name_len + 2).unwrap_or_default()
    }
}

macro_rules! row {
    ($name:literal, $value:literal, $known:expr) => {
        Row { line: concat!($name, ": ", $value, "\r\n").as_bytes(), name_len: $name.len(), name: $known }
    };
}

const OTHER: Name = Name::Field(KnownField::Other);

/// The entries; the one with index 1 is the first.
#[rustfmt::skip]
pub static TABLE: [Row; 61] = [
    row!(":authority", "", Name::Authority),
    row!(":method", "GET", Name::Method),
    row!(":method", "POST", Name::Method),
    row!(":path", "/", Name::Path),
    row!(":path", "/index.html", Name::Path),
    row!(":scheme", "http", Name::Scheme),
    row!(":scheme", "https", Name::Scheme),
    row!(":status", "200", Name::Status),
    row!(":status", "204", Name::Status),
    row!(":status", "206", Name::Status),
    row!(":status", "304", Name::Status),
    row!(":status", "400", Name::Status),
    row!(":status", "404", Name::Status),
    row!(":status", "500", Name::Status),
    row!("accept-charset", "", OTHER),
    row!("accept-encoding", "gzip, deflate", OTHER),
    row!("accept-language", "", OTHER),
    row!("accept-ranges", "", OTHER),
    row!("accept", "", OTHER),
    row!("access-control-allow-origin", "", OTHER),
    row!("age", "", OTHER),
    row!("allow", "", OTHER),
    row!("authorization", "", Name::Field(KnownField::Authorization)),
    row!("cache-control", "", OTHER),
    row!("content-disposition", "", OTHER),
    row!("content-encoding", "", OTHER),
    row!("content-language", "", OTHER),
    row!("content-length", "", Name::Field(KnownField::ContentLength)),
    row!("content-location", "", OTHER),
    row!("content-range", "", OTHER),
    row!("content-type", "", OTHER),
    row!("cookie", "", Name::Field(KnownField::Cookie)),
    row!("date", "", Name::Field(KnownField::Date)),
    row!("etag", "", OTHER),
    row!("expect", "", Name::Field(KnownField::Expect)),
    row!("expires", "", OTHER),
    row!("from", "", OTHER),
    row!("host", "", Name::Field(KnownField::Host)),
    row!("if-match", "", OTHER),
    row!("if-modified-since", "", OTHER),
    row!("if-none-match", "", OTHER),
    row!("if-range", "", OTHER),
    row!("if-unmodified-since", "", OTHER),
    row!("last-modified", "", OTHER),
    row!("link", "", OTHER),
    row!("location", "", OTHER),
    row!("max-forwards", "", OTHER),
    row!("proxy-authenticate", "", Name::Field(KnownField::ProxyAuthenticate)),
    row!("proxy-authorization", "", Name::Field(KnownField::ProxyAuthorization)),
    row!("range", "", OTHER),
    row!("referer", "", OTHER),
    row!("refresh", "", OTHER),
    row!("retry-after", "", OTHER),
    row!("server", "", OTHER),
    row!("set-cookie", "", OTHER),
    row!("strict-transport-security", "", OTHER),
    row!("transfer-encoding", "", Name::Field(KnownField::TransferEncoding)),
    row!("user-agent", "", OTHER),
    row!("vary", "", OTHER),
    row!("via", "", OTHER),
    row!("www-authenticate", "", Name::Field(KnownField::WwwAuthenticate)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_static_table_are_known_as_from_a_literal() {
        for row in &TABLE {
            let name = row.line.get(..row.name_len).unwrap_or_default();
            assert_eq!(Name::of(name), row.name, "{}", name.escape_ascii());
            assert!(row.prefix().ends_with(b": ") && row.line.ends_with(b"\r\n"));
        }
    }
}
