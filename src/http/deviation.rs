//! Deviations from RFC 9112 in the responses of servers, in one table: the rule, what Go, nginx and HAProxy do, and what Ringway does.
//!
//! A server is chosen by the operator, and Ringway writes its own framing towards the client. So a deviation that every program reads alike is
//! normalised. A deviation that two programs could read differently is refused: the client gets 502, or a body that is visibly cut. Requests
//! are never normalised ([`crate::http::violation`]).

use crate::http::violation::Violation;

/// A deviation that is normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deviation {
    SpaceBeforeColon,
    Fold,
    BareLf,
    ControlByte,
    InvalidName,
    StatusSpaces,
    Version,
    RepeatedLength,
    PaddedChunkSize,
    Trailer,
}

/// The handling of a deviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    Normalised(Deviation),
    Refused(Violation),
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub what: &'static str,
    /// The RFC section of the rule.
    pub source: &'static str,
    /// The results of Go 1.19, nginx 1.22 and HAProxy 2.6 as a proxy in front of such a server.
    #[cfg_attr(reachability, expect(dead_code, reason = "the table of the manual has it, which a test compares"))]
    pub go: &'static str,
    #[cfg_attr(reachability, expect(dead_code, reason = "the table of the manual has it, which a test compares"))]
    pub nginx: &'static str,
    #[cfg_attr(reachability, expect(dead_code, reason = "the table of the manual has it, which a test compares"))]
    pub haproxy: &'static str,
    pub handling: Handling,
    /// The part of the response that the client gets.
    pub here: &'static str,
}

use Handling::{Normalised, Refused};

const fn row(
    handling: Handling,
    what: &'static str,
    source: &'static str,
    others: [&'static str; 3],
    here: &'static str,
) -> Row {
    let [go, nginx, haproxy] = others;
    Row { what, source, go, nginx, haproxy, handling, here }
}

/// All known deviations (docs/reference/backends.md#responses-of-servers).
pub const TABLE: [Row; 30] = [
    row(
        Normalised(Deviation::SpaceBeforeColon),
        "whitespace between a field name and its colon",
        "RFC 9112 5.1",
        ["drops the field", "502", "502"],
        "the field without the whitespace",
    ),
    row(
        Refused(Violation::SpaceBeforeColon),
        "the same in Content-Length or Transfer-Encoding",
        "RFC 9112 5.1",
        ["ignores the field", "502", "502"],
        "502",
    ),
    row(
        Normalised(Deviation::Fold),
        "a field over several lines",
        "RFC 9112 5.2",
        ["joins the lines", "502", "joins the lines"],
        "one line; each break is one space",
    ),
    row(
        Refused(Violation::Fold),
        "Content-Length or Transfer-Encoding over several lines",
        "RFC 9112 5.2",
        ["joins the lines", "502", "joins the lines"],
        "502",
    ),
    row(
        Normalised(Deviation::BareLf),
        "a line of the head that ends in LF alone",
        "RFC 9112 2.2",
        ["accepts", "accepts", "accepts"],
        "CRLF",
    ),
    row(
        Normalised(Deviation::ControlByte),
        "a control byte other than NUL, CR and LF in a value or a reason phrase",
        "RFC 9110 5.5",
        ["forwards it", "forwards it", "forwards it"],
        "a space in its place",
    ),
    row(Refused(Violation::ValueByte), "NUL in a value", "RFC 9110 5.5", ["forwards it", "502", "forwards it"], "502"),
    row(Refused(Violation::BareCr), "CR without LF in the head", "RFC 9112 2.2", ["a space", "502", "502"], "502"),
    row(
        Normalised(Deviation::InvalidName),
        "a field name that is no token, or empty",
        "RFC 9110 5.1",
        ["drops the field", "502 or forwards it", "502"],
        "the response without the field",
    ),
    row(
        Refused(Violation::NameByte),
        "a name that is Content-Length or Transfer-Encoding but for invalid bytes",
        "RFC 9110 5.1",
        ["drops the field", "502", "502"],
        "502",
    ),
    row(
        Refused(Violation::NoColon),
        "a field line without a colon",
        "RFC 9112 5",
        ["502", "makes a name of it", "502"],
        "502",
    ),
    row(
        Refused(Violation::LeadingSpace),
        "whitespace before the first field",
        "RFC 9112 2.2",
        ["502", "502", "502"],
        "502",
    ),
    row(
        Normalised(Deviation::StatusSpaces),
        "several spaces or tabs around the status code",
        "RFC 9112 4",
        ["accepts spaces", "accepts", "accepts"],
        "one space",
    ),
    row(
        Normalised(Deviation::Version),
        "HTTP/1.2 to HTTP/9.9 in the status line",
        "RFC 9110 2.5",
        ["accepts", "accepts", "accepts"],
        "read as HTTP/1.1; the connection is not reused",
    ),
    row(
        Refused(Violation::StatusLine),
        "any other status line: `HTTP/2 200`, `ICY 200 OK`, `HTTP/1.1 200OK`, a status below 100 or of four digits",
        "RFC 9112 4",
        ["502", "various", "502 or forwards it"],
        "502",
    ),
    row(
        Normalised(Deviation::RepeatedLength),
        "several Content-Length fields of one value",
        "RFC 9112 6.3",
        ["accepts", "accepts", "accepts"],
        "one field",
    ),
    row(
        Refused(Violation::LengthRepeated),
        "Content-Length fields of different values",
        "RFC 9112 6.3",
        ["502", "takes the last", "502"],
        "502",
    ),
    row(
        Refused(Violation::LengthInvalid),
        "Content-Length that is no decimal number: empty, `5, 5`, `+5`",
        "RFC 9110 8.6",
        ["502; empty: until close", "until close", "502; `5, 5`: 5"],
        "502",
    ),
    row(
        Refused(Violation::CodingNotChunked),
        "Transfer-Encoding other than `chunked`: `identity`, `gzip, chunked`, `chunked,`",
        "RFC 9112 6.1",
        ["502", "looks for the word chunked", "502; `chunked,`: accepts"],
        "502",
    ),
    row(
        Refused(Violation::CodingRepeated),
        "several Transfer-Encoding fields",
        "RFC 9112 6.1",
        ["502", "takes one", "502"],
        "502",
    ),
    row(
        Refused(Violation::CodingInHttp10),
        "Transfer-Encoding in HTTP/1.0",
        "RFC 9112 6.1",
        ["does not decode it", "decodes it", "decodes it"],
        "502",
    ),
    row(
        Normalised(Deviation::PaddedChunkSize),
        "spaces or tabs behind a chunk size",
        "RFC 9112 7.1.1",
        ["accepts", "accepts", "accepts"],
        "the body",
    ),
    row(
        Refused(Violation::ChunkSize),
        "a chunk size with anything else: a sign, `0x`, whitespace before it, LF alone behind it, or none",
        "RFC 9112 7.1",
        ["cuts the body; LF: accepts", "cuts the body; LF: accepts", "502; LF: accepts"],
        "the body is cut",
    ),
    row(
        Refused(Violation::ChunkSizeTooLong),
        "a chunk size of more than 16 digits",
        "RFC 9112 7.1",
        ["cuts the body", "accepts zeros", "accepts zeros"],
        "the body is cut",
    ),
    row(
        Refused(Violation::ChunkExtension),
        "LF or another control byte in a chunk extension",
        "RFC 9112 7.1.1",
        ["ends the line there", "cuts the body", "502"],
        "the body is cut",
    ),
    row(
        Refused(Violation::ChunkEnd),
        "chunk data that is not followed by CRLF",
        "RFC 9112 7.1",
        ["cuts the body", "LF: accepts", "LF: accepts"],
        "the body is cut",
    ),
    row(
        Normalised(Deviation::Trailer),
        "a trailer line that is no field, or goes over several lines",
        "RFC 9112 7.1.2",
        ["joins lines; else cuts the body", "drops all trailers", "joins lines; else 502"],
        "the body; joined lines, and no invalid trailer",
    ),
    row(
        Refused(Violation::Trailer),
        "a trailer line that does not end in CRLF, or has a CR",
        "RFC 9112 7.1.2",
        ["cuts the body", "accepts", "LF: accepts"],
        "the body is cut",
    ),
    row(
        Refused(Violation::BodyTruncated),
        "a connection that closes before the end of the body",
        "RFC 9112 8",
        ["cuts the body", "cuts the body", "cuts the body"],
        "the body is cut; the access log has the status 502",
    ),
    row(Refused(Violation::HeadTooLong), "a head above 512 KiB", "RFC 9110 5.4", ["10 MiB", "4 KiB", "16 KiB"], "502"),
];

impl Deviation {
    /// The row of the table for this deviation.
    pub fn row(self) -> &'static Row {
        let is_own = |row: &&Row| row.handling == Normalised(self);
        // A test looks up every deviation; the first row only keeps this function free of a panic.
        TABLE.iter().find(is_own).unwrap_or(&TABLE[0])
    }

    /// Whether a part of the response is lost: the operator learns of it at the default log level.
    pub fn loses_a_field(self) -> bool {
        matches!(self, Deviation::InvalidName | Deviation::Trailer)
    }
}

