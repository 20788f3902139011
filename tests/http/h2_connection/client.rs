//! The client's role: what a server may send, and what becomes of the streams when it refuses, resets or leaves.

use ringway::http::h2::connection::{Data, ErrorCode, Received, StreamFailure};

use super::endpoint::{Endpoint, LOCAL, REQUEST, Reaction};
use super::wire::*;

const OK: &[(&str, &str)] = &[(":status", "200"), ("x-a", "b")];
const POST_LINES: &[u8] = b"POST /p HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// A client with one request on stream 1, which has been sent.
fn asked() -> (Endpoint, ringway::http::h2::connection::StreamKey) {
    let mut client = Endpoint::client(&[]);
    let key = client.open(REQUEST, true);
    client.output();
    (client, key)
}

#[test]
fn response_arrives_with_interim_heads_data_and_trailers() {
    let (mut client, key) = asked();
    assert_eq!(client.response(key), Ok(None));
    client.send(&[
        headers(1, 0, &[(":status", "103"), ("link", "</a>")]),
        headers(1, 0, OK),
        data(1, 0, b"ab"),
        data(1, 0, b"c"),
        headers(1, END_STREAM, &[("grpc-status", "0"), ("x-t", "u")]),
    ]);
    assert_eq!(client.connection.next_woken(), Some(key));
    assert_eq!(client.response(key), Ok(Some((Received::Interim, 103))));
    assert_eq!(client.response(key), Ok(Some((Received::Final, 200))));
    assert_eq!(client.read(key), (b"abc".to_vec(), Ok(Data::All)));
    assert_eq!(client.connection.trailers(key), b"grpc-status: 0\r\nx-t: u\r\n");
    client.connection.retain_trailers(key, |name| name != b"x-t");
    assert_eq!(client.connection.trailers(key), b"grpc-status: 0\r\n");
    client.release(key);
    assert_eq!((client.reaction(), client.connection.streams()), (Reaction::Accepted, 0));
}

#[test]
fn request_is_sent_with_odd_rising_identifiers_and_trailers() {
    let mut client = Endpoint::client(&[]);
    let first = client.open(POST_LINES, false);
    let second = client.open(REQUEST, true);
    assert_eq!(client.connection.send_data(first, b"payload", false), Ok(7));
    client.connection.send_trailers(first, b"x-t: u\r\n").expect("sent");
    let frames: Vec<_> = client.output().iter().map(|frame| (frame.kind, frame.flags, frame.stream)).collect();
    let head = (HEADERS, END_HEADERS, 1);
    let expected = [head, (HEADERS, END_HEADERS | END_STREAM, 3), (DATA, 0, 1), (HEADERS, END_HEADERS | END_STREAM, 1)];
    assert!(frames.ends_with(&expected), "{frames:?}");
    assert_ne!(first, second);
}

/// The failure of a request on stream 1 after these frames of the server, and what the client sent.
fn failure(frames: &[Frame]) -> (Option<StreamFailure>, Reaction) {
    let (mut client, key) = asked();
    client.send(frames);
    let reaction = client.reaction();
    (client.connection.failure(key), reaction)
}

#[test]
fn refused_stream_is_told_apart_from_a_reset() {
    assert_eq!(failure(&[reset(1, REFUSED_STREAM)]), (Some(StreamFailure::Refused), Reaction::Accepted));
    let cancelled = StreamFailure::Reset(ErrorCode::Cancel);
    assert_eq!(failure(&[reset(1, CANCEL)]), (Some(cancelled), Reaction::Accepted));
    let unknown = StreamFailure::Reset(ErrorCode::Other(77));
    assert_eq!(failure(&[reset(1, 77)]), (Some(unknown), Reaction::Accepted));
}

#[test]
fn reset_after_a_whole_response_does_not_spoil_it() {
    // RFC 9113 8.1: a server that needs no more of the request says so with NO_ERROR.
    let mut client = Endpoint::client(&[]);
    let key = client.open(POST_LINES, false);
    client.send(&[headers(1, 0, OK), data(1, END_STREAM, b"early"), reset(1, NO_ERROR)]);
    assert_eq!(client.response(key), Ok(Some((Received::Final, 200))));
    assert_eq!(client.read(key), (b"early".to_vec(), Ok(Data::All)));
    assert!(client.connection.send_data(key, b"more", false).is_err(), "no more is sent");
}

