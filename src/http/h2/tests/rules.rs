//! The rules of RFC 9113: what the connection says to each violation.

use super::*;
use crate::http::h2::connection::{ErrorCode, StreamFailure};

fn answer(input: &[Vec<u8>]) -> Vec<String> {
    let mut server = server();
    feed(&mut server, &input.concat());
    said(&mut server)
}

#[test]
fn violations_of_the_connection_end_it() {
    let get = || headers(1, GET, true);
    let cases: Vec<(&str, Vec<Vec<u8>>, &str)> = vec![
        ("DATA on stream 0", vec![data(0, b"x", true)], "GOAWAY 0 PROTOCOL_ERROR"),
        ("DATA on an idle stream", vec![data(1, b"x", true)], "GOAWAY 0 PROTOCOL_ERROR"),
        ("even stream", vec![headers(2, GET, true)], "GOAWAY 0 PROTOCOL_ERROR"),
        ("falling stream", vec![headers(5, GET, true), headers(3, GET, true)], "GOAWAY 5 PROTOCOL_ERROR"),
        ("HEADERS after END_STREAM", vec![get(), get()], "GOAWAY 1 STREAM_CLOSED"),
        ("DATA after END_STREAM", vec![get(), data(1, b"x", true)], "GOAWAY 1 STREAM_CLOSED"),
        ("RST_STREAM on an idle stream", vec![number(frame::RST_STREAM, 1, 0)], "GOAWAY 0 PROTOCOL_ERROR"),
        ("WINDOW_UPDATE on an idle stream", vec![number(frame::WINDOW_UPDATE, 1, 1)], "GOAWAY 0 PROTOCOL_ERROR"),
        ("increment 0", vec![number(frame::WINDOW_UPDATE, 0, 0)], "GOAWAY 0 PROTOCOL_ERROR"),
        ("window overflow", vec![number(frame::WINDOW_UPDATE, 0, 0x7fff_ffff)], "GOAWAY 0 FLOW_CONTROL_ERROR"),
        ("long frame", vec![frame(frame::DATA, 0, 1, &[0; 16_385])], "GOAWAY 0 FRAME_SIZE_ERROR"),
        ("long PING", vec![frame(frame::PING, 0, 0, &[0; 9])], "GOAWAY 0 FRAME_SIZE_ERROR"),
        ("PING on a stream", vec![frame(frame::PING, 0, 1, &[0; 8])], "GOAWAY 0 PROTOCOL_ERROR"),
        ("SETTINGS on a stream", vec![frame(frame::SETTINGS, 0, 1, &[])], "GOAWAY 0 PROTOCOL_ERROR"),
        ("SETTINGS of 5 bytes", vec![frame(frame::SETTINGS, 0, 0, &[0; 5])], "GOAWAY 0 FRAME_SIZE_ERROR"),
        ("ACK with settings", vec![frame(frame::SETTINGS, 1, 0, &[0; 6])], "GOAWAY 0 FRAME_SIZE_ERROR"),
        ("GOAWAY on a stream", vec![frame(frame::GOAWAY, 0, 1, &[0; 8])], "GOAWAY 0 PROTOCOL_ERROR"),
        ("push", vec![frame(frame::PUSH_PROMISE, 4, 1, &[0; 8])], "GOAWAY 0 PROTOCOL_ERROR"),
        ("CONTINUATION alone", vec![frame(frame::CONTINUATION, 4, 1, &[])], "GOAWAY 0 PROTOCOL_ERROR"),
        (
            "interrupted block",
            vec![frame(frame::HEADERS, 1, 1, GET), frame(frame::PING, 0, 0, &[0; 8])],
            "GOAWAY 0 PROTOCOL_ERROR",
        ),
        (
            "block of another stream",
            vec![frame(frame::HEADERS, 1, 1, GET), frame(frame::CONTINUATION, 4, 3, &[])],
            "GOAWAY 0 PROTOCOL_ERROR",
        ),
        ("broken block", vec![headers(1, &[0x80], true)], "GOAWAY 1 COMPRESSION_ERROR"),
        (
            "padding of DATA",
            vec![headers(1, POST, false), frame(frame::DATA, 8, 1, &[5, 0])],
            "GOAWAY 1 PROTOCOL_ERROR",
        ),
        ("padding of HEADERS", vec![frame(frame::HEADERS, 0xd, 1, &[9, 0])], "GOAWAY 0 PROTOCOL_ERROR"),
        ("priority cut off", vec![frame(frame::HEADERS, 0x25, 1, &[0; 4])], "GOAWAY 0 FRAME_SIZE_ERROR"),
    ];
    for (what, input, expected) in cases {
        assert_eq!(answer(&input), [expected], "{what}");
    }
}

