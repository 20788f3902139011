//! Flow control and the order of sending (RFC 9113 5.2, 6.9).

use ringway::http::h2::connection::{Data, LocalSettings, StreamKey};

use super::endpoint::{Endpoint, LOCAL, POST, Plain, REQUEST, RESPONSE, Reaction};
use super::wire::*;

const MAX_FRAME_SIZE: u16 = 5;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A server with streams 1, 3, ... whose response heads have been sent.
fn answering(peer: &[(u16, u32)], streams: u32) -> (Endpoint, Vec<StreamKey>) {
    let mut server = Endpoint::server(peer);
    let frames: Vec<_> = (0..streams).map(|n| headers(2 * n + 1, 0, POST)).collect();
    server.send(&frames);
    let keys: Vec<_> = (0..streams).map(|_| server.accept()).collect();
    for key in &keys {
        server.connection.send_head(*key, RESPONSE, false).expect("sent");
    }
    server.output();
    while server.connection.next_woken().is_some() {}
    (server, keys)
}

/// Lengths of the DATA frames of a stream.
fn lengths(frames: &[Frame], stream: u32) -> Vec<usize> {
    frames.iter().filter(|f| f.kind == DATA && f.stream == stream).map(|f| f.payload.len()).collect()
}

fn total(frames: &[Frame]) -> usize {
    frames.iter().filter(|f| f.kind == DATA).map(|f| f.payload.len()).sum()
}

#[test]
fn data_stays_within_the_windows_and_goes_on_after_an_update() {
    let (mut server, keys) = answering(&[(INITIAL_WINDOW_SIZE, 10)], 1);
    assert_eq!(server.connection.send_data(keys[0], &[1; 25], true), Ok(10));
    assert_eq!(server.connection.send_data(keys[0], &[1; 15], true), Ok(0));
    let output = server.output();
    assert_eq!((lengths(&output, 1), output[0].flags), (vec![10], 0));
    server.send(&[window_update(1, 20)]);
    assert_eq!(server.connection.next_woken(), Some(keys[0]));
    assert_eq!(server.connection.send_data(keys[0], &[1; 15], true), Ok(15));
    let output = server.output();
    assert_eq!((lengths(&output, 1), output[0].flags), (vec![15], END_STREAM));
}

#[test]
fn window_that_settings_reduce_below_zero_has_to_be_filled_first() {
    let (mut server, keys) = answering(&[(INITIAL_WINDOW_SIZE, 100)], 1);
    assert_eq!(server.connection.send_data(keys[0], &[0; 60], false), Ok(60));
    server.send(&[settings(&[(INITIAL_WINDOW_SIZE, 20)])]);
    assert_eq!(server.connection.send_data(keys[0], &[0; 60], false), Ok(0));
    server.send(&[window_update(1, 40)]);
    assert_eq!(server.connection.send_data(keys[0], &[0; 60], false), Ok(0), "the window is 0");
    server.send(&[window_update(1, 1)]);
    assert_eq!(server.connection.send_data(keys[0], &[0; 60], false), Ok(1));
    server.send(&[settings(&[(INITIAL_WINDOW_SIZE, 50)])]);
    assert_eq!(server.connection.send_data(keys[0], &[0; 60], false), Ok(30), "30 more than before");
    assert_eq!(server.reaction(), Reaction::Accepted);
}

#[test]
fn end_of_the_stream_needs_no_window() {
    let (mut server, keys) = answering(&[(INITIAL_WINDOW_SIZE, 0)], 2);
    server.connection.send_data(keys[0], b"", true).expect("sent");
    server.connection.send_trailers(keys[1], b"x-t: u\r\n").expect("sent");
    let output: Vec<_> = server.output().iter().map(|f| (f.kind, f.stream, f.has(END_STREAM))).collect();
    assert_eq!(output, [(DATA, 1, true), (HEADERS, 3, true)]);
}

#[test]
fn window_of_the_connection_is_shared_first_come_first_served() {
    let (mut server, keys) = answering(&[(INITIAL_WINDOW_SIZE, 1 << 20)], 3);
    let payload = vec![7; 40_000];
    let mut left = [payload.len(); 3];
    let mut frames = Vec::new();
    for (key, left) in keys.iter().zip(&mut left) {
        *left -= server.connection.send_data(*key, &payload[..*left], false).expect("sent");
    }
    frames.extend(server.output());
    assert!(total(&frames) <= DEFAULT_WINDOW as usize);
    for _ in 0..100 {
        server.send(&[window_update(0, 8_000)]);
        while let Some(key) = server.connection.next_woken() {
            let at = keys.iter().position(|known| *known == key).expect("a known stream");
            if left[at] > 0 {
                left[at] -= server.connection.send_data(key, &payload[..left[at]], false).expect("sent");
            }
        }
        frames.extend(server.output());
    }
    assert_eq!((left, total(&frames)), ([0; 3], 120_000));
    assert!(frames.iter().all(|frame| frame.payload.len() <= PAYLOAD_MAX));
}

