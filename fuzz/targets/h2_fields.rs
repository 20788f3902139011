//! Header blocks of requests, responses and trailers: what is accepted is read as the same head by the strict parser of HTTP/1.1, so no field
//! can smuggle anything; and it is the same head after it was sent on as HTTP/2.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::http::h1::progress::ParseProgress;
use ringway::http::h1::request_head::parse_request;
use ringway::http::h1::response_head::parse_response;
use ringway::http::h2::fields::{HeadError, decode_request, decode_response, decode_trailers};
use ringway::http::h2::hpack::Decoder;
use ringway::http::h2::pack::{encode_request, encode_response, encode_trailers};
use ringway::http::{BodyFraming, HeadLimits, KnownField, RequestHead, ResponseHead, Version};
use ringway_fuzz::{assert_plain, pairs};

const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 4096, fields_max: 64, target_bytes_max: 1024 };
/// The lines are a little longer than what the limits count: they have no overhead of 32 bytes, but a version and line ends.
const LINES_LIMITS: HeadLimits = HeadLimits { head_bytes_max: 8192, fields_max: 80, target_bytes_max: 1024 };

fuzz_target!(|bytes: &[u8]| {
    let Some((&flags, rest)) = bytes.split_first() else { return };
    let (end_stream, to_head) = (flags & 1 != 0, flags & 2 != 0);
    let (first, second) = rest.split_at(rest.len() * usize::from(flags >> 4) / 16);
    let mut decoder = Decoder::new(4096);
    for block in [first, second] {
        let verdict = match flags >> 2 & 3 {
            0 | 1 => request(&mut decoder, block, end_stream),
            2 => response(&mut decoder, block, end_stream, to_head),
            _ => trailers(&mut decoder, block),
        };
        if matches!(verdict, Err(HeadError::Compression(_))) {
            return;
        }
    }
});

fn request(decoder: &mut Decoder, block: &[u8], end_stream: bool) -> Result<(), HeadError> {
    let (mut head, mut lines) = (RequestHead::default(), Vec::new());
    let verdict = decode_request(decoder, block, end_stream, &LIMITS, &mut head, &mut lines);
    if verdict.is_err() {
        assert!(lines.is_empty() && head.fields.is_empty());
        return verdict;
    }
    assert_plain(&pairs(&head.fields, &lines));
    assert_eq!((head.version, head.len), (Version::Http2, lines.len()));
    assert!(head.fields.iter().all(|field| field.known == KnownField::of(field.name.of(&lines))));
    assert!(head.body != BodyFraming::UntilClose && (!end_stream || head.body == BodyFraming::None));
    let back = as_http1(&lines, &head, end_stream);
    let mut block = Vec::new();
    // An upgrade of HTTP/1.1 is sent on as an extended CONNECT.
    let sent = encode_request(&back, true, head.extended_connect, &mut block);
    assert_eq!(sent, Ok(()), "{}", back.escape_ascii());
    let (mut again, mut again_lines) = (RequestHead::default(), Vec::new());
    let limits = HeadLimits { head_bytes_max: 1 << 20, fields_max: 128, ..LIMITS };
    let verdict = decode_request(&mut Decoder::new(0), &block, end_stream, &limits, &mut again, &mut again_lines);
    assert_eq!(verdict, Ok(()), "{}", lines.escape_ascii());
    assert_eq!((again.body, again.extended_connect), (head.body, head.extended_connect));
    let of = |head: &RequestHead, lines: &[u8]| [head.method, head.target, head.host].map(|span| span.of(lines).to_vec());
    assert_eq!(of(&again, &again_lines), of(&head, &lines));
    let (ours, theirs) = (regular(&head, &lines), regular(&again, &again_lines));
    assert_eq!(ours, theirs);
    verdict
}

/// The fields beside Host and what the proxy drops towards a server of HTTP/2.
fn regular(head: &RequestHead, lines: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let is_dropped = |name: &[u8]| head.extended_connect && matches!(name, b"sec-websocket-key" | b"sec-websocket-accept");
    let kept = |known| !matches!(known, KnownField::Host | KnownField::Http2Settings | KnownField::Te);
    let fields = head.fields.iter().filter(|field| kept(field.known));
    let pairs = fields.map(|field| (field.name.of(lines).to_vec(), field.value.of(lines).to_vec()));
    pairs.filter(|(name, _)| !is_dropped(name)).collect()
}

