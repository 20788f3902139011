//! Containers of pages, of a name that is passed through, of a name that is terminated and of a UDP service, replaced under load on a real
//! engine. The three kinds of names share one port.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::peers::{TlsClient, tls_connect};
use crate::proxy::certificate;
use crate::support::docker::{Engine, ringway_image};
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{docker_or_skip, project, stdout_of, wait_for};
use crate::udp_peers::{client, free_udp_port, receive};

const CONFIG: &str = r#"
logLevel = "INFO"
defaultEntryPoints = ["https"]
[api]
entryPoint = "api"
[entryPoints.api]
address = "127.0.0.1:@api@"
[entryPoints.https]
address = "127.0.0.1:@https@"
[entryPoints.https.tls]
[[entryPoints.https.tls.certificates]]
certFile = "@dir@/one.pem"
keyFile = "@dir@/one.key"
[entryPoints.echo]
address = "127.0.0.1:@udp@/udp"
[docker]
constraints = ["tag==@tag@"]
"#;
/// Each kind has two containers, so that one serves while the other is replaced.
const COPIES: usize = 2;
const CLIENTS_OF_A_KIND: usize = 2;
/// Minimum of exchanges per second of each kind; with fewer the test proves nothing.
const RATE_MIN: f64 = 10.0;
const START_SECS_MAX: u64 = 60;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Page,
    PassedThrough,
    Terminated,
    Udp,
}

const KINDS: [Kind; 4] = [Kind::Page, Kind::PassedThrough, Kind::Terminated, Kind::Udp];

/// The images, and the folder whose certificate the servers of the passed-through name have.
struct Images {
    page: String,
    app: String,
    ringway: String,
    certificates: PathBuf,
}

impl Images {
    fn make(engine: &mut Engine, work: &Path) -> Images {
        certificate(work);
        // The server in the container does not run as root.
        stdout_of("chmod", &["-R", "a+rX", &work.to_string_lossy()]);
        let mut make = |name: &str, source: &str, expose: &[&str]| {
            let (program, tarball) = (work.join(name), work.join(format!("{name}.tar")));
            let (source, tarball) = (project().join(source), tarball.to_string_lossy().into_owned());
            let (program, source) = (program.to_string_lossy(), source.to_string_lossy());
            stdout_of("gcc", &["-static", "-O2", "-pthread", "-o", &program, &source]);
            stdout_of("tar", &["-C", &work.to_string_lossy(), "-cf", &tarball, name]);
            let entry = format!("ENTRYPOINT [\"/{name}\"]");
            engine.imported_image(name, &tarball, &[&[entry.as_str()], expose].concat())
        };
        Images {
            page: make("page", "tests/rolling_replacement/app.c", &["EXPOSE 80"]),
            app: make("app", "tests/layer4/containers_app.c", &["EXPOSE 5000", "EXPOSE 5000/udp"]),
            ringway: ringway_image(),
            certificates: work.to_owned(),
        }
    }

    /// Options, image and arguments of a container.
    fn words(&self, kind: Kind, tag: &str) -> Vec<String> {
        let (labels, image, arguments): (&[&str], _, &[&str]) = match kind {
            Kind::Page => (&["frontend.rule=Host:page.test", "backend=page"], &self.page, &["finishes"]),
            Kind::PassedThrough => (
                &[
                    "protocol=tcp",
                    "port=443",
                    "frontend.rule=HostSNI:raw.test",
                    "frontend.passthrough=true",
                    "frontend.entryPoints=https",
                    "backend=raw",
                ],
                &self.ringway,
                // Another Ringway: it ends TLS, and serves for a second more after SIGTERM.
                &[
                    "--entryPoints=Name:own Address::443 TLS:/certificates/one.pem,/certificates/one.key",
                    "--defaultEntryPoints=own",
                    "--api",
                    "--api.entryPoint=own",
                    "--lifeCycle.requestAcceptGraceTimeout=1s",
                ],
            ),
            Kind::Terminated => {
                (&["frontend.rule=HostSNI:db.test", "frontend.entryPoints=https", "backend=db"], &self.app, &["tcp"])
            }
            Kind::Udp => (&["protocol=udp", "frontend.entryPoints=echo", "backend=echo"], &self.app, &["udp"]),
        };
        let labels = labels.iter().map(|label| format!("traefik.{label}")).chain([format!("traefik.tags={tag}")]);
        let mut words: Vec<String> = labels.flat_map(|label| ["--label".to_owned(), label]).collect();
        if kind == Kind::PassedThrough {
            words.extend(["-v".to_owned(), format!("{}:/certificates:ro", self.certificates.display())]);
        }
        words.push(image.clone());
        words.extend(arguments.iter().map(|&word| word.to_owned()));
        words
    }
}

/// The addresses of the proxy, and the folders with the certificates that clients trust.
#[derive(Clone)]
struct Place {
    https: u16,
    udp: SocketAddr,
    own: PathBuf,
    servers: PathBuf,
}