#[test]
fn data_before_a_reset_is_handed_over_first() {
    let (mut client, key) = asked();
    client.send(&[headers(1, 0, OK), data(1, 0, b"part"), reset(1, INTERNAL_ERROR)]);
    assert_eq!(client.response(key), Ok(Some((Received::Final, 200))));
    let failed = StreamFailure::Reset(ErrorCode::InternalError);
    let (first, result) = client.read(key);
    assert_eq!(first, b"part");
    let result = if result.is_ok() { client.read(key).1 } else { result };
    assert_eq!(result, Err(failed));
}

#[test]
fn goaway_refuses_later_streams_and_lets_earlier_ones_end() {
    let mut client = Endpoint::client(&[]);
    let (first, second) = (client.open(REQUEST, true), client.open(REQUEST, true));
    client.send(&[goaway(1, NO_ERROR)]);
    assert_eq!(client.connection.failure(first), None);
    assert_eq!(client.connection.failure(second), Some(StreamFailure::Refused));
    assert_eq!((client.connection.open(false), client.connection.free_streams()), (None, 0));
    client.send(&[headers(1, END_STREAM, OK)]);
    assert_eq!(client.response(first), Ok(Some((Received::Final, 200))));
    client.release(second);
    assert!(!client.connection.is_finished());
    client.release(first);
    assert!(client.connection.is_finished());
}

#[test]
fn goaway_whose_identifier_rises_ends_the_connection() {
    let (_, reaction) = failure(&[goaway(1, NO_ERROR), goaway(3, NO_ERROR)]);
    assert_eq!(reaction, Reaction::Connection(PROTOCOL_ERROR));
    let (_, reaction) = failure(&[goaway(0x7fff_ffff, NO_ERROR), goaway(1, NO_ERROR), goaway(1, NO_ERROR)]);
    assert_eq!(reaction, Reaction::Accepted);
}

#[test]
fn end_of_the_connection_fails_every_stream_and_keeps_what_has_arrived() {
    let (mut client, key) = asked();
    let second = client.open(REQUEST, true);
    client.send(&[headers(1, 0, OK), data(1, END_STREAM, b"whole"), headers(3, 0, OK), data(3, 0, b"part")]);
    client.connection.receive_end();
    assert_eq!(client.response(key), Ok(Some((Received::Final, 200))));
    assert_eq!(client.read(key), (b"whole".to_vec(), Ok(Data::All)));
    assert_eq!(client.response(second), Ok(Some((Received::Final, 200))));
    let (part, result) = client.read(second);
    let result = if result.is_ok() { client.read(second).1 } else { result };
    assert_eq!((part, result), (b"part".to_vec(), Err(StreamFailure::ConnectionLost)));
    client.release(key);
    client.release(second);
    assert!(client.connection.is_finished() && client.connection.open(false).is_none());
}

#[test]
fn frames_that_no_server_may_send_end_the_connection() {
    let promise = [&2_u32.to_be_bytes()[..], &block(&[(":method", "GET"), (":path", "/")])].concat();
    for (name, frames) in [
        ("PUSH_PROMISE", vec![Frame::new(PUSH_PROMISE, END_HEADERS, 1, &promise)]),
        ("HEADERS on a pushed stream", vec![headers(2, END_STREAM, OK)]),
        ("HEADERS on an idle stream", vec![headers(3, END_STREAM, OK)]),
        ("DATA on an idle stream", vec![data(3, 0, b"x")]),
        ("RST_STREAM on an idle stream", vec![reset(3, CANCEL)]),
        ("ENABLE_PUSH of a server", vec![settings(&[(2, 1)])]),
        ("extended CONNECT taken back", vec![settings(&[(8, 1)]), settings(&[(8, 0)])]),
    ] {
        assert_eq!(failure(&frames).1, Reaction::Connection(PROTOCOL_ERROR), "{name}");
    }
    let mut client = Endpoint::new_client(LOCAL);
    client.send(&[Frame::new(PING, 0, 0, &[0; 8])]);
    assert_eq!(client.reaction(), Reaction::Connection(PROTOCOL_ERROR), "the first frame is no SETTINGS");
}

