//! Peers of the UDP tests: servers that answer, late or not at all, clients with one socket, and dnsmasq.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::ringway::{Ringway, Setup};
use crate::support::{Background, free_port, installed, run, wait_for};

/// How a server answers.
#[derive(Clone, Copy, PartialEq)]
pub enum Answer {
    /// The server's name, a space, and the datagram.
    Named,
    /// As `Named`, after this time.
    Late(Duration),
    /// As `Late` for datagrams that begin with `slow`, else as `Named`.
    LateIfSlow(Duration),
    /// Nothing: datagrams are only counted.
    Nothing,
    /// The datagram as it came.
    Echo,
}

/// A server on a port of its own.
pub struct Server {
    pub address: SocketAddr,
    pub received: Arc<AtomicU64>,
    /// The sockets that datagrams came from.
    pub sources: Arc<Mutex<Vec<SocketAddr>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(name: &'static str, answer: Answer) -> Server {
        Server::on(UdpSocket::bind("127.0.0.1:0").expect("a port"), name, answer)
    }

    pub fn on(socket: UdpSocket, name: &'static str, answer: Answer) -> Server {
        let address = socket.local_addr().expect("bound");
        let (received, sources, is_over) = (Arc::default(), Arc::default(), Arc::default());
        let shared = (Arc::clone(&received), Arc::clone(&sources), Arc::clone(&is_over));
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
        let thread = std::thread::spawn(move || serve(&socket, name, answer, &shared));
        Server { address, received, sources, is_over, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("udp://{}", self.address)
    }

    pub fn count(&self) -> u64 {
        self.received.load(Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()) || std::thread::panicking());
    }
}

type Shared = (Arc<AtomicU64>, Arc<Mutex<Vec<SocketAddr>>>, Arc<AtomicBool>);

fn serve(socket: &UdpSocket, name: &str, answer: Answer, (received, sources, is_over): &Shared) {
    let mut buffer = vec![0; 65_536];
    while !is_over.load(Relaxed) {
        let Ok((bytes, source)) = socket.recv_from(&mut buffer) else { continue };
        received.fetch_add(1, Relaxed);
        let mut known = sources.lock().expect("no panic");
        if known.last() != Some(&source) {
            known.push(source);
        }
        drop(known);
        let named = [name.as_bytes(), b" ", &buffer[..bytes]].concat();
        match answer {
            Answer::LateIfSlow(_) if !buffer.starts_with(b"slow") => drop(socket.send_to(&named, source)),
            Answer::Nothing => {}
            Answer::Echo => drop(socket.send_to(&buffer[..bytes], source)),
            Answer::Named => drop(socket.send_to(&named, source)),
            Answer::Late(time) | Answer::LateIfSlow(time) => {
                let socket = socket.try_clone().expect("a handle");
                std::thread::spawn(move || {
                    std::thread::sleep(time);
                    drop(socket.send_to(&named, source));
                });
            }
        }
    }
}

/// A client's socket, bound to `host`.
pub fn client(host: &str) -> UdpSocket {
    let socket = UdpSocket::bind((host, 0)).expect("a port");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    socket
}

/// Sends a datagram and waits for the answer, which must come from the address that was asked.
pub fn ask(client: &UdpSocket, asked: SocketAddr, text: &str) -> String {
    client.send_to(text.as_bytes(), asked).expect("sent");
    let (answer, source) = receive(client).unwrap_or_else(|| panic!("no answer to {text:?}"));
    assert_eq!(source, asked, "the answer comes from another address");
    answer
}

/// The next datagram within the socket's time.
pub fn receive(client: &UdpSocket) -> Option<(String, SocketAddr)> {
    let mut buffer = [0; 2048];
    let (bytes, source) = client.recv_from(&mut buffer).ok()?;
    Some((String::from_utf8_lossy(&buffer[..bytes]).into_owned(), source))
}

/// Whether nothing arrives for a moment.
pub fn is_silent(client: &UdpSocket) -> bool {
    let before = client.read_timeout().expect("a time");
    client.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
    let arrived = receive(client);
    client.set_read_timeout(before).expect("set");
    arrived.is_none()
}

/// A free UDP port that no other socket gets by chance: it lies below the ephemeral ports.
pub fn free_udp_port() -> u16 {
    let mut ports = (0..1000).map(|_| free_port());
    ports.find(|&port| UdpSocket::bind(("0.0.0.0", port)).is_ok()).expect("a port")
}

/// dnsmasq with one name, `one.test`.
pub struct Dns {
    pub port: u16,
    _process: Background,
    _folder: tempfile::TempDir,
}

impl Dns {
    /// `None` if the tools are missing, and tests may be skipped.
    pub fn start() -> Option<Dns> {
        if !(crate::support::tool_or_skip("dnsmasq", installed("dnsmasq"))
            && crate::support::tool_or_skip("dig", installed("dig")))
        {
            return None;
        }
        let (port, folder) = (free_udp_port(), tempfile::tempdir().expect("a folder"));
        let mut command = Command::new("dnsmasq");
        command.args(["--no-daemon", "--bind-interfaces", "--listen-address=127.0.0.1", "--no-resolv", "--no-hosts"]);
        command.args(["--address=/one.test/192.0.2.7", "--conf-file=/dev/null", &format!("--port={port}")]);
        let process = Background::start(command, folder.path().join("log"));
        let dns = Dns { port, _process: process, _folder: folder };
        wait_for("dnsmasq answers", Duration::from_secs(20), || {
            let answer = dig("127.0.0.1", port, &[]);
            if answer.trim() == "192.0.2.7" { Ok(()) } else { Err(answer) }
        });
        Some(dns)
    }
}

