//! A client that sends bytes as they are and keeps what comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Time limit for a whole response.
const ANSWER_SECS_MAX: u64 = 10;
/// A connection on which nothing arrives for this long after its response counts as kept open.
pub const QUIET: Duration = Duration::from_millis(150);

pub struct Client {
    pub stream: TcpStream,
    /// Bytes that were received and not yet consumed.
    pub received: Vec<u8>,
}

/// A response, split into head and body.
#[derive(Debug, Default, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// The body ended as its framing says.
    pub is_whole: bool,
}

impl Client {
    pub fn to(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy accepts connections");
        stream.set_nodelay(true).expect("no delay");
        Client { stream, received: Vec::new() }
    }

    /// Sends bytes. Errors are ignored: the tests also cover a proxy that has already closed the connection.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    pub fn finish_sending(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads once; false at the end of the connection, an error after `limit`.
    fn more(&mut self, limit: Duration) -> Result<bool, ErrorKind> {
        let mut piece = vec![0; 64 * 1024];
        self.stream.set_read_timeout(Some(limit.max(Duration::from_millis(1)))).expect("a limit");
        match self.stream.read(&mut piece) {
            Ok(0) => Ok(false),
            Ok(bytes) => {
                self.received.extend_from_slice(&piece[..bytes]);
                Ok(true)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(ErrorKind::TimedOut),
            Err(e) => Err(e.kind()),
        }
    }

    /// Reads the next response; status 0 if none arrives.
    pub fn answer(&mut self) -> Answer {
        self.answer_to(false)
    }

    /// Reads the next final response, and drops informational ones before it.
    pub fn final_answer(&mut self) -> Answer {
        loop {
            let answer = self.answer();
            if !matches!(answer.status, 102..200) {
                return answer;
            }
        }
    }

    /// Reads the next response, which has no body if `is_head`.
    pub fn answer_to(&mut self, is_head: bool) -> Answer {
        let end = Instant::now() + Duration::from_secs(ANSWER_SECS_MAX);
        let head_len = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at + 4;
            }
            if !matches!(self.more(end.saturating_duration_since(Instant::now())), Ok(true)) {
                return Answer { head: text(&self.received), ..Answer::default() };
            }
        };
        let head = text(&self.received[..head_len]);
        self.received.drain(..head_len);
        let status = head.get(9..12).and_then(|t| t.parse().ok()).unwrap_or(0);
        let mut answer = Answer { status, head, ..Answer::default() };
        if is_head || matches!(status, 100..200 | 204 | 304) {
            answer.is_whole = true;
            return answer;
        }
        let length: Option<usize> = answer.field("content-length").and_then(|t| t.parse().ok());
        let is_chunked = answer.field("transfer-encoding").is_some_and(|t| t == "chunked");
        loop {
            let taken = match (is_chunked, length) {
                (true, _) => dechunk(&self.received),
                (false, Some(length)) if self.received.len() >= length => {
                    Some((self.received[..length].to_vec(), length))
                }
                _ => None,
            };
            if let Some((body, bytes)) = taken {
                self.received.drain(..bytes);
                return Answer { body, is_whole: true, ..answer };
            }
            if !matches!(self.more(end.saturating_duration_since(Instant::now())), Ok(true)) {
                answer.is_whole = !is_chunked && length.is_none();
                answer.body = std::mem::take(&mut self.received);
                return answer;
            }
        }
    }

    /// Whether the proxy closes the connection within `limit`. Bytes that arrive before are collected.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            match self.more(end.saturating_duration_since(Instant::now())) {
                Ok(true) => {}
                Ok(false) => return true,
                Err(ErrorKind::TimedOut) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Reads to the end of the connection, or until nothing arrives for `quiet`; also returns whether the connection ended.
    pub fn rest(&mut self, quiet: Duration) -> (Vec<u8>, bool) {
        loop {
            match self.more(quiet) {
                Ok(true) => {}
                Ok(false) => return (std::mem::take(&mut self.received), true),
                Err(kind) => return (std::mem::take(&mut self.received), kind != ErrorKind::TimedOut),
            }
        }
    }
}

impl Answer {
    /// The first value of a field; the name's case does not matter.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .find_map(|(n, value)| n.eq_ignore_ascii_case(name).then(|| value.trim()))
    }

    pub fn has_connection_close(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

pub fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "\r\n").replace("\\'", "'").replace("\\\"", "\"")
}

/// Decodes a whole chunked body at the front of `bytes`: its payload and its length on the wire.
pub fn dechunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = find(bytes.get(at..)?, b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?, 16).ok()?;
        at += line + 2;
        if size == 0 {
            loop {
                let line = find(bytes.get(at..)?, b"\r\n")?;
                at += line + 2;
                if line == 0 {
                    return Some((body, at));
                }
            }
        }
        body.extend_from_slice(bytes.get(at..at + size)?);
        bytes.get(at + size..at + size + 2)?;
        at += size + 2;
    }
}
