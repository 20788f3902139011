//! Rows 66 to 69: the process itself: out of descriptors, signals, changes under load, sudden death.

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
        assert!(proxy.process.open_files() >= 60, "66 ({driver}): the limit is not reached");
        let before = proxy.process.cpu();
        thread::sleep(Duration::from_secs(2));
        let spent = proxy.process.cpu() - before;
        assert!(spent < Duration::from_millis(400), "66 ({driver}): it spins, {spent:?} in 2 s");
        // An old connection lives; what its request needs may be missing for now.
        let status = old.send(GET).answer().status;
        assert!([200, 500, 502, 503].contains(&status), "66 ({driver}): {status}");
        let complaints = proxy.process.log().matches("cannot accept connections").count();
        assert!((1..=2).contains(&complaints), "66 ({driver}): told {complaints} times");
        drop(crowd);
        let end = Instant::now() + Duration::from_secs(5);
        while proxy.get("/again").status != 200 {
            assert!(Instant::now() < end, "66 ({driver}): it does not heal: {}", proxy.process.log());
        }
        assert_eq!(old.send(GET).answer().status, 200, "66 ({driver}): the old connection");
    }
}

/// A pipe for it would be two descriptors: there are none, and it is copied.
#[test]
fn long_response_completes_during_descriptor_shortage() {
    const BYTES: usize = 1 << 20;
    for driver in DRIVERS {
        let proxy = Proxy::with(driver, &Options { open_files: Some(64), ..Options::default() });
        let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n{}", "x".repeat(BYTES));
        proxy.origin.plays(Script::answer(long).after(Duration::from_millis(1500)));
        let mut client = proxy.client();
        client.send(GET);
        assert!(proxy.origin.wait(Duration::from_secs(3), |o| o.seen().len() == 1));
        let _crowd: Vec<Client> = (0..150).map(|_| proxy.client()).collect();
        thread::sleep(Duration::from_millis(500));
        assert!(proxy.process.open_files() >= 63, "66 ({driver}): the limit is not reached");
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.len()), (200, BYTES), "66 ({driver})");
    }
}

#[test]
fn sigterm_lets_active_requests_finish() {
    for driver in DRIVERS {
        let mut proxy = Proxy::start(driver);
        proxy.origin.plays(Script::default().after(Duration::from_millis(1500)));
        let mut client = proxy.client();
        client.send(GET);
        assert!(proxy.origin.wait(Duration::from_secs(3), |o| o.seen().len() == 1));
        let start = Instant::now();
        proxy.process.signal("TERM");
        let answer = client.answer();
        assert!(answer.body == b"ok" && answer.says_close(), "67 ({driver}): {answer:?}");
        let status = proxy.process.wait(Duration::from_secs(15));
        assert!(status.success(), "67 ({driver}): {status}");
        assert!(start.elapsed() < Duration::from_secs(6), "67 ({driver}): {:?}", start.elapsed());
    }
}

#[test]
fn grace_timeout_closes_unfinished_requests() {
    for driver in DRIVERS {
        let top = "[lifeCycle]\ngraceTimeOut = \"1s\"".to_owned();
        let mut proxy = Proxy::with(driver, &Options { top, ..Options::default() });
        proxy.origin.plays(Script::answer("").then(Then::Hold));
        let mut client = proxy.client();
        client.send(GET);
        assert!(proxy.origin.wait(Duration::from_secs(3), |o| o.seen().len() == 1));
        let start = Instant::now();
        proxy.process.signal("TERM");
        let status = proxy.process.wait(Duration::from_secs(15));
        let took = start.elapsed();
        assert!(status.success(), "67 ({driver}): {status}");
        assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&took), "67 ({driver}): {took:?}");
        let log = proxy.process.log();
        assert!(log.contains("1 request(s) still active") && log.contains("closing them"), "67 ({driver}): {log}");
        assert_eq!(client.answer().status, 0, "67 ({driver}): the origin said nothing");
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
            // The last one wins.
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
            "68 ({driver}): {} of {} failed: {:?}",
            failed.len(),
            sent.load(Relaxed),
            failed.first()
        );
        assert_eq!(proxy.get("/last").field("x-last"), Some("1"), "68 ({driver}): the last change does not stand");
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
        assert!(start.elapsed() < Duration::from_secs(5), "69 ({driver}): {:?}", start.elapsed());
    }
}

/// The watchdog counts its own looks, not seconds.
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