#[test]
fn senders_that_wait_for_output_take_turns_of_one_frame() {
    let (mut server, keys) = answering(&[(INITIAL_WINDOW_SIZE, 1 << 24), (MAX_FRAME_SIZE, 1 << 20)], 4);
    server.send(&[window_update(0, 1 << 24)]);
    server.output();
    let payload = vec![7; 512 * 1024];
    let mut left = [payload.len(); 4];
    let mut order = Vec::new();
    for (key, left) in keys.iter().zip(&mut left) {
        *left -= server.connection.send_data(*key, &payload[..*left], false).expect("sent");
    }
    let mut turns = 0;
    while left != [0; 4] {
        let bytes = server.take_bytes();
        assert!(bytes.len() <= 80 * 1024 + 20_000, "{} bytes wait", bytes.len());
        order.extend(frames_of(&bytes).iter().filter(|f| f.kind == DATA).map(|f| (f.stream, f.payload.len())));
        while let Some(key) = server.connection.next_woken() {
            let at = keys.iter().position(|known| *known == key).expect("a known stream");
            if left[at] > 0 {
                left[at] -= server.connection.send_data(key, &payload[..left[at]], false).expect("sent");
            }
        }
        turns += 1;
        assert!(turns < 10_000, "a sender was forgotten: {left:?} bytes are left");
    }
    order.extend(server.output().iter().filter(|f| f.kind == DATA).map(|f| (f.stream, f.payload.len())));
    assert_eq!(order.iter().map(|(_, length)| length).sum::<usize>(), 4 * payload.len());
    assert!(order.iter().all(|(_, length)| *length <= PAYLOAD_MAX), "one frame holds up the others");
    // After the first output, none sends twice as long as another has something to send.
    let half = &order[10..order.len() / 2];
    for stream in [1, 3, 5, 7] {
        let share = half.iter().filter(|(id, _)| *id == stream).count();
        assert!(share * 6 >= half.len(), "stream {stream} got {share} of {} frames: {half:?}", half.len());
    }
}

#[test]
fn credit_returns_when_data_is_handed_over_and_not_before() {
    let mut server = Endpoint::server(&[]);
    server.send(&[headers(1, 0, POST)]);
    let key = server.accept();
    for _ in 0..3 {
        server.send(&[data(1, 0, &[5; PAYLOAD_MAX])]);
    }
    assert_eq!(server.output(), [], "no credit for unread data");
    assert_eq!(server.connection.unread_bytes(key), 3 * PAYLOAD_MAX);
    let (payload, result) = server.read(key);
    assert_eq!((payload.len(), result), (3 * PAYLOAD_MAX, Ok(Data::Part)));
    let credit = |stream, frames: &[Frame]| -> u32 {
        frames.iter().filter(|f| f.kind == WINDOW_UPDATE && f.stream == stream).map(Frame::number).sum()
    };
    let output = server.output();
    assert_eq!((credit(0, &output), credit(1, &output)), (3 * 16_384, 3 * 16_384), "{output:?}");
    assert_eq!(output.len(), 2, "one update each: {output:?}");
}

#[test]
fn piece_that_the_reader_refuses_stays_and_gets_no_credit() {
    let mut server = Endpoint::server(&[]);
    server.send(&[headers(1, 0, POST), data(1, 0, &[5; PAYLOAD_MAX]), data(1, END_STREAM, &[6; PAYLOAD_MAX])]);
    let key = server.accept();
    assert_eq!(server.connection.read_data(key, &Plain, |_| false), Ok(Data::Refused));
    assert_eq!(server.output(), []);
    let (payload, result) = server.read(key);
    assert_eq!((payload.len(), result), (2 * PAYLOAD_MAX, Ok(Data::All)));
}

#[test]
fn long_upload_with_small_reads_never_stalls() {
    let local = LocalSettings { stream_window: 1000, connection_window: 65_535, ..LOCAL };
    let mut server = Endpoint::new_server(local);
    server.receive(&[PREFACE, &settings(&[]).bytes(), &headers(1, 0, POST).bytes()].concat());
    let key = server.accept();
    let (mut window, mut connection_window) = (1000_i64, 65_535_i64);
    server.output();
    let mut sent = 0_usize;
    while sent < 300_000 {
        let length = window.min(connection_window).clamp(0, 700) as usize;
        assert!(length > 0, "no credit after {sent} bytes");
        server.send(&[data(1, 0, &vec![3; length])]);
        sent += length;
        window -= length as i64;
        connection_window -= length as i64;
        assert_eq!(server.read(key).0.len(), length);
        for frame in server.output() {
            assert_eq!(frame.kind, WINDOW_UPDATE);
            *(if frame.stream == 0 { &mut connection_window } else { &mut window }) += i64::from(frame.number());
        }
        assert!(window <= 1000 && connection_window <= 65_535, "more credit than the window");
    }
}