#[test]
fn malformed_response_fails_its_stream_alone() {
    let length = |length| headers(1, 0, &[(":status", "200"), ("content-length", length)]);
    for (name, frames) in [
        ("DATA before the head", vec![data(1, 0, b"x")]),
        ("no status", vec![headers(1, END_STREAM, &[("x-a", "b")])]),
        ("status of two digits", vec![headers(1, END_STREAM, &[(":status", "20")])]),
        ("pseudo field of a request", vec![headers(1, END_STREAM, &[(":status", "200"), (":path", "/")])]),
        ("informational response that ends the stream", vec![headers(1, END_STREAM, &[(":status", "103")])]),
        ("switching protocols", vec![headers(1, 0, &[(":status", "101")])]),
        ("DATA after an informational response", vec![headers(1, 0, &[(":status", "103")]), data(1, 0, b"x")]),
        ("more data than announced", vec![length("3"), data(1, 0, b"abcd")]),
        ("less data than announced", vec![length("3"), data(1, END_STREAM, b"ab")]),
        ("trailers that do not end the stream", vec![headers(1, 0, OK), headers(1, 0, &[("x", "y")])]),
        ("status in trailers", vec![headers(1, 0, OK), headers(1, END_STREAM, &[(":status", "200")])]),
    ] {
        let (mut client, key) = asked();
        let other = client.open(REQUEST, true);
        client.send(&frames);
        assert_eq!(client.reaction(), Reaction::Stream(1, PROTOCOL_ERROR), "{name}");
        assert!(client.connection.failure(key).is_some(), "{name}");
        client.send(&[headers(3, END_STREAM, OK)]);
        assert_eq!(client.response(other), Ok(Some((Received::Final, 200))), "{name}");
    }
}

#[test]
fn response_to_head_and_responses_without_content_have_no_body() {
    let mut client = Endpoint::client(&[]);
    let head = client.open(b"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n", true);
    client.send(&[headers(1, END_STREAM, &[(":status", "200"), ("content-length", "100")])]);
    assert_eq!(client.response(head), Ok(Some((Received::Final, 200))));
    assert_eq!(client.read(head), (Vec::new(), Ok(Data::All)));
    for (id, status) in [(3, "204"), (5, "304")] {
        let key = client.open(REQUEST, true);
        client.send(&[headers(id, END_STREAM, &[(":status", status)])]);
        assert!(matches!(client.response(key), Ok(Some((Received::Final, _)))), "{status}");
        assert_eq!(client.read(key), (Vec::new(), Ok(Data::All)), "{status}");
    }
    let second = client.open(b"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n", true);
    client.send(&[headers(7, 0, &[(":status", "200"), ("content-length", "3")]), data(7, END_STREAM, b"abc")]);
    assert!(client.connection.failure(second).is_some(), "a response to HEAD has no data");
}

#[test]
fn informational_responses_are_bounded() {
    let (mut client, key) = asked();
    let mut sent = 0;
    while client.connection.failure(key).is_none() && client.connection.error().is_none() {
        client.send(&[headers(1, 0, &[(":status", "103"), ("link", "</a>")])]);
        sent += 1;
        assert!(sent < 1000, "1,000 informational responses are held");
    }
}

#[test]
fn streams_stay_within_the_limit_of_the_server() {
    let mut client = Endpoint::client(&[(3, 2)]);
    let first = client.open(REQUEST, true);
    client.open(REQUEST, true);
    assert_eq!((client.connection.free_streams(), client.connection.open(false)), (0, None));
    client.send(&[headers(1, END_STREAM, OK)]);
    client.release(first);
    assert_eq!(client.connection.free_streams(), 1);
    client.send(&[settings(&[(3, 0)])]);
    assert_eq!((client.connection.free_streams(), client.connection.open(false)), (0, None));
    client.send(&[settings(&[(3, 5), (8, 1)])]);
    assert_eq!(client.connection.free_streams(), 4);
    assert!(client.connection.peer_allows_connect_protocol());
}

#[test]
fn abandoned_request_is_cancelled_and_what_still_arrives_is_dropped() {
    let (mut client, key) = asked();
    client.send(&[headers(1, 0, OK), data(1, 0, b"abc")]);
    client.release(key);
    assert_eq!(client.reaction(), Reaction::Stream(1, CANCEL));
    let mut credit = 0;
    for _ in 0..10 {
        client.send(&[data(1, 0, &[0; PAYLOAD_MAX])]);
        let output = client.output();
        credit += output.iter().filter(|f| f.kind == WINDOW_UPDATE && f.stream == 0).map(Frame::number).sum::<u32>();
        assert!(!output.iter().any(|frame| frame.kind == RST_STREAM), "one reset is enough");
    }
    assert!(credit as usize > 7 * PAYLOAD_MAX, "{credit}");
    client.send(&[headers(1, END_STREAM, &[("x-t", "u")]), window_update(1, 1), reset(1, CANCEL)]);
    assert_eq!((client.reaction(), client.connection.streams()), (Reaction::Accepted, 0));
}
