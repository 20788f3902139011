//! Servers for the tests of the providers: a DNS service's API that records requests and gives prepared responses, and a name server.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

use crate::control::acme::dns::message::{class, put_data, put_name, put_u16, rtype};
use crate::control::acme::dns::record::ChallengeRecord;
use crate::control::acme::dns::resolver::Resolver;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Method and target.
    pub line: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Recorded {
    /// The value of a header field; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{}: {e}: {}", self.line, self.body))
    }
}

/// An API with prepared responses, which ends with the process.
pub struct Service {
    pub base: String,
    requests: Arc<Mutex<Vec<Recorded>>>,
    left: Arc<Mutex<VecDeque<(u16, String)>>>,
}

impl Service {
    /// Gives the responses (status and body) in their order, and 500 once all are used.
    pub fn start(responses: &[(u16, &str)]) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let left: VecDeque<(u16, String)> =
            responses.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let (requests, left) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(left)));
        let (record, give) = (Arc::clone(&requests), Arc::clone(&left));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let request = read(&stream);
                record.lock().unwrap().push(request);
                let (status, body) =
                    give.lock().unwrap().pop_front().unwrap_or((500, "no response is left".to_owned()));
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
                );
                (&stream).write_all(format!("{head}{body}").as_bytes()).unwrap();
            }
        });
        Service { base, requests, left }
    }

    /// All requests so far. Every prepared response must have been used.
    pub fn requests(&self) -> Vec<Recorded> {
        let left = self.left.lock().unwrap();
        let requests = self.requests.lock().unwrap().clone();
        assert!(left.is_empty(), "responses that no request has asked for: {left:?}; requests: {requests:#?}");
        requests
    }
}

fn read(stream: &TcpStream) -> Recorded {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let line = lines.first().map_or("", |line| line.trim_end_matches(" HTTP/1.1")).to_owned();
    let split = |line: &String| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let headers: Vec<(String, String)> = lines.iter().skip(1).filter_map(split).collect();
    let mut request = Recorded { line, headers, body: String::new() };
    let length = request.header("Content-Length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request.body = String::from_utf8(body).unwrap();
    request
}

/// A record of the name server: name, type and content in wire form.
pub type Line = (&'static str, u16, Vec<u8>);

/// The content of records with a name.
pub fn name_data(name: &str) -> Vec<u8> {
    let mut data = Vec::new();
    put_name(&mut data, name).unwrap();
    data
}

/// The content of a SOA record.
pub fn soa_data() -> Vec<u8> {
    [name_data("ns.example.com."), name_data("hostmaster.example.com."), vec![0; 20]].concat()
}

/// Starts a name server with these records; returns a resolver that asks it. It answers as long as the runtime runs.
pub async fn name_server(lines: Vec<Line>) -> Resolver {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&answer(&buffer[..length], &lines), peer).await;
        }
    });
    let mut resolver = Resolver::new(&[address.to_string()]);
    resolver.authority_port = address.port();
    resolver
}

fn answer(query: &[u8], lines: &[Line]) -> Vec<u8> {
    let mut reader = crate::control::acme::dns::message::Reader::behind_header(query);
    let (name, record_type, _) = reader.question().unwrap();
    let found: Vec<&Line> = lines.iter().filter(|(owner, kind, _)| *owner == name && *kind == record_type).collect();
    let exists = lines.iter().any(|(owner, ..)| owner.ends_with(&name));
    let mut response = query[..reader.position].to_vec();
    response[2] |= 0x80;
    response[3] = if exists { 0 } else { 3 };
    response[7] = found.len() as u8;
    response[11] = 0;
    for (owner, record_type, data) in found {
        put_name(&mut response, owner).unwrap();
        put_u16(&mut response, *record_type);
        put_u16(&mut response, class::IN);
        response.extend_from_slice(&[0, 0, 0, 60]);
        put_data(&mut response, data).unwrap();
    }
    response
}

/// A name server with the zone `example.com`.
pub async fn example_zone() -> Resolver {
    name_server(vec![("example.com.", rtype::SOA, soa_data())]).await
}

/// The record of the tests: name `_acme-challenge.www.example.com.`.
pub fn example_record() -> ChallengeRecord {
    ChallengeRecord::new("www.example.com", "the-token", "the-token.thumbprint")
}
