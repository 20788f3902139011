//! Bodies, cut at every position.

use proptest::prelude::*;
use ringway::http::edits::Edits;
use ringway::http::h1::body::{CHUNK_END, Decoder, chunk_prefix, last_chunk};
use ringway::http::{BodyFraming, InvalidBody, Violation};

/// Payload, trailers, and bytes consumed.
pub type DecodeResult = Result<(Vec<u8>, Vec<u8>, usize), InvalidBody>;

/// Feeds the segments; each until it is consumed or the body is done. The end of the input is the end of the connection.
pub fn feed<'a>(body: BodyFraming, pieces: impl IntoIterator<Item = &'a [u8]>) -> DecodeResult {
    let mut decoder = Decoder::new(body);
    let (mut payload, mut total) = (Vec::new(), 0);
    for mut piece in pieces {
        while !piece.is_empty() && !decoder.is_done() {
            let step = decoder.decode(piece)?;
            assert!(step.consumed > 0, "no progress");
            if let Some(data) = step.data {
                assert!(data.end <= step.consumed && !data.is_empty());
                payload.extend_from_slice(&piece[data]);
            }
            assert_eq!(step.done, decoder.is_done());
            total += step.consumed;
            piece = &piece[step.consumed..];
        }
    }
    decoder.finish()?;
    Ok((payload, decoder.trailers().to_vec(), total))
}

/// Decodes whole, byte by byte and cut at every position: all results must agree.
pub fn decode(body: BodyFraming, bytes: &[u8]) -> DecodeResult {
    let whole = feed(body, [bytes]);
    assert_eq!(feed(body, bytes.chunks(1)), whole, "byte by byte: {}", bytes.escape_ascii());
    for cut in 0..=bytes.len() {
        let (a, b) = bytes.split_at(cut);
        assert_eq!(feed(body, [a, b]), whole, "cut at {cut}: {}", bytes.escape_ascii());
    }
    whole
}

fn payload(text: &str) -> Vec<u8> {
    decode(BodyFraming::Chunked, text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text:?}")).0
}

#[test]
fn lengths() {
    assert_eq!(decode(BodyFraming::Length(3), b"abcd"), Ok((b"abc".to_vec(), vec![], 3)));
    assert_eq!(decode(BodyFraming::Length(3), b"ab"), Err(InvalidBody(Violation::BodyTruncated)));
    assert_eq!(decode(BodyFraming::None, b"ab"), Ok((vec![], vec![], 0)));
    assert_eq!(decode(BodyFraming::Length(0), b"ab"), Ok((vec![], vec![], 0)));
    assert_eq!(decode(BodyFraming::UntilClose, b"abcd"), Ok((b"abcd".to_vec(), vec![], 4)));
}

