//! A conversation that is cut at every byte gives the same messages, failures and errors.

use std::collections::BTreeMap;

use ringway::http::h2::connection::{ConnectionError, Data, Opened, Received, StreamFailure, StreamKey};
use ringway::http::{RejectedRequest, RequestHead};

use super::endpoint::{Endpoint, GET, LOCAL, POST, REQUEST};
use super::wire::*;

/// What one stream has brought.
#[derive(Debug, Default, PartialEq)]
struct Brought {
    head: Vec<u8>,
    request: Option<RequestHead>,
    rejected: Option<RejectedRequest>,
    responses: Vec<(Received, u16)>,
    body: Vec<u8>,
    is_complete: bool,
    trailers: Vec<u8>,
    failure: Option<StreamFailure>,
}

/// What a connection has brought, stream by stream, and why it ended.
#[derive(Debug, Default, PartialEq)]
struct Log {
    streams: BTreeMap<usize, Brought>,
    error: Option<ConnectionError>,
    /// Frames sent, but for the updates of windows, which are joined differently for each cut.
    replies: Vec<Frame>,
}

impl Log {
    fn observe(&mut self, side: &mut Endpoint) {
        while let Some(opened) = side.connection.next_opened() {
            match opened {
                Opened::Request(key) => {
                    let (head, bytes) = side.request_lines(key);
                    let brought = self.streams.entry(key.index()).or_default();
                    (brought.head, brought.request) = (bytes, Some(head));
                }
                Opened::Rejected(key, why) => self.streams.entry(key.index()).or_default().rejected = Some(why),
            }
        }
        while let Some(key) = side.connection.next_woken() {
            self.read(side, key);
        }
        self.error = side.connection.error().copied();
        self.replies.extend(side.output().into_iter().filter(|frame| frame.kind != WINDOW_UPDATE));
    }

    fn read(&mut self, side: &mut Endpoint, key: StreamKey) {
        let brought = self.streams.entry(key.index()).or_default();
        if brought.request.is_none() && brought.rejected.is_none() {
            while let Ok(Some(response)) = side.response(key) {
                brought.responses.push(response);
            }
        }
        let (payload, result) = side.read(key);
        brought.body.extend_from_slice(&payload);
        brought.is_complete |= result == Ok(Data::All);
        brought.trailers = side.connection.trailers(key).to_vec();
        brought.failure = side.connection.failure(key);
    }
}

/// The log of a connection that receives these pieces.
fn log(new: &dyn Fn() -> Endpoint, pieces: &[&[u8]]) -> Log {
    let (mut side, mut log) = (new(), Log::default());
    for piece in pieces {
        side.receive(piece);
        log.observe(&mut side);
    }
    log
}

/// Checks that every cut of the conversation gives the same log, and returns it.
fn assert_cuts(name: &str, new: &dyn Fn() -> Endpoint, bytes: &[u8]) -> Log {
    let whole = log(new, &[bytes]);
    for at in 1..bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(log(new, &[first, second]), whole, "{name}: cut at {at}");
    }
    for length in [1, 2, 3, 7, 9, 10] {
        let pieces: Vec<_> = bytes.chunks(length).collect();
        assert_eq!(log(new, &pieces), whole, "{name}: pieces of {length}");
    }
    whole
}

fn server() -> Endpoint {
    let mut server = Endpoint::new_server(LOCAL);
    server.output();
    server
}

/// The bytes of a client that begins as it should.
fn from_client(frames: &[Frame]) -> Vec<u8> {
    [PREFACE, &settings(&[(4, 100_000), (3, 50)]).bytes(), &bytes_of(frames)].concat()
}

/// A client with requests on streams 1, 3 and 5.
fn client() -> Endpoint {
    let mut client = Endpoint::new_client(LOCAL);
    for _ in 0..3 {
        client.open(REQUEST, true);
    }
    client.output();
    client
}

