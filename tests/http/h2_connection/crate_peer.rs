//! The crate `h2` as the peer in both roles, in memory: it reads what this project writes and the other way round, and it refuses what this
//! project refuses, but for listed differences.

use std::time::Duration;

use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use hyper::body::Bytes;
use hyper::http::{HeaderMap, Request, Response};
use ringway::http::h2::connection::{Data, Opened, Received, StreamKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::endpoint::{Endpoint, LOCAL, Reaction};
use super::rules::{self, Case};
use super::wire::*;

/// Messages of one conversation.
const MESSAGES: usize = 60;

/// The length of a message's body: some have none, some many frames.
fn length(message: usize) -> usize {
    [0, 1, 1000, 16_384, 70_000, 200_000][message % 6]
}

fn body(message: usize) -> Vec<u8> {
    (0..length(message)).map(|at| (at ^ (at >> 8) ^ message) as u8).collect()
}

/// An exchange of this project's side: what has come and what is still to be sent.
struct Exchange {
    key: StreamKey,
    received: Vec<u8>,
    to_send: Vec<u8>,
    sent: usize,
    has_head: bool,
    is_complete: bool,
    trailers: Option<Vec<u8>>,
}

impl Exchange {
    fn new(key: StreamKey) -> Self {
        let (received, to_send) = (Vec::new(), Vec::new());
        Exchange { key, received, to_send, sent: 0, has_head: false, is_complete: false, trailers: None }
    }

    fn read(&mut self, side: &mut Endpoint) {
        let (payload, result) = side.read(self.key);
        self.received.extend_from_slice(&payload);
        self.is_complete |= result.expect("no stream fails") == Data::All;
    }

    /// Sends what the windows allow. Returns whether all was sent.
    fn send(&mut self, side: &mut Endpoint) -> bool {
        while self.sent < self.to_send.len() {
            let taken = side.connection.send_data(self.key, &self.to_send[self.sent..], false).expect("sent");
            if taken == 0 {
                return false;
            }
            self.sent += taken;
        }
        if let Some(lines) = self.trailers.take() {
            side.connection.send_trailers(self.key, &lines).expect("sent");
        }
        true
    }
}

/// Carries bytes between a connection of this project and the other end of the line until it is finished; `turn` acts after each step.
async fn drive(side: &mut Endpoint, line: &mut DuplexStream, mut turn: impl FnMut(&mut Endpoint)) {
    let mut buffer = vec![0; 10_007];
    loop {
        assert!(side.connection.error().is_none(), "{:?}", side.connection.error());
        turn(side);
        let output = side.take_bytes();
        if !output.is_empty() {
            line.write_all(&output).await.expect("the line is open");
            continue;
        }
        if side.connection.is_finished() {
            return;
        }
        match line.read(&mut buffer).await.expect("the line is open") {
            0 => side.connection.receive_end(),
            count => side.receive(&buffer[..count]),
        }
    }
}

/// Answers each request with its own body, and with trailers that name it.
fn echo(side: &mut Endpoint, exchanges: &mut Vec<Exchange>) {
    while let Some(opened) = side.connection.next_opened() {
        let Opened::Request(key) = opened else { panic!("{opened:?}") };
        let (head, lines) = side.request_lines(key);
        let mut exchange = Exchange::new(key);
        let target = head.target.of(&lines).to_vec();
        exchange.trailers = Some([b"X-Target: ", &target[..], b"\r\n"].concat());
        let cookie = head.fields.iter().find(|field| field.name.of(&lines) == b"cookie").expect("cookies");
        assert_eq!(cookie.value.of(&lines), b"a=b; c=d");
        assert_eq!(head.host.of(&lines), b"a.example:81");
        side.connection.send_head(key, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", false).expect("sent");
        side.connection.send_head(key, b"HTTP/1.1 200 OK\r\nX-A: b\r\nConnection: close\r\n\r\n", false).expect("sent");
        exchanges.push(exchange);
    }
    while side.connection.next_woken().is_some() {}
    exchanges.retain_mut(|exchange| {
        exchange.read(side);
        if !exchange.is_complete {
            return true;
        }
        if exchange.to_send.is_empty() {
            exchange.to_send = std::mem::take(&mut exchange.received);
        }
        let ends = exchange.send(side);
        if ends {
            side.release(exchange.key);
        }
        !ends
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// Sends a body as far as the peer's windows allow, until it is sent.
async fn send_body(mut stream: SendStream<Bytes>, mut body: Bytes, trailers: Option<HeaderMap>) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let capacity = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let capacity = capacity.expect("the stream is open").expect("the stream has capacity");
        let piece = body.split_to(capacity.min(body.len()));
        stream.send_data(piece, body.is_empty() && trailers.is_none()).expect("sent");
    }
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers).expect("sent");
    }
}

async fn receive_body(mut stream: RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.expect("the body arrives");
        stream.flow_control().release_capacity(piece.len()).expect("credit");
        body.extend_from_slice(&piece);
    }
    (body, stream.trailers().await.expect("the trailers arrive"))
}

