//! The process: logs, pages, signals, subcommands, and the errors of a failing start.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup, ringway, run_with_config};
use crate::support::wait_for;

const CONFIG: &str = r#"
logLevel = "INFO"
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[api]
[api.statistics]
[ping]
[metrics.prometheus]
[accessLog]
filePath = "@dir@/access.log"
@format@
[file]
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
[frontends.all.routes.r]
rule = "PathPrefix:/"
"#;

fn setup(driver: &str, origin: &Origin, format: &str) -> Setup {
    Setup::new(driver, CONFIG).fill("@format@", format).fill("@origin@", origin.address)
}

fn access_log(proxy: &Ringway) -> String {
    fs::read_to_string(proxy.file("access.log")).unwrap_or_default()
}

#[test]
fn pages_report_running_and_past_state() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = setup(driver, &origin, "").start();
        let page = |path: &str| proxy.page(path);
        assert_eq!(page("/ping"), "OK");
        let providers: serde_json::Value = serde_json::from_str(&page("/api/providers")).expect("JSON");
        assert_eq!(providers["file"]["frontends"]["all"]["backend"], "one", "{providers}");
        let health: serde_json::Value = serde_json::from_str(&page("/health")).expect("JSON");
        assert!(health["total_count"].as_u64().is_some_and(|n| n > 0), "{health}");
        let metrics = page("/metrics");
        assert!(metrics.contains("traefik_entrypoint_requests_total{code=\"200\",entrypoint=\"http\""), "{metrics}");
        let check = ringway(&["healthcheck", &format!("--configFile={}", proxy.config_file().display())]);
        assert!(check.status.success(), "{check:?}");
    }
}

#[test]
fn refused_heads_and_connections_are_counted_and_logged() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = setup(driver, &origin, "").fill("INFO", "DEBUG").start();
        for head in
            ["GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"]
        {
            let mut client = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
            client.write_all(head.as_bytes()).expect("sent");
            assert!(client.read(&mut [0; 512]).expect("an answer") > 0);
        }
        let metrics = proxy.page("/metrics");
        for line in ["ringway_heads_refused_total 2", "ringway_connections_refused_total 0"] {
            assert!(metrics.lines().any(|found| found == line), "{driver}: {line} in {metrics}");
        }
        proxy.await_log("request refused: whitespace in or after a field name (RFC 9112 5.1)", 1);
        proxy.await_log("request refused: HTTP/1.1 without Host (RFC 9112 3.2)", 1);
    }
}

#[test]
fn access_log_has_both_formats_and_reopens_its_file() {
    for driver in DRIVERS {
        let origin = Origin::start();
        for format in ["", "format = \"json\""] {
            let proxy = setup(driver, &origin, format).start();
            proxy.curl(&["-A", "tester", &proxy.url("/looked?for=1")]);
            let line = wait_for("a line", Duration::from_secs(5), || {
                let text = access_log(&proxy);
                text.lines().find(|line| line.contains("/looked?for=1")).map(str::to_owned).ok_or(text.clone())
            });
            if format.is_empty() {
                assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
                assert!(line.contains("\"GET /looked?for=1 HTTP/1.1\" 200 ") && line.contains("\"tester\""), "{line}");
            } else {
                let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
                assert_eq!((&line["DownstreamStatus"], &line["RequestPath"]), (&200.into(), &"/looked?for=1".into()));
            }
            fs::rename(proxy.file("access.log"), proxy.file("access.log.1")).expect("moved");
            proxy.signal("USR1");
            wait_for("a new file with new lines", Duration::from_secs(10), || {
                proxy.curl(&[&proxy.url("/after")]);
                if access_log(&proxy).contains("/after") { Ok(()) } else { Err("no line".to_owned()) }
            });
        }
    }
}

/// Lines that a reader at the other end of a socket has received so far.
struct Reader(Arc<Mutex<String>>);

