//! Requests of all kinds: their spans, and the context that servers get.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::collector::{Collector, SeenSpan, count, field, named};
use crate::support::ringway::DRIVERS;
use crate::{SPAN, TRACE, get, otlp, start};

fn traceparent(trace: &str, span: &str, flags: &str) -> String {
    format!("00-{trace}-{span}-{flags}")
}

fn assert_tags(span: &SeenSpan, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(span.tags.get(*name).map(String::as_str), Some(*value), "{name} of {span:#?}");
    }
}

#[test]
fn fields_of_clients_reach_servers_untouched_while_tracing_is_off() {
    for driver in DRIVERS {
        let (proxy, _origin) = start(driver, "");
        let fields = [
            format!("traceparent: {}", traceparent(TRACE, SPAN, "01")),
            "tracestate: vendor=1,other=2".to_owned(),
            format!("b3: {TRACE}-{SPAN}-1"),
            format!("X-B3-TraceId: {TRACE}"),
            format!("X-B3-SpanId: {SPAN}"),
            "X-B3-Sampled: 1".to_owned(),
            "uber-trace-id: 1:2:0:1".to_owned(),
        ];
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let lines: Vec<&str> = fields.iter().map(String::as_str).collect();
            let mut arguments = vec![version, "-H", "Host: plain.test"];
            lines.iter().for_each(|line| arguments.extend(["-H", line]));
            let url = proxy.url("/");
            arguments.push(&url);
            let head = proxy.curl(&arguments);
            for line in &lines {
                assert!(
                    head.to_ascii_lowercase().contains(&format!("{}\r\n", line.to_ascii_lowercase())),
                    "{line}: {head}"
                );
            }
        }
    }
}

#[test]
fn request_is_traced_from_entry_point_to_server() {
    for driver in DRIVERS {
        let collector = Collector::start();
        let (proxy, origin) = start(driver, &otlp(&collector));
        for (version, number, path) in [("--http1.1", "1.1", "/one"), ("--http2-prior-knowledge", "2", "/two")] {
            let parent = format!("TraceParent: {}", traceparent(TRACE, SPAN, "01"));
            let url = proxy.url(&format!("{path}?q=1"));
            let fields = ["-H", "Host: plain.test", "-H", &parent, "-H", "tracestate: vendor=1"];
            let head = proxy.curl(&[&[version, "-A", "agent/1", &url], &fields[..]].concat());
            let all = collector.trace(path, 3);
            let (entry, frontend) = (named(&all, "Entrypoint http plain.test"), named(&all, "frontend plain"));
            let attempt = named(&all, "forward plain/one");
            assert_eq!((entry.trace.as_str(), entry.parent.as_str(), entry.kind), (TRACE, SPAN, 2));
            assert_eq!(
                (&frontend.parent, frontend.kind, &attempt.parent, attempt.kind),
                (&entry.id, 1, &frontend.id, 3)
            );
            assert_eq!((entry.flags, attempt.flags), (0x301, 0x101), "only the entry point's parent is remote");
            assert!(attempt.nanos > 0 && entry.nanos >= attempt.nanos && !entry.is_error);
            assert_eq!(field(&head, "traceparent"), Some(traceparent(TRACE, &attempt.id, "01")), "{head}");
            assert_eq!((count(&head, "traceparent"), field(&head, "tracestate").as_deref()), (1, Some("vendor=1")));
            let port = proxy.http.to_string();
            assert_tags(
                entry,
                &[
                    ("component", "edge"),
                    ("http.method", "GET"),
                    ("http.url", &format!("{path}?q=1")),
                    ("http.host", "plain.test"),
                    ("http.status_code", "200"),
                    ("http.request.method", "GET"),
                    ("http.response.status_code", "200"),
                    ("url.scheme", "http"),
                    ("url.query", "q=1"),
                    ("client.address", "127.0.0.1"),
                    ("network.protocol.version", number),
                    ("user_agent.original", "agent/1"),
                ],
            );
            assert_ne!(entry.tags["network.peer.port"], port);
            let (address, origin_port) = (origin.address.ip().to_string(), origin.address.port().to_string());
            let server = [
                ("frontend.name", "plain"),
                ("backend.name", "one"),
                ("http.status_code", "200"),
                ("server.address", &address),
                ("server.port", &origin_port),
            ];
            assert_tags(attempt, &server);
            assert_eq!(attempt.tags["url.full"], format!("http://{}{path}?q=1", origin.address));
            assert_eq!(entry.resource["service.name"], "edge");
        }
        let got = collector.got();
        assert!(got.iter().all(|got| got.head.starts_with("POST /v1/traces HTTP/1.1")), "{got:?}");
        assert!(got.iter().all(|got| field(&got.head, "api-key").as_deref() == Some("k1")));
    }
}

