//! The rules of RFC 9113 that a client can break, and what stays allowed.

use super::endpoint::{Endpoint, GET, LOCAL, POST, REQUEST, RESPONSE, Reaction};
use super::wire::*;

/// A GET on a stream.
fn get(stream: u32) -> Frame {
    headers(stream, END_STREAM, GET)
}

/// A POST whose body is to come.
fn post(stream: u32) -> Frame {
    headers(stream, 0, POST)
}

fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Frame {
    Frame::new(kind, flags, stream, payload)
}

/// What a server does with these frames behind the preface.
pub fn react(frames: &[Frame]) -> Reaction {
    let mut server = Endpoint::server(&[]);
    server.send(frames);
    server.reaction()
}

/// Frames behind the preface, and how a server reacts.
pub struct Case {
    pub name: String,
    pub frames: Vec<Frame>,
    pub expected: Reaction,
}

fn cases_of(group: &str, cases: &[(&str, &[Frame], Reaction)]) -> Vec<Case> {
    let case = |(name, frames, expected): &(&str, &[Frame], Reaction)| Case {
        name: format!("{group}: {name}"),
        frames: frames.to_vec(),
        expected: *expected,
    };
    cases.iter().map(case).collect()
}

/// All cases, for a comparison with another server.
pub fn cases() -> Vec<Case> {
    [
        lengths(),
        identifiers(),
        idle_streams(),
        blocks(),
        padding(),
        dependencies(),
        setting_values(),
        window_updates(),
        content_lengths(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn assert_all(cases: Vec<Case>) {
    for Case { name, frames, expected } in cases {
        assert_eq!(react(&frames), expected, "{name}");
    }
}

const PROTOCOL: Reaction = Reaction::Connection(PROTOCOL_ERROR);
const FRAME_SIZE: Reaction = Reaction::Connection(FRAME_SIZE_ERROR);
const FLOW_CONTROL: Reaction = Reaction::Connection(FLOW_CONTROL_ERROR);

/// The reaction to bytes from the start of the connection.
fn react_from_start(bytes: &[u8]) -> Reaction {
    let mut server = Endpoint::new_server(LOCAL);
    server.receive(bytes);
    server.reaction()
}

#[test]
fn preface_that_differs_in_any_byte_ends_the_connection() {
    for at in 0..PREFACE.len() {
        let mut bytes = PREFACE.to_vec();
        bytes[at] ^= 0x20;
        assert_eq!(react_from_start(&bytes), PROTOCOL, "byte {at}");
        assert_eq!(react_from_start(&bytes[..=at]), PROTOCOL, "byte {at}, before the rest has arrived");
        assert_eq!(react_from_start(&PREFACE[..at]), Reaction::Accepted, "{at} bytes");
    }
}

#[test]
fn first_frame_other_than_settings_ends_the_connection() {
    for frame in
        [raw(PING, 0, 0, &[0; 8]), get(1), window_update(0, 1), raw(99, 0, 0, b"x"), raw(SETTINGS, ACK, 0, b"")]
    {
        assert_eq!(react_from_start(&[PREFACE, &frame.bytes()].concat()), PROTOCOL, "{frame:?}");
    }
}

#[test]
fn server_sends_its_settings_first_and_acknowledges_each_settings_once() {
    let mut server = Endpoint::new_server(LOCAL);
    let first = server.output();
    assert_eq!((first[0].kind, first[0].flags, first[0].stream), (SETTINGS, 0, 0));
    let allowed: Vec<_> = first[0].payload.chunks(6).map(|pair| pair.to_vec()).collect();
    assert!(allowed.contains(&vec![0, 3, 0, 0, 0, 100]), "MAX_CONCURRENT_STREAMS: {allowed:?}");
    assert!(allowed.contains(&vec![0, 8, 0, 0, 0, 1]), "ENABLE_CONNECT_PROTOCOL: {allowed:?}");
    server.receive(PREFACE);
    server.send(&[settings(&[]), settings(&[(4, 1)]), raw(SETTINGS, ACK, 0, b"")]);
    let acks = server.output().iter().filter(|frame| frame.kind == SETTINGS && frame.flags == ACK).count();
    assert_eq!((acks, server.connection.error().is_none()), (2, true));
}

fn lengths() -> Vec<Case> {
    let long = vec![0; PAYLOAD_MAX + 1];
    cases_of(
        "lengths",
        &[
            ("SETTINGS of 5 bytes", &[raw(SETTINGS, 0, 0, &[0; 5])], FRAME_SIZE),
            ("acknowledgement with a payload", &[raw(SETTINGS, ACK, 0, &[0; 6])], FRAME_SIZE),
            ("PING of 7 bytes", &[raw(PING, 0, 0, &[0; 7])], FRAME_SIZE),
            ("PING of 9 bytes", &[raw(PING, ACK, 0, &[0; 9])], FRAME_SIZE),
            ("RST_STREAM of 3 bytes", &[post(1), raw(RST_STREAM, 0, 1, &[0; 3])], FRAME_SIZE),
            ("WINDOW_UPDATE of 5 bytes", &[raw(WINDOW_UPDATE, 0, 0, &[1; 5])], FRAME_SIZE),
            ("GOAWAY of 7 bytes", &[raw(GOAWAY, 0, 0, &[0; 7])], FRAME_SIZE),
            ("HEADERS above the frame size", &[raw(HEADERS, END_HEADERS, 1, &long)], FRAME_SIZE),
            (
                "CONTINUATION above the frame size",
                &[raw(HEADERS, 0, 1, b""), raw(CONTINUATION, 0, 1, &long)],
                FRAME_SIZE,
            ),
            ("unknown type above the frame size", &[raw(99, 0, 0, &long)], FRAME_SIZE),
            ("DATA above the frame size", &[post(1), data(1, 0, &long)], FRAME_SIZE),
            (
                "HEADERS too short for its priority",
                &[raw(HEADERS, END_HEADERS | PRIORITY_FIELDS, 1, &[0; 4])],
                FRAME_SIZE,
            ),
            ("padded HEADERS without a byte", &[raw(HEADERS, END_HEADERS | PADDED, 1, b"")], FRAME_SIZE),
        ],
    )
}

#[test]
fn length_that_a_type_does_not_allow_ends_the_connection() {
    assert_all(lengths());
}

#[test]
fn priority_with_another_length_resets_the_stream() {
    for length in [0, 4, 6] {
        let expected = Reaction::Stream(1, FRAME_SIZE_ERROR);
        assert_eq!(react(&[post(1), raw(PRIORITY, 0, 1, &vec![0; length])]), expected, "{length}");
    }
}

fn identifiers() -> Vec<Case> {
    cases_of(
        "identifiers",
        &[
            ("PRIORITY on 0", &[raw(PRIORITY, 0, 0, &priority_on(3))], PROTOCOL),
            ("RST_STREAM on 0", &[reset(0, CANCEL)], PROTOCOL),
            ("SETTINGS on a stream", &[get(1), raw(SETTINGS, 0, 1, b"")], PROTOCOL),
            ("PING on a stream", &[get(1), raw(PING, 0, 1, &[0; 8])], PROTOCOL),
            ("GOAWAY on a stream", &[get(1), raw(GOAWAY, 0, 1, &[0; 8])], PROTOCOL),
            ("even identifier", &[get(2)], PROTOCOL),
            ("identifier below the last", &[get(5), get(3)], PROTOCOL),
            ("PUSH_PROMISE of a client", &[post(1), raw(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])], PROTOCOL),
        ],
    )
}

#[test]
fn stream_identifier_that_a_type_does_not_allow_ends_the_connection() {
    for kind in [DATA, HEADERS, CONTINUATION] {
        assert_eq!(react(&[raw(kind, END_HEADERS, 0, b"")]), PROTOCOL, "{kind}");
    }
    assert_all(identifiers());
}

fn idle_streams() -> Vec<Case> {
    cases_of(
        "idle streams",
        &[
            ("DATA", &[data(1, 0, b"x")], PROTOCOL),
            ("RST_STREAM", &[reset(1, CANCEL)], PROTOCOL),
            ("WINDOW_UPDATE", &[window_update(1, 1)], PROTOCOL),
            ("WINDOW_UPDATE above the last", &[get(1), window_update(3, 1)], PROTOCOL),
            ("DATA on an even stream", &[get(3), data(2, 0, b"x")], PROTOCOL),
            ("CONTINUATION", &[raw(CONTINUATION, END_HEADERS, 1, b"")], PROTOCOL),
        ],
    )
}

#[test]
fn frame_on_an_idle_stream_ends_the_connection() {
    assert_all(idle_streams());
}

#[test]
fn stream_below_an_opened_one_is_closed() {
    let reaction = react(&[get(5), data(3, 0, b"x")]);
    assert!(
        matches!(reaction, Reaction::Connection(STREAM_CLOSED) | Reaction::Stream(3, STREAM_CLOSED)),
        "{reaction:?}"
    );
}

fn blocks() -> Vec<Case> {
    let begun = || raw(HEADERS, END_STREAM, 1, &block(GET));
    cases_of(
        "blocks",
        &[
            ("by PING", &[begun(), raw(PING, 0, 0, &[0; 8])], PROTOCOL),
            ("by SETTINGS", &[begun(), settings(&[])], PROTOCOL),
            ("by DATA", &[begun(), data(1, 0, b"x")], PROTOCOL),
            ("by HEADERS of the stream", &[begun(), get(1)], PROTOCOL),
            ("by HEADERS of another stream", &[begun(), get(3)], PROTOCOL),
            ("by CONTINUATION of another stream", &[begun(), raw(CONTINUATION, END_HEADERS, 3, b"")], PROTOCOL),
            ("by an unknown type", &[begun(), raw(99, 0, 1, b"x")], PROTOCOL),
            ("CONTINUATION behind its end", &[get(1), raw(CONTINUATION, END_HEADERS, 1, b"")], PROTOCOL),
            (
                "CONTINUATION behind DATA",
                &[post(1), data(1, 0, b"x"), raw(CONTINUATION, END_HEADERS, 1, b"")],
                PROTOCOL,
            ),
        ],
    )
}

#[test]
fn header_block_that_is_interrupted_ends_the_connection() {
    assert_all(blocks());
}

#[test]
fn header_block_in_pieces_is_one_block() {
    let whole = block(GET);
    for at in 0..=whole.len() {
        let (first, second) = whole.split_at(at);
        let mut server = Endpoint::server(&[]);
        server.send(&[raw(HEADERS, END_STREAM, 1, first), raw(CONTINUATION, END_HEADERS, 1, second)]);
        let key = server.accept();
        assert!(server.request_lines(key).1.starts_with(b"GET / HTTP/2.0\r\nhost: a.example\r\n"), "cut at {at}");
    }
}

fn padding() -> Vec<Case> {
    let padded = |length: u8, rest: &[u8]| [&[length], rest].concat();
    cases_of(
        "padding",
        &[
            ("of HEADERS", &[raw(HEADERS, END_HEADERS | PADDED, 1, &padded(9, &[0; 8]))], PROTOCOL),
            ("of DATA", &[post(1), data(1, PADDED, &padded(9, &[0; 8]))], PROTOCOL),
            (
                "of HEADERS with priority",
                &[raw(HEADERS, END_HEADERS | PADDED | PRIORITY_FIELDS, 1, &padded(5, &[0; 9]))],
                PROTOCOL,
            ),
        ],
    )
}

#[test]
fn padding_as_long_as_its_frame_ends_the_connection() {
    assert_all(padding());
}

#[test]
fn padding_and_priority_are_no_part_of_the_block_or_the_data() {
    let payload = [&[3][..], &priority_on(0), &block(POST), &[0; 3]].concat();
    let mut server = Endpoint::server(&[]);
    server.send(&[raw(HEADERS, END_HEADERS | PADDED | PRIORITY_FIELDS, 1, &payload)]);
    let key = server.accept();
    assert!(server.request_lines(key).1.starts_with(b"POST /p HTTP/2.0\r\n"));
    server.send(&[data(1, PADDED, b"\x02ab\0\0"), data(1, PADDED | END_STREAM, b"\0c")]);
    assert_eq!(server.read(key).0, b"abc");
}

fn dependencies() -> Vec<Case> {
    let fields = [&priority_on(1)[..], &block(GET)].concat();
    cases_of(
        "dependencies",
        &[
            (
                "in HEADERS",
                &[raw(HEADERS, END_HEADERS | END_STREAM | PRIORITY_FIELDS, 1, &fields)],
                Reaction::Stream(1, PROTOCOL_ERROR),
            ),
            ("in PRIORITY", &[post(1), raw(PRIORITY, 0, 1, &priority_on(1))], Reaction::Stream(1, PROTOCOL_ERROR)),
        ],
    )
}

#[test]
fn stream_that_depends_on_itself_is_reset() {
    assert_all(dependencies());
}

fn setting_values() -> Vec<Case> {
    cases_of(
        "setting values",
        &[
            ("ENABLE_PUSH", &[settings(&[(2, 2)])], PROTOCOL),
            ("INITIAL_WINDOW_SIZE", &[settings(&[(4, 1 << 31)])], FLOW_CONTROL),
            ("MAX_FRAME_SIZE below", &[settings(&[(5, 16_383)])], PROTOCOL),
            ("MAX_FRAME_SIZE above", &[settings(&[(5, 1 << 24)])], PROTOCOL),
            ("ENABLE_CONNECT_PROTOCOL", &[settings(&[(8, 2)])], PROTOCOL),
            (
                "a stream's window above its maximum",
                &[post(1), window_update(1, 0x7fff_0000), settings(&[(4, 0x7fff_ffff)])],
                FLOW_CONTROL,
            ),
        ],
    )
}

#[test]
fn setting_with_a_value_that_is_not_allowed_ends_the_connection() {
    assert_all(setting_values());
}

fn window_updates() -> Vec<Case> {
    cases_of(
        "window updates",
        &[
            ("increment 0 of the connection", &[window_update(0, 0)], PROTOCOL),
            ("increment 0 of a stream", &[post(1), window_update(1, 0)], Reaction::Stream(1, PROTOCOL_ERROR)),
            ("connection above the maximum", &[window_update(0, 0x7fff_ffff)], FLOW_CONTROL),
            (
                "stream above the maximum",
                &[post(1), window_update(1, 0x7fff_ffff)],
                Reaction::Stream(1, FLOW_CONTROL_ERROR),
            ),
            ("connection at the maximum", &[window_update(0, 0x7fff_ffff - DEFAULT_WINDOW)], Reaction::Accepted),
            ("stream at the maximum", &[post(1), window_update(1, 0x7fff_ffff - DEFAULT_WINDOW)], Reaction::Accepted),
        ],
    )
}

#[test]
fn window_update_that_breaks_a_rule_ends_stream_or_connection() {
    assert_all(window_updates());
}

#[test]
fn data_beyond_the_window_is_refused() {
    let full = [0; PAYLOAD_MAX];
    let frames = [post(1), data(1, 0, &full), data(1, 0, &full), data(1, 0, &full), data(1, 0, &full[1..])];
    assert_eq!(react(&frames), Reaction::Accepted, "65,535 bytes are allowed");
    let reaction = react(&[&frames[..], &[data(1, 0, b"x")]].concat());
    assert!(matches!(reaction, Reaction::Connection(FLOW_CONTROL_ERROR) | Reaction::Stream(1, FLOW_CONTROL_ERROR)));
    // Padding counts as well.
    let reaction = react(&[&frames[..], &[data(1, PADDED, &[0])]].concat());
    assert!(matches!(reaction, Reaction::Connection(FLOW_CONTROL_ERROR) | Reaction::Stream(1, FLOW_CONTROL_ERROR)));
    let other = [&frames[..], &[post(3), data(3, 0, b"x")]].concat();
    assert_eq!(react(&other), FLOW_CONTROL, "the connection's window");
}

#[test]
fn block_that_cannot_be_decoded_ends_the_connection() {
    for bytes in [&[0x80][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[0xbf], &[0x3f, 0xff, 0x7f], &[0x00, 0x05, b'a']]
    {
        let expected = Reaction::Connection(COMPRESSION_ERROR);
        assert_eq!(react(&[raw(HEADERS, END_HEADERS | END_STREAM, 1, bytes)]), expected, "{bytes:?}");
    }
}

#[test]
fn block_of_a_refused_or_reset_stream_still_reaches_the_decoder() {
    // The first block adds an entry to the dynamic table, on a stream whose frames are dropped.
    let adds = [&block(POST)[..], b"\x40\x03x-y\x01z"].concat();
    let trailers = b"\x40\x03x-t\x01u";
    let mut server = Endpoint::server(&[]);
    server.send(&[
        raw(HEADERS, END_HEADERS, 1, &adds),
        reset(1, CANCEL),
        post(3),
        data(3, 0, b"x"),
        raw(HEADERS, END_HEADERS | END_STREAM, 3, trailers),
        raw(HEADERS, END_HEADERS | END_STREAM, 5, &[&block(GET)[..], &[0xbe, 0xbf]].concat()),
    ]);
    let keys: Vec<_> = std::iter::from_fn(|| server.connection.next_opened()).collect();
    let Some(ringway::http::h2::connection::Opened::Request(last)) = keys.last() else { panic!("{keys:?}") };
    let (_, lines) = server.request_lines(*last);
    let lines = String::from_utf8(lines).expect("text");
    assert!(lines.contains("x-t: u\r\n") && lines.contains("x-y: z\r\n"), "{lines}");
}

#[test]
fn frame_after_end_stream_resets_the_stream_with_stream_closed() {
    let closed =
        |reaction| matches!(reaction, Reaction::Stream(1, STREAM_CLOSED) | Reaction::Connection(STREAM_CLOSED));
    assert!(closed(react(&[get(1), data(1, 0, b"x")])), "DATA");
    assert!(closed(react(&[get(1), headers(1, END_STREAM, &[("x-a", "b")])])), "HEADERS");
    assert!(closed(react(&[post(1), data(1, END_STREAM, b"x"), data(1, END_STREAM, b"x")])), "DATA after DATA");
    assert!(closed(react(&[post(1), reset(1, CANCEL), data(1, 0, b"x")])), "DATA after RST_STREAM");
    assert!(
        closed(react(&[post(1), reset(1, CANCEL), headers(1, END_STREAM, &[("x-a", "b")])])),
        "HEADERS after RST_STREAM"
    );
    for frame in [window_update(1, 1), raw(PRIORITY, 0, 1, &priority_on(3)), reset(1, CANCEL)] {
        assert_eq!(react(&[get(1), frame.clone()]), Reaction::Accepted, "{frame:?}");
    }
}

#[test]
fn frame_on_a_stream_that_both_sides_have_ended_is_stream_closed() {
    for frame in [data(1, 0, b"x"), headers(1, END_STREAM, &[("x-a", "b")])] {
        let mut server = Endpoint::server(&[]);
        server.send(&[get(1)]);
        let key = server.accept();
        server.connection.send_head(key, RESPONSE, true).expect("sent");
        server.release(key);
        assert_eq!(server.reaction(), Reaction::Accepted);
        server.send(&[window_update(1, 5), reset(1, CANCEL), raw(PRIORITY, 0, 1, &priority_on(0))]);
        assert_eq!(server.reaction(), Reaction::Accepted, "frames that may have crossed the response");
        server.send(&[frame]);
        let reaction = server.reaction();
        assert!(
            matches!(reaction, Reaction::Connection(STREAM_CLOSED) | Reaction::Stream(1, STREAM_CLOSED)),
            "{reaction:?}"
        );
    }
}

#[test]
fn frame_that_crossed_our_reset_is_ignored_and_its_data_returns_credit() {
    let mut server = Endpoint::server(&[]);
    server.send(&[post(1)]);
    let key = server.accept();
    server.connection.reset(key, ringway::http::h2::connection::ErrorCode::Cancel);
    server.release(key);
    assert_eq!(server.reaction(), Reaction::Stream(1, CANCEL));
    let mut credit = 0;
    for _ in 0..20 {
        server.send(&[data(1, 0, &[0; PAYLOAD_MAX])]);
        let output = server.output();
        assert!(server.connection.error().is_none(), "{:?}", server.connection.error());
        assert!(!output.iter().any(|frame| frame.kind == RST_STREAM), "{output:?}");
        credit += output.iter().filter(|f| f.kind == WINDOW_UPDATE && f.stream == 0).map(Frame::number).sum::<u32>();
    }
    assert!(credit as usize + DEFAULT_WINDOW as usize / 2 + PAYLOAD_MAX > 20 * PAYLOAD_MAX, "{credit}");
    server.send(&[headers(1, END_STREAM, &[("x-t", "u")]), get(3)]);
    assert_eq!(server.reaction(), Reaction::Accepted);
    server.accept();
}

#[test]
fn trailers_without_end_stream_reset_the_stream() {
    let reaction = react(&[post(1), data(1, 0, b"x"), headers(1, 0, &[("x-a", "b")])]);
    assert_eq!(reaction, Reaction::Stream(1, PROTOCOL_ERROR));
}

#[test]
fn trailers_with_a_pseudo_field_reset_the_stream() {
    let reaction = react(&[post(1), data(1, 0, b"x"), headers(1, END_STREAM, &[(":path", "/")])]);
    assert_eq!(reaction, Reaction::Stream(1, PROTOCOL_ERROR));
}

fn content_lengths() -> Vec<Case> {
    let request = |length: &str| {
        let fields = [POST, &[("content-length", length)]].concat();
        Frame::new(HEADERS, END_HEADERS, 1, &block(&fields))
    };
    let wrong = Reaction::Stream(1, PROTOCOL_ERROR);
    cases_of(
        "content lengths",
        &[
            ("too much, seen before the end", &[request("3"), data(1, 0, b"abcd")], wrong),
            ("too little", &[request("3"), data(1, END_STREAM, b"ab")], wrong),
            (
                "too little before trailers",
                &[request("3"), data(1, 0, b"ab"), headers(1, END_STREAM, &[("x", "y")])],
                wrong,
            ),
            ("none", &[request("3"), data(1, END_STREAM, b"")], wrong),
            ("something instead of nothing", &[request("0"), data(1, 0, b"x")], wrong),
            ("right", &[request("3"), data(1, 0, b"ab"), data(1, END_STREAM, b"c")], Reaction::Accepted),
            ("nothing", &[request("0"), data(1, END_STREAM, b"")], Reaction::Accepted),
        ],
    )
}

#[test]
fn content_length_that_the_data_contradicts_resets_the_stream() {
    assert_all(content_lengths());
    let fields = [POST, &[("content-length", "3")]].concat();
    assert_eq!(react(&[headers(1, END_STREAM, &fields)]), Reaction::Stream(1, PROTOCOL_ERROR), "END_STREAM at once");
}

#[test]
fn malformed_head_resets_only_its_stream() {
    let with = |field| [GET, &[field]].concat();
    for fields in [
        with(("X-Upper", "a")),
        with((":unknown", "a")),
        with(("connection", "close")),
        with(("te", "gzip")),
        GET[..2].to_vec(),
    ] {
        let mut server = Endpoint::server(&[]);
        server.send(&[headers(1, END_STREAM, &fields), get(3)]);
        assert_eq!(server.reaction(), Reaction::Stream(1, PROTOCOL_ERROR), "{fields:?}");
        server.accept();
    }
}

#[test]
fn stream_above_the_limit_is_refused_until_one_is_released() {
    let mut server = Endpoint::server(&[]);
    let frames: Vec<_> = (0..100).map(|n| get(2 * n + 1)).collect();
    server.send(&frames);
    assert_eq!((server.reaction(), server.connection.streams()), (Reaction::Accepted, 100));
    server.send(&[get(201)]);
    assert_eq!(server.reaction(), Reaction::Stream(201, REFUSED_STREAM));
    // A reset of the peer frees no place: its handler is still at work.
    server.send(&[reset(1, CANCEL), get(203)]);
    assert_eq!(server.reaction(), Reaction::Stream(203, REFUSED_STREAM));
    let key = server.accept();
    server.release(key);
    server.send(&[get(205)]);
    assert_eq!((server.reaction(), server.connection.streams()), (Reaction::Accepted, 100));
}

#[test]
fn unknown_types_flags_settings_and_the_reserved_bit_are_ignored() {
    let mut server = Endpoint::server(&[]);
    let reserved = |frame: Frame| Frame { stream: frame.stream | 1 << 31, ..frame };
    server.send(&[
        raw(99, 0xff, 0, b"unknown"),
        raw(99, 0xff, 7, b"unknown, on an idle stream"),
        reserved(Frame { flags: 0xd2 | END_STREAM | END_HEADERS, ..get(1) }),
        settings(&[(0xffff, 7)]),
        Frame { flags: 0xfe, ..raw(PING, 0, 0, &[1; 8]) },
        reserved(window_update(0, 1)),
        Frame::new(WINDOW_UPDATE, 0, 0, &0x8000_0001_u32.to_be_bytes()),
        raw(PRIORITY, 0, 9, &priority_on(3)),
    ]);
    assert_eq!(server.reaction(), Reaction::Accepted);
    server.accept();
}

#[test]
fn ping_is_answered_with_its_payload_and_an_answer_is_not() {
    let mut server = Endpoint::server(&[]);
    server.send(&[raw(PING, 0, 0, b"abcdefgh"), raw(PING, ACK, 0, b"12345678")]);
    assert_eq!(server.output(), [raw(PING, ACK, 0, b"abcdefgh")]);
}

#[test]
fn goaway_of_a_client_lets_its_streams_end() {
    let mut server = Endpoint::server(&[]);
    server.send(&[get(1), goaway(0, NO_ERROR)]);
    let key = server.accept();
    assert!(!server.connection.is_finished());
    server.connection.send_head(key, RESPONSE, true).expect("sent");
    server.release(key);
    assert!(!server.connection.is_finished(), "the client closes the connection");
    assert_eq!(server.reaction(), Reaction::Accepted);
    server.connection.receive_end();
    assert!(server.connection.is_finished());
}

#[test]
fn shutdown_announces_then_names_the_last_stream_and_ignores_later_ones() {
    let mut server = Endpoint::server(&[]);
    server.send(&[get(1)]);
    server.connection.announce_shutdown();
    server.send(&[get(3)]);
    server.connection.shut_down();
    let away: Vec<_> = server.output().into_iter().filter(|frame| frame.kind == GOAWAY).collect();
    assert_eq!(away, [goaway(0x7fff_ffff, NO_ERROR), goaway(3, NO_ERROR)]);
    server.send(&[get(5), post(7), data(7, END_STREAM, b"x"), reset(5, CANCEL), window_update(7, 1)]);
    assert_eq!((server.reaction(), server.connection.streams()), (Reaction::Accepted, 2));
    for _ in 0..2 {
        let key = server.accept();
        assert!(!server.connection.is_finished());
        server.connection.send_head(key, RESPONSE, true).expect("sent");
        server.release(key);
    }
    assert!(server.connection.is_finished() && server.connection.next_opened().is_none());
}

#[test]
fn client_and_server_lines_do_not_mix() {
    // A client's connection is no server's: what it writes begins with the preface, which a server alone understands.
    let mut client = Endpoint::new_client(LOCAL);
    client.open(REQUEST, true);
    let bytes = client.take_bytes();
    assert!(bytes.starts_with(PREFACE));
    let mut server = Endpoint::new_server(LOCAL);
    server.receive(&bytes);
    let key = server.accept();
    assert!(server.request_lines(key).1.starts_with(b"GET / HTTP/2.0\r\nhost: a.example\r\n"));
}
