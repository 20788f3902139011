//! Hand-overs between Ringway processes under load, and sockets that come from systemd. Aborted hand-overs: handover_aborted.rs.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::load::Load;
use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Setup};
use crate::support::wait_for;

pub const CONFIG: &str = r#"
logLevel = "INFO"
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[ping]
[file]
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
[frontends.all.routes.r]
rule = "PathPrefix:/"
"#;

const HAND_OVERS: usize = 5;

#[test]
fn handovers_under_load_lose_no_request() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let mut proxy = Setup::new(driver, CONFIG).fill("@origin@", origin.address).start();
        let load = Load::start(proxy.http, "a");
        thread::sleep(Duration::from_millis(300));
        let mut slow = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
        slow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        proxy.signal("USR2");
        let mut current = proxy.successor(1);
        for count in 2..=HAND_OVERS {
            thread::sleep(Duration::from_millis(600));
            current.signal("USR2");
            let next = proxy.successor(count);
            std::mem::replace(&mut current, next).wait();
        }
        let done = load.stop();
        println!("{driver}: {done}, {HAND_OVERS} hand-overs");
        assert!(done.failures.is_empty(), "{driver}: {done}: {:?}", done.failures.first());
        assert!(done.rate() > 1000.0, "{driver}: {done} is no load");
        let mut got = String::new();
        slow.read_to_string(&mut got).expect("the answer of the first process");
        assert!(got.starts_with("HTTP/1.1 200 ") && got.contains("Connection: close"), "{driver}: {got}");
        assert_eq!(proxy.wait(Duration::from_secs(15)).code(), Some(0), "{driver}");
        assert!(proxy.curl(&["-i", &proxy.url("/")]).starts_with("HTTP/1.1 200 "));
        current.signal("TERM");
        wait_for("the last process has closed its ports", Duration::from_secs(5), || {
            TcpStream::connect(("127.0.0.1", proxy.http)).map_or(Ok(()), |_| Err("still open".to_owned()))
        });
    }
}

#[test]
fn old_process_waits_briefly_for_idle_and_fully_for_tunnels() {
    let origin = Origin::start();
    let config = format!("{CONFIG}[accessLog]\nfilePath = \"@dir@/access.log\"\n");
    let mut proxy = Setup::new(DRIVERS[0], &config).fill("@origin@", origin.address).start();
    let mut tunnel = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    tunnel.write_all(upgrade.as_bytes()).expect("sent");
    let mut buffer = [0; 1024];
    assert!(tunnel.read(&mut buffer).expect("switched") > 0);
    let _idle = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
    proxy.signal("USR2");
    let _successor = proxy.successor(1);
    thread::sleep(Duration::from_secs(12));
    tunnel.write_all(b"still there?").expect("sent");
    let n = tunnel.read(&mut buffer).expect("echoed");
    assert_eq!(&buffer[..n], b"still there?");
    // The log is rotated meanwhile: the line of the tunnel must be in the new file.
    let log = proxy.file("access.log");
    fs::rename(&log, proxy.file("access.log.1")).expect("renamed");
    proxy.signal("USR1");
    wait_for("the log is opened anew", Duration::from_secs(10), || {
        fs::metadata(&log).map(drop).map_err(|e| e.to_string())
    });
    drop(tunnel);
    let start = Instant::now();
    assert_eq!(proxy.wait(Duration::from_secs(40)).code(), Some(0));
    assert!(start.elapsed() > Duration::from_secs(5), "the idle connection gets its time as well");
    let lines = fs::read_to_string(&log).expect("the log");
    assert!(lines.contains("GET /ws "), "{lines}");
}

#[test]
fn failed_handover_keeps_the_old_process_serving() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = Setup::new(driver, CONFIG).fill("@origin@", origin.address).start();
        let file = proxy.config_file();
        let good = fs::read_to_string(&file).expect("the file");
        fs::write(&file, good.replacen("127.0.0.1:", "nowhere", 1)).expect("written");
        proxy.signal("USR2");
        proxy.await_log("hand-over failed", 1);
        assert!(proxy.log().contains("exit status: 1") && proxy.log().contains("nowhere"), "{}", proxy.log());
        assert!(proxy.curl(&["-i", &proxy.url("/")]).starts_with("HTTP/1.1 200 "), "{driver}: {}", proxy.log());
        fs::write(&file, good).expect("written");
        proxy.signal("USR2");
        let _successor = proxy.successor(1);
        assert!(proxy.curl(&["-i", &proxy.url("/")]).starts_with("HTTP/1.1 200 "), "{driver}: {}", proxy.log());
    }
}

