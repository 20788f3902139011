//! Servers that speak HTTP/2 behind the built program: Go's over TLS, nginx and nghttpd without TLS.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{Background, free_port, installed, tool_or_skip, wait_for};

const CONFIG: &str = r#"
logLevel = "INFO"
defaultEntryPoints = ["http"]
insecureSkipVerify = true
[entryPoints.http]
address = "127.0.0.1:@http@"
[file]
[backends.real.servers.one]
url = "@server@"
@check@
[frontends.real]
backend = "real"
passHostHeader = true
[frontends.real.routes.all]
rule = "PathPrefix:/"
"#;
const START_SECS_MAX: u64 = 60;
/// Length of a body that fills every window several times.
const LONG_BYTES: usize = 1 << 20;

fn proxy(driver: &str, server: &str, check: &str) -> Ringway {
    let proxy = Setup::new(driver, CONFIG).fill("@server@", server).fill("@check@", check).spawn();
    wait_for("the server responds", Duration::from_secs(START_SECS_MAX), || {
        let status = proxy.curl(&["-o", "/dev/null", "-w", "%{http_code}", &proxy.url("/")]);
        if ["200", "403", "502"].contains(&status.as_str()) {
            Ok(())
        } else {
            Err(format!("{status}: {}", proxy.log()))
        }
    });
    proxy
}

/// Go's server, built once and started on a port of its own.
struct GoServer {
    _process: Background,
    _folder: tempfile::TempDir,
    url: String,
}

impl GoServer {
    fn start(rotate: &str) -> Option<GoServer> {
        if !tool_or_skip("go", installed("go")) {
            return None;
        }
        let (folder, port) = (tempfile::tempdir().expect("a folder for Go's server"), free_port());
        let file = |name: &str| folder.path().join(name);
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        fs::write(file("cert.pem"), made.cert.pem()).expect("written");
        fs::write(file("key.pem"), made.signing_key.serialize_pem()).expect("written");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_servers/http2_server.go");
        let mut build = Command::new("go");
        build.args(["build", "-o"]).arg(file("server")).arg(source).env("GO111MODULE", "off").env("CGO_ENABLED", "0");
        let built = build.output().expect("go");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let mut command = Command::new(file("server"));
        command.arg("-address").arg(format!("127.0.0.1:{port}")).args(["-rotate", rotate]);
        command.arg("-certificate").arg(file("cert.pem")).arg("-key").arg(file("key.pem"));
        let process = Background::start(command, file("log"));
        Some(GoServer { _process: process, url: format!("https://127.0.0.1:{port}"), _folder: folder })
    }
}

#[test]
fn https_server_is_spoken_to_in_http2() {
    let Some(server) = GoServer::start("0") else { return };
    for driver in DRIVERS {
        let proxy = proxy(driver, &server.url, "");
        let get = |path: &str, more: &[&str]| proxy.curl(&[&[proxy.url(path).as_str()], more].concat());
        let cookies = ["-H", "Host: a.test", "-H", "Cookie: a=1; b=2"];
        assert_eq!(get("/", &cookies), "HTTP/2.0 a.test a=1; b=2", "({driver})");
        let head = get("/status/204", &["-i"]);
        assert!(head.starts_with("HTTP/1.1 204 ") && head.ends_with("\r\n\r\n"), "({driver}): {head}");
        let head = get("/", &["-I"]);
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.to_lowercase().contains("content-length: "),
            "({driver}): {head}"
        );
        assert!(get("/status/304", &["-i"]).starts_with("HTTP/1.1 304 "), "({driver})");
        let hints = get("/hints", &["-i"]);
        assert!(
            hints.to_lowercase().starts_with("http/1.1 103 early hints\r\nlink: </style.css>"),
            "({driver}): {hints}"
        );
        assert!(hints.contains("\r\n\r\nHTTP/1.1 200 OK\r\n") && hints.ends_with("page"), "({driver}): {hints}");
        let cut = proxy.curl(&["-o", "/dev/null", "-w", "%{exitcode}", &proxy.url("/abort")]);
        assert!(["18", "56"].contains(&cut.as_str()), "({driver}): a reset response is cut: {cut}");
        assert!(!proxy.log().contains("level=error msg=\"the HTTP/2 connection"), "({driver}): {}", proxy.log());
    }
}

