//! Load balancing (weights, sticky sessions, drr), and responses that are forwarded as they arrive.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::*;

fn names(proxy: &Proxy, host: &str, count: usize) -> Vec<String> {
    (0..count).map(|_| proxy.get(host, "/").text()).collect()
}

fn share(names: &[String], name: &str) -> usize {
    names.iter().filter(|given| *given == name).count()
}

#[test]
fn weights_distribute_the_requests() {
    for driver in DRIVERS {
        let (a, b) = (Origin::with_body("a"), Origin::with_body("b"));
        let weighted = |host: &str, first: i64, second: i64| {
            let servers = format!(
                "[B.servers.a]\nurl={:?}\nweight={first}\n[B.servers.b]\nurl={:?}\nweight={second}",
                a.url(),
                b.url()
            );
            Rules::default().add(host, &[], "", &servers).text().to_owned()
        };
        let rules = weighted("one-three", 1, 3) + &weighted("zero-two", 0, 2) + &weighted("zero", 0, 0);
        let proxy = Proxy::start(driver, "", &rules);
        let turns = names(&proxy, "one-three", 8);
        assert_eq!((share(&turns, "a"), share(&turns, "b")), (2, 6), "{turns:?}");
        let turns = names(&proxy, "zero-two", 6);
        assert_eq!((share(&turns, "a"), share(&turns, "b")), (2, 4), "0 counts as 1: {turns:?}");
        let strict = Proxy::start(driver, "allowMinWeightZero=true", &rules);
        assert_eq!(share(&names(&strict, "zero-two", 6), "b"), 6);
        assert_eq!(strict.get("zero", "/").status_and_text(), (500, "Internal Server Error".to_owned()));
    }
}

#[test]
fn sticky_cookie_keeps_a_client_at_one_server() {
    for driver in DRIVERS {
        let (a, b) = (Origin::with_body("a"), Origin::with_body("b"));
        let urls = [a.url(), b.url()];
        let rules = Rules::default()
            .add("st", &urls, "", "[B.loadBalancer.stickiness]")
            .add(
                "named",
                &urls,
                "",
                "[B.loadBalancer]\nmethod=\"DRR\"\n[B.loadBalancer.stickiness]\ncookieName=\"a b(c)\"",
            )
            .add("old", &urls, "", "[B.loadBalancer]\nmethod=\"wrr\"\nsticky=true")
            .add("dead", &[dead_url()], "", "[B.loadBalancer.stickiness]");
        let proxy = Proxy::start(driver, "[retry]\nattempts=1", rules.text());
        for (host, cookie) in [("st", "_aa88b"), ("named", "a_b_c_"), ("old", "_TRAEFIK_BACKEND")] {
            let first = proxy.get(host, "/");
            let url = if first.text() == "a" { a.url() } else { b.url() };
            assert_eq!(first.first("Set-Cookie"), Some(format!("{cookie}={url}; Path=/").as_str()), "{host}");
            let sent = format!("Cookie: x=y; {cookie}={url}");
            for _ in 0..4 {
                let again = proxy.send("GET", host, "/", &[&sent], b"");
                assert_eq!((again.text(), again.first("Set-Cookie")), (first.text(), None), "{host}");
            }
            let server = if first.text() == "a" { &a } else { &b };
            assert_eq!(server.last().first("Cookie"), sent.strip_prefix("Cookie: "), "the cookie is forwarded");
            let stale = format!("Cookie: {cookie}=http://127.0.0.1:1");
            assert!(proxy.send("GET", host, "/", &[&stale], b"").first("Set-Cookie").is_some(), "no such server");
        }
        let failed = proxy.get("dead", "/");
        assert_eq!((failed.status, failed.first("Set-Cookie")), (502, None), "no client is bound to a dead server");
    }
}

#[test]
fn drr_avoids_a_failing_server() {
    let status = Arc::new(AtomicU16::new(500));
    let answered = Arc::clone(&status);
    let ill = Origin::start(move |_| response(answered.load(Ordering::SeqCst), &[], "ill"));
    let well = Origin::with_body("well");
    let rules = Rules::default().add("drr", &[ill.url(), well.url()], "", "[B.loadBalancer]\nmethod=\"drr\"");
    let proxy = Proxy::start("auto", "", rules.text());
    let turns = names(&proxy, "drr", 20);
    assert_eq!((share(&turns, "ill"), share(&turns, "well")), (10, 10), "nothing is known of either");
    // Weights are recomputed at most every ten seconds, and only when requests arrive.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(11_000) {
        names(&proxy, "drr", 4);
        thread::sleep(Duration::from_millis(400));
    }
    let turns = names(&proxy, "drr", 40);
    assert!(share(&turns, "well") > 28, "{} of 40", share(&turns, "well"));
    status.store(200, Ordering::SeqCst);
    assert!(share(&names(&proxy, "drr", 40), "ill") > 0, "it still gets its turn, and its chance");
}

#[test]
fn response_bytes_pass_at_once_for_any_flush_interval() {
    for driver in DRIVERS {
        let origin = Origin::streaming("127.0.0.1:0", |_, out| {
            out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
            thread::sleep(Duration::from_millis(1500));
            out.write_all(b"4\r\nlast\r\n0\r\n\r\n")
        });
        let slow = "[B.responseForwarding]\nflushInterval=\"60s\"";
        let proxy = Proxy::start(driver, "", Rules::default().add("fl", &[origin.url()], "", slow).text());
        let mut stream = proxy.connect();
        let start = Instant::now();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: fl\r\nConnection: close\r\n\r\n").unwrap();
        let mut got = Vec::new();
        while !String::from_utf8_lossy(&got).contains("first") {
            let mut piece = [0; 1024];
            let length = stream.read(&mut piece).unwrap();
            assert!(length > 0, "{}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&piece[..length]);
        }
        assert!(start.elapsed() < Duration::from_millis(1200), "{driver}: {:?}", start.elapsed());
        stream.read_to_end(&mut got).unwrap();
        assert!(String::from_utf8_lossy(&got).contains("last"));
    }
}
