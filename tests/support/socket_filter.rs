//! A filter in front of the engine's socket that passes the requests listed in docs/socket-proxy.md and nothing else.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

/// A row of the page's table.
struct Row {
    path: String,
    query: Vec<String>,
    when: String,
}

/// The page's table.
pub struct Listed(Vec<Row>);

impl Listed {
    pub fn read() -> Listed {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/socket-proxy.md");
        let page = fs::read_to_string(page).expect("the page");
        let row = |line: &str| {
            let (path, rest) = line.strip_prefix("| `/")?.split_once("` |")?;
            let (query, when) = rest.split_once('|')?;
            let query = query.split(',').map(|key| key.trim().trim_matches('`').to_owned()).collect();
            Some(Row { path: format!("/{path}"), query, when: when.to_owned() })
        };
        let rows: Vec<Row> = page.lines().filter_map(row).collect();
        assert!(rows.len() > 4, "the page has {} rows", rows.len());
        Listed(rows)
    }

    /// Whether the request is a GET of a listed path, with or without the API's version in front.
    pub fn passes(&self, line: &str) -> bool {
        let Some((path, query)) = request(line) else { return false };
        let mut keys = query.split('&').filter_map(|pair| pair.split('=').next()).filter(|key| !key.is_empty());
        let row = self.0.iter().find(|row| row.path == path);
        row.is_some_and(|row| keys.all(|key| row.query.iter().any(|known| known == key)))
    }

    /// The rows that the page marks as requested in such a case.
    pub fn paths(&self, case: &str) -> Vec<&str> {
        self.0.iter().filter(|row| row.when.contains(case)).map(|row| row.path.as_str()).collect()
    }
}

/// The path of a GET in the page's notation, and its query.
fn request(line: &str) -> Option<(String, &str)> {
    let (target, _) = line.strip_prefix("GET /")?.split_once(' ')?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_version = |piece: &str| piece.strip_prefix('v').is_some_and(|rest| rest.parse::<f32>().is_ok());
    let is_id = |piece: &str| piece.len() == 64 && piece.bytes().all(|b| b.is_ascii_hexdigit());
    let path = path.split_once('/').filter(|(first, _)| is_version(first)).map_or(path, |(_, rest)| rest);
    let general: Vec<&str> = path.split('/').map(|piece| if is_id(piece) { "ID" } else { piece }).collect();
    Some((format!("/{}", general.join("/")), query))
}

/// The passed and the refused requests, by request line.
#[derive(Default)]
pub struct Seen {
    passed: Mutex<Vec<String>>,
    refused: Mutex<Vec<String>>,
}

impl Seen {
    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().expect("the list").clone()
    }

    pub fn has_passed(&self, path: &str) -> bool {
        let passed = self.passed.lock().expect("the list");
        passed.iter().filter_map(|line| request(line)).any(|(passed, _)| passed == path)
    }
}

/// Passes listed requests to the engine at the socket, one per connection; refuses and records all others.
pub fn start(place: &Path, engine: &str) -> Arc<Seen> {
    let (seen, listed) = (Arc::<Seen>::default(), Arc::new(Listed::read()));
    let (listener, notes, engine) =
        (UnixListener::bind(place).expect("a socket"), Arc::clone(&seen), engine.to_owned());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (engine, notes, listed) = (engine.clone(), Arc::clone(&notes), Arc::clone(&listed));
            thread::spawn(move || carry(client, &engine, &notes, &listed));
        }
    });
    seen
}

fn carry(mut client: UnixStream, engine: &str, seen: &Seen, listed: &Listed) -> io::Result<()> {
    let mut head = vec![0; 8192];
    let length = client.read(&mut head)?;
    if length == 0 {
        return Ok(());
    }
    let line = String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned();
    if !listed.passes(&line) {
        seen.refused.lock().expect("the list").push(line);
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    seen.passed.lock().expect("the list").push(line);
    let mut engine = UnixStream::connect(engine)?;
    engine.write_all(&head[..length])?;
    let (mut from_engine, mut to_client) = (engine.try_clone()?, client.try_clone()?);
    let answers = thread::spawn(move || {
        let _ = io::copy(&mut from_engine, &mut to_client);
        to_client.shutdown(Shutdown::Both)
    });
    // A second request on the connection would pass unchecked: none is sent, or the filter refuses it like a writing method.
    if client.read(&mut head)? > 0 {
        seen.refused.lock().expect("the list").push("a second request on one connection".to_owned());
    }
    engine.shutdown(Shutdown::Both)?;
    answers.join().map_or(Ok(()), |ended| ended)
}
