//! Requests through a running proxy: both schemes, authentication, tunnels, large bodies, many clients, a reload under load.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::support::origin::{Origin, find, pattern};
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{run, stdout_of, wait_for};

const CONFIG: &str = r#"
defaultEntryPoints = ["http", "https"]
logLevel = "INFO"
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.https]
address = "127.0.0.1:@https@"
[entryPoints.https.tls]
[[entryPoints.https.tls.certificates]]
certFile = "@dir@/one.pem"
keyFile = "@dir@/one.key"
[entryPoints.bare]
address = "127.0.0.1:@api@"
[entryPoints.bare.tls]
[file]
filename = "@dir@/routes.toml"
watch = true
"#;

const ROUTES: &str = r#"
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
passHostHeader = true
[frontends.all.routes.r]
rule = "PathPrefix:/"
[frontends.auth]
backend = "one"
[frontends.auth.routes.r]
rule = "PathPrefix:/auth"
[frontends.auth.auth.basic]
users = [@users@]
[frontends.closed]
backend = "one"
[frontends.closed.routes.r]
rule = "PathPrefix:/closed"
[frontends.closed.whiteList]
sourceRange = ["192.0.2.0/24"]
"#;

pub fn certificate(folder: &Path, file: &str, name: &str) {
    let (key, pem) = (folder.join(format!("{file}.key")), folder.join(format!("{file}.pem")));
    let arguments = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"];
    let (key, pem) = (key.to_string_lossy().into_owned(), pem.to_string_lossy().into_owned());
    let (subject, names) = (
        format!("/CN={name}"),
        if name.contains(':') { format!("subjectAltName={name}") } else { format!("subjectAltName=DNS:{name}") },
    );
    stdout_of(
        "openssl",
        &[&arguments[..], &["-keyout", &key, "-out", &pem, "-subj", &subject, "-addext", &names]].concat(),
    );
}

fn routes(origin: &Origin) -> String {
    let user = |flags: &str, name: &str| format!("{:?}", stdout_of("htpasswd", &[flags, name, "secret"]).trim());
    let users = [user("-nbm", "apr1"), user("-nbB", "bcrypt"), user("-nbs", "sha")].join(", ");
    ROUTES.replace("@origin@", &origin.address.to_string()).replace("@users@", &users)
}

fn start(driver: &str, origin: &Origin) -> Ringway {
    let setup = Setup::new(driver, CONFIG).file("routes.toml", routes(origin));
    certificate(setup.folder.path(), "one", "one.example");
    setup.start()
}

#[test]
fn requests_are_routed_on_both_schemes() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = start(driver, &origin);
        let seen = proxy.curl(&["-H", "Host: shop.example", &proxy.url("/a/b?c=%2F")]);
        assert!(seen.starts_with("GET /a/b?c=%2F HTTP/1.1\r\nHost: shop.example\r\n"), "{driver}: {seen}");
        assert!(seen.contains("\r\nX-Forwarded-For: 127.0.0.1\r\n"), "{seen}");
        let status = |arguments: &[&str]| {
            proxy.curl(&[&["-o", "/dev/null", "-w", "%{http_code} %{http_version}"], arguments].concat())
        };
        assert_eq!(status(&[&proxy.url("/closed")]), "403 1.1");
        assert_eq!(status(&[&proxy.url("/auth")]), "401 1.1");
        for user in ["apr1", "bcrypt", "sha"] {
            assert_eq!(status(&["-u", &format!("{user}:secret"), &proxy.url("/auth")]), "200 1.1", "{user}");
            assert_eq!(status(&["-u", &format!("{user}:wrong"), &proxy.url("/auth")]), "401 1.1", "{user}");
        }
        assert_eq!(status(&["--http1.0", &proxy.url("/")]), "200 1");
        let head = proxy.curl(&["-I", &proxy.url("/bytes/0")]);
        assert!(head.contains("Content-Length: 0\r\n"), "{head}");
    }
}

#[test]
fn tls_selects_certificate_and_version_and_resumes() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = start(driver, &origin);
        let (address, bare) = (format!("127.0.0.1:{}", proxy.https), format!("127.0.0.1:{}", proxy.api));
        let handshake_with = |address: &str, arguments: &[&str]| {
            let output = run(
                "sh",
                &["-c", &format!("echo | timeout 10 openssl s_client -connect {address} {}", arguments.join(" "))],
            );
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let handshake = |arguments: &[&str]| handshake_with(&address, arguments);
        for version in ["-tls1_2", "-tls1_3"] {
            let text = handshake(&["-servername", "one.example", version]);
            assert!(text.contains("subject=CN = one.example") || text.contains("subject=CN=one.example"), "{text}");
        }
        let unknown = handshake(&["-servername", "two.example"]);
        assert!(unknown.contains("one.example"), "names without a certificate get the first one: {unknown}");
        let generated = handshake_with(&bare, &["-servername", "two.example"]);
        assert!(generated.contains("TRAEFIK DEFAULT CERT"), "{generated}");
        assert!(!handshake(&["-tls1_1"]).contains("Cipher is ECDHE"));
        let resumed = handshake(&["-tls1_2", "-reconnect", "-servername", "one.example"]);
        assert!(resumed.contains("Reused, "), "{resumed}");
        let pem = proxy.file("one.pem").to_string_lossy().into_owned();
        let resolve = format!("one.example:{}:127.0.0.1", proxy.https);
        let url = format!("https://one.example:{}/x", proxy.https);
        let seen = proxy.curl(&["--cacert", &pem, "--resolve", &resolve, &url]);
        assert!(seen.contains("X-Forwarded-Proto: https\r\n"), "{seen}");
        let plain = proxy.curl(&["-i", &format!("http://{address}/")]);
        assert!(plain.starts_with("HTTP/1.0 400 Bad Request\r\n") && plain.contains("HTTPS"), "{plain}");
    }
}