#[test]
fn requests_of_a_client_are_the_same_for_every_cut() {
    let padded = [&[4][..], &priority_on(0), &block(POST), &[0; 4]].concat();
    let length = [POST, &[("content-length", "5"), ("cookie", "a=b"), ("cookie", "c=d")]].concat();
    let (first, second) = (&block(&length)[..20], &block(&length)[20..]);
    let bytes = from_client(&[
        Frame::new(SETTINGS, ACK, 0, b""),
        headers(1, END_STREAM, GET),
        Frame::new(HEADERS, END_HEADERS | PADDED | PRIORITY_FIELDS, 3, &padded),
        data(3, 0, b"abc"),
        Frame::new(PING, 0, 0, b"01234567"),
        Frame::new(HEADERS, 0, 5, first),
        Frame::new(CONTINUATION, 0, 5, b""),
        Frame::new(CONTINUATION, END_HEADERS, 5, second),
        data(3, PADDED, b"\x05defgh\0\0\0\0\0"),
        Frame::new(99, 0, 5, b"unknown"),
        data(5, 0, b""),
        data(5, END_STREAM, b"12345"),
        window_update(0, 77),
        headers(3, END_STREAM, &[("x-t", "u")]),
        headers(7, 0, POST),
        data(7, 0, b"to be reset"),
        reset(7, CANCEL),
    ]);
    let log = assert_cuts("requests", &server, &bytes);
    assert_eq!((log.streams.len(), log.error), (4, None));
    let bodies: Vec<_> = log.streams.values().map(|brought| brought.body.as_slice()).collect();
    assert_eq!(bodies, [&b""[..], b"abcdefgh", b"12345", b"to be reset"]);
    assert_eq!(log.streams[&1].trailers, b"x-t: u\r\n");
    assert!(log.streams[&2].is_complete && log.streams[&3].failure.is_some());
}

#[test]
fn refusals_are_the_same_for_every_cut() {
    let length = [POST, &[("content-length", "2")]].concat();
    for (name, frames) in [
        ("length of PING", vec![headers(1, END_STREAM, GET), Frame::new(PING, 0, 0, &[0; 9])]),
        ("frame too long", vec![headers(1, 0, POST), data(1, 0, &[0; PAYLOAD_MAX + 1][..])]),
        ("interrupted block", vec![Frame::new(HEADERS, 0, 1, &block(GET)), Frame::new(PING, 0, 0, &[0; 8])]),
        ("padding", vec![headers(1, 0, POST), data(1, PADDED, b"\x09abc")]),
        ("padding of nothing", vec![headers(1, 0, POST), data(1, PADDED, b"")]),
        ("data after the end", vec![headers(1, END_STREAM, GET), data(1, 0, b"abc"), headers(3, END_STREAM, GET)]),
        ("content length", vec![headers(1, 0, &length), data(1, 0, b"a"), data(1, 0, b"bcdef"), headers(3, 0, POST)]),
        ("padded content length", vec![headers(1, 0, &length), data(1, PADDED, b"\x02abc\0\0"), headers(3, 0, POST)]),
        ("malformed head", vec![headers(1, 0, &GET[1..]), data(1, 0, b"abc"), headers(3, END_STREAM, GET)]),
        ("decoder", vec![Frame::new(HEADERS, END_HEADERS, 1, b"\x80")]),
        ("idle stream", vec![data(1, 0, b"abc")]),
    ] {
        // A long frame's cuts in its payload are alike.
        let bytes = from_client(&frames);
        if bytes.len() < 1000 {
            assert_cuts(name, &server, &bytes);
        } else {
            let whole = log(&server, &[&bytes]);
            let (first, second) = bytes.split_at(150);
            assert_eq!(log(&server, &[first, second]), whole, "{name}");
        }
    }
}

#[test]
fn responses_of_a_server_are_the_same_for_every_cut() {
    let interim = headers(1, 0, &[(":status", "103"), ("link", "</a>; rel=preload")]);
    let head = |stream| headers(stream, 0, &[(":status", "200"), ("content-length", "6")]);
    let bytes = bytes_of(&[
        settings(&[(3, 100), (4, 1000)]),
        Frame::new(SETTINGS, ACK, 0, b""),
        interim,
        head(1),
        head(3),
        data(1, 0, b"abc"),
        data(3, 0, b"012"),
        window_update(0, 100),
        data(1, END_STREAM, b"def"),
        data(3, 0, b"345"),
        goaway(3, NO_ERROR),
        headers(3, END_STREAM, &[("grpc-status", "0")]),
    ]);
    let log = assert_cuts("responses", &client, &bytes);
    assert_eq!(log.streams[&0].responses, [(Received::Interim, 103), (Received::Final, 200)]);
    assert_eq!((&log.streams[&0].body[..], &log.streams[&1].body[..]), (&b"abcdef"[..], &b"012345"[..]));
    assert_eq!(log.streams[&1].trailers, b"grpc-status: 0\r\n");
    assert_eq!(log.streams[&2].failure, Some(StreamFailure::Refused));
}
