//! Responses that deviate from HTTP in a way that every program reads alike, and responses that break off: what the client gets, and what the
//! operator learns (docs/reference/backends.md#responses-of-servers).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::origin::{Script, Then};
use crate::proxy::{Options, Proxy};
use crate::support::wait_for;
use crate::{DRIVERS, Verdict};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

/// The response of the web server of many ESP32 devices: chunk sizes are padded with spaces.
const PADDED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nAccept-Ranges: none\r\n\r\n5  \r\nhello\r\n0\r\n\r\n";

/// Name, the origin's bytes, and a part of the head that the client gets. The body is always `hello`.
const NORMALISED: [(&str, &str, &str); 7] = [
    ("padded chunk sizes", PADDED, "Accept-Ranges: none\r\n"),
    (
        "field over two lines",
        "HTTP/1.1 200 OK\r\nContent-Security-Policy: a;\r\n  b\r\nContent-Length: 5\r\n\r\nhello",
        "Content-Security-Policy: a; b\r\n",
    ),
    ("space before the colon", "HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 5\r\n\r\nhello", "X-A: b\r\n"),
    ("LF alone", "HTTP/1.1 200 OK\nX-A: b\nContent-Length: 5\n\nhello", "X-A: b\r\n"),
    ("control byte", "HTTP/1.1 200 OK\r\nX-A: b\x01c\r\nContent-Length: 5\r\n\r\nhello", "X-A: b c\r\n"),
    ("invalid name", "HTTP/1.1 200 OK\r\nX A: b\r\nX-B: c\r\nContent-Length: 5\r\n\r\nhello", "200 OK\r\nX-B: c\r\n"),
    ("equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "200 OK\r\n"),
];

#[test]
fn normalised_response_reaches_the_client_whole() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let mut verdict = Verdict::default();
        for (name, bytes, field) in NORMALISED {
            let case = format!("{name} ({driver})");
            proxy.origin.set_script(Script::answer(bytes));
            let mut client = proxy.client();
            for _ in 0..2 {
                let answer = client.send(GET).answer();
                let holds = answer.status == 200 && answer.is_whole && answer.body == b"hello";
                verdict.check(&case, holds && answer.head.contains(field), format!("{answer:?}"));
                verdict.check(&case, answer.head.matches("Content-Length").count() <= 1, answer.head);
            }
            let seen = proxy.origin.seen();
            verdict.check(&case, seen.len() == 2 && seen[0].connection == seen[1].connection, format!("{seen:?}"));
        }
        verdict.end();
        for (level, text) in [
            ("warning", "the server sends spaces or tabs behind a chunk size (RFC 9112 7.1.1)"),
            ("warning", "the server sends a field over several lines (RFC 9112 5.2)"),
            ("error", "the server sends a field name that is no token, or empty (RFC 9110 5.1)"),
        ] {
            wait_for("one line about the deviation", Duration::from_secs(5), || {
                let log = proxy.process.log();
                let lines: Vec<&str> = log.lines().filter(|line| line.contains(text)).collect();
                let server = format!("127.0.0.1:{}", proxy.origin.port);
                let is_named = lines.iter().all(|line| line.contains(&server));
                let is_logged = lines.len() == 1 && is_named && lines[0].contains(&format!("level={level}"));
                if is_logged { Ok(()) } else { Err(format!("{text} ({driver}): {log}")) }
            });
        }
    }
}