/// Checks that the strict parser of HTTP/1.1 reads the lines as the same head. Returns them as a head of HTTP/1.1, Host first.
fn as_http1(lines: &[u8], head: &RequestHead, end_stream: bool) -> Vec<u8> {
    let at = head.target.end as usize + 1;
    assert_eq!(&lines[at..at + 10], b"HTTP/2.0\r\n");
    let mut text = lines.to_vec();
    text[at..at + 8].copy_from_slice(b"HTTP/1.1");
    let mut back = RequestHead::default();
    let verdict = parse_request(&text, &LINES_LIMITS, &mut back);
    assert_eq!(verdict, Ok(ParseProgress::Complete), "{}", text.escape_ascii());
    assert_eq!(back.len, text.len(), "a request behind the request: {}", text.escape_ascii());
    assert_eq!((back.method, back.target, back.host), (head.method, head.target, head.host));
    assert!(!back.target_is_empty && back.keep_alive && back.fields == head.fields);
    assert_eq!((back.upgrade, back.websocket), (head.upgrade, head.websocket));
    assert_eq!(back.binds_connection, head.binds_connection);
    match head.body {
        BodyFraming::Length(_) if !head.extended_connect => assert_eq!(back.body, head.body),
        // The end of the stream, not a field, ends such a body.
        _ => assert!(back.body == BodyFraming::None || head.extended_connect),
    }
    assert!(end_stream || head.body != BodyFraming::None || back.body == BodyFraming::None || head.extended_connect);
    let host = head.fields.iter().find(|field| field.known == KnownField::Host).expect("a Host");
    let (start, end) = (host.name.start as usize, host.value.end as usize + 2);
    [&text[..at + 10], &text[start..end], &text[at + 10..start], &text[end..]].concat()
}

fn response(decoder: &mut Decoder, block: &[u8], end_stream: bool, to_head: bool) -> Result<(), HeadError> {
    let (mut head, mut lines) = (ResponseHead::default(), Vec::new());
    decode_response(decoder, block, end_stream, to_head, &LIMITS, &mut head, &mut lines)?;
    assert_plain(&pairs(&head.fields, &lines));
    let mut text = lines.clone();
    text[..8].copy_from_slice(b"HTTP/1.1");
    let mut back = ResponseHead::default();
    let verdict = parse_response(&text, to_head, &LINES_LIMITS, &mut back);
    assert_eq!(verdict, Ok(ParseProgress::Complete), "{}", text.escape_ascii());
    assert_eq!((back.len, back.status), (text.len(), head.status), "{}", text.escape_ascii());
    assert!(back.fields == head.fields && back.has_date == head.has_date);
    let expected = match head.body {
        BodyFraming::Chunked => BodyFraming::UntilClose,
        BodyFraming::None if back.body == BodyFraming::UntilClose && end_stream => BodyFraming::UntilClose,
        body => body,
    };
    assert_eq!(back.body, expected);
    let mut block = Vec::new();
    encode_response(&lines, false, &mut block);
    let (mut again, mut again_lines) = (ResponseHead::default(), Vec::new());
    let limits = HeadLimits { head_bytes_max: 1 << 20, fields_max: 128, ..LIMITS };
    let mut decoder = Decoder::new(0);
    decode_response(&mut decoder, &block, end_stream, to_head, &limits, &mut again, &mut again_lines).expect("our own block");
    let kept = |head: &ResponseHead, lines: &[u8]| -> Vec<(Vec<u8>, Vec<u8>)> {
        let is_sent = |known| !matches!(known, KnownField::Host | KnownField::Http2Settings | KnownField::Te);
        let fields = head.fields.iter().filter(|field| is_sent(field.known));
        fields.map(|field| (field.name.of(lines).to_vec(), field.value.of(lines).to_vec())).collect()
    };
    assert_eq!((again.status, again.body), (head.status, head.body));
    assert_eq!(kept(&again, &again_lines), kept(&head, &lines));
    Ok(())
}

fn trailers(decoder: &mut Decoder, block: &[u8]) -> Result<(), HeadError> {
    let mut lines = Vec::new();
    decode_trailers(decoder, block, &mut lines)?;
    // As the trailers of a chunked body, they are read to their end and dropped nowhere.
    let text = [b"0\r\n", &lines[..], b"\r\n"].concat();
    let mut body = ringway::http::h1::body::Decoder::new(BodyFraming::Chunked);
    let step = body.decode(&text).expect("valid trailers");
    assert!(step.done && step.consumed == text.len() && body.trailers() == lines, "{}", text.escape_ascii());
    let mut block = Vec::new();
    encode_trailers(&lines, &mut block);
    let mut again = Vec::new();
    assert_eq!(decode_trailers(&mut Decoder::new(0), &block, &mut again), Ok(()));
    assert_eq!(again, lines);
    Ok(())
}
