//! A proxy, servers with scripted responses, and a client that shows every byte.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::base::free_port;
pub use crate::base::ringway::DRIVERS;
use crate::base::ringway::{Ringway, Setup};

const CONFIG: &str = r#"
logLevel = "INFO"
workers = 2
providersThrottleDuration = "100ms"
@fixed@
[file]
filename = "@dir@/rules.toml"
watch = true
[entryPoints.http]
address = "127.0.0.1:@http@"
@entry@
"#;
const RULES: &str = "rules.toml";
const LOADED: &str = "Server configuration reloaded";

/// A request as a server received it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The fields, one line each.
    pub trailers: Vec<String>,
}

impl Seen {
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    pub fn first(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// A server whose raw responses a function writes; it counts and records its requests.
pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
}

impl Origin {
    pub fn start(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Origin {
        Origin::on("127.0.0.1:0", answer)
    }

    pub fn on(address: &str, answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Origin {
        Origin::streaming(address, move |seen, out| out.write_all(&answer(seen)))
    }

    /// The function writes the response itself, in several parts if needed.
    pub fn streaming(
        address: &str,
        answer: impl Fn(&Seen, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Origin {
        let listener = TcpListener::bind(address).expect("a port for a server");
        let address = listener.local_addr().expect("an address");
        let (seen, stop) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(AtomicBool::new(false)));
        let (answer, kept, stopped) = (Arc::new(answer), Arc::clone(&seen), Arc::clone(&stop));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                thread::spawn(move || serve(stream, &*answer, &kept));
            }
        });
        Origin { address, seen, stop }
    }

    /// Responds to every request with 200 and this body.
    pub fn with_body(body: &'static str) -> Origin {
        Origin::start(move |_| response(200, &[], body))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the server was asked")
    }

    /// The requests with this target: a request of the test may arrive before a server's first probe.
    pub fn asked_for(&self, target: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.target == target).collect()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, answer: &dyn Fn(&Seen, &mut TcpStream) -> std::io::Result<()>, seen: &Mutex<Vec<Seen>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader) {
        seen.lock().unwrap().push(request.clone());
        if answer(&request, &mut writer).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let (first, fields) = read_head(reader)?;
    let mut words = first.split(' ');
    let mut seen =
        Seen { method: words.next()?.to_owned(), target: words.next()?.to_owned(), fields, ..Seen::default() };
    (seen.body, seen.trailers) = read_body(reader, &seen.fields, false)?;
    Some(seen)
}

type Fields = Vec<(String, String)>;

fn read_head(reader: &mut impl BufRead) -> Option<(String, Fields)> {
    let mut line = || {
        let mut text = String::new();
        (reader.read_line(&mut text).ok()? > 0).then(|| text.trim_end().to_owned())
    };
    let first = line()?;
    let mut fields = Vec::new();
    loop {
        let text = line()?;
        if text.is_empty() {
            return Some((first, fields));
        }
        let (name, value) = text.split_once(':')?;
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// The body, and the trailers, one line each.
fn read_body(reader: &mut impl BufRead, fields: &Fields, until_close: bool) -> Option<(Vec<u8>, Vec<String>)> {
    let value = |name: &str| fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
    let mut body = Vec::new();
    if value("transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            if size == 0 {
                return Some((body, read_trailers(reader)?));
            }
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            body.extend_from_slice(&chunk[..size]);
        }
    }
    match value("content-length") {
        Some(length) => {
            body = vec![0; length.parse().ok()?];
            reader.read_exact(&mut body).ok()?;
        }
        None if until_close => drop(reader.read_to_end(&mut body)),
        None => {}
    }
    Some((body, Vec::new()))
}

fn read_trailers(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => return Some(lines),
            line => lines.push(line.to_owned()),
        }
    }
}

/// Formats a whole response with its length.
pub fn response(status: u16, fields: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
    fields.iter().for_each(|field| text += &format!("{field}\r\n"));
    (text + "\r\n" + body).into_bytes()
}

