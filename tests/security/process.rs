//! The process itself: descriptor shortage, signals, route changes under load, and a restart after SIGKILL.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::DRIVERS;
use crate::client::Client;
use crate::origin::{Script, Then};
use crate::proxy::{Options, Proxy, routes};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn descriptor_shortage_heals_without_spinning() {
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { open_files: Some(64), ..Options::default() });
        let mut old = proxy.client();
        assert_eq!(old.send(GET).answer().status, 200);
        let crowd: Vec<Client> = (0..150).map(|_| proxy.client()).collect();
        thread::sleep(Duration::from_millis(500));
        assert!(proxy.process.open_files() >= 60, "descriptor shortage ({driver}): the limit is not reached");
        let before = proxy.process.cpu();
        thread::sleep(Duration::from_secs(2));
        let spent = proxy.process.cpu() - before;
        assert!(spent < Duration::from_millis(400), "descriptor shortage ({driver}): {spent:?} CPU in 2 s");
        // An open connection stays usable; its request may fail for want of an upstream connection.
        let status = old.send(GET).answer().status;
        assert!([200, 500, 502, 503].contains(&status), "descriptor shortage ({driver}): {status}");
        let log_lines = proxy.process.log().matches("cannot accept connections").count();
        assert!((1..=2).contains(&log_lines), "descriptor shortage ({driver}): logged {log_lines} times");
        drop(crowd);
        let end = Instant::now() + Duration::from_secs(5);
        while proxy.get("/again").status != 200 {
            assert!(Instant::now() < end, "descriptor shortage ({driver}): no recovery: {}", proxy.process.log());
        }
        assert_eq!(old.send(GET).answer().status, 200, "descriptor shortage ({driver}): the old connection");
    }
}

/// Splicing needs a pipe, which is two descriptors: without them the proxy copies the body.
#[test]
fn long_response_completes_during_descriptor_shortage() {
    const BYTES: usize = 1 << 20;
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { open_files: Some(64), ..Options::default() });
        let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n{}", "x".repeat(BYTES));
        proxy.origin.set_script(Script::answer(long).after(Duration::from_millis(1500)));
        let mut client = proxy.client();
        client.send(GET);
        assert!(proxy.origin.wait(Duration::from_secs(3), |o| o.seen().len() == 1));
        let _crowd: Vec<Client> = (0..150).map(|_| proxy.client()).collect();
        thread::sleep(Duration::from_millis(500));
        assert!(proxy.process.open_files() >= 63, "descriptor shortage ({driver}): the limit is not reached");
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.len()), (200, BYTES), "descriptor shortage ({driver})");
    }
}

#[test]
fn sigterm_lets_active_requests_finish() {
    for driver in DRIVERS {
        let mut proxy = Proxy::start(driver);
        proxy.origin.set_script(Script::default().after(Duration::from_millis(1500)));
        let mut client = proxy.client();
        client.send(GET);
        assert!(proxy.origin.wait(Duration::from_secs(3), |o| o.seen().len() == 1));
        let start = Instant::now();
        proxy.process.signal("TERM");
        let answer = client.answer();
        assert!(answer.body == b"ok" && answer.has_connection_close(), "stop ({driver}): {answer:?}");
        let status = proxy.process.wait(Duration::from_secs(15));
        assert!(status.success(), "stop ({driver}): {status}");
        assert!(start.elapsed() < Duration::from_secs(6), "stop ({driver}): {:?}", start.elapsed());
    }
}

