//! Responses of servers with each deviation of `http::deviation`: what the client gets, however the bytes are cut into reads.

use ringway::http::deviation::{Deviation, Deviations, Handling, TABLE};
use ringway::http::h1::body::Decoder;
use ringway::http::h1::response_head::{ResponseProgress, parse_server_response};
use ringway::http::{BodyFraming, ResponseHead, Violation};

use Handling::{Normalised, Refused};

/// The result of a response: its head as it is forwarded, its payload and trailers, and its deviations.
type Outcome = Result<(Vec<u8>, Vec<u8>, Vec<u8>, Deviations), Violation>;

/// Reads a response that arrives in pieces of `piece` bytes, and then ends.
fn read(response: &[u8], piece: usize) -> Outcome {
    let mut head = ResponseHead::default();
    let mut end = piece.min(response.len());
    let (bytes, mut at, mut deviations) = loop {
        match parse_server_response(&response[..end], false, &mut head).map_err(|invalid| invalid.rule)? {
            ResponseProgress::Complete => break (response[..head.len].to_vec(), head.len, Deviations::default()),
            ResponseProgress::Normalised { bytes, received_len, deviations } => {
                break (bytes, received_len, deviations);
            }
            ResponseProgress::Partial if end == response.len() => return Err(Violation::BodyTruncated),
            ResponseProgress::Partial => end = (end + piece).min(response.len()),
        }
    };
    let mut decoder = Decoder::of_response(head.body);
    let mut payload = Vec::new();
    while !decoder.is_done() {
        if at == response.len() {
            decoder.finish().map_err(|invalid| invalid.0)?;
            break;
        }
        let step = decoder.decode(&response[at..(at + piece).min(response.len())]).map_err(|invalid| invalid.0)?;
        payload.extend_from_slice(step.data.map_or(&[][..], |data| &response[at + data.start..at + data.end]));
        at += step.consumed;
    }
    deviations = deviations.union(decoder.deviations());
    Ok((bytes, payload, decoder.trailers().to_vec(), deviations))
}

fn outcome(response: &[u8]) -> Outcome {
    let whole = read(response, response.len());
    for piece in 1..response.len() {
        assert_eq!(read(response, piece), whole, "pieces of {piece}: {}", response.escape_ascii());
    }
    whole
}

const OK: &str = "HTTP/1.1 200 OK\r\n";
const LENGTH: &str = "Content-Length: 5\r\n\r\nhello";

fn with_field(line: &str) -> String {
    format!("{OK}{line}\r\n{LENGTH}")
}

fn chunked(body: &str) -> String {
    format!("{OK}Transfer-Encoding: chunked\r\n\r\n{body}")
}

