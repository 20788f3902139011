//! Request heads: the result never depends on the segmentation, and httparse parses every accepted head in the same way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::http::h1::progress::{HeadLimits, ParseProgress};
use ringway::http::h1::request_head::parse_request;
use ringway::http::{BodyFraming, KnownField, RequestHead, Version};
use ringway_fuzz::{SLOTS, assert_plain, pairs, their_pairs};

fuzz_target!(|bytes: &[u8]| {
    let limits = HeadLimits::default();
    let mut head = RequestHead::default();
    let whole = parse_request(bytes, &limits, &mut head);
    let mut early = RequestHead::default();
    for cut in (0..bytes.len()).filter(|cut| bytes.len() <= 200 || cut % 17 == 0) {
        match parse_request(&bytes[..cut], &limits, &mut early) {
            Ok(ParseProgress::Partial) => {}
            verdict => assert_eq!((verdict, early == head), (whole, true), "cut at {cut}"),
        }
    }
    if whole == Ok(ParseProgress::Complete) {
        check(bytes, &head);
    }
});

fn check(bytes: &[u8], head: &RequestHead) {
    let ours = pairs(&head.fields, bytes);
    assert_plain(&ours);
    let count = |known| head.fields.iter().filter(|field| field.known == known).count();
    assert!(count(KnownField::Host) <= 1 && (count(KnownField::Host) == 1 || head.version == Version::Http10));
    assert!(count(KnownField::ContentLength) + count(KnownField::TransferEncoding) <= 1, "framed twice");
    assert!(
        head.body != BodyFraming::UntilClose && (head.body != BodyFraming::Chunked || head.version == Version::Http11)
    );
    let target = head.target.of(bytes);
    assert!(!target.iter().any(|byte| matches!(byte, 0..=b' ' | 0x7f | b'#')), "{}", target.escape_ascii());

    // httparse wants UTF-8 in a target; browsers and Go do not.
    let line = rest_of_line(&bytes[head.method.end as usize..]);
    if !line.is_ascii() {
        return;
    }
    let mut slots = [httparse::EMPTY_HEADER; SLOTS];
    let mut second = httparse::Request::new(&mut slots);
    assert_eq!(second.parse(bytes), Ok(httparse::Status::Complete(head.len)));
    assert_eq!(second.method.map(str::as_bytes), Some(head.method.of(bytes)));
    assert_eq!(second.version, Some(u8::from(head.version == Version::Http11)));
    assert!(second.path.is_some_and(|path| path.as_bytes().ends_with(target)));
    assert_eq!(ours, their_pairs(second.headers));
}

/// Returns the rest of the line.
fn rest_of_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\r').next().unwrap_or_default()
}
