//! pebble, its DNS server and the web server that it validates against.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ringway::control::acme::{AcmeRoots, AcmeSettings, ChallengeKind, KeyType, RetrySchedule};
use ringway::tls::challenge::ChallengeTable;
use serde_json::{Value, json};

use crate::TIME_LIMIT;
use crate::support::free_port;

/// pebble, its DNS server and the web server that it validates against. All end when the value is dropped.
pub struct Authority {
    folder: tempfile::TempDir,
    children: Vec<Child>,
    pub port: u16,
    dns_port: u16,
    pub web: Web,
    log: PathBuf,
    /// Keys of pebble's configuration beside the usual ones.
    config: Value,
    /// Variables of pebble's environment beside the usual ones.
    environment: Vec<(&'static str, &'static str)>,
    /// The port on which pebble validates by tls-alpn-01.
    pub tls_port: u16,
    pub management_port: u16,
}

impl Authority {
    /// `None` when pebble is not installed and not required.
    pub fn start() -> Option<Authority> {
        Authority::start_with(Authority::write_identity)
    }

    /// As [`Authority::start`], with another certificate for pebble's own server.
    pub fn start_with(write_identity: fn(&Authority)) -> Option<Authority> {
        Authority::start_configured(write_identity, json!({}), &[])
    }

    /// As [`Authority::start`], with further keys of pebble's configuration and variables of its environment.
    pub fn start_with_options(config: Value, environment: &[(&'static str, &'static str)]) -> Option<Authority> {
        Authority::start_configured(Authority::write_identity, config, environment)
    }