/// Each normalised deviation: the response, the forwarded head, and the trailers. The payload is always `hello`.
fn normalised() -> Vec<(Deviation, String, String, &'static str)> {
    use Deviation::*;
    let field = |line: &str| format!("{OK}{line}\r\nContent-Length: 5\r\n\r\n");
    let plain = format!("{OK}Content-Length: 5\r\n\r\n");
    let mut rows = Vec::new();
    for (deviation, sent, forwarded) in [
        (SpaceBeforeColon, "X-A : b", "X-A: b"),
        (SpaceBeforeColon, "X-A\t :b", "X-A: b"),
        (Fold, "X-A: b,\r\n  c", "X-A: b, c"),
        (Fold, "X-A: b,\r\n\t\tc \r\n d", "X-A: b, c d"),
        (Fold, "X-A:\r\n c", "X-A: c"),
        (Fold, "X-A: b\r\n  ", "X-A: b"),
        (BareLf, "X-A: b\nX-B: c", "X-A: b\r\nX-B: c"),
        (ControlByte, "X-A: b\x01c\x7f", "X-A: b c "),
    ] {
        rows.push((deviation, with_field(sent), field(forwarded), ""));
    }
    for line in ["X A: b", "X(A: b", ": b", "X\u{e4}: b", "X A: b\r\n c"] {
        rows.push((InvalidName, with_field(line), plain.clone(), ""));
    }
    for line in ["HTTP/1.1  200 OK", "HTTP/1.1\t200 OK", "HTTP/1.1 200\tOK"] {
        rows.push((StatusSpaces, format!("{line}\r\nX: y z\r\n{LENGTH}"), field("X: y z"), ""));
    }
    for version in ["1.2", "1.9", "2.0"] {
        rows.push((Version, format!("HTTP/{version} 200 OK\r\n{LENGTH}"), plain.clone(), ""));
    }
    rows.push((ControlByte, format!("HTTP/1.1 200 O\x01K\r\n{LENGTH}"), plain.replace("OK", "O K"), ""));
    rows.push((RepeatedLength, with_field("Content-Length: 5 "), plain, ""));
    let head = chunked("");
    for (deviation, body, trailers) in [
        (PaddedChunkSize, "5  \r\nhello\r\n0\r\n\r\n", ""),
        (PaddedChunkSize, "5\r\nhello\r\n0 \t\r\n\r\n", ""),
        (PaddedChunkSize, "5 ;a=b\r\nhello\r\n0\r\n\r\n", ""),
        (Trailer, "5\r\nhello\r\n0\r\nX-T : a\r\nX-U: b\r\n\r\n", "X-U: b\r\n"),
        (Trailer, "5\r\nhello\r\n0\r\nX-T: a\r\n b \r\nX-U: c\r\n\r\n", "X-T: a b\r\nX-U: c\r\n"),
        (Trailer, "5\r\nhello\r\n0\r\nSet-Cookie: a\r\n b\r\nX-U: c\r\n\r\n", "X-U: c\r\n"),
        (Trailer, "5\r\nhello\r\n0\r\ngarbage\r\n\r\n", ""),
    ] {
        rows.push((deviation, chunked(body), head.clone(), trailers));
    }
    rows
}

