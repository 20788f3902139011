//! An origin server that responds with the bytes of a script, and records every request and its connection.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{dechunk, find, text};

/// How the origin handles a request.
#[derive(Clone)]
pub struct Script {
    /// The origin reads the body before it responds.
    pub reads_body: bool,
    pub pause: Duration,
    pub bytes: Vec<u8>,
    pub then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The next request may come.
    Keep,
    Close,
    /// Resets the connection after 100 ms.
    Reset,
    /// Sends nothing more, until the proxy has closed the connection or the test is over.
    Hold,
    /// As `Hold`, but does not notice that the proxy has closed, for longer than any test waits.
    Deaf,
    /// Echoes all further bytes.
    Echo,
}

impl Default for Script {
    fn default() -> Self {
        Script::answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }
}

impl Script {
    pub fn answer(bytes: impl AsRef<[u8]>) -> Script {
        Script { reads_body: true, pause: Duration::ZERO, bytes: bytes.as_ref().to_vec(), then: Then::Keep }
    }

    pub fn then(mut self, then: Then) -> Script {
        self.then = then;
        self
    }

    pub fn early(mut self) -> Script {
        self.reads_body = false;
        self
    }

    pub fn after(mut self, pause: Duration) -> Script {
        self.pause = pause;
        self
    }
}

/// A request, or the part of it that arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub connection: usize,
    pub head: String,
    pub body: Vec<u8>,
    /// Head and body arrived to their ends.
    pub is_whole: bool,
}

impl Seen {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// All values of a field.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
}

#[derive(Default)]
struct State {
    script: Script,
    seen: Vec<Seen>,
    connections: usize,
    /// Connections that have ended.
    ended: Vec<usize>,
    /// The newest connection, for unsolicited bytes.
    newest: Option<TcpStream>,
    bytes: usize,
}

#[derive(Clone)]
pub struct Origin {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Origin {
    pub fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the origin");
        let port = listener.local_addr().expect("bound").port();
        let origin = Origin { port, state: Arc::default() };
        let shared = origin.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let origin = shared.clone();
                thread::spawn(move || origin.serve(stream));
            }
        });
        origin
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the script for all further requests and clears the records.
    pub fn set_script(&self, script: Script) {
        let mut state = self.state();
        state.script = script;
        state.seen.clear();
        state.bytes = 0;
    }

    /// Sends bytes on the newest connection, whatever its state.
    pub fn send_unsolicited(&self, bytes: &str) {
        if let Some(stream) = &mut self.state().newest {
            let _ = stream.write_all(bytes.as_bytes());
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Bytes received since the last script, whole requests or not.
    pub fn bytes(&self) -> usize {
        self.state().bytes
    }

    pub fn has_ended(&self, connection: usize) -> bool {
        self.state().ended.contains(&connection)
    }

    /// Waits until `holds`, for at most `limit`.
    pub fn wait(&self, limit: Duration, holds: impl Fn(&Origin) -> bool) -> bool {
        let end = Instant::now() + limit;
        while !holds(self) {
            if Instant::now() > end {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    fn serve(&self, mut stream: TcpStream) {
        let connection = {
            let mut state = self.state();
            state.connections += 1;
            state.newest = stream.try_clone().ok();
            state.connections
        };
        let mut inbox = Vec::new();
        while self.one(connection, &mut stream, &mut inbox) {}
        let _ = stream.shutdown(Shutdown::Both);
        self.state().ended.push(connection);
    }

    /// Serves one request; false when the connection is over.
    fn one(&self, connection: usize, stream: &mut TcpStream, inbox: &mut Vec<u8>) -> bool {
        let head_end = loop {
            if let Some(at) = find(inbox, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more(stream, inbox) {
                if !inbox.is_empty() {
                    self.remember(connection, text(inbox), Vec::new(), false);
                }
                return false;
            }
        };
        let head = text(&inbox[..head_end]);
        inbox.drain(..head_end);
        let script = self.state().script.clone();
        let mut body = Vec::new();
        if script.reads_body {
            match self.body(&head, stream, inbox) {
                Ok(whole) => body = whole,
                Err(part) => {
                    self.remember(connection, head, part, false);
                    return false;
                }
            }
        }
        self.remember(connection, head, body, true);
        thread::sleep(script.pause);
        // The FIN is to arrive in one segment with the last bytes.
        if script.then == Then::Close && socket2::SockRef::from(&*stream).set_tcp_cork(true).is_err() {
            return false;
        }
        if stream.write_all(&script.bytes).is_err() {
            return false;
        }
        match script.then {
            Then::Keep => true,
            Then::Close => false,
            Then::Reset => {
                thread::sleep(Duration::from_millis(100));
                rustix::net::connect_unspec(&*stream).expect("a reset");
                false
            }
            Then::Hold => {
                while self.more(stream, inbox) {}
                false
            }
            Then::Deaf => {
                thread::sleep(Duration::from_secs(60));
                false
            }
            Then::Echo => {
                let mut piece = [0; 4096];
                let _ = stream.write_all(inbox);
                while let Ok(bytes @ 1..) = stream.read(&mut piece) {
                    let _ = stream.write_all(&piece[..bytes]);
                }
                false
            }
        }
    }

    fn more(&self, stream: &mut TcpStream, inbox: &mut Vec<u8>) -> bool {
        let mut piece = [0; 64 * 1024];
        match stream.read(&mut piece) {
            Ok(bytes @ 1..) => {
                inbox.extend_from_slice(&piece[..bytes]);
                self.state().bytes += bytes;
                true
            }
            _ => false,
        }
    }

    fn body(&self, head: &str, stream: &mut TcpStream, inbox: &mut Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
        let lower = head.to_ascii_lowercase();
        let length = lower.split("\r\ncontent-length:").nth(1).and_then(|rest| rest.lines().next());
        let length: Option<usize> = length.and_then(|text| text.trim().parse().ok());
        loop {
            if lower.contains("\r\ntransfer-encoding:") {
                if let Some((body, bytes)) = dechunk(inbox) {
                    // A body with trailers is recorded in its wire form, so that tests can check them.
                    let raw = inbox.drain(..bytes).collect::<Vec<u8>>();
                    return Ok(if find(&raw, b"\r\n0\r\n\r\n").is_some() { body } else { raw });
                }
            } else {
                let length = length.unwrap_or(0);
                if inbox.len() >= length {
                    return Ok(inbox.drain(..length).collect());
                }
            }
            if !self.more(stream, inbox) {
                return Err(std::mem::take(inbox));
            }
        }
    }

    fn remember(&self, connection: usize, head: String, body: Vec<u8>, is_whole: bool) {
        self.state().seen.push(Seen { connection, head, body, is_whole });
    }
}
