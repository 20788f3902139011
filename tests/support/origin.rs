//! A small HTTP origin server for the live tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// An origin server: `/slow` waits a second, `/bytes/N` sends N bytes, `/echo` returns the body, `/ws` upgrades and echoes;
/// any other path returns the request's head.
pub struct Origin {
    pub address: SocketAddr,
    pub requests: Arc<AtomicUsize>,
    /// Bytes of `/bytes` written to sockets so far.
    pub sent: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

/// The heads of the first requests are kept.
const HEADS_KEPT_MAX: usize = 1000;

impl Origin {
    pub fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (requests, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&heads);
        let origin = Origin { address, requests: Arc::clone(&requests), sent: Arc::clone(&sent), heads };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = stream.set_nodelay(true);
                let (requests, sent, kept) = (Arc::clone(&requests), Arc::clone(&sent), Arc::clone(&kept));
                thread::spawn(move || answer_all(stream, &requests, &sent, &kept));
            }
        });
        origin
    }

    /// The heads of the requests for this target.
    pub fn heads(&self, target: &str) -> Vec<String> {
        let heads = self.heads.lock().expect("unpoisoned");
        heads.iter().filter(|head| head.split(' ').nth(1) == Some(target)).cloned().collect()
    }
}

/// Serves a connection until the client or an error ends it.
fn answer_all(
    mut stream: TcpStream,
    requests: &AtomicUsize,
    sent: &AtomicUsize,
    heads: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut pending = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = find(&pending, b"\r\n\r\n") {
                break end + 4;
            }
            read_more(&mut stream, &mut pending)?;
        };
        requests.fetch_add(1, SeqCst);
        let head = String::from_utf8_lossy(&pending[..end]).into_owned();
        pending.drain(..end);
        if let Some(mut heads) = heads.lock().ok().filter(|heads| heads.len() < HEADS_KEPT_MAX) {
            heads.push(head.clone());
        }
        let path = head.split(' ').nth(1)?.to_owned();
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        while pending.len() < length.unwrap_or(0) {
            read_more(&mut stream, &mut pending)?;
        }
        let body: Vec<u8> = pending.drain(..length.unwrap_or(0)).collect();
        match path.as_str() {
            "/slow" => thread::sleep(Duration::from_secs(1)),
            "/ws" => return tunnel(stream, pending),
            _ => {}
        }
        if let Some(size) = path.strip_prefix("/bytes/") {
            send_bytes(&mut stream, size.parse().ok()?, sent)?;
            continue;
        }
        let body = if path == "/echo" { body } else { head.into_bytes() };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Origin: yes\r\n\r\n", body.len());
        stream.write_all(answer.as_bytes()).ok()?;
        stream.write_all(&body).ok()?;
    }
}

/// The body of `/bytes`: a pattern that reveals lost or swapped bytes.
pub fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn send_bytes(stream: &mut TcpStream, size: usize, sent: &AtomicUsize) -> Option<()> {
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes()).ok()?;
    for part in pattern(size).chunks(64 << 10) {
        stream.write_all(part).ok()?;
        sent.fetch_add(part.len(), SeqCst);
    }
    Some(())
}

fn tunnel(mut stream: TcpStream, mut pending: Vec<u8>) -> Option<()> {
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").ok()?;
    loop {
        stream.write_all(&pending).ok()?;
        pending.clear();
        read_more(&mut stream, &mut pending)?;
    }
}

fn read_more(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 65536];
    match stream.read(&mut buffer) {
        Ok(n) if n > 0 => pending.extend_from_slice(&buffer[..n]),
        _ => return None,
    }
    Some(())
}

pub fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