#[test]
fn rest_document_is_carried_to_the_successor() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let config = CONFIG.replace("[ping]", "[rest]");
        let proxy = Setup::new(driver, &config).fill("@origin@", origin.address).start();
        let document = format!(
            r#"{{"backends":{{"b":{{"servers":{{"s":{{"url":"http://{}","weight":1}}}}}}}},"frontends":{{"f":{{"auth":{{"basic":{{"users":["ann:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ="]}}}},"entryPoints":["http"],"backend":"b","routes":{{"r":{{"rule":"Host:put.test;AddPrefix:/put"}}}}}}}}}}"#,
            origin.address
        );
        let rest = format!("http://127.0.0.1:{}/api/providers/rest", proxy.api);
        assert!(proxy.curl(&["-X", "PUT", "-d", &document, &rest]).contains("put.test"), "{}", proxy.log());
        let is_served =
            || proxy.curl(&["-u", "ann:secret", "-H", "Host: put.test", &proxy.url("/")]).contains("GET /put/");
        let await_served = |when: &str| {
            wait_for(when, Duration::from_secs(10), || if is_served() { Ok(()) } else { Err(proxy.log()) });
        };
        await_served("the document is in force");
        proxy.signal("USR2");
        let successor = proxy.successor(1);
        assert!(is_served(), "{driver}: {}", proxy.log());
        // The successor hands the document over to its own successor.
        successor.signal("USR2");
        let _last = proxy.successor(2);
        assert!(is_served(), "{driver}: {}", proxy.log());
    }
}

#[test]
fn successor_without_all_routes_does_not_take_over() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = Setup::new(driver, CONFIG).fill("@origin@", origin.address).start();
        let file = proxy.config_file();
        let good = fs::read_to_string(&file).expect("the file");
        let engine = format!("unix://{}", proxy.file("no-engine.sock").display());
        fs::write(&file, good.replace("[file]\n", &format!("[docker]\nendpoint = \"{engine}\"\n[file]\n")))
            .expect("written");
        proxy.signal("USR2");
        proxy.await_log("hand-over failed", 1);
        assert!(proxy.log().contains("hand-over refused: providers not ready: docker: "), "{driver}: {}", proxy.log());
        assert!(proxy.curl(&["-i", &proxy.url("/")]).starts_with("HTTP/1.1 200 "), "{driver}: {}", proxy.log());
    }
}

/// Passes the descriptor as systemd would, with the PID that the program gets.
fn activated(driver: &str, origin: &Origin, listener: &TcpListener, name: &str) -> Setup {
    rustix::io::fcntl_setfd(listener, rustix::io::FdFlags::empty()).expect("an inheritable descriptor");
    let script = "exec 3<&$1; shift; LISTEN_PID=$$ exec \"$@\"";
    let mut setup = Setup::new(driver, CONFIG)
        .fill("@origin@", origin.address)
        .under(&["bash", "-c", script, "activated", &listener.as_raw_fd().to_string()])
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", name);
    // A named socket belongs to the entry point of that name, whatever its address.
    if name != "http" {
        setup.http = listener.local_addr().expect("bound").port();
    }
    let notify = setup.folder.path().join("notify").display().to_string();
    setup.env("NOTIFY_SOCKET", notify)
}

#[test]
fn systemd_sockets_match_by_name_or_address_and_outlive_process() {
    for (driver, name) in DRIVERS.into_iter().flat_map(|driver| [(driver, "http"), (driver, "ringway.socket")]) {
        let origin = Origin::start();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        // A request sent before the process accepts waits in the queue and gets a response, not a 404.
        let ask = || {
            let mut stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("the socket stays open");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
            stream
        };
        let setup = activated(driver, &origin, &listener, name);
        let notify = UnixDatagram::bind(setup.folder.path().join("notify")).expect("a socket");
        notify.set_read_timeout(Some(Duration::from_secs(15))).expect("set");
        let mut early = ask();
        let mut proxy = setup.spawn();
        for turn in 0..2 {
            let mut said = [0; 256];
            let n = notify.recv(&mut said).unwrap_or_else(|e| panic!("{driver}: {e}: {}", proxy.log()));
            let said = String::from_utf8_lossy(&said[..n]).into_owned();
            let pid = format!("MAINPID={}", proxy.pid());
            assert!(said.contains("READY=1") && said.contains(&pid), "{driver}: {said}");
            let mut got = String::new();
            early.read_to_string(&mut got).expect("an answer");
            assert!(got.starts_with("HTTP/1.1 200 "), "{driver}, {name}: {got}\n{}", proxy.log());
            proxy.signal("TERM");
            let n = notify.recv(&mut [0; 256]).expect("the process notifies that it stops");
            assert!(n > 0);
            assert_eq!(proxy.wait(Duration::from_secs(15)).code(), Some(0), "{driver}: {}", proxy.log());
            if turn == 0 {
                early = ask();
                proxy.restart();
            }
        }
    }
}
