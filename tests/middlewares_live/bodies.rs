//! Middlewares that change bodies: buffering and compression.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::wait_for;
use crate::support::*;

fn site() -> Origin {
    Origin::start(|seen| {
        let said = format!("{} {}", seen.body.len(), seen.values("transfer-encoding").len());
        match seen.path() {
            "/500" => response(500, &[], &said),
            "/long" => response(200, &["Content-Type: text/plain"], &"l".repeat(500)),
            "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n".to_vec(),
            "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            _ => response(200, &[], &said),
        }
    })
}

/// Sends a chunked request with these bytes.
fn chunked(proxy: &Proxy, host: &str, body: &str) -> Answer {
    let mut stream = proxy.connect();
    let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes()).unwrap();
    read_answer(stream, false)
}

#[test]
fn buffered_bodies_are_bounded_and_sent_whole() {
    for driver in DRIVERS {
        let origin = site();
        let rules = Rules::default()
            .add("buf", &[origin.url()], "", "[B.buffering]\nmaxRequestBodyBytes=10\nmaxResponseBodyBytes=400")
            .add("free", &[origin.url()], "", "[B.buffering]\nmemRequestBodyBytes=1")
            .add("dead", &[dead_url()], "", "[B.buffering]");
        let proxy = Proxy::start(driver, "", rules.text());
        let too_large = (413, "Request Entity Too Large".to_owned());
        assert_eq!(proxy.send("POST", "buf", "/", &[], &[b'x'; 14]).status_and_text(), too_large);
        assert_eq!(chunked(&proxy, "buf", "01234567890123").status_and_text(), too_large);
        assert_eq!(origin.count(), 0);
        assert_eq!(proxy.send("POST", "buf", "/", &[], &[b'x'; 10]).status_and_text(), (200, "10 0".to_owned()));
        assert_eq!(chunked(&proxy, "buf", "0123456789").status_and_text(), (200, "10 0".to_owned()));
        assert_eq!(origin.last().first("Content-Length"), Some("10"), "chunks become a length");
        assert_eq!(proxy.get("buf", "/long").status_and_text(), (500, "Internal Server Error".to_owned()));
        let whole = proxy.get("buf", "/chunked");
        assert_eq!((whole.status_and_text(), whole.first("Content-Length")), ((200, "abcde".to_owned()), Some("5")));
        assert_eq!(proxy.get("buf", "/204").status_and_text(), (204, String::new()));
        assert_eq!(proxy.send("HEAD", "free", "/long", &[], b"").first("Content-Length"), Some("500"));
        assert_eq!(proxy.send("PUT", "free", "/", &[], &vec![b'x'; 3 << 20]).text(), format!("{} 0", 3 << 20));
        assert_eq!(proxy.get("dead", "/").status_and_text(), (502, "Bad Gateway".to_owned()));
        let told = proxy.curl(&["-d", "0123456789", "-H", "Expect: 100-continue"], "buf", "/");
        assert_eq!(told, "10 0");
    }
}

#[test]
fn retry_expression_repeats_the_exchange() {
    for driver in DRIVERS {
        let origin = site();
        let broken = Origin::streaming("127.0.0.1:0", |_, out| out.shutdown(std::net::Shutdown::Both));
        let rules = Rules::default()
            .add(
                "again",
                &[origin.url()],
                "",
                "[B.buffering]\nretryExpression=\"ResponseCode() == 500 && Attempts() <= 2\"",
            )
            .add("always", &[origin.url()], "", "[B.buffering]\nretryExpression=\"ResponseCode() >= 200\"")
            .add("net", &[broken.url()], "", "[B.buffering]\nretryExpression=\"IsNetworkError() && Attempts() < 4\"");
        let proxy = Proxy::start(driver, "", rules.text());
        assert_eq!(proxy.send("POST", "again", "/500", &[], b"hello").status_and_text(), (500, "5 0".to_owned()));
        assert_eq!(origin.count(), 3);
        assert!(origin.seen().iter().all(|seen| seen.body == b"hello"), "every round has the body");
        assert_eq!(proxy.get("again", "/").status, 200);
        assert_eq!(origin.count(), 4);
        assert_eq!(proxy.get("always", "/").status, 200);
        assert_eq!(origin.count(), 4 + 11, "ten rounds more and no further");
        assert_eq!(proxy.send("POST", "net", "/", &[], b"x").status, 502);
        assert_eq!(broken.count(), 4);
    }
}

fn unpacked(answer: &Answer) -> String {
    assert_eq!(answer.first("Content-Encoding"), Some("gzip"), "{answer:?}");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text).expect("gzip");
    text
}

