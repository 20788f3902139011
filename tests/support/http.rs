//! A client with one persistent connection, for responses with a Content-Length.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const ANSWER_SECS_MAX: u64 = 15;

pub struct Client {
    port: u16,
    stream: TcpStream,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a field, if the response has exactly one.
    pub fn field(&self, name: &str) -> Option<&str> {
        let value = |line: &&str| line.split_once(": ").is_some_and(|(found, _)| found.eq_ignore_ascii_case(name));
        let mut lines = self.head.lines().filter(value);
        let line = lines.next().filter(|_| lines.next().is_none())?;
        line.split_once(": ").map(|(_, value)| value)
    }
}

impl Client {
    pub fn to(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECS_MAX))).expect("a time limit");
        stream.set_nodelay(true).expect("no delay");
        Client { port, stream }
    }

    pub fn get(&mut self, host: &str, path: &str) -> Answer {
        self.send("GET", host, path, "")
    }

    /// Sends a request and reads the whole response; reconnects if the response ends the connection.
    pub fn send(&mut self, method: &str, host: &str, path: &str, body: &str) -> Answer {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n{body}");
        self.stream.write_all(request.as_bytes()).expect("sent");
        let mut got = Vec::new();
        let mut buffer = [0; 16 * 1024];
        let (head, length) = loop {
            let text = String::from_utf8_lossy(&got);
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                break (head.to_owned(), length.and_then(|n| n.parse().ok()).unwrap_or(0));
            }
            self.receive(&mut buffer, &mut got);
        };
        while got.len() < head.len() + 4 + length {
            self.receive(&mut buffer, &mut got);
        }
        let body = String::from_utf8_lossy(&got[head.len() + 4..]).into_owned();
        if head.contains("Connection: close") {
            *self = Client::to(self.port);
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head, body }
    }

    fn receive(&mut self, buffer: &mut [u8], got: &mut Vec<u8>) {
        let n = self.stream.read(buffer).expect("an answer");
        assert!(n > 0, "closed after {:?}", String::from_utf8_lossy(got));
        got.extend_from_slice(&buffer[..n]);
    }
}
