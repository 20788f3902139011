//! A client and a server of this project against each other in memory: at random cuts, orders and windows every byte arrives, and no stream
//! is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use ringway::http::h2::connection::{Data, ErrorCode, LocalSettings, Opened, Received, STREAMS_MAX, StreamKey};

use super::endpoint::{Endpoint, LOCAL, Plain};

/// Pseudo-random numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        // The constants of SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % end.max(1) as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// A length of a body: often none or small, at times many frames.
    fn length(&mut self) -> usize {
        match self.below(6) {
            0 => 0,
            1 | 2 => self.below(50),
            3 | 4 => self.below(20_000),
            _ => self.below(150_000),
        }
    }
}

/// The byte of a body at an offset: it differs between messages, directions and offsets.
fn byte(message: usize, is_request: bool, at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8) ^ message.wrapping_mul(7) ^ usize::from(is_request)) as u8
}

/// A message in both directions on one stream, as one side sees it.
#[derive(Debug, Default)]
struct Talk {
    message: usize,
    /// Bytes of the body that this side sends, and how many were sent.
    length: usize,
    sent: usize,
    has_trailers: bool,
    has_ended: bool,
    /// The head of the other side has arrived, with the length of its body.
    expected: Option<usize>,
    received: usize,
    is_complete: bool,
    /// This side gives the stream up after so many bytes.
    gives_up: Option<usize>,
}

struct Side {
    endpoint: Endpoint,
    is_client: bool,
    talks: BTreeMap<usize, (StreamKey, Talk)>,
    /// Streams that have something to do.
    due: BTreeSet<usize>,
    /// Bytes on their way to the other side.
    line: Vec<u8>,
    finished: usize,
    broken: usize,
}

impl Side {
    fn new(endpoint: Endpoint, is_client: bool) -> Side {
        let (talks, due) = (BTreeMap::new(), BTreeSet::new());
        Side { endpoint, is_client, talks, due, line: Vec::new(), finished: 0, broken: 0 }
    }

    fn start(&mut self, key: StreamKey, talk: Talk) {
        self.due.insert(key.index());
        assert!(self.talks.insert(key.index(), (key, talk)).is_none(), "the place of a stream in use is given again");
    }

    /// Opens the stream of a request.
    fn ask(&mut self, message: usize, random: &mut Random) -> bool {
        let Some(key) = self.endpoint.connection.open(false) else { return false };
        let length = random.length();
        let has_trailers = length > 0 && random.one_in(4);
        let announced = if random.one_in(3) { format!("Content-Length: {length}\r\n") } else { String::new() };
        let lines = format!("POST /{message} HTTP/1.1\r\nHost: a.example\r\nX-L: {length}\r\n{announced}\r\n");
        let ends = length == 0 && !has_trailers;
        self.endpoint.connection.send_head(key, lines.as_bytes(), ends).expect("a head is sent");
        let gives_up = random.one_in(10).then(|| random.below(40_000));
        self.start(key, Talk { message, length, has_trailers, has_ended: ends, gives_up, ..Talk::default() });
        true
    }