#[test]
fn first_bytes_must_be_preface_and_settings() {
    for (input, expected) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "GOAWAY 0 PROTOCOL_ERROR"),
        ([PREFACE, &frame(frame::PING, 0, 0, &[0; 8])].concat(), "GOAWAY 0 PROTOCOL_ERROR"),
        ([PREFACE, &frame(frame::SETTINGS, 1, 0, &[])].concat(), "GOAWAY 0 PROTOCOL_ERROR"),
    ] {
        let mut server = Connection::server(LOCAL);
        feed(&mut server, &input);
        assert_eq!(said(&mut server), [expected]);
        assert!(server.is_finished() && !server.wants_input());
    }
}

#[test]
fn violations_of_a_stream_end_it_alone() {
    let post = || headers(1, POST, false);
    let length = |n: u8| [POST, &[0x0f, 0x0d, 1, n]].concat();
    let cases: Vec<(&str, Vec<Vec<u8>>, &str)> = vec![
        ("increment 0", vec![post(), number(frame::WINDOW_UPDATE, 1, 0)], "RST 1 PROTOCOL_ERROR"),
        ("window overflow", vec![post(), number(frame::WINDOW_UPDATE, 1, 0x7fff_ffff)], "RST 1 FLOW_CONTROL_ERROR"),
        ("self-dependency", vec![post(), frame(frame::PRIORITY, 0, 1, &[0, 0, 0, 1, 0])], "RST 1 PROTOCOL_ERROR"),
        ("short PRIORITY", vec![post(), frame(frame::PRIORITY, 0, 1, &[0; 4])], "RST 1 FRAME_SIZE_ERROR"),
        ("trailers without end", vec![post(), headers(1, &[], false)], "RST 1 PROTOCOL_ERROR"),
        ("pseudo field in trailers", vec![post(), headers(1, &[0x84], true)], "RST 1 PROTOCOL_ERROR"),
        (
            "more than Content-Length",
            vec![headers(1, &length(b'1'), false), data(1, b"xx", false)],
            "RST 1 PROTOCOL_ERROR",
        ),
        (
            "less than Content-Length",
            vec![headers(1, &length(b'2'), false), data(1, b"x", true)],
            "RST 1 PROTOCOL_ERROR",
        ),
        ("no :path", vec![headers(1, &[0x82, 0x87, 0x01, 1, b'a'], true)], "RST 1 PROTOCOL_ERROR"),
        (
            "HEADERS that depend on themselves",
            vec![frame(frame::HEADERS, 0x25, 1, &[&[0, 0, 0, 1, 0], GET].concat())],
            "RST 1 PROTOCOL_ERROR",
        ),
    ];
    for (what, mut input, expected) in cases {
        // The next request is served all the same.
        input.push(headers(3, GET, true));
        let mut server = server();
        feed(&mut server, &input.concat());
        assert_eq!(said(&mut server), [expected], "{what}");
        let opened: Vec<_> = std::iter::from_fn(|| server.next_opened()).collect();
        assert!(opened.len() <= 2 && !opened.is_empty(), "{what}");
        assert!(server.error().is_none(), "{what}");
    }
}

#[test]
fn window_of_a_stream_and_of_the_connection_are_kept() {
    let piece = [0; 16_384];
    let mut server = server();
    feed(&mut server, &headers(1, POST, false));
    (0..4).for_each(|_| feed(&mut server, &data(1, &piece, false)));
    assert_eq!(said(&mut server), Vec::<String>::new());
    feed(&mut server, &data(1, &piece, false));
    assert_eq!(said(&mut server), ["RST 1 FLOW_CONTROL_ERROR"]);
    feed(&mut server, &[headers(3, POST, false), data(3, &piece, false)].concat());
    feed(&mut server, &data(3, &piece, false));
    assert_eq!(said(&mut server), ["GOAWAY 3 FLOW_CONTROL_ERROR"]);
}

