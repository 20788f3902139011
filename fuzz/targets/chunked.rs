//! Chunked bodies: the same result at every segmentation, the same payload from a second, simple decoder, and again after forwarding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::http::BodyFraming;
use ringway_fuzz::{Payload, decode, encode};

fuzz_target!(|wire: &[u8]| {
    let whole = decode(BodyFraming::Chunked, wire, wire.len());
    for piece in [1, 2, 3, 7] {
        assert_eq!(decode(BodyFraming::Chunked, wire, piece), whole, "in pieces of {piece}");
    }
    let Ok(payload) = whole else { return };
    if !payload.done {
        assert_eq!(payload.len, wire.len(), "not all of an unfinished body was taken");
        return;
    }
    let (data, len) = second_reading(wire);
    assert_eq!((&payload.data, payload.len), (&data, len));

    let mut sent = Vec::new();
    encode(BodyFraming::Chunked, &payload, &mut sent);
    let expected = Payload { len: sent.len(), ..payload };
    assert_eq!(decode(BodyFraming::Chunked, &sent, sent.len()), Ok(expected));
});

/// Decodes a body that the decoder has accepted: sizes by httparse, trailers as lines. Returns the payload and the offset of the body's
/// end.
fn second_reading(wire: &[u8]) -> (Vec<u8>, usize) {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(&wire[at..]) else {
            panic!("httparse reads no chunk size at {at}");
        };
        at += start;
        if size == 0 {
            break;
        }
        let end = at + size as usize;
        data.extend_from_slice(&wire[at..end]);
        assert_eq!(&wire[end..end + 2], b"\r\n");
        at = end + 2;
    }
    loop {
        let line = wire[at..].windows(2).position(|pair| pair == b"\r\n").expect("a line");
        at += line + 2;
        if line == 0 {
            return (data, at);
        }
    }
}
