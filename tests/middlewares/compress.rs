//! Compression (docs/reference/middlewares.md#compression).

use std::io::Read;

use ringway::http::{Edits, Reply, RequestHead};
use ringway::middleware::gzip::{CompressionPlan, Gzip};
use ringway::middleware::{Middleware, Request};

use crate::support::*;

const LONG: &str = "Content-Length: 512";

fn plan(request: &str, response: &str) -> (Vec<(String, String)>, CompressionPlan) {
    let mut run = ChainRun::new(vec![Middleware::Compress]);
    assert!(passes(&run.send(&format!("{request} / HTTP/1.1\nHost: h").replace("GET,", "GET"))));
    let (fields, _) = run.respond(response);
    (fields, run.state.body)
}

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
    let gzip = "Accept-Encoding: gzip";
    for (request, response) in [
        ("Accept: x", LONG),
        ("Accept-Encoding: gzip;q=0", LONG),
        ("Accept-Encoding: gzip;q=0.0", LONG),
        ("Accept-Encoding: xgzip", LONG),
        (gzip, "Content-Length: 511"),
        (gzip, "Content-Length: 600\nContent-Encoding: br"),
        ("Accept-Encoding: gzip\nContent-Type: application/grpc+proto", LONG),
    ] {
        let (fields, body) = plan_with(request, &format!("HTTP/1.1 200 OK\n{response}"));
        assert_eq!(body, CompressionPlan::Plain, "{request} {response}");
        assert_eq!(value(&fields, "vary"), Some("Accept-Encoding"));
        assert!(value(&fields, "content-length").is_some());
    }
    assert_eq!(plan_with(gzip, "HTTP/1.1 206 Partial\nContent-Length: 900").1, CompressionPlan::Plain);
    assert_eq!(plan("HEAD", &format!("HTTP/1.1 200 OK\n{LONG}")).1, CompressionPlan::Plain);
}

#[test]
fn unknown_length_waits_for_data_and_events_do_not() {
    let gzip = "Accept-Encoding: gzip";
    assert_eq!(plan_with(gzip, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked").1, CompressionPlan::GzipIfLong);
    let (fields, body) =
        plan_with(gzip, "HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked");
    assert_eq!((body, value(&fields, "content-encoding")), (CompressionPlan::Gzip, Some("gzip")));
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