#[test]
fn credit_is_given_for_what_was_handed_over_and_dropped() {
    let mut server = server();
    let total = |server: &mut Connection, stream| -> u32 {
        let output = server.take_output(Vec::new());
        let credit = |(kind, _, on, payload): &Seen| {
            if *kind == frame::WINDOW_UPDATE && *on == stream { frame::number(payload) } else { 0 }
        };
        frames(&output).iter().map(credit).sum()
    };
    feed(&mut server, &headers(1, POST, false));
    (0..4).for_each(|_| feed(&mut server, &data(1, &[0; 16_384], false)));
    assert_eq!((total(&mut server, 0), server.unread_total()), (0, 65_536), "nothing has been handed over");
    let key = request(&mut server);
    assert_eq!(body(&mut server, key).0.len(), 65_536);
    let output = server.take_output(Vec::new());
    let credits: Vec<_> =
        frames(&output).into_iter().map(|(_, _, on, payload)| (on, frame::number(&payload))).collect();
    assert_eq!(credits, [(0, 65_536), (1, 65_536)]);
    // Padding counts, and what a stream does not read is given back at its end.
    let padded = frame(frame::DATA, 8, 1, &[&[200_u8][..], &[0; 300]].concat());
    (0..4).for_each(|_| feed(&mut server, &padded));
    (0..3).for_each(|_| feed(&mut server, &data(1, &[0; 16_384], false)));
    server.release(key, &Heap);
    assert_eq!(server.unread_total(), 0);
    assert_eq!(total(&mut server, 0), 49_152 + 4 * 301);
}

#[test]
fn streams_above_the_limit_are_refused_until_handlers_have_ended() {
    let mut server = server();
    for stream in [1, 3, 5, 7] {
        feed(&mut server, &headers(stream, GET, true));
    }
    let keys: Vec<_> = (0..4).map(|_| request(&mut server)).collect();
    feed(&mut server, &number(frame::RST_STREAM, 1, 8));
    feed(&mut server, &headers(9, GET, true));
    assert_eq!(said(&mut server), ["RST 9 REFUSED_STREAM"], "a reset stream counts while its handler runs");
    assert_eq!(server.failure(keys[0]), Some(StreamFailure::Reset(ErrorCode::Cancel)));
    server.release(keys[0], &Heap);
    feed(&mut server, &headers(11, GET, true));
    assert_eq!(said(&mut server), Vec::<String>::new());
    request(&mut server);
}

#[test]
fn released_stream_is_reset_as_its_state_requires() {
    let end = |respond: Option<bool>, ended: bool| {
        let mut server = server();
        feed(&mut server, &headers(1, POST, ended));
        let key = request(&mut server);
        if let Some(end_stream) = respond {
            server.send_head(key, b"HTTP/2.0 200 OK\r\n\r\n", end_stream).expect("open");
        }
        server.release(key, &Heap);
        said(&mut server)
    };
    assert_eq!(end(Some(true), true), ["1 1"]);
    assert_eq!(end(Some(true), false), ["1 1", "RST 1 NO_ERROR"], "the request was not needed");
    assert_eq!(end(Some(false), true), ["1 1", "RST 1 INTERNAL_ERROR"], "the response is cut");
    assert_eq!(end(None, true), ["RST 1 INTERNAL_ERROR"]);
}

#[test]
fn frames_on_a_stream_that_was_reset_here_are_forgiven() {
    let mut server = server();
    feed(&mut server, &headers(1, POST, false));
    let key = request(&mut server);
    server.release(key, &Heap);
    assert_eq!(said(&mut server), ["RST 1 INTERNAL_ERROR"]);
    feed(&mut server, &[data(1, b"late", false), headers(1, &[], true)].concat());
    assert_eq!((said(&mut server), server.error()), (vec![], None));
}