#[test]
fn rest_of_a_frame_does_not_reach_the_next_stream_in_the_same_place() {
    let mut server = Endpoint::server(&[]);
    server.send(&[headers(1, 0, POST)]);
    let key = server.accept();
    let frame = data(1, END_STREAM, &[7; 1000]).bytes();
    let (first, second) = frame.split_at(100);
    server.receive(first);
    server.release(key);
    server.receive(second);
    server.send(&[headers(3, 0, POST), data(3, 0, b"own")]);
    let key = server.accept();
    assert_eq!(server.read(key), (b"own".to_vec(), Ok(Data::Part)));
    // The next stream may even be opened before the rest arrives: by a client.
    let mut client = Endpoint::client(&[]);
    let key = client.open(REQUEST, true);
    client.send(&[headers(1, 0, &[(":status", "200")])]);
    client.receive(first);
    client.release(key);
    let key = client.open(REQUEST, true);
    client.receive(second);
    client.send(&[headers(3, 0, &[(":status", "200")]), data(3, 0, b"own")]);
    assert_eq!(client.read(key), (b"own".to_vec(), Ok(Data::Part)));
}

#[test]
fn connection_window_grows_when_asked() {
    let mut server = Endpoint::server(&[]);
    server.connection.grow_window(100_000);
    assert_eq!(server.output(), [window_update(0, 100_000)]);
    let frames: Vec<_> = (0..3).map(|n| headers(2 * n + 1, 0, POST)).collect();
    server.send(&frames);
    for stream in [1, 3] {
        server.send(&[0, 1, 2].map(|_| data(stream, 0, &[0; PAYLOAD_MAX])));
    }
    assert_eq!((server.reaction(), server.connection.unread_total()), (Reaction::Accepted, 6 * PAYLOAD_MAX));
}

#[test]
fn long_head_is_continued_in_frames_of_the_peers_size() {
    let (mut server, _) = answering(&[], 1);
    server.send(&[headers(3, END_STREAM, POST)]);
    let key = server.accept();
    let lines = [b"HTTP/1.1 200 OK\r\nx-a: ".as_slice(), &[b'~'; 40_000], b"\r\n\r\n"].concat();
    server.connection.send_head(key, &lines, true).expect("sent");
    let frames: Vec<_> = server.output().into_iter().filter(|f| matches!(f.kind, HEADERS | CONTINUATION)).collect();
    assert!(frames.len() >= 3 && frames.iter().all(|frame| frame.payload.len() <= PAYLOAD_MAX));
    let last = frames.len() - 1;
    for (at, frame) in frames.iter().enumerate() {
        assert_eq!(frame.kind, if at == 0 { HEADERS } else { CONTINUATION });
        assert_eq!((frame.has(END_HEADERS), at == 0 && frame.has(END_STREAM)), (at == last, at == 0), "{at}");
    }
}

#[test]
fn space_for_data_is_the_window_and_then_the_stream_waits_for_an_update() {
    let (mut server, keys) = answering(&[(INITIAL_WINDOW_SIZE, 10)], 1);
    assert_eq!(server.connection.data_space(keys[0]), Ok(10));
    assert_eq!(server.connection.send_data(keys[0], &[1; 10], false), Ok(10));
    assert_eq!(server.connection.data_space(keys[0]), Ok(0));
    assert_eq!(server.connection.next_woken(), None);
    server.send(&[window_update(1, 5)]);
    assert_eq!(server.connection.next_woken(), Some(keys[0]));
    assert_eq!(server.connection.data_space(keys[0]), Ok(5));
}

#[test]
fn stream_that_gives_up_its_turn_lets_the_next_one_send() {
    let (mut server, keys) = answering(&[(INITIAL_WINDOW_SIZE, 1 << 24)], 3);
    server.send(&[window_update(0, 1 << 24)]);
    server.output();
    let payload = vec![7; 512 * 1024];
    let taken = server.connection.send_data(keys[0], &payload, false).expect("sent");
    assert!(taken < payload.len(), "the output is full");
    assert_eq!(server.connection.data_space(keys[1]), Ok(0), "the first stream waits in front");
    assert_eq!(server.connection.data_space(keys[2]), Ok(0));
    server.output();
    assert_eq!(server.connection.next_woken(), Some(keys[0]));
    server.connection.give_up_turn(keys[0]);
    assert_eq!(server.connection.next_woken(), Some(keys[1]));
    assert_eq!(server.connection.data_space(keys[1]), Ok(PAYLOAD_MAX), "others wait: one frame");
    assert_eq!(server.connection.send_data(keys[1], &payload[..PAYLOAD_MAX], false), Ok(PAYLOAD_MAX));
    assert_eq!(server.connection.next_woken(), Some(keys[2]));
}