const GZIP: &[&str] = &["Accept-Encoding: gzip"];

#[test]
fn long_responses_and_local_replies_are_compressed() {
    for driver in DRIVERS {
        let long = "compress me ".repeat(20_000);
        let said = long.clone();
        let origin = Origin::start(move |seen| match seen.path() {
            "/short" => response(200, &[], "short"),
            "/511" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n\r\n".to_vec(),
            "/chunked" => {
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{said}\r\n0\r\n\r\n", said.len())
                    .into_bytes()
            }
            "/br" => response(200, &["Content-Encoding: br"], &said),
            _ => response(200, &["Content-Type: image/png"], &said),
        });
        let page = "[F.errors.a]\nstatus=[\"404\"]\nbackend=\"web\"\nquery=\"/\"";
        let nothing = Origin::start(|_| response(404, &[], "no"));
        let rules = Rules::default()
            .add("web", &[origin.url()], "", "")
            .add("buf", &[origin.url()], "", "[B.buffering]")
            .add("err", &[nothing.url()], page, "");
        let proxy = Proxy::with_entry_points(driver, "compress=true", "", rules.text());
        for (host, target) in [("web", "/"), ("web", "/chunked"), ("buf", "/"), ("buf", "/chunked"), ("err", "/")] {
            let answer = proxy.send("GET", host, target, GZIP, b"");
            assert_eq!(unpacked(&answer), long, "{host}{target}");
            assert!(answer.body.len() < long.len() / 50);
            assert_eq!(answer.first("Vary"), Some("Accept-Encoding"));
        }
        assert_eq!(proxy.send("GET", "err", "/", GZIP, b"").status, 404);
        for (host, target, body) in
            [("web", "/short", "short"), ("web", "/511", "short"), ("buf", "/511", "short"), ("web", "/br", &long)]
        {
            let answer = proxy.send("GET", host, target, GZIP, b"");
            assert_eq!(answer.status_and_text(), (200, body.to_owned()), "{host}{target}");
            assert_ne!(answer.first("Content-Encoding"), Some("gzip"));
            assert_eq!(answer.first("Vary"), Some("Accept-Encoding"));
        }
        assert_eq!(proxy.get("web", "/").text(), long, "a client that cannot read gzip");
        assert_eq!(proxy.send("GET", "nobody", "/", GZIP, b"").first("Vary"), Some("Accept-Encoding"));
        assert_eq!(proxy.curl(&["--compressed", "--http1.0"], "web", "/chunked"), long.trim_end());
    }
}

#[test]
fn events_and_slow_responses_are_flushed_at_once() {
    for driver in DRIVERS {
        let origin = Origin::streaming("127.0.0.1:0", |seen, out| {
            let kind = if seen.path() == "/events" { "text/event-stream" } else { "text/plain" };
            let first = if seen.path() == "/events" { "data: 1\n\n".to_owned() } else { "a line of text\n".repeat(60) };
            out.write_all(
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n",
                    first.len()
                )
                .as_bytes(),
            )?;
            thread::sleep(Duration::from_millis(1500));
            out.write_all(b"5\r\nlast\n\r\n0\r\n\r\n")
        });
        let rules = Rules::default().add("web", &[origin.url()], "", "");
        let proxy = Proxy::with_entry_points(driver, "compress=true", "", rules.text());
        for target in ["/events", "/slow"] {
            let mut stream = proxy.connect();
            let start = Instant::now();
            write!(stream, "GET {target} HTTP/1.0\r\nHost: web\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
            let mut got = Vec::new();
            wait_for("the first part", Duration::from_secs(5), || {
                let mut piece = [0; 4096];
                let n = stream.read(&mut piece).unwrap();
                got.extend_from_slice(&piece[..n]);
                let body = got.windows(4).position(|w| w == b"\r\n\r\n").map_or(&[][..], |at| &got[at + 4..]);
                let mut text = Vec::new();
                let _ = flate2::read::GzDecoder::new(body).read_to_end(&mut text);
                if text.len() > 8 { Ok(()) } else { Err(format!("{n} bytes, {} of text", text.len())) }
            });
            assert!(start.elapsed() < Duration::from_millis(1200), "{target} {driver}: {:?}", start.elapsed());
            stream.read_to_end(&mut got).unwrap();
            let at = got.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
            let mut text = String::new();
            flate2::read::GzDecoder::new(&got[at + 4..]).read_to_string(&mut text).unwrap();
            assert!(text.ends_with("last\n"), "{text}");
        }
    }
}