#[test]
fn goaway_ends_the_connection_with_its_last_stream() {
    let mut server = server();
    feed(&mut server, &headers(1, GET, true));
    let key = request(&mut server);
    server.announce_shutdown();
    assert_eq!(said(&mut server), ["GOAWAY 2147483647 NO_ERROR"]);
    feed(&mut server, &headers(3, GET, true));
    let second = request(&mut server);
    server.shut_down();
    server.shut_down();
    assert_eq!(said(&mut server), ["GOAWAY 3 NO_ERROR"]);
    feed(&mut server, &headers(5, GET, true));
    assert!(server.next_opened().is_none() && said(&mut server).is_empty(), "later streams are ignored");
    for key in [key, second] {
        assert!(!server.is_finished());
        server.send_head(key, b"HTTP/2.0 204 \r\n\r\n", true).expect("open");
        server.release(key, &Heap);
    }
    assert!(server.is_finished());
}

#[test]
fn goaway_of_a_client_leaves_its_connection_open() {
    let mut server = server();
    feed(&mut server, &frame(frame::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]));
    assert!(!server.is_finished());
    feed(&mut server, &frame(frame::PING, 0, 0, b"12345678"));
    let output = server.take_output(Vec::new());
    assert!(frames(&output).iter().any(|(kind, ..)| *kind == frame::PING), "PING is answered");
}

#[test]
fn client_that_shuts_down_lets_its_streams_end_without_goaway() {
    let mut client = Connection::client(LOCAL, false);
    feed(&mut client, &frame(frame::SETTINGS, 0, 0, b""));
    let key = client.open(false).expect("a stream");
    client.send_head(key, b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n", true).expect("open");
    client.take_output(Vec::new());
    client.shut_down();
    assert!(!client.has_output() && client.open(false).is_none() && !client.is_finished());
    client.release(key, &Heap);
    assert!(client.is_finished());
}

#[test]
fn client_streams_beyond_goaway_were_not_processed() {
    let mut client = Connection::client(LOCAL, false);
    feed(&mut client, &frame(frame::SETTINGS, 0, 0, &[]));
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let keys: Vec<_> = (0..3).map(|_| client.open(false).expect("free")).collect();
    client.send_head(keys[1], head, true).expect("open");
    client.send_head(keys[0], head, true).expect("open");
    feed(&mut client, &frame(frame::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]));
    assert_eq!(client.failure(keys[1]), None, "stream 1");
    assert_eq!(client.failure(keys[0]), Some(StreamFailure::Refused), "stream 3");
    assert_eq!(client.failure(keys[2]), Some(StreamFailure::Refused), "nothing was sent");
    assert_eq!((client.free_streams(), client.open(false)), (0, None));
    feed(&mut client, &number(frame::RST_STREAM, 1, 7));
    assert_eq!(client.failure(keys[1]), Some(StreamFailure::Refused), "REFUSED_STREAM");
}

#[test]
fn settings_change_the_windows_of_open_streams() {
    let mut server = server();
    feed(&mut server, &headers(1, GET, true));
    let key = request(&mut server);
    server.send_head(key, b"HTTP/2.0 200 OK\r\n\r\n", false).expect("open");
    assert_eq!(server.send_data(key, &[0; 1000], false), Ok(1000));
    feed(&mut server, &frame(frame::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 100]));
    assert_eq!(server.send_data(key, b"x", false), Ok(0), "the window is -900");
    assert_eq!(server.next_woken(), None);
    feed(&mut server, &number(frame::WINDOW_UPDATE, 1, 900));
    assert_eq!((server.send_data(key, b"x", false), server.next_woken()), (Ok(0), None));
    feed(&mut server, &number(frame::WINDOW_UPDATE, 1, 3));
    assert_eq!(server.next_woken(), Some(key));
    assert_eq!(server.send_data(key, b"xyz12", true), Ok(3));
    feed(&mut server, &frame(frame::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 200]));
    assert_eq!(server.next_woken(), Some(key));
    assert_eq!(server.send_data(key, b"12", true), Ok(2));
    feed(&mut server, &frame(frame::SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]));
    assert_eq!(server.error().map(|error| error.code), Some(ErrorCode::FlowControlError));
}
