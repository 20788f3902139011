//! Active health checks: the probes, their effects, and what a reload keeps.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::base::wait_for;
use crate::support::*;

const SOON: Duration = Duration::from_secs(10);

/// A server that speaks HTTP/2 only, from the first byte. `/health` responds with the status in the number, `/cut` with a body that breaks
/// off; requests are noted as method, URL and the field X-Probe.
struct H2cServer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl H2cServer {
    fn start(status: &Arc<AtomicU16>) -> H2cServer {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (status, noted) = (Arc::clone(status), Arc::clone(&seen));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime, async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::task::spawn_local(serve_h2c(stream, Arc::clone(&status), Arc::clone(&noted)));
                }
            });
        });
        H2cServer { address, seen }
    }

    fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    fn last(&self, path: &str) -> Option<String> {
        self.seen.lock().expect("whole").iter().rev().find(|line| line.contains(path)).cloned()
    }
}

async fn serve_h2c(stream: tokio::net::TcpStream, status: Arc<AtomicU16>, seen: Arc<Mutex<Vec<String>>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let probe = request.headers().get("x-probe").and_then(|value| value.to_str().ok()).unwrap_or_default();
        seen.lock().expect("whole").push(format!("{} {} {probe}", request.method(), request.uri()));
        let mut response = hyper::http::Response::new(());
        let path = request.uri().path();
        match path {
            "/health" => {
                *response.status_mut() = hyper::StatusCode::from_u16(status.load(Ordering::SeqCst)).expect("it")
            }
            "/moved" => {
                *response.status_mut() = hyper::StatusCode::FOUND;
                response.headers_mut().insert("location", hyper::header::HeaderValue::from_static("health"));
            }
            _ => {}
        }
        let Ok(mut body) = respond.send_response(response, false) else { continue };
        let _ = body.send_data("h2c".into(), path != "/cut");
        if path == "/cut" {
            body.send_reset(h2::Reason::INTERNAL_ERROR);
        }
    }
}

#[test]
fn health_check_of_an_h2c_server_uses_http2() {
    for driver in DRIVERS {
        let status = Arc::new(AtomicU16::new(500));
        let server = H2cServer::start(&status);
        let headers = "hostname=\"probe.test\"\n[B.healthCheck.headers]\nX-Probe=\"yes\"";
        let scheme = "scheme=\"h2c\"";
        let rules = Rules::default()
            .add("own", &[server.url()], "", &check("/health?deep=1", headers))
            .add("moved", &[server.url()], "", &check("/moved", ""))
            .add("cut", &[server.url()], "", &check("/cut", ""))
            .add("scheme", &[server.url().replace("h2c:", "http:")], "", &check("/health", scheme));
        let proxy = Proxy::start(driver, "", rules.text());
        for host in ["own", "moved", "cut", "scheme"] {
            until("the check fails", &proxy, host, |answer| answer.status == 503);
        }
        let seen = server.last("deep=1").expect("only a probe can have removed the server");
        assert_eq!(seen, "GET http://probe.test/health?deep=1 yes", "{driver}");
        let log = proxy.process.log();
        assert!(log.contains("Health check failed: the server responded with status 500"), "{driver}: {log}");
        assert!(log.contains("stream error received"), "{driver}: {log}");
        status.store(200, Ordering::SeqCst);
        for host in ["own", "moved"] {
            until("the check succeeds", &proxy, host, |answer| answer.text() == "h2c");
        }
        // Traffic to an http URL is HTTP/1.1, which this server does not understand: only the probe reaches it.
        until("the check succeeds", &proxy, "scheme", |answer| answer.status == 502);
        assert_eq!(proxy.get("cut", "/").status, 503, "{driver}");
    }
}

/// A server whose `/health` responds with the status in the number.
fn server(name: &'static str, status: &Arc<AtomicU16>) -> Origin {
    let status = Arc::clone(status);
    Origin::start(move |seen| match seen.path() {
        "/health" => response(status.load(Ordering::SeqCst), &[], ""),
        "/moved" => response(302, &["Location: health?back=https://app.test/"], ""),
        _ => response(200, &[], name),
    })
}

fn check(path: &str, more: &str) -> String {
    format!("[B.healthCheck]\npath={path:?}\ninterval=\"200ms\"\n{more}")
}

fn until(what: &str, proxy: &Proxy, host: &str, wanted: impl Fn(&Answer) -> bool) {
    // Several responses in a row: a single one may depend on the rotation.
    wait_for(what, SOON, || {
        let answers: Vec<Answer> = (0..4).map(|_| proxy.get(host, "/x")).collect();
        if answers.iter().all(&wanted) {
            Ok(())
        } else {
            Err(format!("{:?}", answers.iter().map(Answer::status_and_text).collect::<Vec<_>>()))
        }
    });
}

