//! A small HTTP/1.1 server that reports its identity and the request: the backend of the tests, the demo and the benchmark.
//!
//!     whoami [--address IP] [--port N] [--name TEXT]
//!
//! The program uses the standard library alone, so `rustc -O -C target-feature=+crt-static` turns it into a file that runs in an
//! empty image. One thread per connection, keep-alive, bodies read to their end.
//!
//! | path | answer |
//! |---|---|
//! | `/bytes/N` | N bytes of `y` |
//! | `/slow`, `/slow/MS` | the usual text, after 2000 or MS milliseconds |
//! | `/status/N` | that status, the usual text |
//! | `/echo` | the request's body |
//! | anything else | name, host name, addresses, and the request's head as it arrived |

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use std::{env, fs, process, thread};

const HEAD_BYTES_MAX: u64 = 64 * 1024;
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
const ANSWER_BYTES_MAX: usize = 1 << 30;
const BLOCK_BYTES: usize = 256 * 1024;
const SLOW_MILLIS: u64 = 2000;
/// Stack size of a thread: stacks count when hundreds of connections are open.
const STACK_BYTES: usize = 128 * 1024;

fn main() {
    let options = match Options::parse(env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("whoami: {problem}; usage: whoami [--address IP] [--port N] [--name TEXT]");
            process::exit(2);
        }
    };
    let listener = match TcpListener::bind((options.address.as_str(), options.port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("whoami: port {}: {error}", options.port);
            process::exit(1);
        }
    };
    println!("whoami: listening on port {}", options.port);
    let identity = identity(&options.name);
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let identity = identity.clone();
        let spawned = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            // A client that disconnects in the middle is not reported.
            let _ = serve(stream, &identity);
        });
        if let Err(error) = spawned {
            eprintln!("whoami: no thread for a connection: {error}");
        }
    }
}

struct Options {
    address: String,
    port: u16,
    name: String,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options { address: "0.0.0.0".to_owned(), port: 80, name: String::new() };
        while let Some(flag) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--port" => options.port = value.parse().map_err(|_| format!("{value} is no port number"))?,
                "--address" => options.address = value,
                "--name" => options.name = value,
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        Ok(options)
    }
}

struct Request {
    /// Request line and fields, each with its line end.
    head: String,
    path: String,
    head_only: bool,
    close: bool,
    body: Vec<u8>,
}

fn serve(stream: TcpStream, identity: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let remote = stream.peer_addr()?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(16 * 1024, stream);
    let mut out = Vec::with_capacity(1024);
    let block = vec![b'y'; BLOCK_BYTES];
    while let Some(request) = receive(&mut reader, &mut writer)? {
        let (status, length, text) = answer(&request, identity, &remote.to_string());
        out.clear();
        write!(out, "HTTP/1.1 {status} {}\r\nContent-Length: {length}\r\n", reason(status))?;
        out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
        if request.close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if !request.head_only {
            write_body(&mut writer, &mut out, text.as_deref(), length, &block)?;
        }
        writer.write_all(&out)?;
        if request.close {
            break;
        }
    }
    Ok(())
}

/// Appends a small body to the head in `out`; sends a large body in blocks, after which `out` is empty.
fn write_body(
    writer: &mut TcpStream,
    out: &mut Vec<u8>,
    text: Option<&[u8]>,
    length: usize,
    block: &[u8],
) -> io::Result<()> {
    if let Some(text) = text {
        out.extend_from_slice(text);
        return Ok(());
    }
    let first = length.min(block.len());
    out.extend_from_slice(&block[..first]);
    writer.write_all(out)?;
    out.clear();
    let mut left = length - first;
    while left > 0 {
        let part = left.min(block.len());
        writer.write_all(&block[..part])?;
        left -= part;
    }
    Ok(())
}

/// Returns status, body length, and the body unless it consists of `y` only.
fn answer(request: &Request, identity: &str, remote: &str) -> (u16, usize, Option<Vec<u8>>) {
    let path = request.path.split('?').next().unwrap_or_default();
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (first, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut status = 200;
    match first {
        "bytes" => return (200, rest.parse().unwrap_or(0usize).min(ANSWER_BYTES_MAX), None),
        "echo" => return (200, request.body.len(), Some(request.body.clone())),
        "slow" => thread::sleep(Duration::from_millis(rest.parse().unwrap_or(SLOW_MILLIS))),
        "status" => status = rest.parse().ok().filter(|code| (200..600).contains(code)).unwrap_or(200),
        _ => {}
    }
    let text = format!("{identity}RemoteAddr: {remote}\n{}", request.head.replace("\r\n", "\n")).into_bytes();
    (status, text.len(), Some(text))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        404 => "Not Found",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

/// Reads the next request of a connection, body included; `None` when the client closed it between two requests.
fn receive(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut head = String::with_capacity(512);
    let mut limited = reader.by_ref().take(HEAD_BYTES_MAX);
    loop {
        let start = head.len();
        if limited.read_line(&mut head)? == 0 {
            let clean = head.is_empty();
            return if clean { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        if head.len() - start <= 2 {
            break;
        }
    }
    let mut words = head.split_whitespace();
    let (method, path, version) =
        (words.next().unwrap_or_default(), words.next().unwrap_or("/"), words.next().unwrap_or_default());
    let connection = field(&head, "connection").unwrap_or_default().to_ascii_lowercase();
    let close = connection == "close" || (version == "HTTP/1.0" && connection != "keep-alive");
    let (head_only, path) = (method == "HEAD", path.to_owned());
    if field(&head, "expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = receive_body(reader, &head)?;
    Ok(Some(Request { head, path, head_only, close, body }))
}

fn receive_body(reader: &mut BufReader<TcpStream>, head: &str) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if field(head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut line = String::new();
            reader.by_ref().take(HEAD_BYTES_MAX).read_line(&mut line)?;
            let digits = line.trim().split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if size + body.len() as u64 > BODY_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            reader.by_ref().take(size).read_to_end(&mut body)?;
            // The data is followed by a line end; the last chunk by trailers up to an empty line.
            loop {
                line.clear();
                reader.by_ref().take(HEAD_BYTES_MAX).read_line(&mut line)?;
                if size > 0 || line.len() <= 2 {
                    break;
                }
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length: u64 = field(head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    if length > BODY_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    reader.by_ref().take(length).read_to_end(&mut body)?;
    Ok(body)
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Returns the lines that stay the same for the life of the process.
fn identity(name: &str) -> String {
    let mut text = String::new();
    if !name.is_empty() {
        text.push_str(&format!("Name: {name}\n"));
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    text.push_str(&format!("Hostname: {}\n", host.trim()));
    for address in local_addresses(&fs::read_to_string("/proc/net/fib_trie").unwrap_or_default()) {
        text.push_str(&format!("IP: {address}\n"));
    }
    text
}

/// Returns the IPv4 addresses of this network namespace. The kernel's routing trie prints each local address on the line before
/// its `/32 host LOCAL` mark, once per table that contains the address.
fn local_addresses(trie: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut last = "";
    for line in trie.lines() {
        if let Some((_, address)) = line.split_once("-- ") {
            last = address;
        } else if line.contains("/32 host LOCAL") && !found.iter().any(|known| known == last) {
            found.push(last.to_owned());
        }
    }
    found
}