#[test]
fn request_without_context_begins_a_trace() {
    for driver in DRIVERS {
        let collector = Collector::start();
        let (proxy, _origin) = start(driver, &otlp(&collector));
        let broken = "traceparent: 00-zz-1-01";
        for (path, fields) in [("/new", &[][..]), ("/broken", &[broken, "tracestate: vendor=1"][..])] {
            let head = get(&proxy, "plain.test", path, fields);
            let spans = collector.trace(path, 3);
            let (entry, attempt) = (named(&spans, "Entrypoint http plain.test"), named(&spans, "forward plain/one"));
            assert_eq!((entry.parent.as_str(), entry.flags), ("", 0x101));
            assert_eq!(field(&head, "traceparent"), Some(traceparent(&entry.trace, &attempt.id, "01")), "{head}");
            assert_eq!((count(&head, "traceparent"), count(&head, "tracestate")), (1, 0), "{head}");
        }
        let head = get(&proxy, "header.test", "/header", &[]);
        let spans = collector.trace("/header", 3);
        let expected = traceparent(&spans[0].trace, &named(&spans, "forward header/one").id, "01");
        assert_eq!((field(&head, "traceparent"), count(&head, "traceparent")), (Some(expected), 1), "{head}");
    }
}

#[test]
fn request_that_is_not_sampled_has_no_spans() {
    for driver in DRIVERS {
        let collector = Collector::start();
        let table = otlp(&collector)
            .replace("[tracing.otlp]", "samplingType = \"probabilistic\"\nsamplingParam = 0.0\n[tracing.otlp]");
        let (proxy, _origin) = start(driver, &table);
        let head = get(&proxy, "plain.test", "/new", &[]);
        let sent = field(&head, "traceparent").expect("a traceparent");
        assert!(sent.ends_with("-00") && sent.len() == 55, "servers are told not to sample: {sent}");
        let denied = format!("traceparent: {}", traceparent(TRACE, SPAN, "00"));
        let head = get(&proxy, "plain.test", "/denied", &[&denied, "tracestate: vendor=1"]);
        assert!(head.contains(&denied) && head.contains("tracestate: vendor=1"), "{head}");
        let head = get(&proxy, "plain.test", "/deferred", &[&format!("b3: {TRACE}-{SPAN}")]);
        assert_eq!(field(&head, "b3"), Some(format!("{TRACE}-{SPAN}-0")), "{head}");
        let sampled = format!("traceparent: {}", traceparent(TRACE, SPAN, "01"));
        get(&proxy, "plain.test", "/sampled", &[&sampled]);
        collector.trace("/sampled", 3);
        assert_eq!(
            collector.spans().len(),
            3,
            "{:#?}: the parent's decision counts, and no other request is recorded",
            collector.spans()
        );
    }
}

#[test]
fn each_attempt_has_its_span() {
    for driver in DRIVERS {
        let collector = Collector::start();
        let (proxy, _origin) = start(driver, &otlp(&collector));
        // The balancer takes one of the two servers first; one of two requests meets the one that is away.
        let mut retried = None;
        for number in 0..4 {
            let path = format!("/retry/{number}");
            let head = get(&proxy, "retry.test", &path, &[]);
            let spans = wait_for_trace(&collector, &path);
            let sent = field(&head, "traceparent").expect("a traceparent");
            let answered = spans.iter().find(|span| span.kind == 3 && span.tags.contains_key("http.status_code"));
            assert!(sent.contains(&answered.expect("an attempt").id), "{sent}: {spans:#?}");
            if spans.len() == 4 {
                retried = Some(spans);
                break;
            }
        }
        let spans = retried.expect("a request that met the server that is away");
        let attempts: Vec<&SeenSpan> = spans.iter().filter(|span| span.name == "forward retry/two").collect();
        let failed = attempts.iter().find(|span| span.is_error).expect("a failed attempt");
        assert_eq!(failed.tags["error"], "true");
        assert!(failed.tags["error.type"].contains("refused"), "{failed:#?}");
        assert_eq!(attempts.len(), 2);
        get(&proxy, "gone.test", "/gone", &[]);
        let spans = wait_for_trace(&collector, "/gone");
        let entry = named(&spans, "Entrypoint http gone.test");
        assert!(
            entry.is_error && entry.tags["http.status_code"] == "502" && entry.tags["error"] == "true",
            "{spans:#?}"
        );
    }
}

