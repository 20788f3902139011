//! Upgrades: a tunnel opens only if the origin accepts the upgrade.

use std::io::Read;
use std::time::Duration;

use crate::DRIVERS;
use crate::origin::{Script, Then};
use crate::proxy::{Options, Proxy};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n\r\n";
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SOON: Duration = Duration::from_secs(4);

#[test]
fn refused_upgrade_opens_no_tunnel() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        for status in ["200 OK", "403 Forbidden", "426 Upgrade Required"] {
            proxy.origin.set_script(Script::answer(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno")));
            let mut client = proxy.client();
            // Bytes sent before the response: neither a request for the proxy nor bytes for the origin.
            client.send([UPGRADE, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
            let answer = client.answer();
            assert_eq!(&answer.head[9..12], &status[..3], "refused upgrade ({driver})");
            assert_eq!(answer.body, b"no");
            assert!(answer.has_connection_close(), "refused upgrade ({driver}): {answer:?}");
            let (rest, is_closed) = client.rest(SOON);
            let seen = proxy.origin.seen();
            assert!(rest.is_empty() && seen.len() == 1, "refused upgrade ({driver}): {seen:?}");
            assert!(is_closed, "refused upgrade ({driver}): what comes next could be read as a request");
            let used = seen[0].connection;
            proxy.origin.set_script(Script::default());
            assert_eq!(proxy.get("/next").body, b"ok");
            assert!(
                proxy.origin.seen().iter().all(|s| !s.head.contains("smuggled")),
                "refused upgrade ({driver}), connection {used}"
            );
        }
    }
}

#[test]
fn accepted_upgrade_carries_bytes_both_ways() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        proxy.origin.set_script(Script::answer(ACCEPTED).then(Then::Echo));
        let mut client = proxy.client();
        client.send(UPGRADE);
        let answer = client.answer();
        assert_eq!(answer.status, 101, "tunnel ({driver}): {answer:?}");
        assert_eq!(answer.field("upgrade"), Some("websocket"));
        let seen = proxy.origin.seen();
        assert_eq!((seen[0].fields("upgrade"), seen[0].fields("connection")), (vec!["WebSocket"], vec!["Upgrade"]));
        let sent: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        let mut sender = client.stream.try_clone().expect("the connection twice");
        let bytes = sent.clone();
        let sending = std::thread::spawn(move || {
            std::io::Write::write_all(&mut sender, &bytes).expect("sent");
            sender.shutdown(std::net::Shutdown::Write).expect("the end");
        });
        client.stream.set_read_timeout(Some(SOON)).expect("a limit");
        let mut received = std::mem::take(&mut client.received);
        client.stream.read_to_end(&mut received).expect("everything that is outstanding, then the end");
        sending.join().expect("the sender");
        assert!(received == sent, "tunnel ({driver}): {} of {} bytes came back", received.len(), sent.len());

        // Bytes that come with the 101 and bytes sent before it arrive; when the origin closes, the tunnel ends.
        proxy.origin.set_script(Script::answer([ACCEPTED, "first"].concat()).then(Then::Close));
        let mut client = proxy.client();
        client.send([UPGRADE, "early"].concat());
        assert_eq!(client.answer().status, 101);
        let (rest, ended) = client.rest(SOON);
        assert!(rest == b"first" && ended, "tunnel ({driver}): {:?}", rest.escape_ascii().to_string());
    }
}

#[test]
fn refused_upgrade_without_bytes_ahead_keeps_the_connection() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        proxy.origin.set_script(Script::answer("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno"));
        let mut client = proxy.client();
        client.send(UPGRADE);
        let answer = client.answer();
        assert!(answer.status == 426 && !answer.has_connection_close(), "refused upgrade ({driver}): {answer:?}");
        let used = proxy.origin.seen()[0].connection;
        proxy.origin.set_script(Script::default());
        client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().body, b"ok", "refused upgrade ({driver})");
        let next = proxy.origin.seen();
        assert!(next.len() == 1 && next[0].connection != used, "the connection of a refused upgrade was used again");
        assert!(proxy.origin.wait(SOON, |o| o.has_ended(used)), "the connection of a refused upgrade stays open");
    }
}

