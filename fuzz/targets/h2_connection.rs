//! A connection of HTTP/2, in both roles: arbitrary bytes of the peer, cut arbitrarily, give the same messages and refusals; whatever the
//! handlers do in between, the output keeps to the rules, and what is held stays bounded.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ringway::http::head_limits::HeadLimits;
use ringway::http::h2::connection::{
    Buffers, Connection, ConnectionError, Data, ErrorCode, LocalSettings, Opened, StreamFailure, StreamKey,
};
use ringway::http::{RequestHead, ResponseHead};
use ringway_fuzz::h2_observer::Observer;
use ringway_fuzz::h2_wire::{Frame, PREFACE, WINDOW_UPDATE, settings};

const LOCAL: LocalSettings = LocalSettings {
    streams_max: 20,
    head: HeadLimits::REQUEST,
    stream_window: 65_535,
    connection_window: 65_535,
    connect_protocol: true,
};
const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nHost: a.example\r\n\r\n";
/// Streams that a client has opened before its server says anything.
const ASKED: usize = 3;

struct Plain;

impl Buffers for Plain {
    fn lend(&self) -> Vec<u8> {
        Vec::new()
    }

    fn give_back(&self, _buffer: Vec<u8>) {}
}

/// An input: the role, where the bytes are cut and what the handlers do, and the bytes.
struct Input<'a> {
    is_client: bool,
    script: &'a [u8],
    wire: Vec<u8>,
}