#[test]
fn grace_timeout_closes_unfinished_requests() {
    for driver in DRIVERS {
        let top = "[lifeCycle]\ngraceTimeOut = \"1s\"".to_owned();
        let mut proxy = Proxy::with(driver, &Options { top, ..Options::default() });
        proxy.origin.set_script(Script::answer("").then(Then::Hold));
        let mut client = proxy.client();
        client.send(GET);
        assert!(proxy.origin.wait(Duration::from_secs(3), |o| o.seen().len() == 1));
        let start = Instant::now();
        proxy.process.signal("TERM");
        let status = proxy.process.wait(Duration::from_secs(15));
        let took = start.elapsed();
        assert!(status.success(), "stop ({driver}): {status}");
        assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&took), "stop ({driver}): {took:?}");
        let log = proxy.process.log();
        assert!(log.contains("1 request(s) still active") && log.contains("closing them"), "stop ({driver}): {log}");
        assert_eq!(client.answer().status, 0, "stop ({driver}): the origin said nothing");
    }
}

#[test]
fn route_changes_under_load_fail_no_request() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        let good = fs::read_to_string(proxy.routes_file()).expect("the routes");
        let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
        let failed = thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut failed = Vec::new();
                        let mut client = proxy.client();
                        while !stop.load(Relaxed) {
                            let answer = client.send(GET).answer();
                            sent.fetch_add(1, Relaxed);
                            if answer.status != 200 {
                                failed.push(answer.head);
                                client = proxy.client();
                            }
                        }
                        failed
                    })
                })
                .collect();
            let file = proxy.routes_file();
            for n in 0..30 {
                // Whole, malformed, half-written, emptied for a moment, and replaced by rename.
                let text = format!("{good}\n# {n}\n");
                match n % 5 {
                    0 => fs::write(&file, &text),
                    1 => fs::write(&file, "[frontends.main\nbroken"),
                    2 => fs::write(&file, &text[..text.len() / 2]).and_then(|()| fs::write(&file, &text)),
                    3 => fs::write(&file, "").and_then(|()| fs::write(&file, &text)),
                    _ => fs::write(file.with_extension("new"), &text)
                        .and_then(|()| fs::rename(file.with_extension("new"), &file)),
                }
                .expect("written");
                thread::sleep(Duration::from_millis(60));
            }
            // The last version wins.
            let last = format!(
                "{}[frontends.main.headers.customResponseHeaders]\nX-Last = \"1\"\n",
                routes(proxy.origin.port, &Options::default())
            );
            fs::write(&file, last).expect("written");
            let end = Instant::now() + Duration::from_secs(8);
            while proxy.get("/last").field("x-last") != Some("1") && Instant::now() < end {
                thread::sleep(Duration::from_millis(50));
            }
            stop.store(true, Relaxed);
            clients.into_iter().flat_map(|c| c.join().expect("a client")).collect::<Vec<_>>()
        });
        assert!(
            failed.is_empty(),
            "route change ({driver}): {} of {} failed: {:?}",
            failed.len(),
            sent.load(Relaxed),
            failed.first()
        );
        assert_eq!(
            proxy.get("/last").field("x-last"),
            Some("1"),
            "route change ({driver}): the last change is not in force"
        );
    }
}

#[test]
fn restart_after_sigkill_serves_on_the_same_port() {
    for driver in DRIVERS {
        let mut proxy = Proxy::start(driver);
        let mut clients: Vec<Client> = (0..20).map(|_| proxy.client()).collect();
        clients.iter_mut().for_each(|c| assert_eq!(c.send(GET).answer().status, 200));
        let start = Instant::now();
        proxy.process.restart();
        proxy.await_routes();
        assert!(start.elapsed() < Duration::from_secs(5), "restart ({driver}): {:?}", start.elapsed());
    }
}

/// The watchdog counts its own polls, not seconds.
#[test]
fn sigstop_pause_does_not_trip_the_watchdog() {
    for driver in DRIVERS {
        let proxy = Proxy::start(driver);
        proxy.process.signal("STOP");
        thread::sleep(Duration::from_secs(3));
        proxy.process.signal("CONT");
        assert_eq!(proxy.get("/x").status, 200, "({driver})");
        thread::sleep(Duration::from_secs(2));
        assert_eq!(proxy.get("/x").status, 200, "({driver}): the watchdog took a pause for a failure");
    }
}