impl Place {
    /// One connection, or one session, from its begin to its end.
    fn exchange(&self, kind: Kind) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("{kind:?}: {e}");
        match kind {
            Kind::Page => page(&mut tls_connect(self.https, &self.own, "page.test", &["http/1.1"]), "/", "page.test"),
            Kind::PassedThrough => {
                let mut client = tls_connect(self.https, &self.servers, "raw.test", &["http/1.1"]);
                page(&mut client, "/api/version", "raw.test")
            }
            Kind::Terminated => {
                echo(&mut tls_connect(self.https, &self.own, "db.test", &["postgresql"])).map_err(failed)
            }
            Kind::Udp => {
                let socket = client("127.0.0.1");
                socket.send_to(b"ping", self.udp).map_err(failed)?;
                match receive(&socket) {
                    Some((answer, source)) if answer == "ping" && source == self.udp => Ok(()),
                    other => Err(format!("{kind:?}: {other:?}")),
                }
            }
        }
    }
}

fn page(client: &mut TlsClient, path: &str, host: &str) -> Result<(), String> {
    let mut text = String::new();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let asked = client.write_all(request.as_bytes()).and_then(|()| client.read_to_string(&mut text));
    match asked {
        Ok(_) if text.starts_with("HTTP/1.1 200 ") => Ok(()),
        Ok(_) => Err(format!("{host}: {text:?}")),
        Err(e) => Err(format!("{host}: {e} after {text:?}")),
    }
}

fn echo(client: &mut TlsClient) -> std::io::Result<()> {
    let mut got = [0; 6];
    client.write_all(b"data")?;
    client.read_exact(&mut got)?;
    assert_eq!(&got, b"dbdata");
    client.conn.send_close_notify();
    client.flush()?;
    client.read_to_end(&mut Vec::new()).map(drop)
}

/// Clients of one kind, which begin their next exchange as soon as the last one has ended.
struct Load {
    kind: Kind,
    done: Arc<AtomicUsize>,
    started: Instant,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(kind: Kind, place: &Place, stop: &Arc<AtomicBool>) -> Load {
        let done = Arc::new(AtomicUsize::new(0));
        let client = || {
            let (place, stop, done) = (place.clone(), Arc::clone(stop), Arc::clone(&done));
            thread::spawn(move || {
                let mut failures = Vec::new();
                while !stop.load(SeqCst) {
                    match place.exchange(kind) {
                        Ok(()) => drop(done.fetch_add(1, SeqCst)),
                        Err(failure) => failures.push(failure),
                    }
                    // A session of UDP costs a socket for its whole time-out.
                    thread::sleep(Duration::from_millis(if kind == Kind::Udp { 20 } else { 0 }));
                }
                failures
            })
        };
        let clients = (0..CLIENTS_OF_A_KIND).map(|_| client()).collect();
        Load { kind, done, started: Instant::now(), clients }
    }

    fn end(self, driver: &str) {
        let failures: Vec<String> = self.clients.into_iter().flat_map(|client| client.join().expect("ends")).collect();
        let (done, rate) =
            (self.done.load(SeqCst), self.done.load(SeqCst) as f64 / self.started.elapsed().as_secs_f64());
        println!("{:?} on {driver}: {done} exchanges, {rate:.0}/s, {} lost", self.kind, failures.len());
        assert!(failures.is_empty(), "{:?} on {driver}: {} lost: {:?}", self.kind, failures.len(), failures.first());
        assert!(rate > RATE_MIN, "{:?} on {driver}: {rate:.1}/s is no load", self.kind);
    }
}

#[test]
fn replaced_containers_of_tcp_udp_and_pages_lose_nothing() {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder");
    let mut engine = Engine::new("ringway-layer4");
    let images = Images::make(&mut engine, work.path());
    let named = |kind: Kind, copy: usize| format!("{kind:?}{copy}").to_lowercase();
    for kind in KINDS {
        for copy in 0..COPIES {
            let words = images.words(kind, &engine.prefix);
            engine.run(&named(kind, copy), &words.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
    for driver in DRIVERS {
        let (proxy, place) = proxy(driver, &engine, work.path());
        let stop = Arc::new(AtomicBool::new(false));
        let loads: Vec<Load> = KINDS.iter().map(|&kind| Load::start(kind, &place, &stop)).collect();
        for copy in 0..COPIES {
            for kind in KINDS {
                let full = format!("{}-{}", engine.prefix, named(kind, copy));
                stdout_of("docker", &["stop", "-t", "10", &full]);
                stdout_of("docker", &["rm", &full]);
                let words = images.words(kind, &engine.prefix);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                stdout_of("docker", &[&["run", "-d", "--name", &full], &words[..]].concat());
                thread::sleep(Duration::from_millis(500));
            }
        }
        stop.store(true, SeqCst);
        for load in loads {
            load.end(driver);
        }
        assert!(!proxy.log().contains("panic"), "{}", proxy.log());
    }
}

/// A proxy that serves all kinds already.
fn proxy(driver: &str, engine: &Engine, servers: &Path) -> (Ringway, Place) {
    let udp = free_udp_port();
    let setup = Setup::new(driver, CONFIG).fill("@udp@", udp).fill("@tag@", &engine.prefix);
    certificate(setup.folder.path());
    let proxy = setup.spawn();
    let own = proxy.folder.path().to_owned();
    let udp = SocketAddr::from(([127, 0, 0, 1], udp));
    let place = Place { https: proxy.https, udp, own, servers: servers.to_owned() };
    proxy.await_port(proxy.https);
    proxy.await_log("Server configuration reloaded", 1);
    for kind in KINDS {
        wait_for(&format!("{kind:?} is served"), Duration::from_secs(START_SECS_MAX), || place.exchange(kind));
    }
    (proxy, place)
}