fn refused() -> Vec<(Violation, String)> {
    use Violation::*;
    let mut rows = vec![
        (CodingInHttp10, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
        (BodyTruncated, format!("{OK}Content-Length: 9\r\n\r\nhello")),
        (BodyTruncated, chunked("5\r\nhello\r\n0\r\n")),
        (HeadTooLong, format!("{OK}X-A: {}\n{LENGTH}", "y".repeat(512 * 1024))),
    ];
    for (violation, line) in [
        (SpaceBeforeColon, "Content-Length : 5"),
        (SpaceBeforeColon, "Transfer-Encoding\t: chunked"),
        (Fold, "Content-Length:\r\n 5"),
        (Fold, "Transfer-Encoding:\r\n chunked"),
        (Fold, "Content-Length: 5\r\n 5"),
        (ValueByte, "X-A: b\0c"),
        (ValueByte, "Transfer-Encoding: \x0bchunked"),
        (BareCr, "X-A: b\rc"),
        (BareCr, "X-A: b\n c\rd"),
        (NameByte, "Content-Length\x01: 5"),
        (NameByte, "Transfer Encoding: chunked"),
        (NameByte, "Transfer-\u{e4}Encoding: chunked"),
        (NoColon, "garbage"),
        (LeadingSpace, " X-A: b"),
        (LengthRepeated, "Content-Length: 6"),
        (LengthInvalid, "Content-Length:"),
        (LengthInvalid, "Content-Length: 5, 5"),
        (LengthInvalid, "Content-Length: +5"),
        (CodingNotChunked, "Transfer-Encoding: identity"),
        (CodingNotChunked, "Transfer-Encoding: gzip, chunked"),
        (CodingNotChunked, "Transfer-Encoding: chunked,"),
        (CodingRepeated, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    ] {
        rows.push((violation, format!("{OK}{line}\r\n\r\nhello")));
        if violation == LengthRepeated {
            rows.pop();
            rows.push((violation, with_field(line)));
        }
    }
    for line in ["HTTP/2 200", "ICY 200 OK", "HTTP/1.1 200OK", "HTTP/1.1 099 No", "HTTP/1.1 2000 OK", "http/1.1 200 OK"]
    {
        rows.push((StatusLine, format!("{line}\r\n{LENGTH}")));
    }
    for (violation, body) in [
        (ChunkSize, "+5\r\nhello\r\n0\r\n\r\n"),
        (ChunkSize, "0x5\r\nhello\r\n0\r\n\r\n"),
        (ChunkSize, " 5\r\nhello\r\n0\r\n\r\n"),
        (ChunkSize, "5 5\r\nhello\r\n0\r\n\r\n"),
        (ChunkSize, "5\nhello\r\n0\r\n\r\n"),
        (ChunkSize, "5 \nhello\r\n0\r\n\r\n"),
        (ChunkSize, "\r\nhello\r\n0\r\n\r\n"),
        (ChunkSizeTooLong, "00000000000000005\r\nhello\r\n0\r\n\r\n"),
        (ChunkExtension, "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        (ChunkEnd, "5\r\nhello\n0\r\n\r\n"),
        (ChunkEnd, "5\r\nhelloo\r\n0\r\n\r\n"),
        (Trailer, "5\r\nhello\r\n0\r\nX-T: a\n\r\n"),
        (Trailer, "5\r\nhello\r\n0\r\nX-T: a\rb\r\n\r\n"),
        (Trailer, "5\r\nhello\r\n0\r\n\n"),
    ] {
        rows.push((violation, chunked(body)));
    }
    rows
}

#[test]
fn normalised_response_is_forwarded_in_strict_form() {
    for (deviation, response, forwarded, trailers) in normalised() {
        let outcome = outcome(response.as_bytes());
        let Ok((head, payload, kept, deviations)) = outcome else { panic!("{outcome:?}: {response:?}") };
        assert!(head == forwarded.as_bytes(), "{response:?}: {}", head.escape_ascii());
        assert_eq!((payload.as_slice(), kept.as_slice()), (&b"hello"[..], trailers.as_bytes()), "{response:?}");
        assert_eq!(deviations.iter().collect::<Vec<_>>(), [deviation], "{response:?}");
    }
}

#[test]
fn ambiguous_response_is_refused() {
    for (violation, response) in refused() {
        let step = response.len().div_ceil(64).max(1);
        let whole = read(response.as_bytes(), response.len());
        assert_eq!(whole, Err(violation), "{:?}", &response[..response.len().min(200)]);
        for piece in (1..response.len()).step_by(step).filter(|piece| response.len() < 200 || *piece > 1000) {
            assert_eq!(read(response.as_bytes(), piece), whole, "pieces of {piece}");
        }
    }
}

#[test]
fn every_row_of_the_table_has_an_example() {
    let (normalised, refused) = (normalised(), refused());
    for row in TABLE {
        let has_example = match row.handling {
            Normalised(deviation) => normalised.iter().any(|example| example.0 == deviation),
            Refused(violation) => refused.iter().any(|example| example.0 == violation),
        };
        assert!(has_example, "{}", row.what);
    }
}

#[test]
fn regular_response_has_no_deviation() {
    let (head, payload, _, deviations) = outcome(with_field("X-A: b").as_bytes()).expect("a regular response");
    assert_eq!((head.len() + 5, &payload[..]), (with_field("X-A: b").len(), &b"hello"[..]));
    assert!(deviations.is_empty());
}

#[test]
fn connection_is_not_reused_after_a_later_version() {
    for (version, keeps) in [("1.1 ", true), ("1.2", false), ("2.0", false)] {
        let mut head = ResponseHead::default();
        let response = format!("HTTP/{version} 200 OK\r\n{LENGTH}");
        assert!(parse_server_response(response.as_bytes(), false, &mut head).is_ok());
        assert_eq!((head.keep_alive, head.body), (keeps, BodyFraming::Length(5)), "{version}");
    }
}

#[test]
fn response_that_is_no_http_is_refused_before_its_end() {
    let mut head = ResponseHead::default();
    for start in ["<html>", "SSH-2.0-OpenSSH", "ICY", "HTTP/x"] {
        assert!(parse_server_response(start.as_bytes(), false, &mut head).is_err(), "{start}");
    }
}

#[test]
fn manual_has_the_table() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/backends.md");
    let manual = std::fs::read_to_string(file).expect("the manual");
    let lines = TABLE.map(|row| {
        format!("| {} | {} | {} | {} | {} | {} |", row.what, row.source, row.go, row.nginx, row.haproxy, row.here)
    });
    let section = lines.join("\n");
    assert!(
        manual.contains(&section),
        "docs/reference/backends.md#responses-of-servers has to have these rows:\n{section}"
    );
}