#[test]
fn failing_server_is_skipped_until_it_recovers() {
    for driver in DRIVERS {
        let (well, ill) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(500)));
        let (a, b) = (server("a", &well), server("b", &ill));
        let headers = "hostname=\"probe.test\"\n[B.healthCheck.headers]\nX-Probe=\"yes\"";
        let rules = Rules::default().add("hc", &[a.url(), b.url()], "", &check("/health?deep=1", headers));
        let proxy = Proxy::with_entry_points(
            driver,
            "",
            "[api]\nentryPoint=\"http\"\n[metrics.prometheus]\nentryPoint=\"http\"",
            rules.text(),
        );
        until("the failing server is skipped", &proxy, "hc", |answer| answer.text() == "a");
        let seen = b.asked_for("/health?deep=1").pop().expect("only a probe can have removed the server");
        assert_eq!((seen.first("Host"), seen.first("X-Probe")), (Some("probe.test"), Some("yes")));
        let servers = proxy.get("x", "/api/servers").text();
        assert!(servers.contains("down") && servers.contains("up"), "{servers}");
        let metrics = proxy.get("x", "/metrics").text();
        for (origin, up) in [(&a, 1), (&b, 0)] {
            let line = format!("traefik_backend_server_up{{backend=\"hc\",url=\"{}\"}} {up}\n", origin.url());
            assert!(metrics.contains(&line), "{metrics}");
        }
        well.store(503, Ordering::SeqCst);
        until("no server is left", &proxy, "hc", |answer| {
            answer.status_and_text() == (503, "Service Unavailable".to_owned())
        });
        ill.store(302, Ordering::SeqCst);
        until("a redirect without a target is well", &proxy, "hc", |answer| answer.text() == "b");
        let log = proxy.process.log();
        assert!(
            log.contains("Health check failed: the server responded with status 500")
                && log.contains("Health check up"),
            "{log}"
        );
        assert_eq!(log.matches(&b.url()).count(), 2, "changes are logged, not every probe: {log}");
    }
}

#[test]
fn health_check_follows_redirects_and_uses_its_port() {
    let status = Arc::new(AtomicU16::new(500));
    let probed = server("probed", &status);
    let serving = Origin::with_body("serving");
    let rules = Rules::default()
        .add("moved", &[probed.url()], "", &check("/moved", ""))
        .add("port", &[serving.url()], "", &check("/health", &format!("port={}", probed.address.port())))
        .add("dead", &[dead_url()], "", &check("/", ""));
    let proxy = Proxy::start("auto", "", rules.text());
    for host in ["moved", "port", "dead"] {
        until("the check fails", &proxy, host, |answer| answer.status == 503);
    }
    status.store(204, Ordering::SeqCst);
    until("the redirect leads to a well page", &proxy, "moved", |answer| answer.text() == "probed");
    until("the other port says well", &proxy, "port", |answer| answer.text() == "serving");
    assert_eq!(proxy.get("dead", "/").status, 503);
}

#[test]
fn health_check_headers_are_not_sent_to_another_host() {
    let status = Arc::new(AtomicU16::new(200));
    let stranger = server("stranger", &status);
    let leads_on = format!("Location: http://localhost:{}/health", stranger.address.port());
    let origin = Origin::start(move |seen| match seen.path() {
        "/health" => response(302, &["Location: /same"], ""),
        _ => response(302, &[&leads_on], ""),
    });
    let secret = "[B.healthCheck.headers]\nAuthorization=\"Bearer secret\"\nX-Api-Key=\"secret\"";
    let rules = Rules::default().add("hc", &[origin.url()], "", &check("/health", secret));
    let _proxy = Proxy::start("auto", "", rules.text());
    wait_for("the probe's last hop", SOON, || {
        stranger.asked_for("/health").pop().map(drop).ok_or("not asked".to_owned())
    });
    let names = ["Authorization", "X-Api-Key"];
    for path in ["/health", "/same"] {
        let seen = origin.asked_for(path).pop().expect("asked");
        assert_eq!(names.map(|name| seen.first(name).is_some()), [true; 2], "{path}");
    }
    let seen = stranger.asked_for("/health").pop().expect("asked");
    assert_eq!(names.map(|name| seen.first(name)), [None; 2]);
}