/// One exchange of the crate's client.
async fn ask(client: SendRequest<Bytes>, message: usize) {
    let mut client = client.ready().await.expect("the connection is open");
    let request = Request::post(format!("http://a.example:81/{message}?q"))
        .header("cookie", "a=b")
        .header("cookie", "c=d")
        .header("x-long", "v".repeat(message * 10))
        .body(())
        .expect("a request");
    let body = Bytes::from(body(message));
    let (response, stream) = client.send_request(request, body.is_empty()).expect("sent");
    let (response, ()) = tokio::join!(response, send_body(stream, body.clone(), None));
    let response = response.expect("a response");
    assert_eq!((response.status().as_u16(), response.headers()["x-a"].as_bytes()), (200, &b"b"[..]));
    assert!(!response.headers().contains_key("connection"));
    let (received, trailers) = receive_body(response.into_body()).await;
    assert!(received == body, "message {message}");
    assert_eq!(trailers.expect("trailers")["x-target"], format!("/{message}?q"));
}

#[test]
fn client_of_the_crate_gets_whole_responses() {
    for window in [65_535, 5_000, 1 << 20] {
        runtime().block_on(async {
            let (mut line, other) = tokio::io::duplex(5003);
            let mut builder = h2::client::Builder::new();
            builder.initial_window_size(window).initial_connection_window_size(window.max(65_535)).enable_push(false);
            let theirs = async {
                let (client, connection) = builder.handshake(other).await.expect("a handshake");
                let asking = async move {
                    let asked: Vec<_> = (0..MESSAGES).map(|message| ask(client.clone(), message)).collect();
                    drop(client);
                    futures_util::future::join_all(asked).await;
                };
                let (result, ()) = tokio::join!(connection, asking);
                result.expect("the connection ends in order");
            };
            let mut server = Endpoint::new_server(LOCAL);
            let mut exchanges = Vec::new();
            let ours = drive(&mut server, &mut line, |side| echo(side, &mut exchanges));
            tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(theirs, ours) }).await.expect("in time");
        });
    }
}

/// Sends all requests and checks all responses of a server that echoes.
fn converse(side: &mut Endpoint, exchanges: &mut Vec<Exchange>, asked: &mut usize) {
    while *asked < MESSAGES && side.connection.has_peer_settings() {
        let Some(key) = side.connection.open(false) else { break };
        let lines = format!(
            "POST /{asked}?q HTTP/1.1\r\nHost: a.example:81\r\nCookie: a=b; c=d\r\nX-Long: {}\r\n\r\n",
            "v".repeat(*asked * 10)
        );
        let mut exchange = Exchange::new(key);
        exchange.to_send = body(*asked);
        exchange.trailers = Some(format!("X-Message: {asked}\r\n").into_bytes());
        side.connection.send_head(key, lines.as_bytes(), false).expect("sent");
        exchanges.push(exchange);
        *asked += 1;
    }
    while side.connection.next_woken().is_some() {}
    exchanges.retain_mut(|exchange| {
        exchange.send(side);
        if !exchange.has_head {
            match side.response(exchange.key).expect("no stream fails") {
                Some((Received::Final, status)) => assert_eq!(status, 200),
                _ => return true,
            }
            exchange.has_head = true;
        }
        exchange.read(side);
        if exchange.is_complete {
            assert!(exchange.received == exchange.to_send, "a body differs");
            assert!(side.connection.trailers(exchange.key).starts_with(b"x-message: "));
            side.release(exchange.key);
        }
        !exchange.is_complete
    });
    if *asked == MESSAGES && exchanges.is_empty() {
        side.connection.shut_down();
    }
}

/// Echoes one request of this project's client.
async fn reply(request: Request<RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    assert_eq!(request.uri().authority().expect("an authority").as_str(), "a.example:81");
    assert_eq!(request.headers()["cookie"], "a=b; c=d");
    let (body, trailers) = receive_body(request.into_body()).await;
    let stream = respond.send_response(Response::new(()), false).expect("sent");
    send_body(stream, Bytes::from(body), trailers).await;
}

