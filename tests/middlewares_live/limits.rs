//! Rate limit, maximum connections, circuit breaker, retry, and their state across reloads.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::*;

const RATE: &str =
    "[F.ratelimit]\nextractorFunc=\"client.ip\"\n[F.ratelimit.rateSet.a]\nperiod=\"10s\"\naverage=2\nburst=2";
const BREAKER: &str = "[B.circuitBreaker]\nexpression=\"ResponseCodeRatio(500, 600, 0, 600) > 0.5\"";

#[test]
fn rate_limit_sets_retry_after_and_survives_a_reload() {
    for driver in DRIVERS {
        let origin = Origin::with_body("through");
        let rules = Rules::default().add("rl", &[origin.url()], RATE, "");
        let proxy = Proxy::start(driver, "", rules.text());
        assert_eq!(proxy.get("rl", "/").status_and_text(), (200, "through".to_owned()));
        assert_eq!(proxy.get("rl", "/").status, 200);
        let refused = proxy.get("rl", "/");
        assert_eq!(refused.status_and_text(), (429, "max rate reached: retry-in 5s".to_owned()));
        assert_eq!((refused.first("Retry-After"), refused.first("X-Retry-In")), (Some("5"), Some("5s")));
        let more = rules.add("other", &[origin.url()], "", "");
        proxy.reload(more.text());
        assert_eq!(proxy.get("rl", "/").status, 429, "an unrelated reload fills no bucket");
        assert_eq!(proxy.get("other", "/").status, 200);
        assert_eq!(origin.count(), 3, "a refused request never reaches the server");
    }
}

#[test]
fn max_conn_counts_only_active_requests() {
    for driver in DRIVERS {
        let origin = Origin::start(|seen| {
            if seen.path() == "/slow" {
                thread::sleep(Duration::from_millis(700));
            }
            response(200, &[], "ok")
        });
        let limit = "[B.maxConn]\namount=1\nextractorFunc=\"request.header.X-Who\"";
        let rules = Rules::default().add("mc", &[origin.url()], "", limit);
        let proxy = Arc::new(Proxy::start(driver, "", rules.text()));
        let slow = {
            let proxy = Arc::clone(&proxy);
            thread::spawn(move || proxy.send("GET", "mc", "/slow", &["X-Who: a"], b"").status)
        };
        thread::sleep(Duration::from_millis(250));
        let refused = proxy.send("GET", "mc", "/", &["X-Who: a"], b"");
        assert_eq!(refused.status_and_text(), (429, "max connections reached: 1".to_owned()));
        assert_eq!(proxy.send("GET", "mc", "/", &["X-Who: b"], b"").status, 200, "another source has its own place");
        assert_eq!(slow.join().unwrap(), 200);
        assert_eq!(proxy.send("GET", "mc", "/", &["X-Who: a"], b"").status, 200, "the place is free again");
    }
}

#[test]
fn breaker_trips_on_the_first_error_and_stays_open() {
    for driver in DRIVERS {
        let origin = Origin::start(|seen| response(if seen.path() == "/bad" { 500 } else { 200 }, &[], "said"));
        let rules = Rules::default().add("cb", &[origin.url()], "", BREAKER);
        let proxy = Proxy::start(driver, "", rules.text());
        assert_eq!(proxy.get("cb", "/").status, 200);
        // The check after the first response happened a moment ago; the next one is due after 100 ms.
        thread::sleep(Duration::from_millis(150));
        assert_eq!(proxy.get("cb", "/bad").status, 500);
        thread::sleep(Duration::from_millis(150));
        assert_eq!(proxy.get("cb", "/bad").status, 500);
        let open = proxy.get("cb", "/");
        assert_eq!(open.status_and_text(), (503, "Service Unavailable".to_owned()));
        assert_eq!(open.first("Content-Type"), Some("text/plain; charset=utf-8"));
        proxy.reload(rules.add("x", &[origin.url()], "", "").text());
        assert_eq!(proxy.get("cb", "/").status, 503, "a reload closes no breaker");
    }
}