#[test]
fn bodies_and_trailers_pass_both_ways_over_http2() {
    let Some(server) = GoServer::start("0") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let long = folder.path().join("long");
    let text: String = (0..LONG_BYTES / 8).map(|n| format!("{n:07}\n")).collect();
    fs::write(&long, &text).expect("written");
    let data = format!("@{}", long.display());
    for driver in DRIVERS {
        let proxy = proxy(driver, &server.url, "");
        let url = proxy.url("/echo");
        for more in [&["-H", "Expect:"][..], &["-H", "Transfer-Encoding: chunked"], &["-H", "Expect: 100-continue"]] {
            let got = proxy.curl(&[&["--data-binary", &data, &url], more].concat());
            assert!(got == text, "{more:?} ({driver}): {} of {} bytes", got.len(), text.len());
        }
        let early = proxy.curl(&["-i", "-H", "Expect:", "--data-binary", &data, &proxy.url("/early")]);
        assert!(early.starts_with("HTTP/1.1 413 ") && early.ends_with("too large"), "({driver}): {early}");
        let request = "POST /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\nTrailer: X-Client\r\n\
                       Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Client: mine\r\n\r\n";
        let got = exchange(proxy.http, request);
        assert!(got.contains("4 bytes, trailer \"mine\""), "({driver}): {got}");
        assert!(got.ends_with("0\r\nx-sum: 7\r\n\r\n") || got.ends_with("0\r\nX-Sum: 7\r\n\r\n"), "({driver}): {got}");
    }
}

/// Sends a request that closes its connection; returns all that comes back.
fn exchange(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("a whole response");
    String::from_utf8_lossy(&got).into_owned()
}

#[test]
fn websocket_to_an_https_server_uses_http1() {
    let Some(server) = GoServer::start("0") else { return };
    for driver in DRIVERS {
        let proxy = proxy(driver, &server.url, "");
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let request = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("sent");
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        let head = read_head(&mut reader).expect("a head");
        assert!(
            head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "({driver}): {head}"
        );
        stream.write_all(b"through the tunnel").expect("sent");
        let mut echoed = [0; 18];
        reader.read_exact(&mut echoed).expect("an echo");
        assert_eq!(&echoed, b"through the tunnel", "({driver})");
        assert_eq!(proxy.curl(&[&proxy.url("/slow")]), "HTTP/2.0", "({driver}): other requests stay on HTTP/2");
    }
}

#[test]
fn requests_share_connections() {
    const CLIENTS: usize = 20;
    let Some(server) = GoServer::start("0") else { return };
    for driver in DRIVERS {
        let proxy = proxy(driver, &server.url, "");
        let figures = || -> usize {
            let text = proxy.curl(&[&proxy.url("/figures")]);
            text.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{text}"))
        };
        let before = figures();
        let port = proxy.http;
        let clients: Vec<_> = (0..CLIENTS).map(|_| thread::spawn(move || exchange(port, SLOW))).collect();
        for client in clients {
            let got = client.join().expect("a client");
            assert!(got.ends_with("HTTP/2.0"), "({driver}): {got}");
        }
        // One connection for each worker, and one that a worker opened before.
        let opened = figures() - before;
        let workers = thread::available_parallelism().map_or(1, usize::from);
        assert!(opened <= workers, "{opened} new connections for {CLIENTS} requests at a time ({driver})");
    }
}

const SLOW: &str = "GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The server ends its connections again and again under load (GOAWAY): every request gets its response, with any method.
#[test]
fn goaway_under_load_loses_no_request() {
    const CLIENTS: usize = 8;
    let Some(server) = GoServer::start("150ms") else { return };
    for driver in DRIVERS {
        let proxy = proxy(driver, &server.url, "");
        let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
        let failures: Vec<String> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let (is_over, answered, port) = (&is_over, &answered, proxy.http);
                    scope.spawn(move || post_until(port, is_over, answered, number))
                })
                .collect();
            thread::sleep(Duration::from_secs(4));
            is_over.store(true, Relaxed);
            clients.into_iter().filter_map(|client| client.join().expect("a client").err()).collect()
        });
        let figures = proxy.curl(&[&proxy.url("/figures")]);
        let rotations: usize = figures.split(' ').nth(1).and_then(|count| count.parse().ok()).expect("a count");
        let answered = answered.load(Relaxed);
        assert!(
            failures.is_empty(),
            "({driver}) after {answered} requests, {rotations} servers: {failures:?}\n{}",
            proxy.log()
        );
        assert!(rotations >= 20 && answered > 200, "({driver}): {answered} requests, {rotations} servers");
    }
}

