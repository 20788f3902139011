//! An Engine whose responses and API versions a test sets while the provider follows it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The state that the test sets.
#[derive(Default)]
struct State {
    newest: String,
    oldest: String,
    bodies: BTreeMap<String, String>,
    events: Vec<String>,
    /// Increased to break all event streams.
    restarts: usize,
    /// Whether all connections are closed without a response, as by a machine whose Engine has ended.
    is_away: bool,
    requests: Vec<String>,
}

/// A running Engine.
pub struct Scripted {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Scripted {
    /// Starts an Engine that answers in the API versions from `oldest` to `newest`.
    pub fn start(newest: &str, oldest: &str) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State { newest: newest.to_owned(), oldest: oldest.to_owned(), ..State::default() };
        let engine = Scripted { port: listener.local_addr().unwrap().port(), state: Arc::new(Mutex::new(state)) };
        let state = engine.state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                thread::spawn(move || serve(&state, stream));
            }
        });
        engine
    }

    /// Sets the body for a path without its version.
    pub fn answer(&self, path: &str, body: &str) {
        self.state.lock().unwrap().bodies.insert(path.to_owned(), body.to_owned());
    }

    /// Sends an event.
    pub fn event(&self, event: &str) {
        self.state.lock().unwrap().events.push(format!("{event}\n"));
    }

    /// Restarts the Engine with other API versions: event streams end, and earlier events are gone.
    pub fn restart(&self, newest: &str, oldest: &str) {
        let mut state = self.state.lock().unwrap();
        (state.newest, state.oldest) = (newest.to_owned(), oldest.to_owned());
        state.restarts += 1;
        state.events.clear();
    }

    /// Ends all connections, now and from now on.
    pub fn go_away(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_away = true;
        state.restarts += 1;
    }

    /// Answers again.
    pub fn come_back(&self) {
        self.state.lock().unwrap().is_away = false;
    }

    /// Changes the API versions without ending a connection, as a restart behind a proxy of the socket does.
    pub fn replace(&self, newest: &str, oldest: &str) {
        let mut state = self.state.lock().unwrap();
        (state.newest, state.oldest) = (newest.to_owned(), oldest.to_owned());
    }

    /// The paths of all requests so far, with their versions and without their queries.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }
}

/// A running container at 10.1.2.N that exposes port 80.
pub fn container(id: &str, n: u8) -> String {
    inspected(id, r#""State":{"Running":true}"#, &format!("10.1.2.{n}"), "{}")
}

/// The description of a container without the fields that API 1.52 dropped.
pub fn inspected(id: &str, state: &str, ip: &str, labels: &str) -> String {
    format!(
        r#"{{"Id":"{id}","Name":"/{id}",{state},"Config":{{"Labels":{labels}}},
        "NetworkSettings":{{"Ports":{{"80/tcp":null}},"Networks":{{"net":{{"NetworkID":"n1","IPAddress":"{ip}"}}}}}}}}"#
    )
}

fn number(version: &str) -> u32 {
    version.split_once('.').and_then(|(_, minor)| minor.parse().ok()).expect("a version 1.N")
}

fn serve(state: &Mutex<State>, mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 8192];
    let length = stream.read(&mut buffer)?;
    let head = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let full = head.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
    let (version, path) = match full.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')) {
        Some((minor, path)) => (minor.parse::<u32>().ok(), format!("/{path}")),
        None => (None, full.clone()),
    };
    let (newest, oldest, body) = {
        let mut state = state.lock().unwrap();
        if state.is_away {
            return Ok(());
        }
        state.requests.push(full.clone());
        (state.newest.clone(), state.oldest.clone(), state.bodies.get(&path).cloned())
    };
    let refusal = version.and_then(|version| match version {
        version if version < number(&oldest) => Some(format!(
            "client version 1.{version} is too old. Minimum supported API version is {oldest}, please upgrade your client to a newer version"
        )),
        version if version > number(&newest) => {
            Some(format!("client version 1.{version} is too new. Maximum supported API version is {newest}"))
        }
        _ => None,
    });
    let message = |text: &str| format!(r#"{{"message":"{text}"}}"#);
    let (status, body) = match (refusal, path.as_str(), body) {
        (Some(refusal), ..) => ("400 Bad Request", message(&refusal)),
        (_, "/version", _) => ("200 OK", format!(r#"{{"ApiVersion":"{newest}","MinAPIVersion":"{oldest}"}}"#)),
        (_, "/events", _) => return send_events(state, stream),
        (_, _, Some(body)) => ("200 OK", body),
        _ => ("404 Not Found", message("no such thing")),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn send_events(state: &Mutex<State>, mut stream: TcpStream) -> std::io::Result<()> {
    let restarts = state.lock().unwrap().restarts;
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for next in 0.. {
        let event = loop {
            let (event, is_over) = {
                let state = state.lock().unwrap();
                (state.events.get(next).cloned(), state.restarts != restarts)
            };
            match event {
                _ if is_over => return Ok(()),
                Some(event) => break event,
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        write!(stream, "{:x}\r\n{event}\r\n", event.len())?;
    }
    Ok(())
}