#[test]
fn server_of_the_crate_gets_whole_requests() {
    for window in [65_535, 5_000, 1 << 20] {
        runtime().block_on(async {
            let (mut line, other) = tokio::io::duplex(5003);
            let mut builder = h2::server::Builder::new();
            builder.initial_window_size(window).max_concurrent_streams(20).max_header_list_size(1 << 20);
            let theirs = async {
                let mut connection = builder.handshake::<_, Bytes>(other).await.expect("a handshake");
                let mut replies = Vec::new();
                while let Some(accepted) = connection.accept().await {
                    let (request, respond) = accepted.expect("a request");
                    replies.push(tokio::spawn(reply(request, respond)));
                }
                for reply in replies {
                    reply.await.expect("a reply");
                }
            };
            let mut client = Endpoint::new_client(LOCAL);
            let (mut exchanges, mut asked) = (Vec::new(), 0);
            let ours = async {
                drive(&mut client, &mut line, |side| converse(side, &mut exchanges, &mut asked)).await;
                drop(line);
            };
            tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(theirs, ours) }).await.expect("in time");
            assert_eq!(asked, MESSAGES);
        });
    }
}

/// How a server of the crate reacts to these frames.
async fn their_reaction(frames: &[Frame]) -> Reaction {
    let (mut line, other) = tokio::io::duplex(1 << 22);
    let sent = [PREFACE, &settings(&[]).bytes(), &bytes_of(frames)].concat();
    line.write_all(&sent).await.expect("the line is open");
    let serving = async move {
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(100).enable_connect_protocol();
        let Ok(mut connection) = builder.handshake::<_, Bytes>(other).await else { return };
        let mut held = Vec::new();
        while let Some(Ok(accepted)) = connection.accept().await {
            held.push(accepted);
        }
        // What is queued still has to leave.
        let _ = tokio::time::timeout(Duration::from_millis(20), std::future::poll_fn(|cx| connection.poll_closed(cx)))
            .await;
    };
    // A connection that goes on says nothing more: the time is virtual.
    let _ = tokio::time::timeout(Duration::from_millis(100), serving).await;
    let mut output = Vec::new();
    line.read_to_end(&mut output).await.expect("the output");
    let frames = frames_of(&output);
    let error = frames.iter().find(|frame| frame.kind == GOAWAY).and_then(|frame| frame.payload[4..].first_chunk());
    match error.map(|code| u32::from_be_bytes(*code)) {
        Some(code) if code != NO_ERROR => Reaction::Connection(code),
        _ => frames
            .iter()
            .find(|f| f.kind == RST_STREAM)
            .map_or(Reaction::Accepted, |f| Reaction::Stream(f.stream, f.number())),
    }
}

const LENGTH: &str = "the crate says PROTOCOL_ERROR, RFC 9113 4.2 demands FRAME_SIZE_ERROR";

/// Cases in which the crate reacts otherwise, and why this project does not follow it.
const DIFFERENCES: &[(&str, &str)] = &[
    ("lengths: SETTINGS of 5 bytes", LENGTH),
    ("lengths: acknowledgement with a payload", LENGTH),
    ("lengths: PING of 7 bytes", LENGTH),
    ("lengths: PING of 9 bytes", LENGTH),
    ("lengths: RST_STREAM of 3 bytes", LENGTH),
    ("lengths: WINDOW_UPDATE of 5 bytes", LENGTH),
    ("lengths: GOAWAY of 7 bytes", LENGTH),
    ("lengths: HEADERS too short for its priority", LENGTH),
    ("lengths: padded HEADERS without a byte", LENGTH),
    ("setting values: INITIAL_WINDOW_SIZE", "the crate says PROTOCOL_ERROR, RFC 9113 6.5.2 demands FLOW_CONTROL_ERROR"),
    ("window updates: increment 0 of a stream", "the crate ends the connection, RFC 9113 6.9 asks for a stream error"),
];

#[test]
fn server_of_the_crate_refuses_the_same_frames() {
    let mut differences = Vec::new();
    for Case { name, frames, .. } in rules::cases() {
        let ours = rules::react(&frames);
        let theirs = runtime().block_on(their_reaction(&frames));
        let is_listed = DIFFERENCES.iter().any(|(known, _)| *known == name);
        match (ours == theirs, is_listed) {
            (true, true) => differences.push(format!("{name}: no difference any more")),
            (false, false) => differences.push(format!("{name}: {ours:?} here, {theirs:?} there")),
            _ => {}
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
