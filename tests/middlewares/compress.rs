//! Compression (docs/reference/middlewares.md#compression).

use std::io::Read;

use ringway::http::{Edits, Reply, RequestHead};
use ringway::middleware::gzip::{CompressionPlan, Gzip};
use ringway::middleware::{Middleware, Request};

use crate::support::*;

const LONG: &str = "Content-Length: 512";
const GZIP: &str = "Accept-Encoding: gzip";

fn plan_with(fields: &str, response: &str) -> (Vec<(String, String)>, CompressionPlan) {
    let mut run = ChainRun::new(vec![Middleware::Compress]);
    assert!(passes(&run.send(&format!("GET / HTTP/1.1\nHost: h\n{fields}"))));
    let (fields, _) = run.respond(response);
    (fields, run.state.body)
}

#[test]
fn long_responses_are_compressed_if_the_client_accepts() {
    let (fields, body) =
        plan_with("Accept-Encoding: br, GZIP;q=0.5", &format!("HTTP/1.1 200 OK\nContent-Type: image/png\n{LONG}"));
    assert_eq!(body, CompressionPlan::Gzip);
    assert_eq!((value(&fields, "content-encoding"), value(&fields, "content-length")), (Some("gzip"), None));
    assert_eq!(value(&fields, "vary"), Some("Accept-Encoding"));
}

#[test]
fn other_responses_only_get_vary() {
    let gzip = GZIP;
    for (request, response) in [
        ("Accept: x", LONG),
        ("Accept-Encoding: gzip;q=0", LONG),
        ("Accept-Encoding: gzip;q=0.0", LONG),
        ("Accept-Encoding: xgzip", LONG),
        (gzip, "Content-Length: 511"),
        (gzip, "Content-Length: 600\nContent-Encoding: br"),
        ("Accept-Encoding: gzip\nContent-Type: Application/grpc+proto", LONG),
    ] {
        let (fields, body) = plan_with(request, &format!("HTTP/1.1 200 OK\n{response}"));
        assert_eq!(body, CompressionPlan::Plain, "{request} {response}");
        assert_eq!(value(&fields, "vary"), Some("Accept-Encoding"));
        assert!(value(&fields, "content-length").is_some());
    }
    assert_eq!(plan_with(gzip, "HTTP/1.1 206 Partial\nContent-Length: 900").1, CompressionPlan::Plain);
}

#[test]
fn unknown_length_is_decided_by_the_worker_for_any_content_type() {
    for kind in ["text/plain", "text/event-stream", "application/x-ndjson"] {
        let response = format!("HTTP/1.1 200 OK\nContent-Type: {kind}\nETag: \"a\"\nTransfer-Encoding: chunked");
        let (fields, body) = plan_with(GZIP, &response);
        assert_eq!(body, CompressionPlan::GzipIfLong, "{kind}");
        assert_eq!(
            (value(&fields, "content-encoding"), value(&fields, "etag")),
            (None, Some("\"a\"")),
            "not decided yet"
        );
    }
}

#[test]
fn no_transform_and_signature_leave_the_response_alone() {
    for (request, response) in [
        (GZIP, "Cache-Control: public, No-Transform\nETag: \"a\""),
        (GZIP, "Cache-Control: public\nCache-Control: no-transform\nETag: \"a\""),
        (GZIP, "Signature-Input: sig=(\"etag\");created=1\nETag: \"a\""),
        ("Accept-Encoding: gzip\nCache-Control: no-cache, no-transform", "ETag: \"a\""),
    ] {
        let (fields, body) = plan_with(request, &format!("HTTP/1.1 200 OK\n{LONG}\nAccept-Ranges: bytes\n{response}"));
        assert_eq!(body, CompressionPlan::Plain, "{request} {response}");
        assert_eq!((value(&fields, "etag"), value(&fields, "accept-ranges")), (Some("\"a\""), Some("bytes")));
    }
    let (_, body) = plan_with(GZIP, &format!("HTTP/1.1 200 OK\n{LONG}\nCache-Control: no-transformers"));
    assert_eq!(body, CompressionPlan::Gzip, "another directive");
}

