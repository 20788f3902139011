//! Floods: every kind of frame that costs more than it brings ends the connection, and what waits stays small.

use super::*;
use crate::http::h2::connection::{ErrorCode, Exceeded, Note};
use crate::limits;

/// Repeats what `next` gives until the connection ends; returns how often, and the largest output that waited.
fn flood(server: &mut Connection, next: impl Fn(u32) -> Vec<u8>) -> (u32, usize) {
    let mut largest = 0;
    for round in 0..100_000 {
        feed(server, &next(round));
        while let Some(Opened::Request(key)) = server.next_opened() {
            if server.failure(key).is_some() {
                server.release(key, &Heap);
            }
        }
        largest = largest.max(server.take_output(Vec::new()).len());
        if server.error().is_some() {
            return (round, largest);
        }
    }
    panic!("the connection never ends");
}

fn assert_bounded(next: impl Fn(u32) -> Vec<u8>, kind: Exceeded, most: u32) {
    let mut server = server();
    let (rounds, largest) = flood(&mut server, next);
    assert!(rounds <= most && largest < 200, "{kind:?}: {rounds} {largest}");
    assert_eq!(server.error().map(|error| error.code), Some(ErrorCode::EnhanceYourCalm), "{kind:?}");
    let notes: Vec<_> = std::iter::from_fn(|| server.next_note()).collect();
    assert!(notes.len() <= 65);
}

#[test]
fn control_frames_are_bounded() {
    let most = limits::CONTROL_FRAMES_MAX;
    assert_bounded(|_| frame(frame::PING, 0, 0, &[0; 8]), Exceeded::ControlFrames, most);
    assert_bounded(|_| frame(frame::SETTINGS, 0, 0, &[]), Exceeded::ControlFrames, most);
    assert_bounded(|_| frame(frame::PRIORITY, 0, 1, &[0, 0, 0, 3, 0]), Exceeded::ControlFrames, most);
    assert_bounded(|_| number(frame::WINDOW_UPDATE, 0, 1), Exceeded::ControlFrames, most);
    assert_bounded(|_| frame(0x77, 0, 0, b"?"), Exceeded::ControlFrames, most);
}

#[test]
fn rapid_resets_are_bounded() {
    let next = |round| [headers(2 * round + 1, GET, true), number(frame::RST_STREAM, 2 * round + 1, 8)].concat();
    assert_bounded(next, Exceeded::RapidReset, limits::RAPID_RESETS_MAX);
}

#[test]
fn provoked_resets_are_bounded() {
    let most = limits::PROVOKED_RESETS_MAX;
    let provoke = |fault: fn(u32) -> Vec<u8>| {
        assert_bounded(
            move |round| [headers(2 * round + 1, POST, false), fault(2 * round + 1)].concat(),
            Exceeded::ProvokedResets,
            most,
        );
    };
    provoke(|stream| number(frame::WINDOW_UPDATE, stream, 0));
    provoke(|stream| number(frame::WINDOW_UPDATE, stream, 0x7fff_ffff));
    provoke(|stream| frame(frame::PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[0]].concat()));
    provoke(|stream| frame(frame::PRIORITY, 0, stream, &[0]));
    provoke(|stream| headers(stream, &[], false));
    assert_bounded(|round| headers(2 * round + 1, &[0x82], true), Exceeded::ProvokedResets, most);
}

#[test]
fn empty_frames_are_bounded() {
    let mut server = server();
    feed(&mut server, &headers(1, POST, false));
    let (rounds, _) = flood(&mut server, |_| data(1, b"", false));
    assert!(rounds <= limits::EMPTY_FRAMES_MAX);
    let mut server = self::server();
    feed(&mut server, &frame(frame::HEADERS, 1, 1, GET));
    let (rounds, _) = flood(&mut server, |_| frame(frame::CONTINUATION, 0, 1, b""));
    assert!(rounds <= limits::EMPTY_FRAMES_MAX);
    assert!(server.held_bytes() < 1000);
}

#[test]
fn header_block_is_bounded() {
    let mut server = server();
    feed(&mut server, &frame(frame::HEADERS, 1, 1, GET));
    let (rounds, _) = flood(&mut server, |_| frame(frame::CONTINUATION, 0, 1, &[0; 16_384]));
    assert!(rounds as usize <= limits::HEADER_BLOCK_BYTES_MAX / 16_384);
    assert_eq!(server.next_note(), Some(Note::Exceeded(Exceeded::HeaderBlock)));
}

#[test]
fn acknowledgements_that_nobody_reads_stop_the_input() {
    let mut server = server();
    let ping = frame(frame::PING, 0, 0, &[0; 8]);
    let sent = (0..).take_while(|_| {
        feed(&mut server, &ping);
        server.wants_input()
    });
    assert!(sent.count() <= limits::CONTROL_OUTPUT_BYTES_MAX / 17 + 1);
    assert!(server.take_output(Vec::new()).len() <= limits::CONTROL_OUTPUT_BYTES_MAX + 64);
    assert!(server.wants_input(), "sent");
}

#[test]
fn ordinary_clients_never_fill_a_bucket() {
    let mut server = server();
    // Each request with a PING, and a WINDOW_UPDATE for each piece of the response.
    for round in 0..20_000_u32 {
        let stream = 2 * round + 1;
        feed(&mut server, &[headers(stream, GET, true), frame(frame::PING, 0, 0, &[0; 8])].concat());
        let key = request(&mut server);
        server.send_head(key, b"HTTP/2.0 200 OK\r\n\r\n", false).expect("open");
        assert_eq!(server.send_data(key, &[0; 100], true), Ok(100));
        server.release(key, &Heap);
        feed(&mut server, &number(frame::WINDOW_UPDATE, 0, 100));
        let _ = server.take_output(Vec::new());
        assert_eq!(server.error(), None, "{round}");
    }
}