#[test]
fn response_that_breaks_off_is_cut_for_the_client_and_logged_with_its_server() {
    let cases = [
        ("/short", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "the server closed the connection"),
        (
            "/chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
            "the server closed the connection",
        ),
        (
            "/size",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n+1\r\nx\r\n0\r\n\r\n",
            "chunk size line is not",
        ),
    ];
    for driver in DRIVERS {
        for (path, bytes, reason) in cases {
            let options =
                Options { tables: "[accessLog]\nfilePath = \"@dir@/access\"".to_owned(), ..Options::default() };
            let proxy = Proxy::with(driver, &options);
            proxy.origin.set_script(Script::answer(bytes).then(Then::Close));
            let answer = proxy.get(path);
            assert!(answer.status == 200 && !answer.is_whole, "{path} ({driver}): {answer:?}");
            wait_for("the lines about the cut response", Duration::from_secs(5), || {
                let access = std::fs::read_to_string(proxy.process.file("access")).unwrap_or_default();
                let line = access.lines().find(|line| line.contains(path)).unwrap_or_default().to_owned();
                let server = format!("http://127.0.0.1:{}", proxy.origin.port);
                let log = proxy.process.log();
                let is_logged = log
                    .lines()
                    .any(|line| line.contains("level=error") && line.contains(reason) && line.contains(&server));
                let is_counted = line.contains(" 502 ") && line.contains(&server);
                if is_logged && is_counted { Ok(()) } else { Err(format!("{path} ({driver}): {line}\n{log}")) }
            });
        }
    }
}

#[test]
fn fault_of_a_server_is_an_error_once_and_then_a_warning() {
    let proxy = Proxy::start("epoll");
    proxy.origin.set_script(Script::answer("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"));
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 502);
    }
    wait_for("one error and 19 warnings", Duration::from_secs(5), || {
        let log = proxy.process.log();
        let lines = |level: &str| log.lines().filter(|l| l.contains("malformed response") && l.contains(level)).count();
        if (lines("level=error"), lines("level=warning")) == (1, 19) { Ok(()) } else { Err(log.clone()) }
    });
}

#[test]
fn informational_responses_reach_http_1_1_clients() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
    let bytes = format!("{interim}HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        proxy.origin.set_script(Script::answer(&bytes));
        let mut client = proxy.client();
        for _ in 0..2 {
            let [first, second, last] = {
                client.send(GET);
                [client.answer(), client.answer(), client.answer()]
            };
            assert_eq!((first.status, second.status, last.status), (102, 103, 200), "({driver}) {first:?} {second:?}");
            assert_eq!(second.head, "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", "({driver})");
            assert_eq!(last.body, b"ok");
        }
        let mut old = proxy.client();
        let answer = old.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").answer();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]), "HTTP/1.0 ({driver}): {answer:?}");
    }
}

#[test]
fn interim_response_arrives_before_the_final_one() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        proxy.origin.set_script(Script::answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").then(Then::Hold));
        let mut client = proxy.client();
        assert_eq!(client.send(GET).answer().status, 103, "({driver})");
        proxy.origin.send_unsolicited("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]), "({driver})");
    }
}

/// The origin refuses an upload of 64 MiB at once and closes, while the client still sends.
#[test]
fn early_final_response_reaches_a_client_that_still_sends() {
    const BODY_BYTES: usize = 64 << 20;
    let head = format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntoo big";
        for then in [Then::Close, Then::Hold, Then::Keep] {
            proxy.origin.set_script(Script::answer(refusal).early().then(then));
            let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).expect("the proxy accepts");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
            let mut sender = stream.try_clone().expect("a second handle");
            sender.write_all(head.as_bytes()).expect("the head is sent");
            // The client sends all it can before it reads, as many clients do.
            let sent = std::thread::spawn(move || {
                let piece = vec![b'x'; 64 * 1024];
                (0..BODY_BYTES / piece.len()).take_while(|_| sender.write_all(&piece).is_ok()).count()
            });
            let mut received = Vec::new();
            let end = stream.read_to_end(&mut received);
            let text = String::from_utf8_lossy(&received);
            assert!(text.starts_with("HTTP/1.1 413 "), "{then:?} ({driver}), {end:?}: {text}");
            assert!(text.ends_with("\r\n\r\ntoo big"), "{then:?} ({driver}), {end:?}: {text}");
            let pieces = sent.join().expect("the sender");
            assert!(pieces < BODY_BYTES / (64 * 1024), "{then:?} ({driver}): the whole body was taken");
        }
    }
}
