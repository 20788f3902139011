//! The Docker provider over TCP, over TLS and in swarm mode, and its handling of events, against an Engine with canned responses.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringway::config::dynamic::ClientTls;
use ringway::control::docker::{DockerProviderSettings, run};
use ringway::control::update::{self, ProviderUpdate};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

#[path = "docker_transport/events.rs"]
mod events;
#[path = "docker_transport/hosts.rs"]
mod hosts;
#[path = "docker_transport/odd.rs"]
mod odd;
#[path = "docker_transport/scripted.rs"]
mod scripted;
#[path = "docker_transport/versions.rs"]
mod versions;

const TIME_LIMIT: Duration = Duration::from_secs(10);

const INSPECTED: &str = r#"{"Id":"c1","Name":"/web","State":{"Running":true},"Config":{"Labels":{}},
    "NetworkSettings":{"Ports":{"80/tcp":null},"Networks":{"net":{"NetworkID":"n1","IPAddress":"10.1.2.3"}}}}"#;
const ENDED: &str = r#"[{"Id":"late","State":"exited","Status":"Exited (0) 4 minutes ago"},
    {"Id":"old","State":"exited","Status":"Exited (0) 6 minutes ago"},{"Id":"older","State":"exited","Status":"Exited (0) 3 weeks ago"}]"#;
/// Longer ago than the list says.
const INSPECTED_ENDED: &str = r#"{"Id":"late","Name":"/late","State":{"FinishedAt":"2026-01-01T00:00:00Z"},
    "Config":{"Labels":{"traefik.port":"80"}}}"#;
const SERVICES: &str =
    r#"[{"ID":"s1","Spec":{"Name":"api","Labels":{"traefik.port":"81"},"Mode":{"Replicated":{}}},"Endpoint":{}}]"#;
const TASKS: &str = r#"[{"ID":"t1","ServiceID":"s1","Slot":2,"Status":{"State":"running"},
    "NetworksAttachments":[{"Network":{"ID":"n1"},"Addresses":["10.9.0.4/24"]}]}]"#;

/// The response to a request line.
fn answer(line: &str) -> (&'static str, &'static str) {
    let target = line.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path.rsplit_once("/v1.41").map_or(path, |(_, rest)| rest) {
        version if version.ends_with("/version") => ("200 OK", r#"{"ApiVersion":"1.41"}"#),
        "/containers/json" if query.contains("all=true") => ("200 OK", ENDED),
        "/containers/late/json" => ("200 OK", INSPECTED_ENDED),
        "/containers/json" => ("200 OK", r#"[{"Id":"gone"},{"Id":"c1"}]"#),
        "/containers/c1/json" => ("200 OK", INSPECTED),
        "/networks" => ("200 OK", r#"[{"Id":"n1","Name":"net"}]"#),
        "/services" => ("200 OK", SERVICES),
        "/tasks" => ("200 OK", TASKS),
        _ => ("404 Not Found", r#"{"message":"no such thing"}"#),
    }
}

fn serve(mut stream: impl Read + Write, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => head.extend_from_slice(&buffer[..length]),
        }
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    seen.lock().unwrap().push(line.clone());
    if line.contains("/events?") {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        stream.flush()?;
        return stream.read(&mut buffer).map(drop);
    }
    let (status, body) = answer(&line);
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())?;
    stream.flush()
}

/// Starts the Engine; returns its port, and the request lines so far.
fn engine(tls: Option<Arc<ServerConfig>>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, seen) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<String>>>::default());
    let lines = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (tls, lines) = (tls.clone(), lines.clone());
            std::thread::spawn(move || match tls {
                None => serve(stream, &lines),
                Some(config) => serve(StreamOwned::new(ServerConnection::new(config).unwrap(), stream), &lines),
            });
        }
    });
    (port, seen)
}

fn settings(port: u16) -> DockerProviderSettings {
    let mut settings = DockerProviderSettings { endpoint: format!("tcp://127.0.0.1:{port}"), ..Default::default() };
    settings.labels.domain = "test".to_owned();
    settings
}

fn follow(settings: DockerProviderSettings) -> UnboundedReceiver<ProviderUpdate> {
    let (send, receive) = update::channel();
    tokio::spawn(run(settings, send));
    receive
}

async fn first_urls(updates: &mut UnboundedReceiver<ProviderUpdate>) -> Vec<String> {
    let update = timeout(TIME_LIMIT, updates.recv()).await.expect("an update").expect("a running provider");
    let backends = update.dynamic.backends.values();
    backends.flat_map(|backend| backend.servers.values().map(|server| server.url.clone())).collect()
}