#[test]
fn body_of_upgrade_request_precedes_the_tunnel() {
    let upgrade = |framing: &str, body: &str| {
        format!(
            "POST /exec/1/start HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n{framing}\r\n\r\n{body}"
        )
    };
    let accepted = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        for (framing, body, payload) in [
            ("Content-Length: 2", "{}", "{}"),
            ("Content-Length: 0", "", ""),
            ("Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n", "{}"),
        ] {
            proxy.origin.set_script(Script::answer(accepted).then(Then::Echo).after(Duration::from_millis(50)));
            let mut client = proxy.client();
            client.send([upgrade(framing, body).as_str(), "GET /stdin HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
            let answer = client.answer();
            assert_eq!(
                (answer.status, answer.field("upgrade")),
                (101, Some("tcp")),
                "{framing} ({driver}): {answer:?}"
            );
            let seen = proxy.origin.seen();
            assert!(seen.len() == 1 && seen[0].body == payload.as_bytes(), "{framing} ({driver}): {seen:?}");
            client.finish_sending();
            let (rest, _) = client.rest(SOON);
            assert_eq!(rest, b"GET /stdin HTTP/1.1\r\nHost: a\r\n\r\n", "{framing} ({driver})");

            // The same request, refused: the bytes behind it are no request, in one piece with it or later.
            for pause in [Duration::ZERO, Duration::from_millis(20)] {
                let refusal = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno";
                proxy.origin.set_script(Script::answer(refusal).after(Duration::from_millis(100)));
                let mut client = proxy.client();
                client.send(upgrade(framing, body));
                std::thread::sleep(pause);
                client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
                let answer = client.answer();
                assert!(answer.status == 200 && answer.has_connection_close(), "{framing} ({driver}): {answer:?}");
                let (rest, is_closed) = client.rest(SOON);
                assert!(rest.is_empty() && is_closed, "{framing} ({driver})");
                assert_eq!(proxy.origin.seen().len(), 1, "{framing} ({driver})");
            }
        }
    }
}

#[test]
fn unanswered_h2c_opens_no_tunnel() {
    let h2c = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        for ahead in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"] {
            proxy.origin.set_script(Script::default());
            let mut client = proxy.client();
            client.send([h2c, ahead].concat());
            let answer = client.answer();
            assert!(answer.status == 200 && answer.has_connection_close(), "h2c ({driver}): {answer:?}");
            let (rest, is_closed) = client.rest(SOON);
            assert!(rest.is_empty() && is_closed, "h2c ({driver})");
            assert_eq!(proxy.origin.seen().len(), 1, "h2c ({driver})");
        }
        proxy
            .origin
            .set_script(Script::answer("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nevil"));
        let mut client = proxy.client();
        client.send(h2c);
        assert_eq!(client.answer().status, 502, "h2c ({driver}): the server accepted what it was not asked");
        // Java's client asks for h2c on its first request and goes on with HTTP/1.1.
        proxy.origin.set_script(Script::default());
        let mut client = proxy.client();
        for request in [h2c, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"] {
            assert_eq!(client.send(request).answer().body, b"ok", "h2c ({driver})");
        }
    }
}

#[test]
fn unfit_101_is_answered_with_502() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        for upgrade in ["Upgrade: h2c\r\n", "Upgrade: websocket, h2c\r\n", "Upgrade: foo\r\n", ""] {
            let answer = format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{upgrade}\r\nevil");
            proxy.origin.set_script(Script::answer(answer));
            let mut client = proxy.client();
            client.send(UPGRADE);
            let answer = client.answer();
            assert!(answer.status == 502 && answer.has_connection_close(), "{upgrade} ({driver}): {answer:?}");
        }
        // A 101 while the body is still being sent.
        proxy.origin.set_script(Script::answer(ACCEPTED).early());
        let mut client = proxy.client();
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 9\r\n\r\nhi",
        );
        assert_eq!(client.answer().status, 502, "101 before the whole body ({driver})");
    }
}

#[test]
fn buffering_forwards_upgrade_with_body_as_plain_request() {
    // The limits of the bodies hold for it too.
    let frontend = "[backends.main.buffering]\nmaxRequestBodyBytes = 4\n".to_owned();
    let post = |body: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { frontend: frontend.clone(), ..Options::default() });
        assert_eq!(proxy.client().send(post("hi")).answer().status, 200);
        let seen = proxy.origin.seen();
        assert!(seen[0].fields("upgrade").is_empty() && seen[0].body == b"hi", "buffering ({driver}): {seen:?}");
        assert_eq!(proxy.client().send(post("too long")).answer().status, 413, "buffering ({driver})");
        proxy.origin.set_script(Script::answer(ACCEPTED).then(Then::Echo));
        assert_eq!(proxy.client().send(UPGRADE).answer().status, 101, "buffering ({driver})");
    }
}

#[test]
fn client_disconnect_ends_the_upstream_tunnel() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        proxy.origin.set_script(Script::answer(ACCEPTED).then(Then::Echo));
        let mut client = proxy.client();
        client.send(UPGRADE);
        assert_eq!(client.answer().status, 101);
        let connection = proxy.origin.seen()[0].connection;
        drop(client);
        assert!(proxy.origin.wait(SOON, |o| o.has_ended(connection)), "tunnel ({driver}): the tunnel stays half open");
    }
}

/// A client that is gone looks like a client that has only finished sending, until the proxy sends something to it.
#[test]
fn half_closed_tunnel_ends_after_the_timeout() {
    let tables = "[respondingTimeouts]\nwriteTimeout = \"1s\"\n".to_owned();
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { tables: tables.clone(), ..Options::default() });
        proxy.origin.set_script(Script::answer(ACCEPTED).then(Then::Deaf));
        let mut client = proxy.client();
        client.send(UPGRADE);
        assert_eq!(client.answer().status, 101, "tunnel ({driver})");
        assert!(!client.is_closed_within(Duration::from_secs(3)), "tunnel ({driver}): a tunnel may be silent");
        client.finish_sending();
        assert!(client.is_closed_within(Duration::from_secs(10)), "tunnel ({driver}): the tunnel never ends");
    }
}