#[test]
fn compressed_response_has_weak_tag_and_no_digest() {
    let fields = "Accept-Ranges: bytes\nContent-MD5: m\nDigest: d\nContent-Digest: c\nRepr-Digest: r\nLast-Modified: l";
    for (tag, expected) in [("\"abc\"", "W/\"abc\""), ("W/\"abc\"", "W/\"abc\""), ("abc", "abc")] {
        let (fields, body) = plan_with(GZIP, &format!("HTTP/1.1 200 OK\n{LONG}\n{fields}\nETag: {tag}"));
        assert_eq!((body, value(&fields, "etag")), (CompressionPlan::Gzip, Some(expected)));
        assert_eq!(value(&fields, "last-modified"), Some("l"));
        for name in ["accept-ranges", "content-md5", "digest", "content-digest", "repr-digest", "content-length"] {
            assert_eq!(value(&fields, name), None, "{name}");
        }
    }
}

#[test]
fn weights_of_accept_encoding_decide() {
    for (accepted, is_compressed) in [
        ("gzip", true),
        ("x-gzip", true),
        ("br;q=1, gzip;q=0.001", true),
        ("identity;q=0.5, gzip;q=1.0", true),
        ("gzip ; q=0.5", true),
        ("*", false),
        ("gzip;q=0, *", false),
        ("*;q=0", false),
        ("identity, gzip;q=0.5", false),
        ("gzip;q=nan", false),
        ("gzip;q=", false),
        ("", false),
    ] {
        let (_, body) = plan_with(&format!("Accept-Encoding: {accepted}"), &format!("HTTP/1.1 200 OK\n{LONG}"));
        assert_eq!(body == CompressionPlan::Gzip, is_compressed, "{accepted}");
    }
    let (fields, body) = plan_with(GZIP, &format!("HTTP/1.1 200 OK\n{LONG}\nContent-Encoding: identity"));
    assert_eq!((body, value(&fields, "content-encoding")), (CompressionPlan::Gzip, Some("gzip")));
}

#[test]
fn head_response_describes_the_body_of_get() {
    let head = |response: &str| {
        let mut run = ChainRun::new(vec![Middleware::Compress]);
        run.send("HEAD / HTTP/1.1\nHost: h\nAccept-Encoding: gzip");
        let fields = run.respond_to_head(&format!("HTTP/1.1 200 OK\nETag: \"a\"\nAccept-Ranges: bytes\n{response}"));
        assert_eq!(run.state.body, CompressionPlan::Plain, "no body follows");
        fields
    };
    let long = head(LONG);
    assert_eq!((value(&long, "content-encoding"), value(&long, "etag")), (Some("gzip"), Some("W/\"a\"")));
    assert_eq!((value(&long, "content-length"), value(&long, "accept-ranges")), (None, None));
    let short = head("Content-Length: 511");
    assert_eq!((value(&short, "content-encoding"), value(&short, "etag")), (None, Some("\"a\"")));
    assert_eq!(value(&short, "content-length"), Some("511"));
    let unknown = head("X: y");
    assert_eq!((value(&unknown, "content-encoding"), value(&unknown, "etag")), (None, Some("W/\"a\"")));
}

#[test]
fn not_modified_has_the_tag_that_the_client_has() {
    for (request, expected) in [
        ("Accept-Encoding: gzip\nIf-None-Match: W/\"a\"", "W/\"a\""),
        ("Accept-Encoding: gzip\nIf-None-Match: \"b\", \"a\"", "\"a\""),
        ("If-None-Match: W/\"a\"", "W/\"a\""),
        ("If-None-Match: \"a\"", "\"a\""),
        ("Accept-Encoding: gzip\nIf-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT", "W/\"a\""),
        ("If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT", "\"a\""),
    ] {
        let (fields, body) = plan_with(request, "HTTP/1.1 304 Not Modified\nETag: \"a\"\nContent-Length: 900");
        assert_eq!((body, value(&fields, "etag")), (CompressionPlan::Plain, Some(expected)), "{request}");
        assert_eq!(value(&fields, "content-length").is_none(), expected.starts_with('W'), "{request}");
    }
}