#[test]
fn chunks() {
    assert_eq!(payload("0\r\n\r\n"), b"");
    assert_eq!(payload("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), b"hello world");
    assert_eq!(payload("0005\r\nhello\r\n0000\r\n\r\n"), b"hello");
    assert_eq!(payload("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n").len(), 20);
    assert_eq!(payload("5;a=b;c=\"d e\"\r\nhello\r\n0;x\t\r\n\r\n"), b"hello");
    let (_, _, consumed) = decode(BodyFraming::Chunked, b"1\r\na\r\n0\r\n\r\nGET /").unwrap();
    assert_eq!(consumed, 11);
}

#[test]
fn small_whole_body_is_one_decode_step() {
    let mut decoder = Decoder::new(BodyFraming::Chunked);
    let step = decoder.decode(b"5\r\nhello\r\n0\r\n\r\nX").unwrap();
    assert_eq!((step.consumed, step.data, step.done), (15, Some(3..8), true));
}

#[test]
fn truncation_is_detected_at_every_position() {
    let whole = b"5;x\r\nhello\r\n0\r\nA: b\r\n\r\n";
    for end in 0..whole.len() {
        assert_eq!(
            decode(BodyFraming::Chunked, &whole[..end]),
            Err(InvalidBody(Violation::BodyTruncated)),
            "end {end}"
        );
    }
    assert!(decode(BodyFraming::Chunked, whole).is_ok());
}

#[test]
fn only_harmless_trailers_are_forwarded() {
    let text = b"0\r\nGrpc-Status: 0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: b\r\nX-Forwarded-For: c\r\n\
        X_Forwarded_For: c\r\nX-Real-Ip: d\r\nX-Forwarded-Ssl: on\r\nConnection: x\r\nTrailer: y\r\nAuthorization: z\r\nCookie: z\r\n\
        Set-Cookie: z\r\nContent-Type: t\r\nTE: x\r\nUpgrade: y\r\nExpires:\tnever \r\n\r\n";
    let (_, trailers, _) = decode(BodyFraming::Chunked, text).unwrap();
    assert_eq!(trailers, b"Grpc-Status: 0\r\nExpires:\tnever \r\n");
}

#[test]
fn request_trailers_cannot_name_fields_of_the_proxy() {
    let mut edits = Edits::new();
    edits.set(b"X-WebAuth-User", b"ann");
    edits.add(b"X-Team", b"red");
    edits.remove(b"X-Gone");
    let text = b"0\r\nx-webauth-user: bob\r\nX_WebAuth_User: bob\r\nX-Team: blue\r\nX-Gone: 1\r\nX-Sum: 1\r\n\r\n";
    let mut decoder = Decoder::new(BodyFraming::Chunked);
    decoder.drop_edited_trailers(&edits);
    assert!(decoder.decode(text).expect("a body").done);
    assert_eq!(decoder.trailers(), b"X-Sum: 1\r\n");
}

#[test]
fn extensions_beside_payload_have_no_total_limit() {
    let fair = format!("200;{}\r\n{}\r\n", "a".repeat(100), "b".repeat(512)).repeat(1000) + "0\r\n\r\n";
    assert_eq!(feed(BodyFraming::Chunked, [fair.as_bytes()]).unwrap().0.len(), 512_000);
}

#[test]
fn skipped_bytes_advance_the_decoder() {
    let mut decoder = Decoder::new(BodyFraming::Length(10));
    assert_eq!(decoder.remaining(), Some(10));
    decoder.skip(4);
    assert_eq!(decoder.decode(b"abc").unwrap().data, Some(0..3));
    assert_eq!(decoder.remaining(), Some(3));
    decoder.skip(3);
    assert!(decoder.is_done());
    assert_eq!(decoder.finish(), Ok(()));

    let mut decoder = Decoder::new(BodyFraming::Chunked);
    assert_eq!(decoder.remaining(), None);
    decoder.decode(b"100\r\n").unwrap();
    assert_eq!(decoder.remaining(), Some(256));
    decoder.skip(256);
    assert!(decoder.decode(b"\r\n0\r\n\r\n").unwrap().done);
}

proptest! {
    #[test]
    fn encoded_body_decodes_to_the_same(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8), cut in any::<u16>()) {
        let mut wire = Vec::new();
        for piece in &pieces {
            chunk_prefix(&mut wire, piece.len());
            wire.extend_from_slice(piece);
            wire.extend_from_slice(CHUNK_END);
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let cut = usize::from(cut) % wire.len();
        let (a, b) = wire.split_at(cut);
        prop_assert_eq!(feed(BodyFraming::Chunked, [a, b]), Ok((pieces.concat(), vec![], wire.len())));
    }

    #[test]
    fn chunk_prefix_is_the_length_in_hexadecimal(len in any::<usize>()) {
        let mut out = Vec::new();
        chunk_prefix(&mut out, len);
        let expected = if len == 0 { String::new() } else { format!("{len:x}\r\n") };
        prop_assert_eq!(out, expected.into_bytes());
    }

    #[test]
    fn random_bytes_never_panic_and_splits_never_matter(bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'1'), Just(b';'), any::<u8>()], 0..40)) {
        let _ = decode(BodyFraming::Chunked, &bytes);
    }
}

#[test]
fn last_chunk_carries_trailers() {
    let mut wire = Vec::new();
    last_chunk(&mut wire, b"A: b\r\n");
    assert_eq!(decode(BodyFraming::Chunked, &wire), Ok((vec![], b"A: b\r\n".to_vec(), wire.len())));
}
