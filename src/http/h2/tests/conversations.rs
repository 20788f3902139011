//! Conversations of a client and a server in memory: every cut, and random schedules.

use super::*;
use crate::http::h2::connection::ErrorCode;

/// The bytes of a client: a GET, a POST with a body, padding and trailers, and a PING.
fn client_bytes() -> Vec<u8> {
    let padded = frame(frame::DATA, 8, 3, &[&[3_u8][..], b"hello", &[0; 3]].concat());
    [
        PREFACE.to_vec(),
        frame(frame::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        frame(frame::HEADERS, 0x25, 1, &[&[0, 0, 0, 0, 9], GET].concat()),
        frame(frame::HEADERS, 0, 3, &POST[..3]),
        frame(frame::CONTINUATION, 4, 3, &POST[3..]),
        padded,
        frame(frame::PING, 0, 0, b"12345678"),
        data(3, b" world", false),
        headers(3, &[0x00, 1, b't', 1, b'1'], true),
    ]
    .concat()
}

/// The state of a server after bytes in pieces.
fn outcome(pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>, Vec<u8>, Option<ErrorCode>) {
    let mut server = Connection::server(LOCAL);
    pieces.iter().for_each(|piece| feed(&mut server, piece));
    let first = request(&mut server);
    let second = request(&mut server);
    let (hello, end) = body(&mut server, second);
    assert_eq!(end, Data::All);
    let trailers = server.trailers(second).to_vec();
    server.send_head(first, b"HTTP/2.0 200 OK\r\nServer: x\r\n\r\n", false).expect("open");
    server.send_data(first, b"body", true).expect("open");
    server.release(first, &Heap);
    server.release(second, &Heap);
    (hello, trailers, server.take_output(Vec::new()), server.error().map(|error| error.code))
}

#[test]
fn every_cut_gives_the_same_conversation() {
    let bytes = client_bytes();
    let whole = outcome(&[&bytes]);
    assert_eq!((&whole.0[..], &whole.1[..], whole.3), (&b"hello world"[..], &b"t: 1\r\n"[..], None));
    for at in 0..=bytes.len() {
        let (one, two) = bytes.split_at(at);
        assert_eq!(outcome(&[one, two]), whole, "cut at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(outcome(&single), whole);
}

/// A simple generator of random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// An exchange of a random conversation.
struct Exchange {
    client: StreamKey,
    server: Option<StreamKey>,
    request: Vec<u8>,
    response: Vec<u8>,
    sent: [usize; 2],
    got: [Vec<u8>; 2],
    has_status: bool,
    is_done: bool,
}

/// Passes output to the other side, a random part at a time.
fn pass(from: &mut Connection, to: &mut Connection, waiting: &mut Vec<u8>, random: &mut Random) {
    if from.has_output() && random.below(3) > 0 {
        waiting.extend(from.take_output(Vec::new()));
    }
    let count = random.below(waiting.len() + 1);
    feed(to, &waiting[..count]);
    waiting.drain(..count);
}

#[test]
fn random_conversations_deliver_every_byte() {
    for seed in 1..=60 {
        converse(seed);
    }
}

fn converse(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut client = Connection::client(LOCAL, true);
    let mut server = Connection::server(LOCAL);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let mut exchanges: Vec<Exchange> = Vec::new();
    let total = 30;
    for _ in 0..200_000 {
        if exchanges.len() < total
            && let Some(key) = client.open(false)
        {
            let request = vec![exchanges.len() as u8; random.below(120_000)];
            let response = vec![exchanges.len() as u8 + 100; random.below(200_000)];
            let head = format!("POST /{} HTTP/1.1\r\nHost: a\r\n\r\n", exchanges.len());
            client.send_head(key, head.as_bytes(), false).expect("open");
            exchanges.push(Exchange {
                client: key,
                server: None,
                request,
                response,
                sent: [0; 2],
                got: Default::default(),
                has_status: false,
                is_done: false,
            });
        }
        pass(&mut client, &mut server, &mut up, &mut random);
        pass(&mut server, &mut client, &mut down, &mut random);
        while let Some(opened) = server.next_opened() {
            let Opened::Request(key) = opened else { panic!("{opened:?}") };
            let (mut head, mut bytes) = (RequestHead::default(), Vec::new());
            server.take_request(key, &mut head, &mut bytes);
            let number: usize =
                std::str::from_utf8(&head.target.of(&bytes)[1..]).expect("text").parse().expect("number");
            exchanges[number].server = Some(key);
            server.send_head(key, b"HTTP/2.0 200 OK\r\n\r\n", false).expect("open");
        }
        while client.next_woken().is_some() || server.next_woken().is_some() {}
        for exchange in exchanges.iter_mut().filter(|exchange| !exchange.is_done) {
            step(exchange, &mut client, &mut server, &mut random);
        }
        assert!(client.error().is_none() && server.error().is_none(), "{:?} {:?}", client.error(), server.error());
        assert!(server.unread_total() <= LOCAL.connection_window as usize);
        if exchanges.len() == total && exchanges.iter().all(|exchange| exchange.is_done) {
            assert_eq!((client.streams(), server.streams()), (0, 0));
            return;
        }
    }
    panic!("seed {seed}: the conversation never ends");
}

fn step(exchange: &mut Exchange, client: &mut Connection, server: &mut Connection, random: &mut Random) {
    send(client, exchange.client, &exchange.request, &mut exchange.sent[0], random);
    if !exchange.has_status {
        exchange.has_status = response(client, exchange.client) == Some(200);
    }
    let Some(key) = exchange.server else { return };
    send(server, key, &exchange.response, &mut exchange.sent[1], random);
    let mut is_complete = [false; 2];
    if random.below(2) == 0 {
        for (side, (connection, key)) in [(&mut *server, key), (&mut *client, exchange.client)].into_iter().enumerate()
        {
            if side == 1 && !exchange.has_status {
                continue;
            }
            let (bytes, end) = body(connection, key);
            exchange.got[side].extend(bytes);
            is_complete[side] = end == Data::All;
        }
    }
    let has_sent = exchange.sent[0] > exchange.request.len() && exchange.sent[1] > exchange.response.len();
    if is_complete == [true; 2] && has_sent {
        assert!(exchange.got[0] == exchange.request && exchange.got[1] == exchange.response, "bytes differ");
        client.release(exchange.client, &Heap);
        server.release(key, &Heap);
        exchange.is_done = true;
    }
}

/// Sends a random piece; `sent` is one above the length when the end has been sent.
fn send(connection: &mut Connection, key: StreamKey, body: &[u8], sent: &mut usize, random: &mut Random) {
    if *sent > body.len() {
        return;
    }
    let rest = &body[*sent..];
    let piece = &rest[..random.below(rest.len() + 1)];
    let ends = piece.len() == rest.len();
    let taken = connection.send_data(key, piece, ends).expect("open");
    *sent += taken;
    if ends && taken == piece.len() {
        *sent = body.len() + 1;
    }
}
