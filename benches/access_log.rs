//! Cost of a line of the access log, in both formats.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};

use criterion::{Criterion, criterion_group, criterion_main};
use ringway::http::h1::progress::HeadLimits;
use ringway::http::h1::{request_head, response_head};
use ringway::http::{RequestHead, ResponseHead};
use ringway::observe::access_log::{AccessLogFormat, AccessLogRecord, AccessLogSettings, FieldList, UpstreamRecord};

const REQUEST: &[u8] = b"GET /shop/item?id=4711 HTTP/1.1\r\nHost: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0)\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n\
    Accept-Language: en-US,en;q=0.5\r\nCookie: session=1a2b3c4d5e6f\r\n\r\n";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nDate: Thu, 26 Nov 2026 03:41:22 GMT\r\n\
    Content-Length: 5120\r\nCache-Control: max-age=60\r\nServer: nginx\r\n\r\n";

fn lines(criterion: &mut Criterion) {
    let (mut head, mut answer) = (RequestHead::default(), ResponseHead::default());
    assert!(request_head::parse_request(REQUEST, &HeadLimits::default(), &mut head).is_ok());
    assert!(response_head::parse_response(ANSWER, false, &HeadLimits::default(), &mut answer).is_ok());
    let answer_fields = FieldList::Head { bytes: ANSWER, fields: &answer.fields };
    let origin = UpstreamRecord {
        backend_name: "backend-shop",
        backend_url: b"http://172.17.0.4:8080",
        backend_addr: "172.17.0.4:8080",
        status: 200,
        size: 5_120,
        duration_nanos: 1_204_311,
        fields: answer_fields,
    };
    let record = AccessLogRecord {
        start_unix_nanos: 1_795_448_537_123_456_789,
        local_offset_secs: 0,
        duration_nanos: 1_310_977,
        client: SocketAddr::new(Ipv4Addr::new(203, 0, 113, 7).into(), 51_010),
        forwarded_for: None,
        username: None,
        host: head.host.of(REQUEST),
        method: head.method.of(REQUEST),
        target: head.target.of(REQUEST),
        protocol: "HTTP/1.1",
        request_size: 0,
        request_id: None,
        request_fields: FieldList::Head { bytes: REQUEST, fields: &head.fields },
        frontend_name: Some("frontend-Host-www-example-org-0"),
        origin: Some(origin),
        status: 200,
        size: 5_120,
        response_fields: answer_fields,
        request_count: 1_234_567,
        retry_attempts: 0,
        trace: None,
    };
    for (name, json) in [("json", true), ("common", false)] {
        let (format, _) = AccessLogFormat::new(&AccessLogSettings { json, ..AccessLogSettings::default() });
        let mut out = Vec::with_capacity(8 * 1024);
        criterion.bench_function(&format!("access log line, {name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                format.append(black_box(&record), &mut out)
            });
        });
    }
}

criterion_group!(benches, lines);
criterion_main!(benches);