impl Reader {
    /// Reads what is sent to the next connection to `listener`.
    fn of(listener: TcpListener) -> Reader {
        let text: Arc<Mutex<String>> = Arc::default();
        let received = Arc::clone(&text);
        std::thread::spawn(move || {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                let mut text = received.lock().expect("no panic");
                text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Reader(text)
    }

    fn await_text(&self, wanted: &str) {
        wait_for(wanted, Duration::from_secs(20), || {
            let text = self.0.lock().expect("no panic").clone();
            if text.contains(wanted) { Ok(()) } else { Err(text) }
        });
    }
}

#[test]
fn logs_to_the_paths_of_standard_streams_go_to_sockets() {
    for (driver, path, redirection) in [
        ("io_uring", "/dev/stdout", ">"),
        ("epoll", "/proc/self/fd/1", ">"),
        ("epoll", "/dev/stderr", "2>"),
        ("epoll", "/dev/fd/2", "2>"),
    ] {
        let origin = Origin::start();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let reader = Reader::of(listener);
        // As systemd does for a service, the process gets a socket for its standard stream.
        let command = format!("exec \"$@\" {redirection} /dev/tcp/127.0.0.1/{port}");
        let both = format!("[traefikLog]\nfilePath = \"{path}\"\n[file]");
        let setup = setup(driver, &origin, "").fill("@dir@/access.log", path).fill("[file]", both);
        let proxy = setup.under(&["bash", "-c", &command, "bash"]).start();
        proxy.curl(&[&proxy.url("/first")]);
        reader.await_text("GET /first HTTP/1.1");
        reader.await_text("level=info msg=\"Starting server on");
        proxy.signal("USR1");
        proxy.curl(&[&proxy.url("/second")]);
        reader.await_text("GET /second HTTP/1.1");
        assert!(!proxy.log().contains("cannot be opened"), "{}", proxy.log());
    }
}

#[test]
fn check_and_start_agree() {
    for (odd, works, text) in [
        ("[entryPoints.odd]", true, "entryPoints.odd.address: is missing"),
        (
            "[entryPoints.odd]\naddress = \"127.0.0.1:0\"\n[entryPoints.odd.forwardedHeaders]\ntrustedIPs = [\"10.0.0.0/33\", \"10.0.0.1\"]",
            true,
            "this entry trusts no peer",
        ),
        (
            "[entryPoints.odd]\naddress = \"127.0.0.1:0\"\n[entryPoints.odd.redirect]\nregex = '\\Qa.b\\E'\nreplacement = \"c\"",
            true,
            "",
        ),
        (
            "[entryPoints.odd]\naddress = \"127.0.0.1:0\"\n[entryPoints.odd.redirect]\nregex = '(?=a)'\nreplacement = \"c\"",
            false,
            "is no regular expression",
        ),
        (
            "[entryPoints.odd]\naddress = \"127.0.0.1:0\"\n[entryPoints.odd.auth.forward]\naddress = \"http://127.0.0.1:1\"\n\
             [entryPoints.odd.auth.forward.tls]\ncert = \"/nowhere\"",
            false,
            "has only one of cert and key",
        ),
        ("[entryPoints.odd]\naddress = \"no.such.host.invalid:0\"", false, "cannot resolve no.such.host.invalid"),
    ] {
        let config = format!("logLevel = \"INFO\"\n[entryPoints.http]\naddress = \"127.0.0.1:@http@\"\n{odd}\n");
        let mut proxy = Setup::new("epoll", &config).spawn();
        match works {
            true => proxy.await_log("Starting server on", 2),
            false => assert!(!proxy.wait(Duration::from_secs(20)).success(), "{odd}"),
        }
        assert!(proxy.log().contains(text), "{odd}: {}", proxy.log());
        let check = ringway(&["check", &format!("--configFile={}", proxy.config_file().display())]);
        let said = String::from_utf8_lossy(&check.stdout).into_owned();
        assert_eq!(check.status.success(), works, "{odd}: {said}");
        assert!(said.contains(text), "{odd}: {said}");
    }
}

#[test]
fn check_lists_the_routes_of_files_that_are_not_applied() {
    let folder = tempfile::tempdir().expect("a folder");
    let (main, routes) = (folder.path().join("ringway.toml"), folder.path().join("routes.toml"));
    let text = format!(
        "[entryPoints.http]\naddress = \"127.0.0.1:0\"\n[entryPoints.dns]\naddress = \"127.0.0.1:0/udp\"\n[file]\nfilename = {:?}\n",
        routes.display().to_string()
    );
    fs::write(&main, text).expect("written");
    let check = |text: &str| {
        fs::write(&routes, text).expect("written");
        let output = ringway(&["check", &format!("--configFile={}", main.display())]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.success(), !said.contains("error["), "{said}");
        said
    };
    let backend = "[backends.b.servers.s]\nurl = \"tcp://127.0.0.1:1\"\n[frontends.f]\nbackend = \"b\"\n";
    let any = "[frontends.f.routes.r]\nrule = \"HostSNI:*\"\n";
    let good = check(&format!("{backend}entryPoints = [\"http\"]\n{any}"));
    assert!(!good.contains("warning"), "{good}");
    let unnamed = check(&format!("{backend}{any}"));
    assert!(unnamed.contains("error[no-entry-point]: frontend f: HostSNI:* takes every connection"), "{unnamed}");
    let passthrough = check(&format!("{backend}entryPoints = [\"http\"]\npassthrough = true\n{any}"));
    assert!(passthrough.contains("passthrough needs an entry point with TLS, and http has none"), "{passthrough}");
    let udp = check(&format!("{backend}entryPoints = [\"dns\"]\n{any}"));
    assert!(udp.contains("entry point dns is one of UDP and takes no connections"), "{udp}");
    assert!(check("[frontends").contains("error[invalid-toml]: this is not valid TOML"));
}

#[test]
fn configuration_of_another_encoding_starts_or_names_the_line() {
    let start = |config: &[u8]| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ringway.toml");
        fs::write(&file, config).expect("written");
        let output = ringway(&["check", &format!("--configFile={}", file.display())]);
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let entry = b"# Z\xfcrich\n[entryPoints.http] # \xe4\naddress = \"127.0.0.1:0\"\n";
    let (works, text) = start(entry);
    assert!(works && text.contains("can be used"), "{text}");
    let lines = entry.split(|&byte| byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
    let (works, text) = start(&[&b"\xef\xbb\xbf"[..], &lines].concat());
    assert!(works, "{text}");
    for (line, wanted) in
        [(&b"logLevel = \"\xe4\"\n"[..], "byte 0xE4 is not UTF-8"), (&b"logLevel = \"a\0b\"\n"[..], "ringway.toml:4:")]
    {
        let (works, text) = start(&[entry, line].concat());
        assert!(!works && text.contains(wanted) && text.contains("ringway.toml:4:"), "{text}");
    }
    let (works, text) = start(b"\xff\xfe[\0");
    assert!(!works && text.contains("UTF-16"), "{text}");
    let (works, text) = start(&[b"constraints = [\"tag==\"]\n", &entry[..]].concat());
    assert!(works && text.contains("has an empty value and matches no container"), "{text}");
}

#[test]
fn sigterm_lets_requests_finish_and_exits_with_0() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let mut proxy = setup(driver, &origin, "").start();
        let mut client = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
        client.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        let before = origin.requests.load(std::sync::atomic::Ordering::SeqCst);
        wait_for("the request is under way", Duration::from_secs(5), || {
            let now = origin.requests.load(std::sync::atomic::Ordering::SeqCst);
            if now > before || now >= 2 { Ok(()) } else { Err(now.to_string()) }
        });
        proxy.signal("TERM");
        let port = proxy.http;
        wait_for("listeners are closed", Duration::from_secs(5), || match TcpStream::connect(("127.0.0.1", port)) {
            Err(_) => Ok(()),
            Ok(_) => Err("still accepted".to_owned()),
        });
        let mut got = String::new();
        client.read_to_string(&mut got).expect("an answer");
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.contains("Connection: close\r\n"), "{driver}: {got}");
        assert_eq!(proxy.wait(Duration::from_secs(5)).code(), Some(0));
        assert!(proxy.log().contains("I have to go..."));
    }
}

