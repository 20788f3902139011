//! Compression in front of real peers: slow senders, nginx's entity tags and ranges, trailers. No stream waits, and no validator lies.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::base::{Background, free_port, installed, tool_or_skip, wait_for_port};
use crate::support::*;

const GZIP: &str = "Accept-Encoding: gzip";
/// The pause of the slow sender between its lines.
const GAP: Duration = Duration::from_millis(400);
/// The longest time that a line may be on its way: far below [`GAP`], far above the scheduling of a busy machine.
const DELAY_MAX: Duration = Duration::from_millis(200);

fn compressing(driver: &str, rules: &Rules) -> Proxy {
    Proxy::with_entry_points(driver, "compress=true", "", rules.text())
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).expect("gzip");
    text
}

/// Reads a response of HTTP/1.0 as it arrives: the times at which the head and each further line could be read.
fn arrivals(mut stream: TcpStream) -> (String, Vec<(Instant, String)>) {
    let (mut got, mut head) = (Vec::new(), None);
    let (mut decoder, mut lines) = (flate2::write::GzDecoder::new(Vec::new()), Vec::new());
    loop {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).expect("the response");
        let now = Instant::now();
        got.extend_from_slice(&piece[..n]);
        if head.is_none() {
            let Some(end) = got.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            head = Some(String::from_utf8_lossy(&got[..end]).into_owned());
            lines.push((now, "head".to_owned()));
            got.drain(..end + 4);
        }
        if n == 0 {
            return (head.expect("a head"), lines);
        }
        decoder.write_all(&got).and_then(|()| decoder.flush()).expect("gzip");
        got.clear();
        let text = std::mem::take(decoder.get_mut());
        lines.extend(String::from_utf8_lossy(&text).split_terminator('\n').map(|line| (now, line.to_owned())));
        lines.retain(|(_, line)| !line.is_empty());
    }
}

#[test]
fn slow_streams_are_passed_on_as_their_sender_sends() {
    for driver in DRIVERS {
        for (kind, cut) in
            [("application/x-ndjson", 0), ("text/html", 3), ("text/event-stream", 1), ("image/x-unknown", 2)]
        {
            let (sent, times) = mpsc::channel();
            let origin = Origin::streaming("127.0.0.1:0", move |_, out| {
                out.set_nodelay(true)?;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
                out.write_all(head.as_bytes())?;
                let _ = sent.send(Instant::now());
                for number in 0..3 {
                    thread::sleep(GAP);
                    let chunk = format!("a\r\n{{\"row\":{number}}}\n\r\n");
                    // The cut leaves the end of the chunk, or of its size, for a segment of its own.
                    let (first, rest) = chunk.split_at(chunk.len() - cut);
                    out.write_all(first.as_bytes())?;
                    thread::sleep(Duration::from_millis(20));
                    out.write_all(rest.as_bytes())?;
                    let _ = sent.send(Instant::now());
                }
                thread::sleep(GAP);
                out.write_all(b"0\r\n\r\n")
            });
            let proxy = compressing(driver, &Rules::default().add("web", &[origin.url()], "", ""));
            let mut stream = proxy.connect();
            write!(stream, "GET / HTTP/1.0\r\nHost: web\r\n{GZIP}\r\n\r\n").unwrap();
            let (head, lines) = arrivals(stream);
            assert!(head.contains("Content-Encoding: gzip"), "{driver} {kind}: {head}");
            let texts: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts, ["head", "{\"row\":0}", "{\"row\":1}", "{\"row\":2}"], "{driver} {kind}");
            for ((arrived, text), sent) in lines.iter().zip(times.iter()) {
                let delay = arrived.saturating_duration_since(sent);
                assert!(delay < DELAY_MAX, "{driver} {kind}: {text} took {delay:?}");
            }
        }
    }
}

#[test]
fn short_whole_bodies_stay_plain_and_trailers_true() {
    let trailers = "Content-Digest: sha-256=:x:\r\nServer-Timing: db;dur=5\r\nETag: \"t\"\r\n";
    for driver in DRIVERS {
        let origin = Origin::start(move |seen| {
            let body = if seen.path() == "/long" { "row\n".repeat(300) } else { "row\n".to_owned() };
            let last = if seen.target.ends_with("?plain") { "" } else { trailers };
            let names = "Trailer: Content-Digest, Server-Timing";
            let head = format!("HTTP/1.1 200 OK\r\nETag: \"t\"\r\nTransfer-Encoding: chunked\r\n{names}\r\n\r\n");
            format!("{head}{:x}\r\n{body}\r\n0\r\n{last}\r\n", body.len()).into_bytes()
        });
        let proxy = compressing(driver, &Rules::default().add("web", &[origin.url()], "", ""));
        let raw = |target: &str| {
            let mut stream = proxy.connect();
            write!(stream, "GET {target} HTTP/1.1\r\nHost: web\r\n{GZIP}\r\nConnection: close\r\n\r\n").unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let plain = raw("/short?plain");
        assert!(plain.contains("Content-Length: 4\r\n") && plain.ends_with("\r\n\r\nrow\n"), "{driver}: {plain}");
        let short = raw("/short");
        assert!(
            short.contains("ETag: \"t\"\r\n") && short.ends_with(&format!("0\r\n{trailers}\r\n")),
            "{driver}: {short}"
        );
        let long = raw("/long");
        assert!(long.contains("ETag: W/\"t\"\r\n"), "{driver}: {long}");
        assert!(long.ends_with("\r\n0\r\nServer-Timing: db;dur=5\r\n\r\n"), "{driver}: {long}");
    }
}

/// nginx on loopback, with files that have entity tags and ranges.
struct Nginx {
    port: u16,
    _process: Background,
    _folder: tempfile::TempDir,
}

const NGINX: &str = r#"
daemon off; master_process off; pid @dir@/pid; error_log @dir@/error.log;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path @dir@/b; proxy_temp_path @dir@/p; fastcgi_temp_path @dir@/f; uwsgi_temp_path @dir@/u; scgi_temp_path @dir@/s;
  server {
    listen 127.0.0.1:@port@; root @dir@;
    location /fixed/ { alias @dir@/; add_header Cache-Control "public, no-transform"; }
  }
}
"#;