/// The spans of a trace whose number differs from run to run: the entry point's span is handed over together with all others.
fn wait_for_trace(collector: &Collector, path: &str) -> Vec<SeenSpan> {
    crate::support::wait_for(path, crate::WAIT, || {
        let spans = collector.request(path);
        if spans.is_empty() { Err(format!("{:#?}", collector.spans())) } else { Ok(spans) }
    })
}

#[test]
fn forward_authentication_continues_the_trace() {
    for driver in DRIVERS {
        let collector = Collector::start();
        let (proxy, origin) = start(driver, &otlp(&collector));
        let client = format!("traceparent: {}", traceparent(TRACE, SPAN, "01"));
        let head = get(&proxy, "auth.test", "/auth", &[&client]);
        let spans = collector.trace("/auth", 4);
        let (call, attempt) = (named(&spans, "Auth Forward"), named(&spans, "forward auth/one"));
        assert_eq!((&call.parent, call.kind), (&named(&spans, "frontend auth").id, 3));
        assert_tags(call, &[("http.status_code", "200"), ("url.full", &format!("http://{}/check?x", origin.address))]);
        assert_eq!(field(&head, "traceparent"), Some(traceparent(TRACE, &attempt.id, "01")), "{head}");
        let calls = origin.heads("/check?x");
        let sent: Vec<_> = calls.iter().map(|head| (field(head, "traceparent"), count(head, "traceparent"))).collect();
        assert_eq!(sent, [(Some(traceparent(TRACE, &call.id, "01")), 1)]);
    }
}

#[test]
fn error_page_and_buffered_request_are_part_of_the_trace() {
    for driver in DRIVERS {
        let collector = Collector::start();
        let (proxy, origin) = start(driver, &otlp(&collector));
        get(&proxy, "page.test", "/lost", &[]);
        let spans = wait_for_trace(&collector, "/lost");
        let page = spans.iter().find(|span| span.tags.get("url.full").is_some_and(|url| url.ends_with("/page")));
        let page = page.unwrap_or_else(|| panic!("no span for the page: {spans:#?}"));
        assert_eq!(page.tags["backend.name"], "one");
        let heads = origin.heads("/page");
        assert_eq!(field(&heads[0], "traceparent"), Some(traceparent(&page.trace, &page.id, "01")), "{heads:?}");
        let head = get(&proxy, "buffered.test", "/buffered", &[]);
        let spans = collector.trace("/buffered", 3);
        let attempt = named(&spans, "forward buffered/buffered");
        assert_eq!(field(&head, "traceparent"), Some(traceparent(&attempt.trace, &attempt.id, "01")), "{head}");
    }
}

#[test]
fn websocket_has_one_span_that_lasts_as_long_as_the_tunnel() {
    for driver in DRIVERS {
        let collector = Collector::start();
        let (proxy, origin) = start(driver, &otlp(&collector));
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
        let request = "GET /ws HTTP/1.1\r\nHost: plain.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("sent");
        let mut piece = [0; 1024];
        let bytes = stream.read(&mut piece).expect("a response");
        assert!(piece[..bytes].starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&piece[..bytes]));
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(stream);
        let spans = collector.trace("/ws", 3);
        let attempt = named(&spans, "forward plain/one");
        assert!(attempt.nanos >= 300_000_000, "{attempt:#?}");
        assert_eq!(attempt.tags["http.status_code"], "101");
        let expected = traceparent(&attempt.trace, &attempt.id, "01");
        assert_eq!(field(&origin.heads("/ws")[0], "traceparent"), Some(expected));
    }
}