/// Sends requests with a body of their own each; returns the first that did not come back.
fn post_until(port: u16, is_over: &AtomicBool, answered: &AtomicUsize, number: usize) -> Result<(), String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| format!("connect: {e}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(|e| e.to_string())?;
    let mut reader = BufReader::new(stream.try_clone().map_err(|e| e.to_string())?);
    let mut sent = 0;
    while !is_over.load(Relaxed) {
        sent += 1;
        let body = format!("body {sent} of client {number}");
        let request = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        (&stream).write_all(request.as_bytes()).map_err(|e| format!("request {sent}: {e}"))?;
        let head = read_head(&mut reader).map_err(|e| format!("request {sent}: {e}"))?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("request {sent}: {head}"));
        }
        let mut echoed = vec![0; body.len()];
        reader.read_exact(&mut echoed).map_err(|e| format!("request {sent}: {e}"))?;
        if echoed != body.as_bytes() {
            return Err(format!("request {sent}: {}", String::from_utf8_lossy(&echoed)));
        }
        answered.fetch_add(1, Relaxed);
    }
    Ok(())
}

fn read_head(reader: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the connection ended: {head:?}")));
        }
    }
    Ok(head)
}

#[test]
fn nginx_without_tls_is_spoken_to_in_http2() {
    if !tool_or_skip("nginx", installed("nginx")) {
        return;
    }
    let (_server, folder, port) =
        crate::nginx_on(" http2", "root FILES;\n add_header X-Version $server_protocol;\n client_max_body_size 8m;");
    let text: String = (0..LONG_BYTES / 8).map(|n| format!("{n:07}\n")).collect();
    fs::write(folder.path().join("long"), &text).expect("written");
    for driver in DRIVERS {
        let check = "[backends.real.healthCheck]\npath = \"/long\"\ninterval = \"1s\"";
        let proxy = proxy(driver, &format!("h2c://127.0.0.1:{port}"), check);
        let got = proxy.curl(&["-i", &proxy.url("/long")]);
        let (head, body) = got.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("HTTP/2.0"), "({driver}): {head}");
        assert!(body == text, "({driver}): {} of {} bytes", body.len(), text.len());
        thread::sleep(Duration::from_millis(1500));
        assert!(!proxy.log().contains("Health check failed"), "({driver}): {}", proxy.log());
        assert_eq!(proxy.curl(&[&proxy.url("/long")]).len(), text.len(), "({driver}): still up");
    }
}

#[test]
fn nghttpd_without_tls_echoes_uploads() {
    if !tool_or_skip("nghttpd", installed("nghttpd")) {
        return;
    }
    let (folder, port) = (tempfile::tempdir().expect("a folder for nghttpd"), free_port());
    let text: String = (0..LONG_BYTES / 8).map(|n| format!("{n:07}\n")).collect();
    fs::write(folder.path().join("long"), &text).expect("written");
    let mut command = Command::new("nghttpd");
    command.args(["--no-tls", "--echo-upload", "-a", "127.0.0.1", "-d"]);
    let _server = Background::start(
        {
            command.arg(folder.path()).arg(port.to_string());
            command
        },
        folder.path().join("log"),
    );
    for driver in DRIVERS {
        let proxy =
            Setup::new(driver, CONFIG).fill("@server@", format!("h2c://127.0.0.1:{port}")).fill("@check@", "").spawn();
        wait_for("nghttpd responds", Duration::from_secs(START_SECS_MAX), || {
            let status = proxy.curl(&["-o", "/dev/null", "-w", "%{http_code}", &proxy.url("/long")]);
            if status == "200" { Ok(()) } else { Err(format!("{status}: {}", proxy.log())) }
        });
        let data = format!("@{}", folder.path().join("long").display());
        let got = proxy.curl(&["-H", "Expect:", "--data-binary", &data, &proxy.url("/")]);
        assert!(got == text, "({driver}): {} of {} bytes", got.len(), text.len());
    }
}

#[test]
fn h2c_url_of_an_http1_server_gets_502_and_a_line_that_says_so() {
    if !tool_or_skip("nginx", installed("nginx")) {
        return;
    }
    let (_server, _folder, port) = crate::nginx_on("", "return 200 hello;");
    for driver in DRIVERS {
        let proxy = proxy(driver, &format!("h2c://127.0.0.1:{port}"), "");
        let status = proxy.curl(&["-o", "/dev/null", "-w", "%{http_code}", &proxy.url("/")]);
        assert_eq!(status, "502", "({driver})");
        let log = proxy.log();
        assert!(log.contains("use http:// instead of h2c://"), "({driver}): {log}");
    }
}
