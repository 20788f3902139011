//! A constant load over persistent connections; every failure is recorded.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const CLIENTS: usize = 16;
const ANSWER_SECS_MAX: u64 = 15;

/// Clients that send their next request as soon as they have a response, until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    started: Instant,
    clients: Vec<JoinHandle<Vec<String>>>,
}

/// The results of all requests.
pub struct Done {
    pub answered: usize,
    pub failures: Vec<String>,
    pub secs: f64,
}

impl Load {
    pub fn start(port: u16, host: &str) -> Load {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let clients = (0..CLIENTS).map(|n| {
            let (stop, answered, request) = (Arc::clone(&stop), Arc::clone(&answered), request.clone());
            // Connections with different numbers of requests: some of them are new at any moment.
            let length = 1 + n * 20;
            thread::spawn(move || ask(port, &request, length, &stop, &answered))
        });
        Load { clients: clients.collect(), stop, answered, started: Instant::now() }
    }

    pub fn stop(self) -> Done {
        self.stop.store(true, Relaxed);
        let failures = self.clients.into_iter().flat_map(|client| client.join().expect("a client")).collect();
        Done { answered: self.answered.load(Relaxed), failures, secs: self.started.elapsed().as_secs_f64() }
    }
}

impl Done {
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.secs
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, {:.0}/s, {} failed",
            self.answered + self.failures.len(),
            self.rate(),
            self.failures.len()
        )
    }
}

fn ask(port: u16, request: &str, length: usize, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let mut failures = Vec::new();
    let mut connection: Option<(TcpStream, usize)> = None;
    while !stop.load(Relaxed) {
        let (mut stream, used) = match connection.take() {
            Some(kept) => kept,
            None => match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => (stream, 0),
                Err(e) => {
                    failures.push(format!("connect: {e}"));
                    continue;
                }
            },
        };
        match exchange(&mut stream, request) {
            Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => {
                answered.fetch_add(1, Relaxed);
                if !answer.contains("Connection: close") && used + 1 < length {
                    connection = Some((stream, used + 1));
                }
            }
            Ok(answer) => failures.push(answer),
            Err(e) => failures.push(format!("after {used} requests on this connection: {e}")),
        }
    }
    failures
}

/// Sends a request and reads its response, which has a Content-Length.
fn exchange(stream: &mut TcpStream, request: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECS_MAX)))?;
    stream.write_all(request.as_bytes())?;
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without a whole answer")),
            n => got.extend_from_slice(&buffer[..n]),
        }
        let text = String::from_utf8_lossy(&got);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).and_then(|n| n.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Ok(text.into_owned());
            }
        }
    }
}
