//! Truncated requests and responses, and clients that disconnect: the other side learns of it, and no other request is affected.

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
                proxy.origin.set_script(Script::default());
                let mut client = proxy.client();
                client.send(format!("POST /cut HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n5\r\n"));
                assert!(
                    proxy.origin.wait(SOON, |o| o.bytes() > 0),
                    "truncated request body ({driver}): the head did not arrive"
                );
                if is_half_closed {
                    client.finish_sending();
                } else {
                    drop(client);
                }
                assert!(
                    proxy.origin.wait(SOON, |o| !o.seen().is_empty()),
                    "truncated request body {framing} ({driver}): no end for the origin"
                );
                assert!(proxy.origin.seen().iter().all(|s| !s.is_whole), "truncated request body {framing} ({driver})");
            }
        }
    }
}

/// The client disconnects before the response: the proxy cancels the upstream request and logs Traefik's status 499.
#[test]
fn client_disconnect_cancels_upstream_request() {
    let tables = "[accessLog]\n".to_owned();
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { tables: tables.clone(), ..Options::default() });
        let requests = [
            "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            // Pipelined bytes behind the request, or a body sent after the head, do not hide the disconnect.
            "GET /wait HTTP/1.1\r\nHost: a\r\n\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            format!("POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n{}", "x".repeat(20_000)),
        ];
        for request in requests {
            proxy.origin.set_script(Script::answer("").then(Then::Hold));
            let mut client = proxy.client();
            client.send(&request);
            assert!(proxy.origin.wait(SOON, |o| o.seen().len() == 1), "the request did not arrive");
            let connection = proxy.origin.seen()[0].connection;
            drop(client);
            assert!(
                proxy.origin.wait(SOON, |o| o.has_ended(connection)),
                "({driver}): the upstream request is not cancelled"
            );
            assert!(proxy.origin.seen().iter().all(|s| !s.head.contains("behind")), "({driver})");
        }
        // A client that stays connected gets its response, however long that takes.
        proxy.origin.set_script(Script::default().after(Duration::from_millis(2500)));
        assert_eq!(proxy.get("/patient").body, b"ok", "({driver})");
        assert!(proxy.process.log().matches(" 499 ").count() >= 3, "({driver}): {}", proxy.process.log());
    }
}

/// HTTP/1.0 has no chunks: only a reset tells the client that a body delimited by the end of the connection is truncated.
#[test]
fn truncated_response_resets_http10_client() {
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n9\r\n";
    let cases = [
        ("an origin that fails", "HTTP/1.0 200 OK\r\n\r\nhalf", Then::Reset),
        ("an origin that fails in its chunks", chunks, Then::Reset),
        ("chunks that stop", chunks, Then::Close),
    ];
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        for (name, answer, then) in cases {
            proxy.origin.set_script(Script::answer(answer).then(then));
            let mut client = proxy.client();
            client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
            client.stream.set_read_timeout(Some(SOON)).expect("a limit");
            let mut received = Vec::new();
            let end = client.stream.read_to_end(&mut received).map_err(|e| e.kind());
            let received = String::from_utf8_lossy(&received).into_owned();
            assert_eq!(end, Err(ErrorKind::ConnectionReset), "truncated response {name} ({driver}): {received:?}");
        }
    }
}

/// After the response has begun, an invalid request body ends the connection; the proxy adds no local reply to the response.
#[test]
fn invalid_body_after_response_start_adds_no_bytes() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let begun = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun";
        proxy.origin.set_script(Script::answer(begun).early().then(Then::Hold));
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        std::thread::sleep(Duration::from_millis(200));
        client.send("no chunk at all\r\n");
        let (rest, ended) = client.rest(SOON);
        let rest = String::from_utf8_lossy(&rest).into_owned();
        assert!(ended && rest.ends_with("begun"), "invalid body ({driver}): {rest:?}");
    }
}

/// The part of a response that arrived before it was cut reaches the client, however soon the cut follows: without that part the
/// client would take its request for unanswered.
#[test]
fn truncated_long_response_start_reaches_client() {
    let cut = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100));
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        // Whether the end has arrived before the proxy reads the rest varies from run to run, hence the repetitions.
        for (then, times) in [(Then::Close, 30), (Then::Reset, 2)] {
            for _ in 0..times {
                proxy.origin.set_script(Script::answer(&cut).then(then));
                let mut client = proxy.client();
                client.send("POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
                let answer = client.answer();
                let is_right = answer.status == 200 && answer.body == [b'x'; 100] && !answer.is_whole;
                assert!(is_right, "truncated response {then:?} ({driver}): {answer:?}");
            }
        }
    }
}

/// Closing a socket with unread bytes sends a reset, which would discard the part of the response that is still in transit.
#[test]
fn final_response_survives_unread_client_bytes() {
    let body = vec![b'x'; 3_000_000];
    let answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n", &body[..]].concat();
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        proxy.origin.set_script(Script::answer(&answer).after(Duration::from_millis(300)));
        let mut client = proxy.client();
        client.send("POST /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
        assert!(proxy.origin.wait(SOON, |o| o.seen().len() == 1), "({driver}): the request did not arrive");
        client.send("\r\nGET /stray HTTP/1.1\r\nHost: a\r\n\r\n");
        client.stream.set_read_timeout(Some(SOON)).expect("a limit");
        let (mut received, mut piece) = (Vec::new(), [0; 16 * 1024]);
        let end = loop {
            // Reads slower than the proxy sends, so that many bytes are still in transit when the proxy closes.
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