    fn start_configured(
        write_identity: fn(&Authority),
        config: Value,
        environment: &[(&'static str, &'static str)],
    ) -> Option<Authority> {
        let missing = ["pebble", "pebble-challtestsrv"].iter().any(|name| !on_path(name));
        if missing {
            assert!(std::env::var_os("RINGWAY_REQUIRE_PEBBLE").is_none(), "pebble is required and not installed");
            println!("skipped: pebble and pebble-challtestsrv are not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("pebble.log");
        let [port, dns_port, tls_port, management_port] = distinct_ports();
        let mut authority = Authority {
            folder,
            children: Vec::new(),
            port,
            dns_port,
            web: Web::start(),
            log,
            config,
            environment: environment.to_vec(),
            tls_port,
            management_port,
        };
        write_identity(&authority);
        authority.spawn_dns();
        authority.spawn_pebble();
        Some(authority)
    }

    pub fn write_identity(&self) {
        let pair = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::NoCa;
        fs::write(self.path("server.pem"), params.self_signed(&pair).unwrap().pem()).unwrap();
        fs::write(self.path("server.key"), pair.serialize_pem()).unwrap();
    }

    /// The certificate of the plain command in the manuals: openssl makes an authority (CA:TRUE) unless told otherwise.
    pub fn write_identity_of_openssl(&self) {
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
        command.args(["-addext", "subjectAltName=IP:127.0.0.1", "-out"]).arg(certificate).arg("-keyout").arg(key);
        assert!(command.stderr(Stdio::null()).status().expect("openssl").success());
    }

    pub fn spawn_dns(&mut self) {
        let dns = format!("127.0.0.1:{}", self.dns_port);
        let management = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new("pebble-challtestsrv");
        command.args(["-dns01", &dns, "-management", &management, "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        command.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        self.children.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    pub fn spawn_pebble(&mut self) {
        let mut config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management_port),
            "certificate": self.path("server.pem"),
            "privateKey": self.path("server.key"),
            "httpPort": self.web.port,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        for (key, value) in self.config.as_object().unwrap() {
            config["pebble"][key] = value.clone();
        }
        fs::write(self.path("pebble.json"), config.to_string()).unwrap();
        let log = fs::File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new("pebble");
        command.arg("-config").arg(self.path("pebble.json"));
        command.args(["-dnsserver", &format!("127.0.0.1:{}", self.dns_port)]);
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        command.envs(self.environment.iter().copied());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.children.push(command.spawn().unwrap());
        self.wait_until_up();
    }

    /// Restarts pebble so that it validates by tls-alpn-01 on this port.
    pub fn validate_on(&mut self, tls_port: u16) {
        self.tls_port = tls_port;
        self.restart();
    }

    /// Waits until this many orders have been placed.
    pub fn await_orders(&self, orders: usize) {
        let deadline = Instant::now() + TIME_LIMIT;
        while self.orders() < orders {
            assert!(Instant::now() < deadline, "no order:\n{}", self.read_log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the file remembers an order.
    pub fn await_pending(&self, storage: &Path) {
        let deadline = Instant::now() + TIME_LIMIT;
        while !fs::read_to_string(storage).unwrap_or_default().contains("RingwayOrders") {
            assert!(Instant::now() < deadline, "no order in the file:\n{}", self.read_log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes a part of the first certificate of a file as PEM; returns the path.
    pub fn write_pem(&self, storage: &Path, part: &str) -> String {
        let file: Value = serde_json::from_slice(&fs::read(storage).unwrap()).unwrap();
        let text = BASE64_STANDARD.decode(file["Certificates"][0][part].as_str().unwrap()).unwrap();
        let path = storage.with_extension(format!("{part}.pem"));
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub fn wait_until_up(&self) {
        let deadline = Instant::now() + TIME_LIMIT;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "pebble did not come up:\n{}", self.read_log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Restarts pebble on the same port: it loses all its state.
    pub fn restart(&mut self) {
        self.stop_pebble();
        self.spawn_pebble();
    }

    pub fn stop_pebble(&mut self) {
        let mut pebble = self.children.pop().unwrap();
        pebble.kill().unwrap();
        pebble.wait().unwrap();
    }

    pub fn settings(&self, storage: &Path) -> AcmeSettings {
        let second = Duration::from_secs(1);
        AcmeSettings {
            email: "someone@a.example".into(),
            ca_server: format!("https://127.0.0.1:{}/dir", self.port),
            trust: AcmeRoots::Files(vec![self.path("server.pem")]),
            pacing: RetrySchedule {
                retry_first: second,
                retry_max: 4 * second,
                check_every: second,
                validation_max: 30 * second,
                order_max: 30 * second,
                renewal_info_min: second / 2,
            },
            ..without_authority(storage.to_owned())
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read_log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn orders(&self) -> usize {
        // Orders are counted, not requests: pebble refuses one valid nonce in twenty, and the client then sends the same order again.
        self.read_log().lines().filter(|line| line.contains("Added order")).count()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Settings with an authority that does not exist.
pub fn without_authority(storage: PathBuf) -> AcmeSettings {
    AcmeSettings {
        email: String::new(),
        storage,
        ca_server: "https://127.0.0.1:1/dir".into(),
        key_type: KeyType::Ec256,
        challenge: ChallengeKind::Http,
        profile: String::new(),
        preferred_chain: String::new(),
        external_account: None,
        on_issued: String::new(),
        trust: AcmeRoots::System,
        pacing: RetrySchedule::default(),
    }
}

/// Free ports, none of which is there twice.
fn distinct_ports<const COUNT: usize>() -> [u16; COUNT] {
    let mut ports: Vec<u16> = Vec::new();
    while ports.len() < COUNT {
        let port = free_port();
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    std::array::from_fn(|at| ports[at])
}

pub fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

pub struct Web {
    pub port: u16,
    pub table: Arc<ArcSwap<ChallengeTable>>,
    /// Hosts for which this server does not respond to challenges.
    pub blocked: Arc<Mutex<HashSet<String>>>,
    delay: Arc<Mutex<Duration>>,
}

impl Web {
    pub fn start() -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let table = Arc::new(ArcSwap::from_pointee(ChallengeTable::default()));
        let blocked: Arc<Mutex<HashSet<String>>> = Arc::default();
        let (their_table, their_blocked) = (table.clone(), Arc::clone(&blocked));
        let delay = Arc::new(Mutex::new(Duration::ZERO));
        let their_delay = Arc::clone(&delay);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (table, blocked, delay) = (their_table.clone(), their_blocked.clone(), their_delay.clone());
                // A client that disconnects in the middle does not matter to the test.
                std::thread::spawn(move || answer(stream, &table, &blocked, &delay));
            }
        });
        Web { port, table, blocked, delay }
    }

    /// Lets each answer wait, between the request and the look at the table.
    pub fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }
}

fn answer(
    stream: TcpStream,
    table: &ArcSwap<ChallengeTable>,
    blocked: &Mutex<HashSet<String>>,
    delay: &Mutex<Duration>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(&stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut host = String::new();
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("Host: ") {
            host = value.to_owned();
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let delay = *delay.lock().unwrap();
    std::thread::sleep(delay);
    let is_blocked = blocked.lock().unwrap().contains(host.split(':').next().unwrap_or_default());
    let table = table.load();
    let (status, body) = match table.answer(path, &host) {
        Some(body) if !is_blocked => ("200 OK", body),
        _ => ("404 Not Found", ""),
    };
    write!(&stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}
