//! One Ringway taking over from another under load, and sockets that come from systemd.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::proxy::{DRIVERS, Origin, Proxy};
use crate::support::load::Load;
use crate::support::{Background, free_port, run, wait_for};

const CONFIG: &str = r#"
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

/// A process that was started by the proxy under test, not by the test.
struct Successor(String);

impl Drop for Successor {
    fn drop(&mut self) {
        run("kill", &["-KILL", &self.0]);
    }
}

impl Successor {
    /// The last one that the log tells of, once there are `count`.
    fn await_number(count: usize, proxy: &Proxy) -> Successor {
        wait_for("the next process serves", Duration::from_secs(20), || {
            let log = proxy.log();
            let told: Vec<&str> = log.lines().filter(|line| line.contains("has taken over")).collect();
            let last = told.last().filter(|_| told.len() == count).ok_or(log.clone())?;
            let words: Vec<&str> = last.split_whitespace().collect();
            let at = words.iter().position(|word| word.ends_with("process")).ok_or(log.clone())?;
            Ok(Successor(words[at + 1].to_owned()))
        })
    }

    fn signal(&self, name: &str) {
        assert!(run("kill", &[&format!("-{name}"), &self.0]).status.success());
    }
}

#[test]
fn hand_overs_under_load_lose_no_request() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let mut proxy = Proxy::start(driver, CONFIG, origin.address, |_| {});
        let load = Load::start(proxy.http, "a");
        thread::sleep(Duration::from_millis(300));
        let mut slow = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
        slow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        proxy.signal("USR2");
        let mut current = Successor::await_number(1, &proxy);
        for count in 2..=HAND_OVERS {
            thread::sleep(Duration::from_millis(600));
            current.signal("USR2");
            let next = Successor::await_number(count, &proxy);
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
        wait_for("the last one has closed its ports", Duration::from_secs(5), || {
            TcpStream::connect(("127.0.0.1", proxy.http)).map_or(Ok(()), |_| Err("still open".to_owned()))
        });
    }
}

impl Successor {
    /// Until it has ended by itself; it is nobody's child here.
    fn wait(self) {
        let own = format!("/proc/{}/stat", self.0);
        wait_for("the one before has ended", Duration::from_secs(15), || match fs::read_to_string(&own) {
            Ok(stat) if !stat.contains(") Z ") => Err(stat),
            _ => Ok(()),
        });
        std::mem::forget(self);
    }
}

#[test]
fn an_idle_connection_holds_the_old_process_for_a_while_only_and_a_tunnel_for_as_long_as_it_lasts() {
    let origin = Origin::start();
    let mut proxy = Proxy::start(DRIVERS[0], CONFIG, origin.address, |_| {});
    let mut tunnel = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    tunnel.write_all(upgrade.as_bytes()).expect("sent");
    let mut buffer = [0; 1024];
    assert!(tunnel.read(&mut buffer).expect("switched") > 0);
    let _idle = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
    proxy.signal("USR2");
    let _successor = Successor::await_number(1, &proxy);
    thread::sleep(Duration::from_secs(12));
    tunnel.write_all(b"still there?").expect("sent");
    let n = tunnel.read(&mut buffer).expect("echoed");
    assert_eq!(&buffer[..n], b"still there?");
    drop(tunnel);
    let start = Instant::now();
    assert_eq!(proxy.wait(Duration::from_secs(15)).code(), Some(0));
    assert!(start.elapsed() > Duration::from_secs(5), "the idle connection gets its time as well");
}

#[test]
fn a_process_that_cannot_be_replaced_goes_on() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = Proxy::start(driver, CONFIG, origin.address, |_| {});
        let file = proxy.folder.path().join("ringway.toml");
        let good = fs::read_to_string(&file).expect("the file");
        fs::write(&file, good.replacen("127.0.0.1:", "nowhere", 1)).expect("written");
        proxy.signal("USR2");
        wait_for("it says why", Duration::from_secs(10), || {
            let log = proxy.log();
            if log.contains("not taken over") && log.contains("exit status: 1") && log.contains("nowhere") {
                Ok(())
            } else {
                Err(log)
            }
        });
        assert!(proxy.curl(&["-i", &proxy.url("/")]).starts_with("HTTP/1.1 200 "), "{driver}: {}", proxy.log());
        fs::write(&file, good).expect("written");
        proxy.signal("USR2");
        let _successor = Successor::await_number(1, &proxy);
        assert!(proxy.curl(&["-i", &proxy.url("/")]).starts_with("HTTP/1.1 200 "), "{driver}: {}", proxy.log());
    }
}

/// The descriptor goes where systemd would put it, and the process id is the one that the program gets.
fn activated(driver: &str, folder: &std::path::Path, listener: &TcpListener, name: &str) -> Command {
    rustix::io::fcntl_setfd(listener, rustix::io::FdFlags::empty()).expect("it can be inherited");
    let mut command = Command::new("bash");
    let script = "exec 3<&$1; shift; LISTEN_PID=$$ exec \"$@\"";
    command.args(["-c", script, "activated", &listener.as_raw_fd().to_string(), env!("CARGO_BIN_EXE_ringway")]);
    command.arg(format!("--configFile={}", folder.join("ringway.toml").display())).arg(format!("--driver={driver}"));
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name);
    command
}

#[test]
fn sockets_of_systemd_are_found_by_name_or_address_and_outlive_the_process() {
    for (driver, name) in DRIVERS.into_iter().flat_map(|driver| [(driver, "http"), (driver, "ringway.socket")]) {
        let origin = Origin::start();
        let folder = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("bound").port();
        // By its name the socket belongs to the entry point whatever address that has.
        let http = if name == "http" { free_port() } else { port };
        let config = CONFIG.replace("@http@", &http.to_string()).replace("@api@", &free_port().to_string());
        fs::write(folder.path().join("ringway.toml"), config.replace("@origin@", &origin.address.to_string()))
            .expect("written");
        let notify = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        notify.set_read_timeout(Some(Duration::from_secs(15))).expect("set");
        // Asked before anybody serves: it waits in the queue and is answered, not refused with 404.
        let mut early = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        early.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
        for _ in 0..2 {
            let mut command = activated(driver, folder.path(), &listener, name);
            command.env("NOTIFY_SOCKET", folder.path().join("notify"));
            let proxy = Background::start(command, folder.path().join("log"));
            let mut said = [0; 256];
            let n = notify.recv(&mut said).unwrap_or_else(|e| panic!("{driver}: {e}: {}", proxy.log_text()));
            let said = String::from_utf8_lossy(&said[..n]).into_owned();
            assert!(said.contains("READY=1") && said.contains("MAINPID="), "{driver}: {said}");
            let mut got = String::new();
            early.read_to_string(&mut got).expect("an answer");
            assert!(got.starts_with("HTTP/1.1 200 "), "{driver}, {name}: {got}\n{}", proxy.log_text());
            let pid = said.rsplit('=').next().unwrap_or_default().to_owned();
            assert!(run("kill", &["-TERM", &pid]).status.success());
            let n = notify.recv(&mut [0; 256]).expect("it says that it stops");
            assert!(n > 0);
            wait_for("it has ended", Duration::from_secs(10), || {
                let log = proxy.log_text();
                if log.contains("Shutting down") { Ok(()) } else { Err(log) }
            });
            early = TcpStream::connect(("127.0.0.1", port)).expect("systemd's socket is still open");
            early.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
        }
    }
}