#[test]
fn ping_reports_that_the_process_is_stopping() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let grace = "[lifeCycle]\nrequestAcceptGraceTimeout = \"2s\"";
        let mut proxy = setup(driver, &origin, grace).start();
        proxy.signal("TERM");
        let ping = format!("http://127.0.0.1:{}/ping", proxy.api);
        wait_for("503", Duration::from_secs(1), || {
            let status = proxy.curl(&["-o", "/dev/null", "-w", "%{http_code}", &ping]);
            if status == "503" { Ok(()) } else { Err(status) }
        });
        assert!(proxy.curl(&["-i", &proxy.url("/")]).starts_with("HTTP/1.1 200 "), "{driver}: still serves");
        assert_eq!(proxy.wait(Duration::from_secs(8)).code(), Some(0));
    }
}

#[test]
fn restart_after_sigkill_serves_on_the_same_ports() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let mut proxy = setup(driver, &origin, "").start();
        let _open = TcpStream::connect(("127.0.0.1", proxy.http)).expect("connected");
        proxy.signal("KILL");
        proxy.wait(Duration::from_secs(5));
        let start = Instant::now();
        proxy.restart();
        proxy.await_status("a.test", "200");
        assert!(start.elapsed() < Duration::from_secs(5), "{driver}: {:?}", start.elapsed());
    }
}

#[test]
fn start_errors_name_the_cause_and_the_remedy() {
    let (code, text) = run_with_config(&[], "[entryPoints\nhttp = 1\n");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("ringway.toml") && text.contains(":1"), "{text}");
    let (code, text) = run_with_config(&["check"], "[entryPoints.http]\nadress = \":80\"\n");
    assert!(text.contains("adress") && text.contains("address"), "{code:?} {text}");
    let (code, text) = run_with_config(&["check"], "[entryPoints.http]\naddress = \":80\"\n");
    assert_eq!(code, Some(0), "{text}");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let (code, text) = run_with_config(&[], &format!("[entryPoints.http]\naddress = \"{address}\"\n"));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&address.to_string()) && text.contains("in use"), "{text}");
}

#[test]
fn log_that_cannot_be_reopened_is_reported_and_continues() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = setup(driver, &origin, "").fill("/access.log", "/logs/access.log").start();
        let before = proxy.file("logs");
        fs::rename(&before, proxy.file("moved")).expect("renamed");
        proxy.signal("USR1");
        proxy.await_log("logs/access.log cannot be opened again", 1);
        assert!(proxy.curl(&["-i", &proxy.url("/still")]).starts_with("HTTP/1.1 200 "), "{driver}: {}", proxy.log());
        wait_for("the line of the log", Duration::from_secs(10), || {
            let lines = fs::read_to_string(proxy.file("moved").join("access.log")).unwrap_or_default();
            if lines.contains("GET /still ") { Ok(()) } else { Err(lines) }
        });
    }
}
