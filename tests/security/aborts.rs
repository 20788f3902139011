//! Rows 23, 26 and 34, and clients that go away: the other side is told, and nobody else notices.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use crate::DRIVERS;
use crate::origin::{Script, Then};
use crate::proxy::{Options, Proxy};

const SOON: Duration = Duration::from_secs(4);

#[test]
fn truncated_request_body_never_counts_as_whole() {
    let heads = ["Content-Length: 10", "Transfer-Encoding: chunked"];
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        for framing in heads {
            for is_half_closed in [true, false] {
                proxy.origin.plays(Script::default());
                let mut client = proxy.client();
                client.send(format!("POST /cut HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n5\r\n"));
                assert!(proxy.origin.wait(SOON, |o| o.bytes() > 0), "23 ({driver}): the head did not arrive");
                if is_half_closed {
                    client.finish_sending();
                } else {
                    drop(client);
                }
                assert!(
                    proxy.origin.wait(SOON, |o| !o.seen().is_empty()),
                    "23 {framing} ({driver}): no end for the origin"
                );
                assert!(proxy.origin.seen().iter().all(|s| !s.is_whole), "23 {framing} ({driver})");
            }
        }
    }
}

/// Traefik's 499: the client has gone while its answer was waited for, so the backend's work is called off.
#[test]
fn client_disconnect_cancels_upstream_request() {
    let tables = "[accessLog]\n".to_owned();
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { tables: tables.clone(), ..Options::default() });
        let requests = [
            "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            // Bytes behind the request, and a body that went up in a second step, hide nothing.
            "GET /wait HTTP/1.1\r\nHost: a\r\n\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            format!("POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n{}", "x".repeat(20_000)),
        ];
        for request in requests {
            proxy.origin.plays(Script::answer("").then(Then::Hold));
            let mut client = proxy.client();
            client.send(&request);
            assert!(proxy.origin.wait(SOON, |o| o.seen().len() == 1), "the request did not arrive");
            let connection = proxy.origin.seen()[0].connection;
            drop(client);
            assert!(proxy.origin.wait(SOON, |o| o.has_ended(connection)), "({driver}): the origin works on for nobody");
            assert!(proxy.origin.seen().iter().all(|s| !s.head.contains("behind")), "({driver})");
        }
        // A client that waits patiently gets its answer however long that takes.
        proxy.origin.plays(Script::default().after(Duration::from_millis(2500)));
        assert_eq!(proxy.get("/patient").body, b"ok", "({driver})");
        assert!(proxy.process.log().matches(" 499 ").count() >= 3, "({driver}): {}", proxy.process.log());
    }
}

/// HTTP/1.0 has no chunks: nothing but a reset says that a body which lasts until the end is not whole.
#[test]
fn truncated_response_resets_http10_client() {
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n9\r\n";
    let rows = [
        ("an origin that fails", "HTTP/1.0 200 OK\r\n\r\nhalf", Then::Reset),
        ("an origin that fails in its chunks", chunks, Then::Reset),
        ("chunks that stop", chunks, Then::Close),
    ];
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        for (name, answer, then) in rows {
            proxy.origin.plays(Script::answer(answer).then(then));
            let mut client = proxy.client();
            client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
            client.stream.set_read_timeout(Some(SOON)).expect("a limit");
            let mut received = Vec::new();
            let end = client.stream.read_to_end(&mut received).map_err(|e| e.kind());
            let received = String::from_utf8_lossy(&received).into_owned();
            assert_eq!(end, Err(ErrorKind::ConnectionReset), "34 {name} ({driver}): {received:?}");
        }
    }
}

/// The proxy's own words never stand in the middle of a backend's answer.
#[test]
fn invalid_body_after_response_start_adds_no_bytes() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let begun = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun";
        proxy.origin.plays(Script::answer(begun).early().then(Then::Hold));
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        std::thread::sleep(Duration::from_millis(200));
        client.send("no chunk at all\r\n");
        let (rest, ended) = client.rest(SOON);
        let rest = String::from_utf8_lossy(&rest).into_owned();
        assert!(ended && rest.ends_with("begun"), "26 ({driver}): {rest:?}");
    }
}

/// What came with the head is the client's, however soon the end came behind it: without it a client would take its request for unanswered.
#[test]
fn truncated_long_response_start_reaches_client() {
    let cut = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100));
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        // Whether the end is there before the rest is asked for is a matter of luck.
        for (then, times) in [(Then::Close, 30), (Then::Reset, 2)] {
            for _ in 0..times {
                proxy.origin.plays(Script::answer(&cut).then(then));
                let mut client = proxy.client();
                client.send("POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
                let answer = client.answer();
                let is_right = answer.status == 200 && answer.body == [b'x'; 100] && !answer.is_whole;
                assert!(is_right, "34 {then:?} ({driver}): {answer:?}");
            }
        }
    }
}

/// A close with unread bytes is a reset, and that would take along what of the answer is still on its way.
#[test]
fn final_response_survives_unread_client_bytes() {
    let body = vec![b'x'; 3_000_000];
    let answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n", &body[..]].concat();
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        proxy.origin.plays(Script::answer(&answer).after(Duration::from_millis(300)));
        let mut client = proxy.client();
        client.send("POST /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
        assert!(proxy.origin.wait(SOON, |o| o.seen().len() == 1), "({driver}): the request did not arrive");
        client.send("\r\nGET /stray HTTP/1.1\r\nHost: a\r\n\r\n");
        client.stream.set_read_timeout(Some(SOON)).expect("a limit");
        let (mut received, mut piece) = (Vec::new(), [0; 16 * 1024]);
        let end = loop {
            // Slower than the proxy sends, so that much is still on its way when the proxy is done.
            std::thread::sleep(Duration::from_millis(1));
            match client.stream.read(&mut piece) {
                Ok(0) => break Ok(()),
                Ok(bytes) => received.extend_from_slice(&piece[..bytes]),
                Err(e) => break Err(e.kind()),
            }
        };
        assert_eq!(end, Ok(()), "({driver}): after {} bytes", received.len());
        assert!(received.ends_with(&body), "({driver}): {} bytes", received.len());
        assert_eq!(proxy.origin.seen().len(), 1, "({driver})");
    }
}
