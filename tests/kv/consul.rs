//! A peer that answers as Consul's HTTP API for keys and values: listings, blocking queries, compare-and-swap, tokens.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub const TOKEN: &str = "a-token";

#[derive(Default)]
struct Keys {
    index: u64,
    /// Value and index of the last change of each key.
    values: BTreeMap<String, (Vec<u8>, u64)>,
}

/// The peer; it ends with the test's process.
pub struct Consul {
    keys: Arc<(Mutex<Keys>, Condvar)>,
    /// While set, every connection is closed at once.
    is_away: Arc<AtomicBool>,
    pub port: u16,
}

impl Consul {
    pub fn start() -> Consul {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let keys = Arc::new((Mutex::new(Keys { index: 10, ..Keys::default() }), Condvar::new()));
        let is_away = Arc::new(AtomicBool::new(false));
        let (shared, away) = (Arc::clone(&keys), Arc::clone(&is_away));
        thread::spawn(move || {
            for stream in listener.incoming().flatten().filter(|_| !away.load(SeqCst)) {
                let (shared, away) = (Arc::clone(&shared), Arc::clone(&away));
                thread::spawn(move || serve(stream, &shared, &away));
            }
        });
        Consul { keys, is_away, port }
    }

    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, SeqCst);
        self.keys.1.notify_all();
    }

    pub fn put(&self, key: &str, value: &str) {
        change(&self.keys, |keys, index| drop(keys.insert(key.to_owned(), (value.as_bytes().to_vec(), index))));
    }

    pub fn delete(&self, key: &str) {
        change(&self.keys, |keys, _| drop(keys.remove(key)));
    }
}

fn change(keys: &(Mutex<Keys>, Condvar), work: impl FnOnce(&mut BTreeMap<String, (Vec<u8>, u64)>, u64)) {
    let mut state = keys.0.lock().expect("not poisoned");
    state.index += 1;
    let index = state.index;
    work(&mut state.values, index);
    keys.1.notify_all();
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, keys: &(Mutex<Keys>, Condvar), away: &AtomicBool) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let (method, target) = line.trim_end().split_once(' ')?;
        let target = target.strip_suffix(" HTTP/1.1")?.to_owned();
        let (mut length, mut token) = (0, String::new());
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).ok()?;
            let Some((name, value)) = field.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "x-consul-token" => token = value.to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (status, index, text) = match token == TOKEN {
            true => answer(method, &target, body, keys, away)?,
            false => (403, 0, "Permission denied".to_owned()),
        };
        let head = format!("HTTP/1.1 {status} x\r\nX-Consul-Index: {index}\r\nContent-Length: {}\r\n\r\n", text.len());
        writer.write_all(head.as_bytes()).ok()?;
        writer.write_all(text.as_bytes()).ok()?;
    }
}

fn answer(
    method: &str,
    target: &str,
    body: Vec<u8>,
    keys: &(Mutex<Keys>, Condvar),
    away: &AtomicBool,
) -> Option<(u16, u64, String)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = path.strip_prefix("/v1/kv/")?.to_owned();
    let option = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let mut state = keys.0.lock().expect("not poisoned");
    match method {
        "PUT" => {
            let now = state.values.get(&key).map_or(0, |(_, index)| *index);
            let holds = option("cas").is_none_or(|index| index.parse() == Ok(now));
            drop(state);
            if holds {
                change(keys, |values, index| drop(values.insert(key, (body, index))));
            }
            Some((200, 0, holds.to_string()))
        }
        "DELETE" => {
            drop(state);
            change(keys, |values, _| drop(values.remove(&key)));
            Some((200, 0, "true".to_owned()))
        }
        "GET" => {
            let seen: u64 = option("index").and_then(|index| index.parse().ok()).unwrap_or(0);
            // A blocking query ends with a change, or after a while that is shorter than the one asked for.
            if seen >= state.index {
                state = keys.1.wait_timeout(state, Duration::from_secs(5)).expect("not poisoned").0;
            }
            if away.load(SeqCst) {
                return None;
            }
            let is_listed = |name: &str| if query.contains("recurse") { name.starts_with(&key) } else { *name == key };
            let item = |(name, (value, index)): (&String, &(Vec<u8>, u64))| {
                format!(r#"{{"Key":"{name}","Value":"{}","ModifyIndex":{index}}}"#, STANDARD.encode(value))
            };
            let items: Vec<String> = state.values.iter().filter(|(name, _)| is_listed(name)).map(item).collect();
            match items.is_empty() {
                true => Some((404, state.index, String::new())),
                false => Some((200, state.index, format!("[{}]", items.join(",")))),
            }
        }
        _ => None,
    }
}
