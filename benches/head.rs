//! Cost of parsing and forwarding request heads and response heads.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringway::http::forward::{ForwardPlan, ResponsePlan, write_request, write_response};
use ringway::http::h1::body::Decoder;
use ringway::http::h1::progress::HeadLimits;
use ringway::http::h1::request_head::parse_request;
use ringway::http::h1::response_head::parse_response;
use ringway::http::{BodyFraming, Edits, RequestHead, RequestView, ResponseHead, ResponseView, Version};
use std::hint::black_box;

const PLAIN: &[u8] =
    b"GET /api/v1/items?id=1234 HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\
    Accept-Encoding: gzip\r\nX-Request-Id: 4f5a8c2e\r\n\r\n";
const BROWSER: &[u8] = b"GET /assets/app.js HTTP/1.1\r\nHost: www.example.org\r\nConnection: keep-alive\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\nReferer: https://www.example.org/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/html; charset=utf-8\r\n\
    Content-Length: 128\r\nConnection: keep-alive\r\n\r\n";

fn requests(c: &mut Criterion) {
    let (limits, edits) = (HeadLimits::default(), Edits::new());
    for (name, bytes) in [("plain", PLAIN), ("browser", BROWSER)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut head = RequestHead::default();
        group.bench_function("parse_request", |b| b.iter(|| parse_request(black_box(bytes), &limits, &mut head)));
        let plan = ForwardPlan {
            target: head.target.of(bytes),
            client_ip: b"192.0.2.33",
            server_name: b"proxy-1",
            ..ForwardPlan::default()
        };
        let mut out = Vec::new();
        group.bench_function("write_request", |b| {
            b.iter(|| {
                out.clear();
                write_request(&mut out, RequestView { head: black_box(&head), bytes, edits: &edits }, &plan);
            })
        });
        group.finish();
    }
}

fn responses(c: &mut Criterion) {
    let (limits, edits) = (HeadLimits::default(), Edits::new());
    let mut head = ResponseHead::default();
    c.bench_function("parse_response", |b| b.iter(|| parse_response(black_box(RESPONSE), false, &limits, &mut head)));
    let plan = ResponsePlan { client_version: Version::Http11, keep_alive: true, body: head.body, date: None };
    let mut out = Vec::new();
    c.bench_function("write_response", |b| {
        b.iter(|| {
            out.clear();
            write_response(&mut out, ResponseView { head: black_box(&head), bytes: RESPONSE, edits: &edits }, &plan);
        })
    });
}

fn bodies(c: &mut Criterion) {
    let chunked = [b"400\r\n".as_slice(), &[b'x'; 1024], b"\r\n"].concat().repeat(16);
    let mut group = c.benchmark_group("chunked");
    group.throughput(Throughput::Bytes(chunked.len() as u64));
    group.bench_function("decode_16_chunks", |b| {
        b.iter(|| {
            let mut decoder = Decoder::new(BodyFraming::Chunked);
            let mut rest = black_box(&chunked[..]);
            while let Ok(step) = decoder.decode(rest) {
                if step.consumed == rest.len() {
                    break;
                }
                rest = &rest[step.consumed..];
            }
        })
    });
    group.finish();
}

criterion_group!(benches, requests, responses, bodies);
criterion_main!(benches);