impl<'a> Input<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&[mode, length], rest) = bytes.split_first_chunk::<2>()?;
        let (script, wire) = rest.split_at_checked(usize::from(length) % 64)?;
        let is_client = mode & 1 != 0;
        let mut start = Vec::new();
        if mode & 2 == 0 {
            start.extend_from_slice(if is_client { b"" } else { PREFACE });
            start.extend(settings(&[(4, u32::from(mode) * 100)]).bytes());
        }
        Some(Input { is_client, script, wire: [&start[..], wire].concat() })
    }

    /// The pieces in which the bytes arrive.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.wire[..];
        let mut lengths = self.script.iter().cycle();
        std::iter::from_fn(move || {
            let length = lengths.next().map_or(1, |byte| 1 + usize::from(*byte) % 40);
            let (piece, behind) = rest.split_at(length.min(rest.len()));
            rest = behind;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// A connection under observation.
struct Side {
    connection: Connection,
    observer: Observer,
    keys: Vec<StreamKey>,
}

impl Side {
    fn new(is_client: bool) -> Self {
        let connection = if is_client { Connection::client(LOCAL, true) } else { Connection::server(LOCAL) };
        let mut side = Side { connection, observer: Observer::new(is_client), keys: Vec::new() };
        for _ in 0..if is_client { ASKED } else { 0 } {
            side.open();
        }
        side
    }

    fn open(&mut self) {
        let Some(key) = self.connection.open(false) else { return };
        self.keys.push(key);
        // A GOAWAY may have refused it already.
        let _ = self.connection.send_head(key, REQUEST, false);
    }

    fn receive(&mut self, piece: &[u8]) {
        self.observer.received(piece);
        self.connection.receive(piece, Duration::from_secs(1), &Plain);
    }

    fn output(&mut self) -> Vec<Frame> {
        self.observer.sent(&self.connection.take_output(Vec::new()))
    }
}

/// What a stream has brought.
#[derive(Debug, Default, PartialEq)]
struct Brought {
    lines: Vec<u8>,
    is_refused: bool,
    body: Vec<u8>,
    is_complete: bool,
    trailers: Vec<u8>,
    failure: Option<StreamFailure>,
}

#[derive(Debug, Default, PartialEq)]
struct Log {
    streams: BTreeMap<usize, Brought>,
    error: Option<ConnectionError>,
    replies: Vec<Frame>,
}

impl Log {
    fn observe(&mut self, side: &mut Side) {
        while let Some(opened) = side.connection.next_opened() {
            let (Opened::Request(key) | Opened::Rejected(key, _)) = opened;
            let brought = self.streams.entry(key.index()).or_default();
            brought.is_refused = matches!(opened, Opened::Rejected(..));
            if !brought.is_refused {
                side.connection.take_request(key, &mut RequestHead::default(), &mut brought.lines);
            }
        }
        while let Some(key) = side.connection.next_woken() {
            let brought = self.streams.entry(key.index()).or_default();
            let (mut head, mut lines) = (ResponseHead::default(), Vec::new());
            while let Ok(Some(_)) = side.connection.take_response(key, &mut head, &mut lines) {
                brought.lines.append(&mut lines);
            }
            let take = |piece: &[u8]| {
                brought.body.extend_from_slice(piece);
                true
            };
            brought.is_complete |= side.connection.read_data(key, &Plain, take) == Ok(Data::All);
            brought.trailers = side.connection.trailers(key).to_vec();
            brought.failure = side.connection.failure(key);
        }
        self.error = side.connection.error().copied();
        // Updates of windows are joined differently for each cut.
        self.replies.extend(side.output().into_iter().filter(|frame| frame.kind != WINDOW_UPDATE));
    }
}

fn log<'a>(is_client: bool, pieces: impl Iterator<Item = &'a [u8]>) -> Log {
    let (mut side, mut log) = (Side::new(is_client), Log::default());
    for piece in pieces {
        side.receive(piece);
        log.observe(&mut side);
    }
    // Without any bytes there is output too.
    log.observe(&mut side);
    log
}

/// What a handler, or the task of the connection, does.
fn act(side: &mut Side, action: u8, argument: u8) {
    let payload = [7; 20_000];
    let index = usize::from(argument) % side.keys.len().max(1);
    match (action % 16, side.keys.get(index).copied()) {
        (0, _) => {
            while let Some(opened) = side.connection.next_opened() {
                let (Opened::Request(key) | Opened::Rejected(key, _)) = opened;
                assert!(!side.keys.contains(&key), "the place of a stream in use is given again");
                side.keys.push(key);
            }
        }
        (1, _) => drop(side.output()),
        (2, _) => side.connection.announce_shutdown(),
        (3, _) => side.connection.shut_down(),
        (4, _) => side.connection.grow_window(1 + u32::from(argument)),
        (5, _) => side.connection.trim(&Plain),
        (6, _) => side.open(),
        (7, _) if argument == 0 => side.connection.receive_end(),
        (8, Some(key)) => drop(side.connection.read_data(key, &Plain, |_| argument % 4 != 0)),
        (9, Some(key)) => drop(side.connection.send_head(key, b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", argument % 4 == 0)),
        (10, Some(key)) => {
            let length = usize::from(argument) * 78;
            let taken = side.connection.send_data(key, &payload[..length], argument % 4 == 0);
            assert!(taken.is_ok_and(|taken| taken <= length) || taken.is_err());
        }
        (11, Some(key)) => drop(side.connection.send_trailers(key, b"x-t: u\r\n")),
        (12, Some(key)) => side.connection.reset(key, ErrorCode::of(u32::from(argument))),
        (13, Some(key)) => {
            side.connection.release(key, &Plain);
            side.keys.swap_remove(index);
        }
        (14, Some(key)) => side.connection.retain_trailers(key, |name| name.len() % 2 == 0),
        (15, Some(key)) => {
            let (mut head, mut lines) = (ResponseHead::default(), Vec::new());
            let _ = side.connection.take_response(key, &mut head, &mut lines);
        }
        _ => {}
    }
}

/// Handlers that act between the pieces.
fn run_script(input: &Input<'_>) {
    let mut side = Side::new(input.is_client);
    let mut actions = input.script.iter().cycle();
    for piece in input.pieces() {
        // Taken first: the observer judges windows by the order of bytes on the wire.
        side.output();
        side.receive(piece);
        for _ in 0..3 {
            let (Some(action), Some(argument)) = (actions.next(), actions.next()) else { break };
            // Only a client opens streams, and only a server responds.
            let is_other_role = action % 16 == if input.is_client { 9 } else { 6 };
            let is_early_data = matches!(action % 16, 10 | 11) && !input.is_client;
            if is_other_role {
                continue;
            }
            if is_early_data && !side.keys.is_empty() {
                act(&mut side, 9, *argument | 1);
            }
            act(&mut side, *action, *argument);
        }
        assert!(side.connection.streams() <= 20 && side.connection.unread_total() <= 65_535 + 255 * 64 * 120);
        assert!(side.connection.held_bytes() <= 64 * 1024, "{} bytes are held", side.connection.held_bytes());
    }
    act(&mut side, 0, 0);
    for key in std::mem::take(&mut side.keys) {
        side.connection.release(key, &Plain);
    }
    side.output();
    assert_eq!(side.connection.unread_total(), 0);
    assert!(side.connection.streams() == 0, "{} streams are left", side.connection.streams());
    side.connection.trim(&Plain);
}

fuzz_target!(|bytes: &[u8]| {
    let Some(input) = Input::read(bytes) else { return };
    let whole = log(input.is_client, [&input.wire[..]].into_iter());
    assert_eq!(log(input.is_client, input.pieces()), whole, "the bytes in pieces");
    run_script(&input);
});
