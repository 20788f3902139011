//! Sends the request of a recorded title: through curl with the recorded arguments, or the bytes of a handwritten request.

use std::io::Write;

use crate::base::run;
use crate::recording::Block;
use crate::support::{Answer, Proxy, read_answer};

/// Handwritten requests by their recorded names, reconstructed from what the servers received.
const BY_HAND: &[(&str, &str)] = &[
    (
        "hop",
        "GET / HTTP/1.1\r\nHost: b1\r\nConnection: close, X-Drop\r\nX-Drop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: a\r\n\
         Te: trailers\r\nTrailers: x\r\nUpgrade: y\r\nAccept-Encoding: br\r\nForwarded: for=1\r\nVia: x\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n\
         X-Forwarded-Port: 99\r\nX-Forwarded-Prefix: evil\r\nX-Real-Ip: 7.7.7.7\r\nX-Forwarded-Server: z\r\n\r\n",
    ),
    ("noUA", "GET / HTTP/1.1\r\nHost: b1:8080\r\n\r\n"),
    ("http10", "GET / HTTP/1.0\r\nHost: b1\r\n\r\n"),
    ("http10nohost", "GET / HTTP/1.0\r\n\r\n"),
    ("nohost11", "GET / HTTP/1.1\r\n\r\n"),
    (
        "chunkedreq",
        "POST / HTTP/1.1\r\nHost: b1\r\nTransfer-Encoding: chunked\r\nTrailer: X-Req\r\n\r\n4\r\nbody\r\n0\r\nX-Req: v\r\n\r\n",
    ),
    ("paths", "GET //a/../b/%2e%2e/%41%2f;p=1?x;y=1&z=%zz&u=\u{e9} HTTP/1.1\r\nHost: b1\r\n\r\n"),
    ("rawutf8", "GET /\u{e9}?q HTTP/1.1\r\nHost: b1\r\n\r\n"),
    (
        "wsdead",
        "GET / HTTP/1.1\r\nHost: dead\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ),
    ("dead", "GET / HTTP/1.1\r\nHost: dead\r\n\r\n"),
    ("head", "HEAD / HTTP/1.1\r\nHost: b1\r\n\r\n"),
    ("204", "GET /?code=204 HTTP/1.1\r\nHost: b1\r\n\r\n"),
    ("304", "GET /?code=304 HTTP/1.1\r\nHost: b1\r\n\r\n"),
    (
        "resphop",
        "GET /?h=Connection:X-Z&h=X-Z:1&h=Keep-Alive:3&h=Proxy-Authenticate:a&h=Server:srv&h=Via:v&h=Upgrade:zz HTTP/1.1\r\nHost: b1\r\n\r\n",
    ),
    ("trace", "TRACE / HTTP/1.1\r\nHost: b1\r\n\r\n"),
    ("connect", "CONNECT b1:443 HTTP/1.1\r\nHost: b1:443\r\n\r\n"),
    ("absuri", "GET http://b1/x HTTP/1.1\r\nHost: other\r\n\r\n"),
];

/// The response to a recorded request; `None` where the request is not known.
pub fn answer(proxy: &Proxy, block: &Block) -> Result<Option<Answer>, String> {
    if !block.by_hand {
        return curl(proxy, &block.title).map(Some);
    }
    let Some((name, request)) = BY_HAND.iter().find(|(name, _)| *name == block.title) else { return Ok(None) };
    // One byte per character: recorded bytes beyond ASCII are not UTF-8.
    let bytes: Vec<u8> = match *name {
        "rawutf8" => request.chars().map(|c| c as u8).collect(),
        _ => request.as_bytes().to_vec(),
    };
    let mut stream = proxy.connect();
    stream.write_all(&bytes).map_err(|error| error.to_string())?;
    Ok(Some(read_answer(stream, *name == "head")))
}

/// A request that stays active as long as the value lives: its body does not end.
pub fn hold(proxy: &Proxy, host: &str) -> std::net::TcpStream {
    let mut stream = proxy.connect();
    let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    stream.write_all(head.as_bytes()).expect("the proxy takes the request");
    std::thread::sleep(std::time::Duration::from_millis(300));
    stream
}

fn curl(proxy: &Proxy, title: &str) -> Result<Answer, String> {
    let (host, rest) = title.split_once(' ').ok_or("a title without a target")?;
    let (target, arguments) = rest.split_once(' ').ok_or("a title without arguments")?;
    // The User-Agent of the recording; a field that ends with a semicolon is sent empty.
    let host = if host.is_empty() { "Host;".to_owned() } else { format!("Host: {host}") };
    let url = format!("http://127.0.0.1:{}{target}", proxy.port);
    let mut all = vec!["-sS", "-i", "--max-time", "20", "-A", "curl/7.88.1", "-H", &host];
    let given = split(arguments);
    all.extend(given.iter().map(String::as_str));
    all.push(&url);
    let output = run("curl", &all);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse(&text).ok_or_else(|| format!("curl: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Splits arguments that were recorded without quotes: a field's value extends to the next option.
fn split(arguments: &str) -> Vec<String> {
    let mut split: Vec<String> = Vec::new();
    for word in arguments.split_whitespace() {
        match split.last_mut() {
            Some(last) if last.ends_with(':') || (last.contains(": ") && !word.starts_with('-')) => {
                *last += &format!(" {word}");
            }
            _ => split.push(word.to_owned()),
        }
    }
    split
}

/// The last response in curl's output.
fn parse(text: &str) -> Option<Answer> {
    let at =
        text.match_indices("HTTP/1.").map(|(at, _)| at).filter(|at| *at == 0 || text[..*at].ends_with('\n')).last()?;
    let (head, body) = text[at..].split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let fields = lines.filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    Some(Answer { status, fields, body: body.as_bytes().to_vec() })
}
