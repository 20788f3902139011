//! Faults around the proxy: full disks, killed origins, failing rings. The proxy reports them, serves what it can, and recovers.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringway::control::acme::atomic_file::{self, OsFile};

use crate::support::http::Client;
use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Setup};
use crate::support::{free_port, run, stdout_of, tool_or_skip, wait_for, wait_for_port, whoami_program};

const CONFIG: &str = r#"
@top@
[entryPoints.http]
address = "127.0.0.1:@http@"
@tables@
[file]
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
[frontends.all.routes.r]
rule = "PathPrefix:/"
"#;

fn setup(driver: &str, origin: &Origin, top: &str, tables: &str) -> Setup {
    Setup::new(driver, CONFIG).fill("@top@", top).fill("@tables@", tables).fill("@origin@", origin.address)
}

/// A small file system for one test, unmounted at its end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, with a message, where mounting is not allowed.
    fn mount(place: &Path) -> Option<SmallDisk> {
        fs::create_dir_all(place).expect("a folder");
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=128k", "ringway-test", &place.to_string_lossy()]);
        tool_or_skip("the right to mount a file system", mounted.status.success()).then(|| SmallDisk(place.to_owned()))
    }

    /// Fills the remaining space.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).expect("a file");
        while file.write_all(&[b'x'; 512]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l", &self.0.to_string_lossy()]);
    }
}

#[test]
fn full_disk_loses_log_lines_but_no_request() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let tables =
            "[traefikLog]\nfilePath = \"@dir@/logs/ringway.log\"\n[accessLog]\nfilePath = \"@dir@/logs/access.log\"";
        let setup = setup(driver, &origin, "logLevel = \"DEBUG\"", tables);
        let Some(small) = SmallDisk::mount(&setup.folder.path().join("logs")) else { return };
        let proxy = setup.start();
        let mut client = Client::to(proxy.http);
        small.fill();
        for n in 0..500 {
            assert_eq!(client.get("a", &format!("/full/{n}")).status, 200, "{driver}");
        }
        small.free();
        let access = small.0.join("access.log");
        wait_for("lines are written again", Duration::from_secs(5), || {
            client.get("a", "/there-is-room");
            let text = fs::read_to_string(&access).unwrap_or_default();
            if text.contains("/there-is-room") { Ok(()) } else { Err(text.len().to_string()) }
        });
    }
}

const GONE: &str = r#"
[backends.gone.servers.a]
url = "http://127.0.0.1:@gone@"
[frontends.gone]
backend = "gone"
[frontends.gone.routes.r]
rule = "PathPrefix:/gone"
"#;

/// The log is a pipe, as a container's standard output is, and no process reads from it.
#[test]
fn stalled_log_reader_stalls_no_request() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let config = format!("{CONFIG}{GONE}");
        let setup = Setup::new(driver, &config).fill("@top@", "logLevel = \"WARN\"").fill("@gone@", free_port());
        let setup = setup.fill("@tables@", "[traefikLog]\nfilePath = \"@dir@/pipe\"").fill("@origin@", origin.address);
        let path = setup.folder.path().join("pipe");
        stdout_of("mkfifo", &[&path.to_string_lossy()]);
        let mut reader = fs::OpenOptions::new().read(true).write(true).open(&path).expect("the pipe's reading end");
        let mut proxy = setup.start();
        let mut client = Client::to(proxy.http);
        // Each request to the server logs a line, together many times as much as a pipe holds.
        let lines = 2000;
        for n in 0..lines {
            let status = client.get("a", &format!("/gone/{n}")).status;
            assert!(status >= 500, "{driver}: {status} of a server that does not run");
            assert_eq!(client.get("a", &format!("/there/{n}")).status, 200, "{driver}");
        }
        let mut text = Vec::new();
        while memchr::memmem::find_iter(&text, "backend=gone").count() < lines {
            let mut piece = vec![0; 64 * 1024];
            let n = reader.read(&mut piece).expect("the pipe");
            text.extend_from_slice(&piece[..n]);
        }
        for n in 0..lines {
            client.get("a", &format!("/gone/{n}"));
        }
        // Its last lines cannot be written either, and this does not delay the exit.
        proxy.signal("TERM");
        assert!(proxy.wait(Duration::from_secs(20)).success(), "{driver}");
    }
}