/// A set of deviations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deviations(u16);

impl Deviations {
    pub const ALL: [Deviation; 10] = [
        Deviation::SpaceBeforeColon,
        Deviation::Fold,
        Deviation::BareLf,
        Deviation::ControlByte,
        Deviation::InvalidName,
        Deviation::StatusSpaces,
        Deviation::Version,
        Deviation::RepeatedLength,
        Deviation::PaddedChunkSize,
        Deviation::Trailer,
    ];

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn insert(&mut self, deviation: Deviation) {
        self.0 |= 1 << deviation as u16;
    }

    pub fn contains(self, deviation: Deviation) -> bool {
        self.0 & (1 << deviation as u16) != 0
    }

    #[must_use]
    pub fn union(self, other: Deviations) -> Deviations {
        Deviations(self.0 | other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Deviation> {
        Self::ALL.into_iter().filter(move |deviation| self.contains(*deviation))
    }

    /// The set as a number, for an atomic variable.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The deviations of this set that are not among those with the number `seen`.
    #[must_use]
    pub fn without(self, seen: u16) -> Deviations {
        Deviations(self.0 & !seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deviation_has_its_own_row_and_bit() {
        let mut all = Deviations::default();
        for deviation in Deviations::ALL {
            assert_eq!(deviation.row().handling, Normalised(deviation));
            assert!(!all.contains(deviation));
            all.insert(deviation);
        }
        assert_eq!(all.iter().count(), Deviations::ALL.len());
        let rows = TABLE.iter().filter(|row| matches!(row.handling, Normalised(_))).count();
        assert_eq!(rows, Deviations::ALL.len());
    }

    #[test]
    fn deviations_seen_before_are_left_out() {
        let (mut all, mut seen) = (Deviations::default(), Deviations::default());
        all.insert(Deviation::Fold);
        all.insert(Deviation::BareLf);
        seen.insert(Deviation::Fold);
        assert_eq!(all.without(seen.bits()).iter().collect::<Vec<_>>(), [Deviation::BareLf]);
        assert_eq!(seen.union(all), all);
    }
}