#[test]
fn large_bodies_arrive_whole_both_ways_on_both_schemes() {
    const SIZE: usize = 10 << 20;
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = start(driver, &origin);
        let file = proxy.file("body");
        fs::write(&file, pattern(SIZE)).expect("written");
        let body = format!("@{}", file.display());
        for base in [proxy.url(""), format!("https://127.0.0.1:{}", proxy.https)] {
            for chunked in [false, true] {
                let back = proxy.file("back");
                let back_text = back.to_string_lossy().into_owned();
                if !chunked {
                    proxy.curl(&["-k", "-o", &back_text, &format!("{base}/bytes/{SIZE}")]);
                    assert!(fs::read(&back).expect("a file") == pattern(SIZE), "{driver} down from {base}");
                }
                let field = if chunked { "X-None: 1" } else { "X-None: 2" };
                proxy.curl(&["-k", "-o", &back_text, "-H", field, "--data-binary", &body, &format!("{base}/echo")]);
                assert!(fs::read(&back).expect("a file") == pattern(SIZE), "{driver} up to {base}");
            }
        }
    }
}

#[test]
fn client_that_does_not_read_pauses_the_origin() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = start(driver, &origin);
        let before = proxy.resident_kib();
        let mut clients: Vec<TcpStream> = (0..8)
            .map(|_| {
                let mut client = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
                client.write_all(b"GET /bytes/100000000 HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
                client
            })
            .collect();
        thread::sleep(Duration::from_secs(2));
        let held = origin.sent.load(SeqCst);
        thread::sleep(Duration::from_secs(1));
        assert!(origin.sent.load(SeqCst) - held < 8 << 20, "{driver}: the origin is not held back");
        let grown = proxy.resident_kib().saturating_sub(before);
        assert!(grown < 32 << 10, "{driver}: {grown} KiB for eight clients that do not read");
        let mut byte = [0; 4096];
        assert!(clients[0].read(&mut byte).is_ok_and(|n| n > 0), "the response continues when the client reads");
    }
}

#[test]
fn websocket_carries_bytes_both_ways() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = start(driver, &origin);
        let mut client = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
        client.write_all(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly").expect("sent");
        let mut got = Vec::new();
        for word in ["early", "second", "third"] {
            if word != "early" {
                client.write_all(word.as_bytes()).expect("sent");
            }
            while find(&got, word.as_bytes()).is_none() {
                let mut buffer = [0; 1024];
                let n = client.read(&mut buffer).expect("bytes");
                assert!(n > 0, "{driver}: closed after {:?}", String::from_utf8_lossy(&got));
                got.extend_from_slice(&buffer[..n]);
            }
        }
        assert!(got.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
        client.shutdown(std::net::Shutdown::Write).expect("half closed");
        assert!(client.read_to_end(&mut got).is_ok(), "{driver}: the end is passed on");
    }
}

const OK_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn two_hundred_clients_and_reloads_fail_no_request() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = start(driver, &origin);
        let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
        let port = proxy.http;
        thread::scope(|scope| {
            for _ in 0..200 {
                scope.spawn(|| {
                    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("connected");
                    client.set_read_timeout(Some(Duration::from_secs(10))).expect("a time limit");
                    while !stop.load(SeqCst) {
                        client.write_all(b"GET /bytes/1000 HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
                        let mut got = Vec::new();
                        while find(&got, b"\r\n\r\n").is_none_or(|end| got.len() < end + 4 + 1000) {
                            let mut buffer = [0; 4096];
                            let n = client.read(&mut buffer).expect("an answer");
                            assert!(n > 0, "closed");
                            got.extend_from_slice(&buffer[..n]);
                            // Checked before the rest is awaited: another response would have another length.
                            let common = got.len().min(OK_LINE.len());
                            assert!(got[..common] == OK_LINE[..common], "{}", String::from_utf8_lossy(&got));
                        }
                        assert!(got.ends_with(&pattern(1000)));
                        done.fetch_add(1, SeqCst);
                    }
                });
            }
            // Also stops the clients if this part fails: the scope waits for them.
            let _end = OnDrop(|| stop.store(true, SeqCst));
            let file = proxy.file("routes.toml");
            for round in 0..5 {
                let more = format!(
                    "\n[frontends.new]\nbackend = \"one\"\n[frontends.new.routes.r]\nrule = \"Host:round{round}.example;Path:/gone\"\n[frontends.new.redirect]\nregex = \".*\"\nreplacement = \"http://x/{round}\"\n"
                );
                fs::write(&file, routes(&origin) + &more).expect("routes");
                let url = proxy.url("/gone");
                wait_for("the new route", Duration::from_secs(10), || {
                    let host = format!("Host: round{round}.example");
                    let text = proxy.curl(&["-i", "-H", &host, &url]);
                    if text.contains(&format!("http://x/{round}")) { Ok(()) } else { Err(text) }
                });
            }
            fs::write(&file, "[frontends\nbroken").expect("routes");
            thread::sleep(Duration::from_secs(3));
        });
        assert!(done.load(SeqCst) > 200, "{driver}: {} requests", done.load(SeqCst));
        assert!(proxy.curl(&["-i", &proxy.url("/")]).starts_with("HTTP/1.1 200 "), "old routes outlive a broken file");
    }
}