#[test]
fn full_disk_keeps_the_stored_certificates() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(small) = SmallDisk::mount(&folder.path().join("acme")) else { return };
    let mut file = OsFile::new(&small.0.join("acme.json"));
    let (old, new) = (vec![b'o'; 20_000], vec![b'n'; 30_000]);
    atomic_file::save(&mut file, &old).expect("there is room");
    small.fill();
    assert!(atomic_file::save(&mut file, &new).is_err(), "there is no room");
    assert_eq!(atomic_file::load(&mut file).expect("readable"), Some(old), "nothing is lost");
    small.free();
    atomic_file::save(&mut file, &new).expect("there is room again");
    assert_eq!(atomic_file::load(&mut file).expect("readable"), Some(new));
    let left: Vec<_> = fs::read_dir(&small.0).expect("the folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["acme.json"], "nothing else is left behind");
}

const VICTIM: &str = r#"
[backends.two.servers.a]
url = "http://127.0.0.1:@victim@"
[frontends.two]
backend = "two"
[frontends.two.routes.r]
rule = "PathPrefix:/bytes"
"#;

/// An origin in a process of its own, so that it can be killed.
struct KillableOrigin(Child);

impl KillableOrigin {
    fn start(program: &str, port: u16) -> KillableOrigin {
        let mut command = Command::new(program);
        command.args(["--name", "victim", "--port", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let victim = KillableOrigin(command.spawn().expect("the origin starts"));
        wait_for_port(&format!("127.0.0.1:{port}"), Duration::from_secs(5));
        victim
    }
}

impl Drop for KillableOrigin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn origin_killed_in_mid_body_affects_only_its_clients() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = whoami_program(folder.path());
    for driver in DRIVERS {
        let (origin, port) = (Origin::start(), free_port());
        let config = format!("{CONFIG}{VICTIM}");
        let setup = Setup::new(driver, &config).fill("@top@", "").fill("@tables@", "").fill("@victim@", port);
        let proxy = setup.fill("@origin@", origin.address).start();
        let victim = KillableOrigin::start(&program, port);
        let mut clients: Vec<TcpStream> = (0..10).map(|_| request_large_body(proxy.http)).collect();
        let mut buffer = vec![0; 256 * 1024];
        clients.iter_mut().for_each(|client| assert!(client.read(&mut buffer).expect("a beginning") > 0));
        drop(victim);
        let start = Instant::now();
        for client in &mut clients {
            while client.read(&mut buffer).is_ok_and(|n| n > 0) {}
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{driver}: clients wait {:?}", start.elapsed());
        assert_eq!(Client::to(proxy.http).get("a", "/other").status, 200, "{driver}: the others");
        assert_eq!(Client::to(proxy.http).get("a", "/bytes/10").status, 502, "{driver}: the origin is down");
        let _back = KillableOrigin::start(&program, port);
        assert_eq!(Client::to(proxy.http).get("a", "/bytes/10").status, 200, "{driver}: the origin is back");
    }
}

fn request_large_body(port: u16) -> TcpStream {
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a time limit");
    client.write_all(b"GET /bytes/50000000 HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    client
}

const IDLE: usize = 5000;
/// The proxy's memory per idle connection. Without optimisation the compiler gives every value of a task its own memory.
const IDLE_BYTES_MAX: u64 = if cfg!(debug_assertions) { 96 * 1024 } else { 16 * 1024 };

#[test]
fn five_thousand_idle_connections_cost_little() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("the hard limit");
    if !tool_or_skip("a hard limit of 10,000 open files", limit.maximum.is_none_or(|max| max >= 2 * IDLE as u64)) {
        return;
    }
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = setup(driver, &origin, "", "").start();
        let before = proxy.resident_kib();
        let mut idle: Vec<Client> = (0..IDLE).map(|_| Client::to(proxy.http)).collect();
        // Every tenth client has sent a request before it became idle.
        idle.iter_mut().step_by(10).for_each(|client| assert_eq!(client.get("a", "/").status, 200, "{driver}"));
        let start = Instant::now();
        let mut busy = Client::to(proxy.http);
        (0..200).for_each(|_| assert_eq!(busy.get("a", "/").status, 200, "{driver}"));
        let each = (proxy.resident_kib().saturating_sub(before)) * 1024 / IDLE as u64;
        println!("{driver}: {each} bytes for an idle connection, 200 requests beside {IDLE} in {:?}", start.elapsed());
        assert!(each < IDLE_BYTES_MAX, "{driver}: {each} bytes for each");
        assert_eq!(idle[IDLE - 1].get("a", "/").status, 200, "{driver}: the last connection is served");
    }
}

/// From the 2000th call on the kernel refuses a worker's `io_uring_enter`, and the ring never recovers.
#[test]
fn failing_ring_ends_the_process_with_a_message() {
    if !tool_or_skip("strace", Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok()) {
        return;
    }
    let origin = Origin::start();
    let fault = "inject=io_uring_enter:error=EBADF:when=200+";
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=io_uring_enter", "-e", fault];
    let mut proxy = setup("io_uring", &origin, "", "").under(&strace).spawn();
    proxy.await_port(proxy.http);
    let log = proxy.file("log");
    for _ in 0..100 {
        // After some requests the process no longer responds.
        proxy.curl(&["--max-time", "1", "-o", "/dev/null", &proxy.url("/")]);
        if fs::read_to_string(&log).is_ok_and(|said| said.contains("has stopped working")) {
            break;
        }
    }
    assert_eq!(proxy.wait(Duration::from_secs(45)).code(), Some(1), "{}", proxy.log());
    let said = proxy.log();
    assert!(said.contains("has stopped working") && said.contains("--driver=epoll"), "{said}");
}

/// The wall clock jumps: what measures time by the monotonic clock does not notice, what shows the time shows the new one.
#[test]
fn clock_jump_does_not_disturb_requests() {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let library = folders.map(|folder| format!("{folder}/faketime/libfaketime.so.1"));
    let library = library.into_iter().find(|path| Path::new(path).exists());
    if !tool_or_skip("libfaketime", library.is_some()) {
        return;
    }
    let library = library.unwrap_or_default();
    for driver in DRIVERS {
        let origin = Origin::start();
        let setup = setup(driver, &origin, "logLevel = \"INFO\"", "").file("clock", "+0d");
        let clock = setup.folder.path().join("clock");
        let setup = setup.env("LD_PRELOAD", &library).env("FAKETIME_TIMESTAMP_FILE", clock.display());
        let setup = setup.env("FAKETIME_NO_CACHE", 1).env("DONT_FAKE_MONOTONIC", 1);
        let proxy = setup.env("FAKETIME_DONT_FAKE_MONOTONIC", 1).start();
        let mut client = Client::to(proxy.http);
        let year = |client: &mut Client| {
            client.get("a", "/").field("Date").and_then(|date| date.split(' ').nth(3)?.parse::<i32>().ok())
        };
        let now = year(&mut client).expect("a date");
        for (leap, years) in [("+3653d", 10), ("-3653d", -10), ("+0d", 0)] {
            fs::write(&clock, leap).expect("written");
            // A worker reads the wall clock ten times a second.
            std::thread::sleep(Duration::from_millis(300));
            for _ in 0..50 {
                let seen = year(&mut client).expect("an answer with a date");
                assert!((seen - now - years).abs() <= 1, "{driver}, {leap}: {seen}");
            }
        }
        // Time-outs, pools and the watchdog keep working.
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(client.get("a", "/").status, 200, "{driver}: {}", proxy.log());
    }
}
