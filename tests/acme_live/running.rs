//! The module under test on a thread of its own, and files for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ringway::control::acme::store::Stored;
use ringway::control::acme::{self, AcmeEvent, AcmeSettings, DesiredCertificates, DomainRequest};
use ringway::tls::certificate::Certificate;
use ringway::tls::challenge::ChallengeTable;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::{QUIET, TIME_LIMIT};

pub struct RunningAcme {
    wanted: Option<watch::Sender<Option<DesiredCertificates>>>,
    events: Receiver<AcmeEvent>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl RunningAcme {
    pub fn start(
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
            LocalSet::new().block_on(
                &runtime,
                acme::run(settings, receiver, table, |event| {
                    // The states change with every step; the tests follow the other events.
                    if !matches!(event, AcmeEvent::States(_)) {
                        let _ = event_sender.send(event);
                    }
                }),
            )
        });
        RunningAcme { wanted: Some(sender), events, thread: Some(thread) }
    }

    pub fn wants(&self, wanted: DesiredCertificates) {
        self.wanted.as_ref().unwrap().send(Some(wanted)).unwrap();
    }

    /// Waits for the first event that `pick` accepts.
    pub fn wait<T>(&self, what: &str, pick: impl Fn(AcmeEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + TIME_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).unwrap_or_else(|e| panic!("waiting for {what}: {e}"));
            if let Some(found) = pick(event) {
                return found;
            }
        }
    }

    pub fn obtained(&self) -> Vec<String> {
        self.wait("a certificate", |event| match event {
            AcmeEvent::Obtained { names } => Some(names),
            _ => None,
        })
    }

    pub fn failed(&self) -> (Vec<String>, String, u32, Option<Duration>) {
        self.wait("a failure", |event| match event {
            AcmeEvent::Failed { names, reason, failures, retry_in } => Some((names, reason, failures, retry_in)),
            _ => None,
        })
    }

    pub fn certificates(&self) -> Vec<Arc<Certificate>> {
        self.wait("the certificates", |event| match event {
            AcmeEvent::Certificates(list) => Some(list),
            _ => None,
        })
    }

    pub fn assert_quiet(&self) {
        match self.events.recv_timeout(QUIET) {
            Err(RecvTimeoutError::Timeout) => {}
            other => panic!("something happened: {other:?}"),
        }
    }

    pub fn stop(mut self) -> Result<(), String> {
        self.wanted = None;
        self.thread.take().unwrap().join().unwrap()
    }
}

pub fn want(requests: &[&[&str]]) -> DesiredCertificates {
    let text = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    let requests = requests.iter().map(|r| DomainRequest { main: r[0].into(), sans: text(&r[1..]) }).collect();
    DesiredCertificates { requests, covered: Vec::new() }
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A certificate for `name` that expires in `days`, in the form of the file.
pub fn ending_soon(name: &str, days: u64) -> Stored {
    let day = Duration::from_secs(86_400);
    ending(name, 80 * day, day * days as u32)
}

/// A certificate of this age, with this remaining lifetime.
pub fn ending(name: &str, age: Duration, left: Duration) -> Stored {
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = (std::time::SystemTime::now() - age).into();
    params.not_after = (std::time::SystemTime::now() + left).into();
    let certificate = params.self_signed(&pair).unwrap().pem().into_bytes();
    Stored { main: name.into(), sans: vec![], certificate, key: pair.serialize_pem().into_bytes() }
}

pub fn write_private(path: &Path, content: &Value) {
    fs::write(path, serde_json::to_vec_pretty(content).unwrap()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

pub fn traefiks_file(certificates: &[Stored]) -> Value {
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
