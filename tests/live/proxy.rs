//! A running Ringway with its files, and a scripted origin behind it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{free_port, run, stdout_of, wait_for};

pub const DRIVERS: [&str; 2] = ["io_uring", "epoll"];

/// A proxy that ends with its test.
pub struct Proxy {
    child: Child,
    pub folder: tempfile::TempDir,
    pub http: u16,
    pub https: u16,
    pub api: u16,
}

/// Text in which `@http@`, `@https@`, `@api@`, `@dir@` and `@origin@` stand for this run's.
fn filled(text: &str, ports: [u16; 3], folder: &Path, origin: SocketAddr) -> String {
    let [http, https, api] = ports.map(|port| port.to_string());
    let folder = folder.display().to_string();
    let values = [("@http@", &http), ("@https@", &https), ("@api@", &api), ("@dir@", &folder)];
    let text = text.replace("@origin@", &origin.to_string());
    values.iter().fold(text, |text, (name, value)| text.replace(name, value))
}

impl Proxy {
    /// Writes the configuration and starts the proxy; returns once it serves.
    pub fn start(driver: &str, config: &str, origin: SocketAddr, prepare: impl FnOnce(&Path)) -> Proxy {
        let folder = tempfile::tempdir().expect("a folder");
        prepare(folder.path());
        let ports = [free_port(), free_port(), free_port()];
        fs::write(folder.path().join("ringway.toml"), filled(config, ports, folder.path(), origin)).expect("written");
        let child = launch(driver, folder.path());
        let mut proxy = Proxy { child, folder, http: ports[0], https: ports[1], api: ports[2] };
        proxy.wait_until_it_serves();
        proxy
    }

    fn wait_until_it_serves(&mut self) {
        let address = format!("127.0.0.1:{}", self.http);
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < end && self.child.try_wait().is_ok_and(|s| s.is_none()), "{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
        wait_for("the file provider has spoken", Duration::from_secs(10), || {
            let log = self.log();
            let status = self.curl(&["-o", "/dev/null", "-w", "%{http_code}", &self.url("/")]);
            if status == "200" { Ok(()) } else { Err(format!("{status}\n{log}")) }
        });
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// What curl prints; empty when it fails.
    pub fn curl(&self, arguments: &[&str]) -> String {
        let output = run("curl", &[&["-s", "--max-time", "20"], arguments].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn signal(&self, name: &str) {
        stdout_of("kill", &[&format!("-{name}"), &self.child.id().to_string()]);
    }

    /// The resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let end = Instant::now() + limit;
        loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => return status,
                None if Instant::now() > end => panic!("still running after {limit:?}: {}", self.log()),
                None => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Starts another one on the same files and ports.
    pub fn restart(&mut self, driver: &str) {
        self.child = launch(driver, self.folder.path());
        self.wait_until_it_serves();
    }
}

fn launch(driver: &str, folder: &Path) -> Child {
    let log = fs::File::create(folder.join("log")).expect("a log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.arg(format!("--configFile={}", folder.join("ringway.toml").display())).arg(format!("--driver={driver}"));
    let errors = log.try_clone().expect("a handle");
    command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().expect("ringway starts")
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- log\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A small HTTP origin: `/slow` waits a second, `/bytes/N` sends N bytes, `/echo` returns the body, `/ws` switches and echoes, anything
/// else is answered with the request's head.
pub struct Origin {
    pub address: SocketAddr,
    pub requests: Arc<AtomicUsize>,
    /// Bytes of `/bytes` handed to the system so far.
    pub sent: Arc<AtomicUsize>,
}

impl Origin {
    pub fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (requests, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let origin = Origin { address, requests: Arc::clone(&requests), sent: Arc::clone(&sent) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = stream.set_nodelay(true);
                let (requests, sent) = (Arc::clone(&requests), Arc::clone(&sent));
                thread::spawn(move || answer_all(stream, &requests, &sent));
            }
        });
        origin
    }
}

/// Until the client or an error ends it.
fn answer_all(mut stream: TcpStream, requests: &AtomicUsize, sent: &AtomicUsize) -> Option<()> {
    let mut pending = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = find(&pending, b"\r\n\r\n") {
                break end + 4;
            }
            read_more(&mut stream, &mut pending)?;
        };
        requests.fetch_add(1, SeqCst);
        let head = String::from_utf8_lossy(&pending[..end]).into_owned();
        pending.drain(..end);
        let path = head.split(' ').nth(1)?.to_owned();
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        while pending.len() < length.unwrap_or(0) {
            read_more(&mut stream, &mut pending)?;
        }
        let body: Vec<u8> = pending.drain(..length.unwrap_or(0)).collect();
        match path.as_str() {
            "/slow" => thread::sleep(Duration::from_secs(1)),
            "/ws" => return tunnel(stream, pending),
            _ => {}
        }
        if let Some(size) = path.strip_prefix("/bytes/") {
            send_bytes(&mut stream, size.parse().ok()?, sent)?;
            continue;
        }
        let body = if path == "/echo" { body } else { head.into_bytes() };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Origin: yes\r\n\r\n", body.len());
        stream.write_all(answer.as_bytes()).ok()?;
        stream.write_all(&body).ok()?;
    }
}

/// The bytes of `/bytes`: a pattern that shows any loss or exchange.
pub fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn send_bytes(stream: &mut TcpStream, size: usize, sent: &AtomicUsize) -> Option<()> {
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes()).ok()?;
    for part in pattern(size).chunks(64 << 10) {
        stream.write_all(part).ok()?;
        sent.fetch_add(part.len(), SeqCst);
    }
    Some(())
}

fn tunnel(mut stream: TcpStream, mut pending: Vec<u8>) -> Option<()> {
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").ok()?;
    loop {
        stream.write_all(&pending).ok()?;
        pending.clear();
        read_more(&mut stream, &mut pending)?;
    }
}

fn read_more(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 65536];
    match stream.read(&mut buffer) {
        Ok(n) if n > 0 => pending.extend_from_slice(&buffer[..n]),
        _ => return None,
    }
    Some(())
}

pub fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