#[test]
fn reload_keeps_unchanged_checks_and_ends_removed_ones() {
    let status = Arc::new(AtomicU16::new(500));
    let origin = server("a", &status);
    let slow = "[B.healthCheck]\npath=\"/health\"\ninterval=\"30s\"";
    let rules = Rules::default().add("hc", &[origin.url()], "", slow);
    let proxy = Proxy::start("auto", "", rules.text());
    until("the first probe comes at once", &proxy, "hc", |answer| answer.status == 503);
    assert_eq!(origin.asked_for("/health").len(), 1);
    proxy.reload(Rules::default().add("hc", &[origin.url()], "", slow).add("x", &[origin.url()], "", "").text());
    assert_eq!(
        (proxy.get("hc", "/").status, origin.asked_for("/health").len()),
        (503, 1),
        "no second probe, no forgotten verdict"
    );
    assert_eq!(proxy.get("x", "/").text(), "a", "another backend's check is not this one's");
    let start = Instant::now();
    proxy.reload(Rules::default().add("hc", &[origin.url()], "", "").text());
    until("a server without a check is up", &proxy, "hc", |answer| answer.text() == "a");
    assert!(start.elapsed() < SOON);
}

#[test]
fn too_short_interval_is_raised_with_a_warning() {
    let status = Arc::new(AtomicU16::new(500));
    let origin = server("a", &status);
    let hasty = "[B.healthCheck]\npath=\"/health\"\ninterval=\"1ns\"";
    let proxy = Proxy::start("auto", "", Rules::default().add("hc", &[origin.url()], "", hasty).text());
    until("the server is checked with the raised interval", &proxy, "hc", |answer| answer.status == 503);
    let log = proxy.process.log();
    assert!(log.contains("of backend hc is too short: 10ms is used"), "{log}");
}

/// A server whose page has the bytes that only a test can make sense of is as unhealthy for the check as it is for traffic.
#[test]
fn health_check_and_traffic_judge_a_response_alike() {
    const PADDED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5  \r\nhello\r\n0\r\n\r\n";
    const FOLDED: &str = "HTTP/1.1 200 OK\r\nX-A: b,\r\n c\r\nContent-Length: 5\r\n\r\nhello";
    const EARLY: &str = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const CUT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhello";
    const SIGNED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n";
    const TWICE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
    let cases = [
        (PADDED, None),
        (FOLDED, None),
        (EARLY, None),
        (CUT, Some("incomplete response: connection closed before the end of the body")),
        (SIGNED, Some("malformed response: chunk size line is not")),
        (TWICE, Some("malformed response: more than one Content-Length")),
    ];
    for driver in DRIVERS {
        for (bytes, reason) in cases {
            let server = Origin::streaming("127.0.0.1:0", move |_, out| {
                out.write_all(bytes.as_bytes())?;
                // Every response but the cut one could be followed by another.
                if bytes == CUT { out.shutdown(std::net::Shutdown::Both) } else { Ok(()) }
            });
            let rules = Rules::default().add("hc", &[server.url()], "", &check("/", ""));
            let proxy = Proxy::start(driver, "", rules.text());
            wait_for("a probe", SOON, || if server.count() > 2 { Ok(()) } else { Err("none".to_owned()) });
            match reason {
                None => {
                    let answer = proxy.get("hc", "/x");
                    assert!(answer.text().ends_with("hello"), "{bytes:?} ({driver}): {answer:?}");
                    let log = proxy.process.log();
                    assert!(!log.contains("Health check failed"), "{bytes:?} ({driver}): {log}");
                }
                Some(reason) => {
                    wait_for("the failed check", SOON, || {
                        let log = proxy.process.log();
                        if log.contains(&format!("Health check failed: {reason}")) { Ok(()) } else { Err(log) }
                    });
                    let answer = proxy.get("hc", "/x");
                    assert_eq!(answer.status_and_text().0, 503, "{bytes:?} ({driver}): {answer:?}");
                }
            }
        }
    }
}

#[test]
fn health_check_of_an_endless_page_succeeds() {
    let server = Origin::streaming("127.0.0.1:0", |seen, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
        if seen.path() == "/stream" {
            std::thread::sleep(Duration::from_secs(20))
        } else {
            out.write_all(b"0\r\n\r\n")?
        }
        Ok(())
    });
    let rules = Rules::default().add("hc", &[server.url()], "", &check("/stream", ""));
    let proxy = Proxy::start("epoll", "", rules.text());
    wait_for(
        "two probes",
        SOON,
        || if server.asked_for("/stream").len() >= 2 { Ok(()) } else { Err("none".to_owned()) },
    );
    assert_eq!(proxy.get("hc", "/x").status_and_text(), (200, "hello".to_owned()));
    let log = proxy.process.log();
    assert!(!log.contains("Health check failed"), "{log}");
}