    /// Takes new requests and answers their heads.
    fn accept(&mut self, random: &mut Random) {
        while let Some(opened) = self.endpoint.connection.next_opened() {
            let Opened::Request(key) = opened else { panic!("{opened:?}") };
            let (head, lines) = self.endpoint.request_lines(key);
            let target = std::str::from_utf8(head.target.of(&lines)).expect("text");
            let message = target[1..].parse().expect("a number");
            let expected = head.fields.iter().find(|field| field.name.of(&lines) == b"x-l").expect("the length");
            let expected = std::str::from_utf8(expected.value.of(&lines)).expect("text").parse().ok();
            let length = random.length();
            let has_trailers = length > 0 && random.one_in(4);
            let gives_up = random.one_in(10).then(|| random.below(40_000));
            let connection = &mut self.endpoint.connection;
            if random.one_in(4) {
                // The client may have gone.
                let _ = connection.send_head(key, b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", false);
            }
            let lines = format!("HTTP/1.1 200 OK\r\nX-L: {length}\r\n\r\n");
            let ends = length == 0 && !has_trailers;
            let _ = connection.send_head(key, lines.as_bytes(), ends);
            self.start(
                key,
                Talk { message, length, has_trailers, has_ended: ends, expected, gives_up, ..Talk::default() },
            );
        }
    }

    /// Lets one stream that is due send and receive.
    fn serve(&mut self, random: &mut Random) -> bool {
        while let Some(key) = self.endpoint.connection.next_woken() {
            if self.talks.contains_key(&key.index()) {
                self.due.insert(key.index());
            }
        }
        let Some(index) = self.due.iter().nth(random.below(self.due.len())).copied() else { return false };
        let (key, mut talk) = self.talks.remove(&index).expect("a stream that is due is in use");
        let has_received = self.receive(key, &mut talk, random);
        let rests = self.send(key, &mut talk, random) && has_received;
        let gives_up = talk.gives_up.is_some_and(|bytes| talk.received + talk.sent >= bytes);
        let has_failed = self.endpoint.connection.failure(key).is_some();
        if has_failed || gives_up || (talk.is_complete && talk.has_ended) {
            if talk.is_complete && talk.has_ended {
                self.finished += 1
            } else {
                self.broken += 1
            }
            if gives_up && random.one_in(2) {
                self.endpoint.connection.reset(key, ErrorCode::Cancel);
            }
            self.endpoint.connection.release(key, &Plain);
            self.due.remove(&index);
            return true;
        }
        if rests {
            self.due.remove(&index);
        }
        self.talks.insert(index, (key, talk));
        true
    }

    /// Reads some of what has arrived. Returns whether the rest has to be waited for.
    fn receive(&mut self, key: StreamKey, talk: &mut Talk, random: &mut Random) -> bool {
        if self.is_client && talk.expected.is_none() {
            let (mut head, mut lines) = (Default::default(), Vec::new());
            let connection = &mut self.endpoint.connection;
            match connection.take_response(key, &mut head, &mut lines) {
                Ok(Some(Received::Interim)) => return false,
                Ok(Some(Received::Final)) => {
                    let field = head.fields.iter().find(|field| field.name.of(&lines) == b"x-l").expect("the length");
                    talk.expected = std::str::from_utf8(field.value.of(&lines)).expect("text").parse().ok();
                }
                Ok(None) | Err(_) => return true,
            }
        }
        let pieces_max = random.below(3);
        let (mut pieces, mut received) = (0, talk.received);
        let result = self.endpoint.connection.read_data(key, &Plain, |piece| {
            pieces += 1;
            if pieces > pieces_max {
                return false;
            }
            for value in piece {
                let expected = byte(talk.message, !self.is_client, received);
                assert_eq!(*value, expected, "message {}, byte {received} of {:?}", talk.message, talk.expected);
                received += 1;
            }
            true
        });
        talk.received = received;
        if result == Ok(Data::All) && !talk.is_complete {
            talk.is_complete = true;
            assert_eq!(Some(talk.received), talk.expected, "message {}", talk.message);
            let trailers = self.endpoint.connection.trailers(key);
            let expected = format!("x-m: {}\r\n", talk.message);
            assert!(trailers.is_empty() || trailers == expected.as_bytes(), "{}", trailers.escape_ascii());
        }
        result != Ok(Data::Refused)
    }

    /// Sends some of the body. Returns whether the rest has to wait.
    fn send(&mut self, key: StreamKey, talk: &mut Talk, random: &mut Random) -> bool {
        let connection = &mut self.endpoint.connection;
        if talk.has_ended {
            return true;
        }
        if talk.sent < talk.length {
            let part = (talk.length - talk.sent).min(1 + random.below(30_000));
            let payload: Vec<u8> =
                (talk.sent..talk.sent + part).map(|at| byte(talk.message, self.is_client, at)).collect();
            let is_last = talk.sent + part == talk.length && !talk.has_trailers;
            let Ok(taken) = connection.send_data(key, &payload, is_last) else { return true };
            talk.sent += taken;
            talk.has_ended = is_last && taken == part;
            return taken < part || talk.has_ended;
        }
        let lines = format!("X-M: {}\r\n", talk.message);
        talk.has_ended = connection.send_trailers(key, lines.as_bytes()).is_ok();
        true
    }

    /// Puts the output on the line.
    fn flush(&mut self) {
        let output = self.endpoint.take_bytes();
        self.line.extend(output);
    }
}

/// Moves a piece of the line to the other side.
fn carry(from: &mut Side, to: &mut Side, random: &mut Random) -> bool {
    if random.one_in(3) || from.line.is_empty() {
        from.flush();
    }
    if from.line.is_empty() || !to.endpoint.connection.wants_input() {
        return false;
    }
    let length = match random.below(3) {
        0 => 1 + random.below(20),
        1 => 1 + random.below(3000),
        _ => from.line.len(),
    };
    let piece: Vec<u8> = from.line.drain(..length.min(from.line.len())).collect();
    to.endpoint.receive(&piece);
    true
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let local = |random: &mut Random| LocalSettings {
        streams_max: 1 + random.below(STREAMS_MAX) as u32,
        stream_window: [3_000, 10_000, 65_535, 200_000][random.below(4)],
        connection_window: [65_535, 100_000, 500_000][random.below(3)],
        ..LOCAL
    };
    let mut client = Side::new(Endpoint::new_client(local(&mut random)), true);
    let mut server = Side::new(Endpoint::new_server(local(&mut random)), false);
    // Windows below the default bind the peer only once it knows them.
    settle(&mut client, &mut server, &mut random);
    let requests = 1 + random.below(30);
    let (mut asked, mut quiet) = (0, 0);
    while asked < requests || !client.talks.is_empty() || !server.talks.is_empty() {
        let did = match random.below(6) {
            0 if asked < requests && client.ask(asked, &mut random) => {
                asked += 1;
                true
            }
            0 | 1 => carry(&mut client, &mut server, &mut random),
            2 => carry(&mut server, &mut client, &mut random),
            3 => client.serve(&mut random),
            _ => {
                server.accept(&mut random);
                server.serve(&mut random)
            }
        };
        quiet = if did { 0 } else { quiet + 1 };
        let waits = |side: &Side| (side.line.len(), side.due.len(), side.endpoint.connection.wants_input());
        assert!(quiet < 1000, "seed {seed}: nothing moves: {:?} {:?}", waits(&client), waits(&server));
        for side in [&client, &server] {
            let connection = &side.endpoint.connection;
            assert!(connection.error().is_none(), "seed {seed}: {:?}", connection.error());
            assert!(connection.unread_total() <= 500_000, "seed {seed}");
        }
    }
    settle(&mut client, &mut server, &mut random);
    assert_eq!(client.finished + client.broken, requests, "seed {seed}");
    for side in [&mut client, &mut server] {
        assert_eq!(
            (side.endpoint.connection.streams(), side.endpoint.connection.unread_total()),
            (0, 0),
            "seed {seed}"
        );
        side.endpoint.connection.trim(&Plain);
    }
    server.endpoint.connection.announce_shutdown();
    server.endpoint.connection.shut_down();
    settle(&mut client, &mut server, &mut random);
    assert!(client.endpoint.connection.is_finished() && server.endpoint.connection.is_finished(), "seed {seed}");
}

/// Carries and serves until nothing is left.
fn settle(client: &mut Side, server: &mut Side, random: &mut Random) {
    for _ in 0..300 {
        carry(client, server, random);
        carry(server, client, random);
        server.accept(random);
        server.serve(random);
    }
    while server.serve(random) {}
}

#[test]
fn two_sides_at_random_deliver_every_byte_and_forget_no_stream() {
    for seed in 0..150 {
        run(seed);
    }
}