#[test]
fn breaker_recovers_with_a_growing_share() {
    let origin = Origin::start(|seen| response(if seen.path() == "/bad" { 500 } else { 200 }, &[], "said"));
    let proxy = Proxy::start("auto", "", Rules::default().add("cb", &[origin.url()], "", BREAKER).text());
    assert_eq!(proxy.get("cb", "/bad").status, 500, "one is enough");
    let start = Instant::now();
    // Seconds since the breaker tripped, and whether the request was admitted: open for ten seconds, recovering for ten more.
    let mut seen = Vec::new();
    while start.elapsed() < Duration::from_secs(19) {
        seen.push((start.elapsed().as_secs_f64(), proxy.get("cb", "/").status == 200));
        thread::sleep(Duration::from_millis(100));
    }
    let share = |from: f64, to: f64| {
        let within: Vec<bool> =
            seen.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, passed)| *passed).collect();
        within.iter().filter(|passed| **passed).count() as f64 / within.len().max(1) as f64
    };
    assert_eq!(share(0.0, 9.8), 0.0, "open");
    assert!(share(10.5, 14.0) < share(15.5, 19.0), "{seen:?}");
    assert!(share(10.0, 19.0) < 0.55, "no more than half of all that came meanwhile: {}", share(10.0, 19.0));
    thread::sleep(Duration::from_secs(2));
    assert!((0..10).all(|_| proxy.get("cb", "/").status == 200), "closed again");
}

#[test]
fn retry_repeats_only_unsent_requests() {
    for driver in DRIVERS {
        let origin = Origin::with_body("alive");
        let broken = Origin::streaming("127.0.0.1:0", |_, out| out.shutdown(std::net::Shutdown::Both));
        let rules = Rules::default()
            .add("one", &[dead_url(), origin.url(), origin.url()], "", "")
            .add("dead", &[dead_url(), dead_url()], "", "")
            .add("sent", &[broken.url()], "", "")
            .add("rl", &[origin.url()], RATE, "");
        let proxy = Proxy::start(driver, "[retry]\nattempts=3", rules.text());
        for _ in 0..6 {
            assert_eq!(proxy.send("POST", "one", "/", &[], b"abc").status_and_text(), (200, "alive".to_owned()));
        }
        assert_eq!(proxy.get("dead", "/").status_and_text(), (502, "Bad Gateway".to_owned()));
        assert_eq!(proxy.send("POST", "sent", "/", &[], b"abc").status, 502);
        assert_eq!(broken.count(), 1, "what was sent is not sent again");
        assert_eq!((proxy.get("rl", "/").status, proxy.get("rl", "/").status), (200, 200));
        assert_eq!(proxy.get("rl", "/").status, 429, "three tries, no token among them");
    }
}

/// Sends requests on connections that are open already, so that the next request arrives right after the last byte of a response.
const ASKED_AT_ONCE: usize = 60;

#[test]
fn limits_are_released_before_the_response_ends() {
    let origin = Origin::start(|seen| match seen.path() {
        "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec(),
        "/copied" => response(200, &[], &"c".repeat(20_000)),
        "/spliced" => response(200, &[], &"s".repeat(300_000)),
        "/packed" => response(200, &["Content-Type: text/html"], &"p".repeat(5_000)),
        _ => response(200, &[], "ok"),
    });
    let limit = "[B.maxConn]\namount=1\nextractorFunc=\"client.ip\"";
    let buffered = format!("{limit}\n[B.buffering]\nmaxRequestBodyBytes=1000");
    let rules = Rules::default()
        .add("mc", &[origin.url()], "", limit)
        .add("buffered", &[origin.url()], "", &buffered)
        .add("dead", &[dead_url()], "", limit);
    for driver in DRIVERS {
        let proxy = Proxy::with_entry_points(driver, "compress=true", "", rules.text());
        for (host, path, encoding, status) in [
            ("mc", "/short", "", 200),
            ("mc", "/chunked", "", 200),
            ("mc", "/copied", "", 200),
            ("mc", "/spliced", "", 200),
            ("mc", "/packed", "Accept-Encoding: gzip\r\n", 200),
            ("mc", "/short", "Accept-Encoding: gzip\r\n", 200),
            ("buffered", "/short", "", 200),
            ("dead", "/", "", 502),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{encoding}\r\n");
            let connections: Vec<TcpStream> = (0..ASKED_AT_ONCE).map(|_| proxy.connect()).collect();
            for (number, mut connection) in connections.into_iter().enumerate() {
                connection.write_all(request.as_bytes()).expect("sent");
                let answer = read_answer(connection, false);
                assert_eq!(answer.status, status, "{driver}, {host}{path} {encoding}, request {number}");
            }
        }
    }
}