#[test]
fn preconditions_are_mapped_back_to_the_servers_bytes() {
    let sent = |fields: &str, name: &str| {
        let mut run = ChainRun::new(vec![Middleware::Compress]);
        run.send(&format!("GET / HTTP/1.1\nHost: h\n{fields}"));
        run.field(name)
    };
    let date = "If-Range: Thu, 01 Jan 2026 00:00:00 GMT\nRange: bytes=5-";
    for (fields, range) in [
        ("If-Range: W/\"a\"\nRange: bytes=5-".to_owned(), None),
        (format!("{GZIP}\nIf-Range: W/\"a\"\nRange: bytes=5-"), None),
        (format!("{GZIP}\n{date}"), None),
        (date.to_owned(), Some("bytes=5-")),
        (format!("{GZIP}\nIf-Range: \"a\"\nRange: bytes=5-"), Some("bytes=5-")),
        (format!("{GZIP}\nRange: bytes=5-"), Some("bytes=5-")),
    ] {
        assert_eq!(sent(&fields, "range").as_deref(), range, "{fields}");
        assert_eq!(sent(&fields, "if-range").is_some(), range.is_some() && fields.contains("If-Range"), "{fields}");
    }
    assert_eq!(sent("If-Match: W/\"a\", \"b,W/\"", "if-match").as_deref(), Some("\"a\", \"b,W/\""));
    assert_eq!(sent("If-Match: *", "if-match").as_deref(), Some("*"));
    assert_eq!(sent("If-None-Match: W/\"a\"", "if-none-match").as_deref(), Some("W/\"a\""), "compares weakly");
}

#[test]
fn later_response_of_the_same_request_decides_again() {
    let mut run = ChainRun::new(vec![Middleware::Compress]);
    run.send("GET / HTTP/1.1\nHost: h\nAccept-Encoding: gzip");
    run.respond(&format!("HTTP/1.1 200 OK\n{LONG}"));
    assert_eq!(run.state.body, CompressionPlan::Gzip);
    run.respond_local(&mut Reply::text(502, "Bad Gateway"));
    assert_eq!(run.state.body, CompressionPlan::Plain);
}

#[test]
fn compressor_writes_valid_gzip_and_flushes() {
    let text: Vec<u8> = (0..100_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let (mut gzip, mut out) = (Gzip::default(), Vec::new());
    text.chunks(777).for_each(|piece| gzip.push(piece, &mut out).unwrap());
    gzip.finish(&mut out).unwrap();
    let mut read = Vec::new();
    flate2::read::GzDecoder::new(&out[..]).read_to_end(&mut read).unwrap();
    assert!(read == text && out.len() < text.len());

    let (mut gzip, mut out) = (Gzip::default(), Vec::new());
    gzip.push(b"data: 1\n\n", &mut out).unwrap();
    gzip.flush(&mut out).unwrap();
    let mut event = [0; 9];
    flate2::read::GzDecoder::new(&out[..]).read_exact(&mut event).unwrap();
    assert_eq!(&event, b"data: 1\n\n", "an event is readable before the next one comes");
}

#[test]
fn empty_request_is_harmless() {
    let (head, mut edits) = (RequestHead::default(), Edits::default());
    let request = Request { head: &head, bytes: b"", edits: &mut edits };
    assert_eq!((request.method(), request.host(), request.first(b"x")), (&b""[..], &b""[..], None));
    assert_eq!(request.fields().count(), 0);
}
