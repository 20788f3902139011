//! The local replies, byte for byte (docs/reference/middlewares.md#local-replies). Replies that need some state (limits, breakers, sizes,
//! passwords) are tested with their middlewares.

use std::time::Duration;

use crate::base::wait_for;
use crate::support::*;

const TEXT: &str = "text/plain; charset=utf-8";

#[test]
fn local_replies_have_their_status_type_and_text() {
    for driver in DRIVERS {
        let origin = Origin::with_body("inside");
        let silent = Origin::start(|_| {
            std::thread::sleep(Duration::from_secs(3));
            Vec::new()
        });
        let ends = Origin::streaming("127.0.0.1:0", |_, out| out.shutdown(std::net::Shutdown::Both));
        let garbage = Origin::start(|_| b"nonsense\r\n\r\n".to_vec());
        let rules = Rules::default()
            .add("closed", &[origin.url()], "[F.whiteList]\nsourceRange=[\"10.0.0.0/8\"]", "")
            .add("open", &[origin.url()], "[F.whiteList]\nsourceRange=[\"127.0.0.0/8\",\"::1\"]", "")
            .add("empty", &[], "", "")
            .add("dead", &[dead_url()], "", "")
            .add("ends", &[ends.url()], "", "")
            .add("garbage", &[garbage.url()], "", "")
            .add("no-name", &["http://nosuch.invalid:80".to_owned()], "", "")
            .add("silent", &[silent.url()], "", "")
            .add("post", &[origin.url()], "", "");
        let fixed = "[retry]\nattempts=1\n[forwardingTimeouts]\nresponseHeaderTimeout=\"1s\"";
        let proxy = Proxy::start(driver, fixed, &rules.text().replace("Host:post", "Host:post;Method:POST"));
        for (host, status, text) in [
            ("nobody", 404, "404 page not found\n"),
            ("post", 404, "404 page not found\n"),
            ("closed", 403, "Forbidden"),
            ("empty", 503, "Service Unavailable"),
            ("dead", 502, "Bad Gateway"),
            ("ends", 502, "Bad Gateway"),
            ("garbage", 502, "Bad Gateway"),
            ("no-name", 502, "Bad Gateway"),
            ("silent", 504, "Gateway Timeout"),
        ] {
            let answer = proxy.get(host, "/x");
            assert_eq!(answer.status_and_text(), (status, text.to_owned()), "{host}");
            assert_eq!(answer.first("Content-Type"), Some(TEXT), "{host}");
            assert_eq!(answer.first("X-Content-Type-Options"), (status == 404).then_some("nosniff"), "{host}");
            assert_eq!((answer.first("Date").is_some(), answer.first("Server")), (true, None), "{host}");
        }
        assert_eq!(proxy.get("open", "/").text(), "inside");
        assert_eq!(proxy.send("HEAD", "nobody", "/", &[], b"").status_and_text(), (404, String::new()));
    }
}

#[test]
fn client_disconnect_is_logged_as_499() {
    for driver in DRIVERS {
        let slow = Origin::start(|_| {
            std::thread::sleep(Duration::from_secs(4));
            response(200, &[], "late")
        });
        let work = tempfile::tempdir().unwrap();
        let log = work.path().join("access.log");
        let fixed = format!("[accessLog]\nfilePath={log:?}");
        let proxy = Proxy::start(driver, &fixed, Rules::default().add("slow", &[slow.url()], "", "").text());
        let mut stream = proxy.connect();
        std::io::Write::write_all(&mut stream, b"GET /gone HTTP/1.1\r\nHost: slow\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        drop(stream);
        wait_for("the line is written", Duration::from_secs(10), || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.contains("\"GET /gone HTTP/1.1\" 499") { Ok(()) } else { Err(text) }
        });
    }
}
