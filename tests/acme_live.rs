//! The module `control::acme` against a real authority: Debian's `pebble` on loopback ports.
//!
//! Where pebble is not installed the tests print "skipped" and pass; with RINGWAY_REQUIRE_PEBBLE=1 they fail.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ringway::control::acme::atomic_file::Saved;
use ringway::control::acme::store::{Store, Stored};
use ringway::control::acme::{
    self, AcmeEvent, AcmeRoots, AcmeSettings, DesiredCertificates, DomainRequest, KeyType, RetrySchedule,
};
use ringway::tls::certificate::Certificate;
use ringway::tls::challenge::ChallengeTable;
use serde_json::{Value, json};
use tokio::sync::watch;

#[path = "support/ports.rs"]
mod ports;
use ports::free_port;

/// Longer than any step takes on a loaded machine.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Time without an event after which the tests conclude that none will come.
const QUIET: Duration = Duration::from_millis(1500);

// ---- the authority ---------------------------------------------------------------------------------------------

/// pebble, its DNS server and the web server that it validates against. All end when the value is dropped.
struct Authority {
    folder: tempfile::TempDir,
    children: Vec<Child>,
    port: u16,
    dns_port: u16,
    web: Web,
    log: PathBuf,
}

impl Authority {
    /// `None` when pebble is not installed and not required.
    fn start() -> Option<Authority> {
        Authority::start_with(Authority::write_identity)
    }