#[tokio::test]
async fn plain_tcp_requests_events_and_skips_gone_containers() {
    let (port, seen) = engine(None);
    let mut updates = follow(settings(port));
    assert_eq!(first_urls(&mut updates).await, ["http://10.1.2.3:80"]);
    // Each request has its own thread in this engine: the first one sent may be recorded last.
    let is_noted = || seen.lock().unwrap().iter().any(|line| line.contains("/events?"));
    for _ in 0..200 {
        if is_noted() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seen = seen.lock().unwrap();
    assert!(seen.iter().all(|line| line.starts_with("GET ")), "{seen:?}");
    assert!(seen.iter().any(|line| line.contains("/events?") && line.contains("since=")), "{seen:?}");
}

#[tokio::test]
async fn only_the_latest_exited_containers_are_inspected() {
    let (port, seen) = engine(None);
    let grace = Duration::from_secs(300);
    let mut updates = follow(DockerProviderSettings { unavailable_grace: grace, ..settings(port) });
    let update = timeout(TIME_LIMIT, updates.recv()).await.expect("an update").expect("a running provider");
    assert_eq!(update.dynamic.frontends.len(), 1, "the grace of the others is over");
    let seen = seen.lock().unwrap();
    let asked = |id: &str| seen.iter().any(|line| line.contains(&format!("/containers/{id}/json")));
    assert_eq!(["c1", "late", "old", "older"].map(asked), [true, true, false, false], "{seen:?}");
}

#[tokio::test]
async fn swarm_mode_polls_services() {
    let (port, seen) = engine(None);
    let mut settings = DockerProviderSettings { swarm_refresh: Duration::from_millis(200), ..settings(port) };
    settings.labels.swarm_mode = true;
    let mut updates = follow(settings);
    for _ in 0..2 {
        assert_eq!(first_urls(&mut updates).await, ["http://10.9.0.4:81"]);
    }
    assert!(seen.lock().unwrap().iter().all(|line| line.starts_with("GET ") && !line.contains("/events")));
}

type Identity = rcgen::CertifiedKey<rcgen::KeyPair>;

/// A certificate for 127.0.0.1 that is its own authority.
fn identity() -> Identity {
    rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap()
}

/// A server with this certificate that accepts only the holder of the client's certificate.
fn tls_server(own: &Identity, client: &Identity) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(client.cert.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    Arc::new(config)
}

#[tokio::test]
async fn tls_verifies_the_engine_and_sends_a_client_certificate() {
    let (server, client) = (identity(), identity());
    let (port, _) = engine(Some(tls_server(&server, &client)));
    let tls = ClientTls {
        ca: server.cert.pem(),
        cert: client.cert.pem(),
        key: client.signing_key.serialize_pem(),
        ..ClientTls::default()
    };
    let mut updates = follow(DockerProviderSettings { tls: Some(tls.clone()), ..settings(port) });
    assert_eq!(first_urls(&mut updates).await, ["http://10.1.2.3:80"]);

    // An authority that did not sign the Engine's certificate must be refused, unless verification is disabled.
    let (port, seen) = engine(Some(tls_server(&server, &client)));
    let wrong = ClientTls { ca: identity().cert.pem(), ..tls };
    let mut refused = follow(DockerProviderSettings { tls: Some(wrong.clone()), watch: false, ..settings(port) });
    assert!(timeout(Duration::from_secs(1), refused.recv()).await.is_err());
    assert_eq!(seen.lock().unwrap().len(), 0, "no request may go to an Engine that is not trusted");
    let unchecked = ClientTls { insecure_skip_verify: true, ..wrong };
    let mut updates = follow(DockerProviderSettings { tls: Some(unchecked), watch: false, ..settings(port) });
    assert_eq!(first_urls(&mut updates).await, ["http://10.1.2.3:80"]);
}

/// Certificate and key by the plain command of the manuals, which is its own authority (CA:TRUE), as PEM texts.
fn identity_of_openssl() -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let mut command = std::process::Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=engine"]);
    command.args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", &path("key.pem"), "-out", &path("cert.pem")]);
    assert!(command.output().expect("openssl").status.success());
    let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    (text("cert.pem"), text("key.pem"))
}

#[tokio::test]
async fn engine_with_a_self_signed_certificate_of_openssl_is_followed() {
    let (certificate, key) = identity_of_openssl();
    let own = rcgen::KeyPair::from_pem(&key).unwrap();
    let der = ringway::tls::certificate::chain_from_pem(certificate.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(der, PrivatePkcs8KeyDer::from(own.serialize_der()).into())
        .unwrap();
    let (port, seen) = engine(Some(Arc::new(config)));
    let tls = ClientTls { ca: certificate.clone(), cert: certificate, key, ..ClientTls::default() };
    let mut updates = follow(DockerProviderSettings { tls: Some(tls.clone()), ..settings(port) });
    assert_eq!(first_urls(&mut updates).await, ["http://10.1.2.3:80"]);
    // The stream of events has a transport of its own.
    let has_events = || seen.lock().unwrap().iter().any(|line| line.contains("/events?"));
    let wait = async {
        while !has_events() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(TIME_LIMIT, wait).await.expect("a stream of events");

    let refused = ClientTls { ca: identity().cert.pem(), ..tls };
    let reason = client_error(&DockerProviderSettings { tls: Some(refused), ..settings(port) }).await;
    let parts =
        ["CN=engine is refused", "not in docker.tls.ca: add the certificate itself", &format!("127.0.0.1:{port}")];
    assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
}

/// The reason why a provider with these settings is unavailable.
async fn client_error(settings: &DockerProviderSettings) -> String {
    let (send, _receive) = update::channel();
    send.readiness().expect("docker");
    tokio::spawn(run(settings.clone(), send.clone()));
    let reason = async {
        while send.readiness().has_pending() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        send.readiness().not_ready().concat()
    };
    timeout(TIME_LIMIT, reason).await.expect("a reason")
}

#[tokio::test]
async fn tls_certificates_may_be_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let own = identity();
    let (port, _) = engine(Some(tls_server(&own, &own)));
    std::fs::write(path("ca.pem"), own.cert.pem()).unwrap();
    std::fs::write(path("cert.pem"), own.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), own.signing_key.serialize_pem()).unwrap();
    let tls = ClientTls { ca: path("ca.pem"), cert: path("cert.pem"), key: path("key.pem"), ..ClientTls::default() };
    let mut updates = follow(DockerProviderSettings { tls: Some(tls), watch: false, ..settings(port) });
    assert_eq!(first_urls(&mut updates).await, ["http://10.1.2.3:80"]);
}
