//! One port with TLS for pages, a name that is passed through and a name that is terminated, while their servers are replaced.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::peers::{EchoServer, Server, TlsClient, read_exact, tls_connect, tls_echo_server};
use crate::proxy::{Options, Proxy, certificate};
use crate::support::ringway::DRIVERS;

const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage";

fn page_server() -> Server {
    Server::start(|mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if !matches!(stream.read(&mut byte), Ok(1)) {
                return;
            }
            head.push(byte[0]);
        }
        let _ = stream.write_all(PAGE.as_bytes());
    })
}

/// The three kinds of routes to these servers.
fn routes(page: &Server, raw: &Server, terminated: &Server) -> String {
    let http = format!("http://{}", page.address);
    let one = |name: &str, url: &str, keys: &str, rule: &str| {
        format!(
            "[backends.{name}.servers.a]\nurl = \"{url}\"\n[frontends.{name}]\nbackend = \"{name}\"\n{keys}\n\
             [frontends.{name}.routes.r]\nrule = \"{rule}\"\n"
        )
    };
    one("page", &http, "", "Host:page.test,db.test")
        + &one("raw", &raw.url(), "passthrough = true", "HostSNI:raw.test")
        + &one("db", &terminated.url(), "", "HostSNI:db.test")
}

fn ask_for_page(client: &mut TlsClient, host: &str) -> std::io::Result<String> {
    client.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    client.read_to_string(&mut text)?;
    Ok(text)
}

fn echo(client: &mut TlsClient, greeting: &str) -> std::io::Result<()> {
    let mut got = vec![0; greeting.len() + 4];
    client.write_all(b"data")?;
    client.read_exact(&mut got)?;
    assert_eq!(got, [greeting.as_bytes(), b"data"].concat());
    client.conn.send_close_notify();
    client.flush()?;
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).map(drop)
}

#[test]
fn tcp_name_is_misdirected_on_the_connection_of_another_name() {
    for driver in DRIVERS {
        let folder = tempfile::tempdir().expect("a folder");
        certificate(folder.path());
        let (page, raw, db) = (page_server(), tls_echo_server(folder.path(), "raw"), EchoServer::start(b"db"));
        let proxy = Proxy::with(driver, Options::default(), 0, &routes(&page, &raw, &db.0));
        let mut client = tls_connect(proxy.https(), proxy.folder(), "page.test", &["http/1.1"]);
        assert!(ask_for_page(&mut client, "page.test").expect("a response").ends_with("page"));
        for host in ["db.test", "DB.test:443", "db.test.", "raw.test"] {
            let mut client = tls_connect(proxy.https(), proxy.folder(), "page.test", &["http/1.1"]);
            let response = ask_for_page(&mut client, host).expect("a response");
            assert!(response.starts_with("HTTP/1.1 421 "), "{host}: {response}");
        }
        // A client of no route's name, and one that speaks no TLS, get what they get without TCP routes.
        let mut client = tls_connect(proxy.https(), proxy.folder(), "other.test", &["http/1.1"]);
        assert!(ask_for_page(&mut client, "other.test").expect("a response").starts_with("HTTP/1.1 404 "));
        let mut plain = crate::peers::connect(proxy.https());
        plain.write_all(b"GET / HTTP/1.1\r\nHost: db.test\r\n\r\n").expect("sends");
        let mut response = String::new();
        let _ = plain.read_to_string(&mut response);
        assert!(response.starts_with("HTTP/1.0 400 "), "{response}");
        // The name in both routes belongs to TCP, and a warning says so.
        let mut client = tls_connect(proxy.https(), proxy.folder(), "db.test", &["http/1.1"]);
        read_exact(&mut client, b"db", "the TCP route");
        assert!(proxy.process.log().contains("db.test"), "{}", proxy.process.log());
    }
}

#[test]
fn three_kinds_on_one_port_lose_nothing_while_servers_are_replaced() {
    for driver in DRIVERS {
        let folder = tempfile::tempdir().expect("a folder");
        certificate(folder.path());
        let folder = Arc::new(folder);
        let start = || (page_server(), tls_echo_server(folder.path(), "raw"), EchoServer::start(b"db").0);
        let mut servers = start();
        let proxy = Proxy::with(driver, Options::default(), 0, &routes(&servers.0, &servers.1, &servers.2));
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (port, own) = (proxy.https(), proxy.folder().to_owned());
        let client = |kind: usize| {
            let (stop, done, own, folder) = (Arc::clone(&stop), Arc::clone(&done), own.clone(), Arc::clone(&folder));
            thread::spawn(move || {
                while !stop.load(SeqCst) {
                    let result = match kind {
                        0 => ask_for_page(&mut tls_connect(port, &own, "page.test", &["http/1.1"]), "page.test")
                            .map(|text| assert!(text.ends_with("page"), "{text}")),
                        1 => echo(&mut tls_connect(port, folder.path(), "raw.test", &[]), "raw"),
                        _ => echo(&mut tls_connect(port, &own, "db.test", &["postgresql"]), "db"),
                    };
                    result.unwrap_or_else(|e| panic!("a connection of kind {kind} was lost: {e}"));
                    done.fetch_add(1, SeqCst);
                }
            })
        };
        let clients: Vec<_> = (0..6).map(|number| client(number % 3)).collect();
        for round in 0..5 {
            thread::sleep(Duration::from_millis(300));
            let next = start();
            proxy.replace_routes(&routes(&next.0, &next.1, &next.2), round + 2);
            // The old servers accept until their grace period is over: a connection may be on its way to them.
            let old = std::mem::replace(&mut servers, next);
            thread::sleep(Duration::from_millis(500));
            drop(old);
        }
        thread::sleep(Duration::from_millis(300));
        stop.store(true, SeqCst);
        for client in clients {
            client.join().expect("no connection was lost");
        }
        drop(servers);
        assert!(done.load(SeqCst) > 50, "{} connections", done.load(SeqCst));
        proxy.await_idle("raw");
        proxy.await_idle("db");
        assert!(!proxy.process.log().contains("panic"), "{}", proxy.process.log());
    }
}

#[test]
fn pattern_takes_names_and_failed_handshake_reaches_no_server() {
    for driver in DRIVERS {
        let echo = EchoServer::start(b"any");
        let text = format!(
            "[backends.any.servers.a]\nurl = \"{}\"\n[frontends.any]\nbackend = \"any\"\n[frontends.any.routes.r]\n\
             rule = \"HostSNIRegexp:{{sub:[a-z]+}}.test\"\n",
            echo.url()
        );
        let proxy = Proxy::with(driver, Options::default(), 0, &text);
        for name in ["a.test", "redis.test"] {
            read_exact(&mut tls_connect(proxy.https(), proxy.folder(), name, &[]), b"any", name);
        }
        // A handshake that fails is logged with its reason, and reaches no server.
        let mut broken = crate::peers::connect(proxy.https());
        let hello = include_bytes!("hellos/openssl.bin");
        let mut bytes = hello.to_vec();
        // The name becomes one of the route, of the same length.
        let at = bytes.windows(14).position(|window| window == b"db.example.com").expect("the name");
        bytes[at..at + 14].copy_from_slice(b"abcdefghi.test");
        broken.write_all(&bytes).expect("sends");
        broken.write_all(&[23, 3, 3, 0, 1, 0]).expect("sends");
        let mut rest = Vec::new();
        let _ = broken.read_to_end(&mut rest);
        let lines = proxy.access_log(3);
        assert!(lines.iter().any(|line| line.contains("\"EndReason\":\"handshake_failed\"")), "{lines:?}");
        assert_eq!(echo.0.count(), 2);
    }
}