/// What dig prints about `one.test`. dig takes an answer only from the address that it has asked.
pub fn dig(host: &str, port: u16, options: &[&str]) -> String {
    let (at, port) = (format!("@{host}"), port.to_string());
    let fixed = [at.as_str(), "-p", &port, "+short", "+time=3", "+tries=1", "one.test"];
    let output = run("dig", &[&fixed, options].concat());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A proxy with a UDP entry point on a port of its own.
pub struct UdpProxy {
    pub ringway: Ringway,
    pub port: u16,
}

const CONFIG: &str = r#"
logLevel = "INFO"
@global@
[entryPoints.dns]
address = "@listen@:@udp@/udp"
@entry@
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[api]
[ping]
[metrics.prometheus]
[accessLog]
filePath = "@dir@/access.log"
format = "json"
[file]
filename = "@dir@/dynamic.toml"
watch = true
"#;

/// The options of [`UdpProxy::start`].
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Keys before the first table.
    pub global: &'a str,
    /// Keys of the entry point.
    pub entry: &'a str,
    /// The address that it listens on; all of this host's if empty.
    pub listen: &'a str,
    /// Keys of the frontend.
    pub frontend: &'a str,
    /// Keys of the backend.
    pub backend: &'a str,
}

/// The dynamic configuration with these servers.
pub fn dynamic(servers: &[&str], options: Options<'_>) -> String {
    let mut text = format!("[backends.udp]\n{}\n", options.backend);
    for (number, url) in servers.iter().enumerate() {
        text += &format!("[backends.udp.servers.s{number}]\nurl = \"{url}\"\n");
    }
    text + &format!("[frontends.udp]\nbackend = \"udp\"\nentryPoints = [\"dns\"]\n{}\n", options.frontend)
}

impl UdpProxy {
    pub fn start(driver: &str, servers: &[&str], options: Options<'_>) -> UdpProxy {
        let port = free_udp_port();
        UdpProxy::of(UdpProxy::setup(driver, port, servers, options), port)
    }

    /// The preparation of a process whose entry point has this port.
    pub fn setup(driver: &str, port: u16, servers: &[&str], options: Options<'_>) -> Setup {
        Setup::new(driver, CONFIG)
            .fill("@global@", options.global)
            .fill("@entry@", options.entry)
            .fill("@listen@", options.listen)
            .fill("@udp@", port)
            .file("dynamic.toml", dynamic(servers, options))
    }

    pub fn of(setup: Setup, port: u16) -> UdpProxy {
        let ringway = setup.spawn();
        ringway.await_port(ringway.api);
        let proxy = UdpProxy { ringway, port };
        wait_for("the configuration is applied", Duration::from_secs(30), || {
            let page = proxy.ringway.page("/api/providers/file");
            if page.contains("\"udp\"") { Ok(()) } else { Err(page) }
        });
        proxy
    }

    pub fn at(&self, host: &str) -> SocketAddr {
        SocketAddr::new(host.parse().expect("an address"), self.port)
    }

    /// Replaces the servers.
    pub fn configure(&self, servers: &[&str], options: Options<'_>) {
        let reloads = self.metric("traefik_config_reloads_total");
        // Written beside and moved: the provider never sees half of it.
        let file = self.ringway.file("dynamic.toml");
        let new = self.ringway.file("dynamic.new");
        std::fs::write(&new, dynamic(servers, options)).expect("written");
        std::fs::rename(new, file).expect("moved");
        wait_for("the new configuration is applied", Duration::from_secs(20), || {
            if self.metric("traefik_config_reloads_total") > reloads { Ok(()) } else { Err(self.ringway.log()) }
        });
    }

    /// The value of a series of `/metrics`, given with its labels.
    pub fn metric(&self, series: &str) -> u64 {
        let page = self.ringway.page("/metrics");
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{series} is not in {page}"))
    }

    pub fn dropped(&self, reason: &str) -> u64 {
        self.metric(&format!("ringway_udp_datagrams_dropped_total{{entrypoint=\"dns\",reason=\"{reason}\"}}"))
    }

    pub fn await_metric(&self, series: &str, is_wanted: impl Fn(u64) -> bool) {
        wait_for(series, Duration::from_secs(20), || {
            let value = self.metric(series);
            if is_wanted(value) { Ok(()) } else { Err(value.to_string()) }
        });
    }

    /// The lines of ended sessions, once there are `count`.
    pub fn log_lines(&self, count: usize) -> Vec<serde_json::Value> {
        wait_for("log lines of sessions", Duration::from_secs(20), || {
            let text = std::fs::read_to_string(self.ringway.file("access.log")).unwrap_or_default();
            let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            let lines: Vec<serde_json::Value> =
                lines.filter(|line: &serde_json::Value| line["RequestProtocol"] == "UDP").collect();
            if lines.len() >= count { Ok(lines) } else { Err(text) }
        })
    }
}