    /// As [`Authority::start`], with another certificate for pebble's own server.
    fn start_with(write_identity: fn(&Authority)) -> Option<Authority> {
        let missing = ["pebble", "pebble-challtestsrv"].iter().any(|name| !on_path(name));
        if missing {
            assert!(std::env::var_os("RINGWAY_REQUIRE_PEBBLE").is_none(), "pebble is required and not installed");
            println!("skipped: pebble and pebble-challtestsrv are not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("pebble.log");
        let (port, dns_port) = (free_port(), free_port());
        let mut authority = Authority { folder, children: Vec::new(), port, dns_port, web: Web::start(), log };
        write_identity(&authority);
        authority.spawn_dns();
        authority.spawn_pebble();
        Some(authority)
    }

    fn write_identity(&self) {
        let pair = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::NoCa;
        fs::write(self.path("server.pem"), params.self_signed(&pair).unwrap().pem()).unwrap();
        fs::write(self.path("server.key"), pair.serialize_pem()).unwrap();
    }

    /// The certificate of the plain command in the manuals: openssl makes an authority (CA:TRUE) unless told otherwise.
    fn write_identity_of_openssl(&self) {
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
        command.args(["-addext", "subjectAltName=IP:127.0.0.1", "-out"]).arg(certificate).arg("-keyout").arg(key);
        assert!(command.stderr(Stdio::null()).status().expect("openssl").success());
    }

    fn spawn_dns(&mut self) {
        let dns = format!("127.0.0.1:{}", self.dns_port);
        let management = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new("pebble-challtestsrv");
        command.args(["-dns01", &dns, "-management", &management, "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        command.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        self.children.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    fn spawn_pebble(&mut self) {
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", free_port()),
            "certificate": self.path("server.pem"),
            "privateKey": self.path("server.key"),
            "httpPort": self.web.port,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        fs::write(self.path("pebble.json"), config.to_string()).unwrap();
        let log = fs::File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new("pebble");
        command.arg("-config").arg(self.path("pebble.json"));
        command.args(["-dnsserver", &format!("127.0.0.1:{}", self.dns_port)]);
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.children.push(command.spawn().unwrap());
        self.wait_until_up();
    }

    fn wait_until_up(&self) {
        let deadline = Instant::now() + TIME_LIMIT;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "pebble did not come up:\n{}", self.read_log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Restarts pebble on the same port: it loses all its state.
    fn restart(&mut self) {
        let mut pebble = self.children.pop().unwrap();
        pebble.kill().unwrap();
        pebble.wait().unwrap();
        self.spawn_pebble();
    }

    fn settings(&self, storage: &Path) -> AcmeSettings {
        let second = Duration::from_secs(1);
        AcmeSettings {
            email: "someone@a.example".into(),
            storage: storage.to_owned(),
            ca_server: format!("https://127.0.0.1:{}/dir", self.port),
            key_type: KeyType::Ec256,
            trust: AcmeRoots::Files(vec![self.path("server.pem")]),
            pacing: RetrySchedule {
                retry_first: second,
                retry_max: 4 * second,
                check_every: second,
                order_max: 30 * second,
            },
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read_log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn orders(&self) -> usize {
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

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

// ---- the web server that responds to challenges ------------------------------------------------------------------

struct Web {
    port: u16,
    table: Arc<ArcSwap<ChallengeTable>>,
    /// Hosts for which this server does not respond to challenges.
    blocked: Arc<Mutex<HashSet<String>>>,
}

impl Web {
    fn start() -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (table, blocked) = (Arc::new(ArcSwap::from_pointee(ChallengeTable::default())), Arc::default());
        let (their_table, their_blocked) = (table.clone(), Arc::clone(&blocked));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that disconnects in the middle does not matter to the test.
                let _ = answer(stream, &their_table, &their_blocked);
            }
        });
        Web { port, table, blocked }
    }
}

fn answer(stream: TcpStream, table: &ArcSwap<ChallengeTable>, blocked: &Mutex<HashSet<String>>) -> std::io::Result<()> {
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
    let is_blocked = blocked.lock().unwrap().contains(host.split(':').next().unwrap_or_default());
    let table = table.load();
    let (status, body) = match table.answer(path, &host) {
        Some(body) if !is_blocked => ("200 OK", body),
        _ => ("404 Not Found", ""),
    };
    write!(&stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

// ---- the module under test ------------------------------------------------------------------------------------------

struct RunningAcme {
    wanted: Option<watch::Sender<Option<DesiredCertificates>>>,
    events: Receiver<AcmeEvent>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl RunningAcme {
    fn start(
        settings: AcmeSettings,
        wanted: impl Into<Option<DesiredCertificates>>,
        table: &Arc<ArcSwap<ChallengeTable>>,
    ) -> RunningAcme {
        let (sender, receiver) = watch::channel(wanted.into());
        let (event_sender, events) = channel();
        let table = table.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // The receiver may be dropped when the test is over.
            runtime.block_on(acme::run(settings, receiver, table, |event| drop(event_sender.send(event))))
        });
        RunningAcme { wanted: Some(sender), events, thread: Some(thread) }
    }

    fn wants(&self, wanted: DesiredCertificates) {
        self.wanted.as_ref().unwrap().send(Some(wanted)).unwrap();
    }

    /// Waits for the first event that `pick` accepts.
    fn wait<T>(&self, what: &str, pick: impl Fn(AcmeEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + TIME_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).unwrap_or_else(|e| panic!("waiting for {what}: {e}"));
            if let Some(found) = pick(event) {
                return found;
            }
        }
    }

    fn obtained(&self) -> Vec<String> {
        self.wait("a certificate", |event| match event {
            AcmeEvent::Obtained { names } => Some(names),
            _ => None,
        })
    }

    fn failed(&self) -> (Vec<String>, String, u32, Option<Duration>) {
        self.wait("a failure", |event| match event {
            AcmeEvent::Failed { names, reason, failures, retry_in } => Some((names, reason, failures, retry_in)),
            _ => None,
        })
    }

    fn certificates(&self) -> Vec<Arc<Certificate>> {
        self.wait("the certificates", |event| match event {
            AcmeEvent::Certificates(list) => Some(list),
            _ => None,
        })
    }

    fn assert_quiet(&self) {
        match self.events.recv_timeout(QUIET) {
            Err(RecvTimeoutError::Timeout) => {}
            other => panic!("something happened: {other:?}"),
        }
    }

    fn stop(mut self) -> Result<(), String> {
        self.wanted = None;
        self.thread.take().unwrap().join().unwrap()
    }
}

fn want(requests: &[&[&str]]) -> DesiredCertificates {
    let text = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    let requests = requests.iter().map(|r| DomainRequest { main: r[0].into(), sans: text(&r[1..]) }).collect();
    DesiredCertificates { requests, covered: Vec::new() }
}

/// Settings with an authority that does not exist.
fn without_authority(storage: PathBuf) -> AcmeSettings {
    AcmeSettings {
        email: String::new(),
        storage,
        ca_server: "https://127.0.0.1:1/dir".into(),
        key_type: KeyType::Ec256,
        trust: AcmeRoots::System,
        pacing: RetrySchedule::default(),
    }
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A certificate for `name` that expires in `days`, in the form of the file.
fn ending_soon(name: &str, days: u64) -> Stored {
    let day = Duration::from_secs(86_400);
    ending(name, 80 * day, day * days as u32)
}

/// A certificate of this age, with this remaining lifetime.
fn ending(name: &str, age: Duration, left: Duration) -> Stored {
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = (std::time::SystemTime::now() - age).into();
    params.not_after = (std::time::SystemTime::now() + left).into();
    let certificate = params.self_signed(&pair).unwrap().pem().into_bytes();
    Stored { main: name.into(), sans: vec![], certificate, key: pair.serialize_pem().into_bytes() }
}

fn write_private(path: &Path, content: &Value) {
    fs::write(path, serde_json::to_vec_pretty(content).unwrap()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn traefiks_file(certificates: &[Stored]) -> Value {
    let entry = |certificate: &Stored| {
        json!({
            "Domain": { "Main": certificate.main, "SANs": null },
            "Certificate": BASE64_STANDARD.encode(&certificate.certificate),
            "Key": BASE64_STANDARD.encode(&certificate.key),
        })
    };
    json!({
        "Account": {
            "Email": "someone@a.example",
            "Registration": { "body": { "status": "valid" }, "uri": "https://ca.example/acct/1" },
            "PrivateKey": BASE64_STANDARD.encode("an RSA key"),
            "KeyType": "4096",
        },
        "Certificates": certificates.iter().map(entry).collect::<Vec<_>>(),
        "HTTPChallenges": {},
        "TLSChallenges": {},
    })
}

// ---- tests ----------------------------------------------------------------------------------------------------------

#[test]
fn two_names_share_one_certificate_and_restart_orders_none() {
    let Some(authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    let wanted = want(&[&["a.example", "b.example"]]);
    let acme_run = RunningAcme::start(authority.settings(&storage), wanted.clone(), &authority.web.table);
    assert!(acme_run.certificates().is_empty());
    let published = acme_run.certificates();
    assert_eq!(acme_run.obtained(), ["a.example", "b.example"]);
    assert_eq!(published.len(), 1);
    assert!(published[0].covers("a.example") && published[0].covers("b.example"));
    assert!(authority.web.table.load().is_empty(), "answers stay after the order");
    acme_run.stop().unwrap();

    assert_eq!(fs::metadata(&storage).unwrap().permissions().mode() & 0o777, 0o600);
    let file = read_json(&storage);
    let entry = &file["Certificates"][0];
    assert_eq!(entry["Domain"], json!({ "Main": "a.example", "SANs": ["b.example"] }));
    let pem = |key: &str| BASE64_STANDARD.decode(entry[key].as_str().unwrap()).unwrap();
    assert!(pem("Certificate").starts_with(b"-----BEGIN CERTIFICATE-----"));
    assert!(pem("Key").starts_with(b"-----BEGIN EC PRIVATE KEY-----"));
    assert_eq!(file["Account"]["Email"], "");

    let (orders, before) = (authority.orders(), fs::read(&storage).unwrap());
    assert_eq!(orders, 1, "{}", authority.read_log());
    let acme_run = RunningAcme::start(authority.settings(&storage), wanted, &authority.web.table);
    assert_eq!(acme_run.certificates().len(), 1);
    acme_run.assert_quiet();
    // A new name is noticed while running and uses the existing account.
    acme_run.wants(want(&[&["a.example", "b.example"], &["c.example"]]));
    assert_eq!(acme_run.obtained(), ["c.example"]);
    acme_run.stop().unwrap();
    assert_eq!(authority.orders(), orders + 1);
    assert_ne!(fs::read(&storage).unwrap(), before);
    assert_eq!(read_json(&storage)["RingwayAccount"], file["RingwayAccount"]);
}

#[test]
fn authority_with_a_self_signed_certificate_of_openssl_issues() {
    let Some(authority) = Authority::start_with(Authority::write_identity_of_openssl) else { return };
    let storage = authority.path("acme.json");
    let acme_run = RunningAcme::start(authority.settings(&storage), want(&[&["a.example"]]), &authority.web.table);
    assert!(acme_run.certificates().is_empty());
    assert_eq!(acme_run.certificates().len(), 1);
    assert_eq!(acme_run.obtained(), ["a.example"]);
    acme_run.stop().unwrap();
}

#[test]
fn authority_that_is_not_trusted_is_named_with_the_reason() {
    let Some(authority) = Authority::start_with(Authority::write_identity_of_openssl) else { return };
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap().cert.pem();
    fs::write(authority.path("other.pem"), other).unwrap();
    let trust = AcmeRoots::Files(vec![authority.path("other.pem")]);
    let settings = AcmeSettings { trust, ..authority.settings(&authority.path("acme.json")) };
    let acme_run = RunningAcme::start(settings, want(&[&["a.example"]]), &authority.web.table);
    assert!(acme_run.certificates().is_empty());
    let reason = acme_run.failed().1;
    let parts = ["/dir: ", "CN=localhost is refused", "not in LEGO_CA_CERTIFICATES: add the certificate itself"];
    assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
    acme_run.stop().unwrap();
}

#[test]
fn unsaved_certificate_is_saved_at_shutdown() {
    let Some(authority) = Authority::start() else { return };
    let folder = authority.path("disk");
    fs::create_dir(&folder).unwrap();
    let storage = folder.join("acme.json");
    let acme_run = RunningAcme::start(authority.settings(&storage), want(&[]), &authority.web.table);
    assert!(acme_run.certificates().is_empty());
    fs::remove_dir_all(&folder).unwrap();
    acme_run.wants(want(&[&["a.example"]]));
    assert_eq!(acme_run.obtained(), ["a.example"], "the certificate is in use although unsaved");
    fs::create_dir(&folder).unwrap();
    assert!(!storage.exists(), "the next try comes seconds later");
    acme_run.stop().unwrap();
    assert_eq!(read_json(&storage)["Certificates"][0]["Domain"]["Main"], "a.example");
}

#[test]
fn certificate_of_traefik_file_is_renewed_with_its_account() {
    let Some(authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    let old = ending_soon("old.example", 10);
    let before = traefiks_file(&[old]);
    write_private(&storage, &before);
    let acme_run = RunningAcme::start(authority.settings(&storage), None, &authority.web.table);
    let first = acme_run.certificates();
    assert!(first[0].covers("old.example"), "the old certificate is in use meanwhile");
    // The name may no longer be wanted: the providers have not reported yet.
    acme_run.assert_quiet();
    acme_run.wants(DesiredCertificates::default());
    let renewed = acme_run.certificates();
    assert_eq!(acme_run.obtained(), ["old.example"]);
    assert_eq!(renewed.len(), 1);
    assert!(renewed[0].not_after_secs > first[0].not_after_secs);
    acme_run.assert_quiet();
    acme_run.stop().unwrap();
    let after = read_json(&storage);
    assert_eq!(after["Account"], before["Account"]);
    assert_eq!(after["Certificates"].as_array().unwrap().len(), 1);
    assert_ne!(after["Certificates"][0]["Certificate"], before["Certificates"][0]["Certificate"]);
    assert_eq!(authority.orders(), 1);
}

#[test]
fn short_lived_certificate_is_renewed_when_due() {
    let Some(authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    // A third of its life is left in a few seconds; the periodic check of all certificates comes much later.
    let short = ending("short.example", Duration::from_secs(84), Duration::from_secs(51));
    write_private(&storage, &traefiks_file(&[short]));
    let mut settings = authority.settings(&storage);
    settings.pacing.check_every = Duration::from_secs(3600);
    let acme_run = RunningAcme::start(settings, DesiredCertificates::default(), &authority.web.table);
    assert_eq!(acme_run.obtained(), ["short.example"]);
    acme_run.stop().unwrap();
}

#[test]
fn longest_lasting_of_two_entries_is_used_and_listed_first() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("acme.json");
    let entries = [("other.example", 40), ("twice.example", 10), ("twice.example", 60)];
    write_private(&storage, &traefiks_file(&entries.map(|(name, days)| ending_soon(name, days))));
    let acme_run = RunningAcme::start(without_authority(storage), DesiredCertificates::default(), &Arc::default());
    let published = acme_run.certificates();
    let covers = |name: &str| published.iter().map(|certificate| certificate.covers(name)).collect::<Vec<_>>();
    assert_eq!([covers("twice.example"), covers("other.example")], [[true, false], [false, true]]);
    // Neither certificate is due: an order would fail at once.
    acme_run.assert_quiet();
    acme_run.stop().unwrap();
}

#[test]
fn failing_name_is_logged_and_retried_without_harming_others() {
    let Some(authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    authority.web.blocked.lock().unwrap().insert("bad.example".into());
    let wanted = want(&[&["bad.example", "half.example"], &["good.example"], &["*.wild.example"]]);
    let acme_run = RunningAcme::start(authority.settings(&storage), wanted, &authority.web.table);
    let (names, reason, _, retry_in) = acme_run.failed();
    assert_eq!((names, retry_in), (vec!["*.wild.example".to_owned()], None));
    assert!(reason.contains("DNS challenge"), "{reason}");
    acme_run.wait("one success and two failures", |event| {
        match event {
            AcmeEvent::Obtained { names } => assert_eq!(names, ["good.example"]),
            AcmeEvent::Failed { names, reason, failures, retry_in } => {
                assert_eq!(names, ["bad.example", "half.example"]);
                assert!(reason.contains("bad.example") && !reason.contains("half.example"), "{reason}");
                assert!(retry_in.unwrap() >= Duration::from_secs(1));
                return (failures == 2).then_some(());
            }
            AcmeEvent::Certificates(_) => {}
        }
        None
    });
    let is_there = read_json(&storage)["Certificates"][0]["Domain"]["Main"] == "good.example";
    assert!(is_there, "the good name has no certificate yet");
    authority.web.blocked.lock().unwrap().clear();
    assert_eq!(acme_run.obtained(), ["bad.example", "half.example"]);
    assert!(authority.web.table.load().is_empty());
    acme_run.stop().unwrap();
}

#[test]
fn unknown_account_is_registered_again() {
    let Some(mut authority) = Authority::start() else { return };
    let storage = authority.path("acme.json");
    let acme_run = RunningAcme::start(authority.settings(&storage), want(&[&["a.example"]]), &authority.web.table);
    assert_eq!(acme_run.obtained(), ["a.example"]);
    let account = read_json(&storage)["RingwayAccount"].clone();
    authority.restart();
    acme_run.wants(want(&[&["b.example"]]));
    assert_eq!(acme_run.failed().0, ["b.example"]);
    assert_eq!(acme_run.obtained(), ["b.example"]);
    assert_ne!(read_json(&storage)["RingwayAccount"], account);
    acme_run.stop().unwrap();
}

#[test]
fn untrusted_acme_server_is_refused() {
    let Some(authority) = Authority::start() else { return };
    let settings = AcmeSettings { trust: AcmeRoots::System, ..authority.settings(&authority.path("acme.json")) };
    let acme_run = RunningAcme::start(settings, want(&[&["a.example"]]), &authority.web.table);
    let (_, reason, ..) = acme_run.failed();
    assert!(reason.contains("certificate"), "{reason}");
    assert_eq!(authority.orders(), 0);
    acme_run.stop().unwrap();
}

#[test]
fn acme_json_open_to_others_disables_acme() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("acme.json");
    fs::write(&storage, "{}").unwrap();
    fs::set_permissions(&storage, fs::Permissions::from_mode(0o644)).unwrap();
    let acme_run = RunningAcme::start(without_authority(storage), want(&[&["a.example"]]), &Arc::default());
    let message = acme_run.stop().unwrap_err();
    assert!(message.starts_with("permissions 644 for ") && message.ends_with("too open, please use 600"), "{message}");
}

/// The name of the test that runs itself again inside its own mount namespace.
const MOUNTED: &str = "mounted_acme_json_is_written_in_place";

#[test]
fn mounted_acme_json_is_written_in_place() {
    if let Some(storage) = std::env::var_os("RINGWAY_TEST_MOUNTED") {
        return inside_the_mount(Path::new(&storage));
    }
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("acme.json");
    write_private(&storage, &traefiks_file(&[ending_soon("old.example", 10)]));
    let script = r#"mount --bind "$RINGWAY_TEST_MOUNTED" "$RINGWAY_TEST_MOUNTED" || exit 77; exec "$0" "$@""#;
    let child = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", MOUNTED, "--nocapture"])
        .env("RINGWAY_TEST_MOUNTED", &storage)
        .output();
    let refused = match &child {
        Ok(output) => output.status.code() == Some(77) || String::from_utf8_lossy(&output.stderr).contains("unshare"),
        Err(_) => true,
    };
    if refused {
        assert!(std::env::var_os("RINGWAY_REQUIRE_PEBBLE").is_none(), "a mount namespace is required: {child:?}");
        println!("skipped: this machine allows no mount namespaces");
        return;
    }
    let output = child.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("written through the mount"));
    let mains: Vec<String> = Store::open(&storage).unwrap().certificates().into_iter().map(|c| c.main).collect();
    assert_eq!(mains, ["old.example", "new.example"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
}

fn inside_the_mount(storage: &Path) {
    let mut store = Store::open(storage).unwrap();
    assert_eq!(store.put(&ending_soon("new.example", 60)).unwrap(), Saved::InPlace);
    println!("written through the mount");
}
