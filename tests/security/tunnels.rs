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
        assert_eq!((seen[0].fields("upgrade"), seen[0].fields("connection")), (vec!["websocket"], vec!["Upgrade"]));
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