/// A response of the proxy.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub fields: Fields,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn first(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status and body, for comparing both at once.
    pub fn status_and_text(&self) -> (u16, String) {
        (self.status, self.text())
    }
}

/// A proxy process, killed when the value is dropped.
pub struct Proxy {
    pub port: u16,
    pub process: Ringway,
}

impl Proxy {
    /// `fixed`: the static configuration beside the entry point `http`; `rules`: the file provider's.
    pub fn start(driver: &str, fixed: &str, rules: &str) -> Proxy {
        Proxy::with_entry_points(driver, "", fixed, rules)
    }

    /// `entry`: more keys of the entry point `http`.
    pub fn with_entry_points(driver: &str, entry: &str, fixed: &str, rules: &str) -> Proxy {
        let setup = Setup::new(driver, CONFIG).fill("@fixed@", fixed).fill("@entry@", entry);
        let process = setup.file(RULES, rules).spawn();
        process.await_log(LOADED, 1);
        Proxy { port: process.http, process }
    }

    /// Writes other rules and waits until they are in force.
    pub fn reload(&self, rules: &str) {
        let before = self.process.log().matches(LOADED).count();
        self.write_rules(rules);
        self.process.await_log(LOADED, before + 1);
    }

    /// Writes other rules, which may be invalid.
    pub fn write_rules(&self, rules: &str) {
        std::fs::write(self.process.file(RULES), rules).expect("rules");
    }

    pub fn get(&self, host: &str, target: &str) -> Answer {
        self.send("GET", host, target, &[], b"")
    }

    pub fn send(&self, method: &str, host: &str, target: &str, fields: &[&str], body: &[u8]) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        fields.iter().for_each(|field| head += &format!("{field}\r\n"));
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut message = (head + "\r\n").into_bytes();
        message.extend_from_slice(body);
        let mut stream = self.connect();
        stream.write_all(&message).expect("the proxy takes the request");
        read_answer(stream, method == "HEAD")
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the proxy accepts");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        stream
    }

    /// Runs curl against the proxy; returns its output.
    pub fn curl(&self, arguments: &[&str], host: &str, target: &str) -> String {
        let url = format!("http://{host}:{}{target}", self.port);
        let resolve = format!("{host}:{}:127.0.0.1", self.port);
        let fixed = ["-sS", "--max-time", "20", "--resolve", &resolve, &url];
        crate::base::stdout_of("curl", &[arguments, &fixed].concat())
    }
}

/// Reads one response to its end.
pub fn read_answer(stream: TcpStream, is_head: bool) -> Answer {
    let mut reader = BufReader::new(stream);
    let (first, fields) = read_head(&mut reader).expect("an answer");
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let has_body = !is_head && !matches!(status, 204 | 304);
    let body = if has_body { read_body(&mut reader, &fields, true).expect("a body").0 } else { Vec::new() };
    Answer { status, fields, body }
}

/// Rules for several frontends `NAME` with `Host:NAME`, each with the backend `NAME`.
#[derive(Default)]
pub struct Rules(String);

impl Rules {
    /// `frontend` and `backend`: the keys of the two tables, with sub-tables named from the root by `F` and `B`.
    pub fn add(mut self, name: &str, servers: &[String], frontend: &str, backend: &str) -> Self {
        let (f, b) = (format!("frontends.{name}"), format!("backends.{name}"));
        self.0 += &format!("[{b}]\n{}\n", backend.replace("[B.", &format!("[{b}.")));
        for (at, url) in servers.iter().enumerate() {
            self.0 += &format!("[{b}.servers.s{at}]\nurl={url:?}\n");
        }
        let frontend = frontend.replace("[F.", &format!("[{f}."));
        self.0 += &format!("[{f}]\nbackend={name:?}\n{frontend}\n[{f}.routes.r]\nrule=\"Host:{name}\"\n");
        self
    }

    pub fn text(&self) -> &str {
        &self.0
    }
}

/// A URL of a port on which no server listens.
pub fn dead_url() -> String {
    format!("http://127.0.0.1:{}", free_port())
}
