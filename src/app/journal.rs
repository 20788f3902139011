//! Writes the process log to the journal of systemd, with the facts of each line as fields (docs/reference/logs.md#journal).

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use serde_json::{Map, Value};

use crate::worker::log_queue::Destination;

/// The socket of the journal's native protocol.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Bytes of a line's text; the rest is cut off. A datagram of the journal holds more.
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// The journal. A line that it does not take goes to standard output.
pub struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// The journal, if standard output or standard error leads there (the variable `JOURNAL_STREAM`) and it can be reached.
    pub fn of_this_process() -> Option<Journal> {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        let is_stream = |path: &str| {
            let found = std::fs::metadata(path).ok();
            found.is_some_and(|found| format!("{}:{}", found.dev(), found.ino()) == stream)
        };
        if !is_stream("/proc/self/fd/1") && !is_stream("/proc/self/fd/2") {
            return None;
        }
        Journal::at(Path::new(SOCKET)).ok()
    }

    fn at(path: &Path) -> io::Result<Journal> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Journal { socket })
    }
}

impl Destination for Journal {
    /// Writes lines in the JSON form of the log.
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let sent = match serde_json::from_slice::<Map<String, Value>>(line) {
                Ok(members) => self.socket.send(&entry(&members)).is_ok(),
                Err(_) => false,
            };
            if !sent {
                io::stdout().write_lines(&[line, b"\n"].concat())?;
            }
        }
        Ok(())
    }

    /// Connects again: the journal may have been restarted.
    fn reopen(&mut self) {
        if let Ok(journal) = Journal::at(Path::new(SOCKET)) {
            *self = journal;
        }
    }
}

/// An entry of the native protocol.
fn entry(members: &Map<String, Value>) -> Vec<u8> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut message = members.get("msg").map(text).unwrap_or_default();
    let mut fields = Vec::new();
    for (name, value) in members.iter().filter(|(name, _)| !matches!(name.as_str(), "level" | "msg" | "time")) {
        let value = text(value);
        message.push_str(&format!(" {name}={value}"));
        push_field(&mut fields, &field_name(name), &value);
    }
    let mut entry = Vec::with_capacity(message.len() + fields.len() + 64);
    push_field(&mut entry, "PRIORITY", priority(members.get("level").and_then(Value::as_str).unwrap_or_default()));
    push_field(&mut entry, "SYSLOG_IDENTIFIER", "ringway");
    push_field(&mut entry, "MESSAGE", &message);
    entry.append(&mut fields);
    entry
}

/// The priority of syslog for a level of the log.
fn priority(level: &str) -> &'static str {
    match level {
        "fatal" => "2",
        "error" => "3",
        "warning" => "4",
        "debug" => "7",
        _ => "6",
    }
}

/// The journal's name of a fact: `RINGWAY_FRONTEND`. Names of the journal have capitals, digits and underscores.
fn field_name(name: &str) -> String {
    let name = name.strip_prefix("fields.").unwrap_or(name);
    let upper = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    format!("RINGWAY_{}", upper.take(48).collect::<String>())
}

/// Adds a field. A value with a line end has its length in front.
fn push_field(entry: &mut Vec<u8>, name: &str, value: &str) {
    let end = (0..=value.len().min(MESSAGE_BYTES_MAX)).rev().find(|at| value.is_char_boundary(*at));
    let value = &value[..end.unwrap_or_default()];
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_a_line_become_fields() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let receiver = UnixDatagram::bind(&path).expect("a socket");
        let mut journal = Journal::at(&path).expect("a connection");
        let lines =
            b"{\"level\":\"error\",\"msg\":\"it\\nfailed\",\"time\":\"t\",\"server\":\"http://a\",\"fields.time\":3}\n\
            {\"level\":\"info\",\"msg\":\"up\",\"time\":\"t\"}\n";
        journal.write_lines(lines).expect("sent");
        let mut buffer = [0; 4096];
        let length = receiver.recv(&mut buffer).expect("an entry");
        let mut expected = b"PRIORITY=3\nSYSLOG_IDENTIFIER=ringway\nMESSAGE\n".to_vec();
        let message = b"it\nfailed fields.time=3 server=http://a";
        expected.extend_from_slice(&(message.len() as u64).to_le_bytes());
        expected.extend_from_slice(message);
        expected.extend_from_slice(b"\nRINGWAY_TIME=3\nRINGWAY_SERVER=http://a\n");
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), String::from_utf8_lossy(&expected));
        let length = receiver.recv(&mut buffer).expect("an entry");
        assert_eq!(&buffer[..length], b"PRIORITY=6\nSYSLOG_IDENTIFIER=ringway\nMESSAGE=up\n");
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        let mut entry = Vec::new();
        push_field(&mut entry, "A", &"ä".repeat(MESSAGE_BYTES_MAX));
        assert!(entry.len() <= MESSAGE_BYTES_MAX + 3 && std::str::from_utf8(&entry).is_ok());
    }
}
