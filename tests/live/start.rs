//! A start under load: no request gets a response before the routes are in force.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{run, wait_for};

const CONFIG: &str = r#"
logLevel = "INFO"
[entryPoints.http]
address = "127.0.0.1:@http@"
[file]
filename = "@dir@/routes.toml"
watch = false
"#;

pub const ROUTES: &str = r#"
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
[frontends.all.routes.r]
rule = "PathPrefix:/"
"#;

/// Starts a process whose routes come from a pipe: it has none until the test writes them.
pub fn awaiting_routes(driver: &str) -> Ringway {
    let setup = Setup::new(driver, CONFIG);
    let pipe = setup.folder.path().join("routes.toml");
    assert!(run("mkfifo", &[&pipe.display().to_string()]).status.success(), "{}", pipe.display());
    setup.spawn()
}

#[test]
fn early_request_waits_for_the_first_routes() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = awaiting_routes(driver);
        proxy.await_port(proxy.http);
        let mut client = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
        client.set_read_timeout(Some(Duration::from_millis(700))).expect("set");
        let early = client.read(&mut [0; 512]);
        let waits = early.as_ref().is_err_and(|e| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        assert!(waits, "{driver}: answered before there were routes: {early:?}");
        client.set_read_timeout(Some(Duration::from_secs(15))).expect("set");
        let routes = ROUTES.replace("@origin@", &origin.address.to_string());
        fs::write(proxy.file("routes.toml"), routes).expect("the process reads the pipe");
        let mut got = String::new();
        client.read_to_string(&mut got).expect("an answer");
        assert!(got.starts_with("HTTP/1.1 200 "), "{driver}: {got}\n{}", proxy.log());
    }
}

#[test]
fn unavailable_provider_does_not_delay_the_start() {
    let origin = Origin::start();
    let config = CONFIG.replace("[file]", "[docker]\nendpoint = \"unix://@dir@/no-engine.sock\"\n[file]");
    let setup =
        Setup::new(DRIVERS[0], &config).file("routes.toml", ROUTES.replace("@origin@", &origin.address.to_string()));
    let start = Instant::now();
    let proxy = setup.start();
    // The whole waiting time for providers is ten seconds.
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}: {}", start.elapsed(), proxy.log());
    assert!(proxy.log().contains("no-engine.sock"), "{}", proxy.log());
}

#[test]
fn silent_engine_delays_the_start_by_ten_seconds_at_most() {
    let origin = Origin::start();
    let config = CONFIG.replace("[file]", "[docker]\nendpoint = \"unix://@dir@/engine.sock\"\n[file]");
    let setup =
        Setup::new(DRIVERS[0], &config).file("routes.toml", ROUTES.replace("@origin@", &origin.address.to_string()));
    // Connections wait in the listener's queue, and no program accepts them.
    let _engine = UnixListener::bind(setup.folder.path().join("engine.sock")).expect("a socket");
    let start = Instant::now();
    let proxy = setup.spawn();
    proxy.await_log("docker: no configuration received", 1);
    assert!(start.elapsed() > Duration::from_secs(9), "{:?}: {}", start.elapsed(), proxy.log());
    proxy.await_status("a", "200");
}

#[test]
fn sigterm_ends_a_start_that_waits_for_routes() {
    for driver in DRIVERS {
        let mut proxy = awaiting_routes(driver);
        proxy.await_port(proxy.http);
        wait_for("the signal handlers are installed", Duration::from_secs(5), || {
            if proxy.log().contains("worker(s) on") { Ok(()) } else { Err(proxy.log()) }
        });
        proxy.signal("TERM");
        assert_eq!(proxy.wait(Duration::from_secs(8)).code(), Some(0), "{driver}: {}", proxy.log());
        assert!(!proxy.log().contains("Starting server on"), "{driver}: {}", proxy.log());
    }
}