impl Nginx {
    fn start(text: &str) -> Nginx {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let path = |name: &str| folder.path().join(name);
        let config = NGINX.replace("@dir@", &folder.path().display().to_string()).replace("@port@", &port.to_string());
        std::fs::write(path("nginx.conf"), config).expect("a configuration");
        std::fs::write(path("text"), text).expect("a file");
        let mut permissions = std::fs::metadata(folder.path()).expect("the folder").permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        std::fs::set_permissions(folder.path(), permissions).expect("readable for nginx");
        let mut command = Command::new("nginx");
        command.arg("-c").arg(path("nginx.conf")).arg("-e").arg(path("start.log"));
        let process = Background::start(command, path("log"));
        wait_for_port(&format!("127.0.0.1:{port}"), Duration::from_secs(10));
        Nginx { port, _process: process, _folder: folder }
    }
}

#[test]
fn entity_tags_and_ranges_of_nginx_stay_true() {
    if !tool_or_skip("nginx", installed("nginx")) {
        return;
    }
    let text = "a line of the file, and another one\n".repeat(100);
    for driver in DRIVERS {
        let nginx = Nginx::start(&text);
        let url = format!("http://127.0.0.1:{}", nginx.port);
        let proxy = compressing(driver, &Rules::default().add("web", &[url], "", ""));
        let get = |target: &str, fields: &[&str]| proxy.send("GET", "web", target, fields, b"");
        let plain = get("/text", &[]);
        let strong = plain.first("ETag").expect("an entity tag").to_owned();
        let date = plain.first("Last-Modified").expect("a date").to_owned();
        let weak = format!("W/{strong}");
        assert!(strong.starts_with('"') && plain.text() == text && plain.first("Accept-Ranges") == Some("bytes"));
        assert_eq!(plain.first("Vary"), Some("Accept-Encoding"), "a cache must not give it to another client");

        let packed = get("/text", &[GZIP]);
        assert_eq!(
            (packed.first("ETag"), packed.first("Content-Encoding")),
            (Some(weak.as_str()), Some("gzip")),
            "{driver}"
        );
        assert_eq!((packed.first("Accept-Ranges"), packed.first("Content-Length")), (None, None));
        assert_eq!(unpacked(&packed.body), text);
        let head = proxy.send("HEAD", "web", "/text", &[GZIP], b"");
        for name in ["ETag", "Content-Encoding", "Accept-Ranges", "Content-Length", "Vary", "Last-Modified"] {
            assert_eq!(head.first(name), packed.first(name), "{driver}: HEAD as GET: {name}");
        }
        assert_eq!(proxy.send("HEAD", "web", "/text", &[], b"").first("Content-Length"), plain.first("Content-Length"));

        for (fields, status, tag) in [
            (vec![GZIP.to_owned(), format!("If-None-Match: {weak}")], 304, &weak),
            (vec![format!("If-None-Match: {strong}")], 304, &strong),
            (vec![GZIP.to_owned(), format!("If-Match: {weak}")], 200, &weak),
            (vec![format!("If-Match: {strong}")], 200, &strong),
            (vec![format!("If-Match: W/\"other\"")], 412, &String::new()),
        ] {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            let answer = get("/text", &fields);
            assert_eq!(answer.status, status, "{driver}: {fields:?}");
            assert!(tag.is_empty() || answer.first("ETag") == Some(tag), "{driver}: {fields:?}: {answer:?}");
        }

        let part = "Range: bytes=100-";
        for (fields, is_part) in [
            (vec![GZIP, part], true),
            (vec![part, &format!("If-Range: {strong}")], true),
            (vec![GZIP, part, &format!("If-Range: {strong}")], true),
            (vec![part, &format!("If-Range: {date}")], true),
            (vec![GZIP, part, &format!("If-Range: {date}")], false),
            (vec![GZIP, part, &format!("If-Range: {weak}")], false),
            (vec![part, &format!("If-Range: {weak}")], false),
        ] {
            let answer = get("/text", &fields);
            assert_eq!(answer.status, if is_part { 206 } else { 200 }, "{driver}: {fields:?}");
            let is_packed = answer.first("Content-Encoding") == Some("gzip");
            assert_eq!(is_packed, !is_part && fields.contains(&GZIP), "{driver}: {fields:?}");
            let body = if is_packed { unpacked(&answer.body) } else { answer.text() };
            assert_eq!(body, if is_part { &text[100..] } else { &text[..] }, "{driver}: {fields:?}");
            assert_eq!(answer.first("ETag"), Some(if is_packed { weak.as_str() } else { strong.as_str() }));
        }

        let fixed = get("/fixed/text", &[GZIP]);
        assert_eq!(
            (fixed.text() == text, fixed.first("ETag")),
            (true, Some(strong.as_str())),
            "{driver}: no-transform"
        );
        assert_eq!((fixed.first("Content-Encoding"), fixed.first("Accept-Ranges")), (None, Some("bytes")));
        let asked = get("/text", &[GZIP, "Cache-Control: no-transform"]);
        assert_eq!(
            (asked.text() == text, asked.first("Content-Encoding")),
            (true, None),
            "{driver}: the client forbids it"
        );
        assert_eq!(proxy.curl(&["--compressed"], "web", "/text"), text.trim_end());
    }
}
