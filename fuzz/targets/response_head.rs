//! Response heads: the result is the same when cut anywhere, httparse agrees on accepted heads, and the head sent to the client parses
//! back. A head that is normalised has the strict form, wherever it was cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::http::forward::{ResponsePlan, framing_for_client, write_response};
use ringway::http::h1::progress::{HeadLimits, ParseProgress};
use ringway::http::h1::response_head::{ResponseProgress, parse_response, parse_server_response};
use ringway::http::{BodyFraming, Edits, KnownField, ResponseHead, ResponseView, Version};
use ringway_fuzz::{SLOTS, assert_plain, pairs, their_pairs};

fuzz_target!(|bytes: &[u8]| {
    for to_head in [false, true] {
        let mut head = ResponseHead::default();
        let whole = parse_response(bytes, to_head, &HeadLimits::default(), &mut head);
        let mut early = ResponseHead::default();
        for cut in (0..bytes.len()).filter(|cut| bytes.len() <= 200 || cut % 17 == 0) {
            match parse_response(&bytes[..cut], to_head, &HeadLimits::default(), &mut early) {
                Ok(ParseProgress::Partial) => {}
                verdict => assert_eq!((verdict, early == head), (whole, true), "cut at {cut}"),
            }
        }
        normalises_to_the_strict_form(bytes, to_head, whole == Ok(ParseProgress::Complete));
        if whole == Ok(ParseProgress::Complete) {
            agrees_with_httparse(bytes, &head);
            for version in [Version::Http10, Version::Http11] {
                reads_back(bytes, &head, to_head, version);
            }
        }
    }
});

fn normalises_to_the_strict_form(bytes: &[u8], to_head: bool, is_strict: bool) {
    let mut head = ResponseHead::default();
    let progress = parse_server_response(bytes, to_head, &mut head);
    assert_eq!(is_strict, matches!(progress, Ok(ResponseProgress::Complete)));
    let Ok(ResponseProgress::Normalised { bytes: written, received_len, deviations }) = progress else { return };
    assert!(!deviations.is_empty() && received_len <= bytes.len());
    let mut strict = ResponseHead::default();
    assert_eq!(parse_response(&written, to_head, &HeadLimits::default(), &mut strict), Ok(ParseProgress::Complete));
    assert_eq!((strict.len, strict.body, &strict.fields), (written.len(), head.body, &head.fields));
    agrees_with_httparse(&written, &strict);
    let mut early = ResponseHead::default();
    for cut in (0..received_len).filter(|cut| received_len <= 200 || cut % 17 == 0) {
        let verdict = parse_server_response(&bytes[..cut], to_head, &mut early);
        assert!(matches!(verdict, Ok(ResponseProgress::Partial)), "cut at {cut}: {verdict:?}");
    }
}

fn agrees_with_httparse(bytes: &[u8], head: &ResponseHead) {
    let ours = pairs(&head.fields, bytes);
    assert_plain(&ours);
    let mut slots = [httparse::EMPTY_HEADER; SLOTS];
    let mut second = httparse::Response::new(&mut slots);
    assert_eq!(second.parse(bytes), Ok(httparse::Status::Complete(head.len)));
    assert_eq!(second.code, Some(head.status));
    assert_eq!(ours, their_pairs(second.headers));
}

fn reads_back(bytes: &[u8], head: &ResponseHead, to_head: bool, client_version: Version) {
    let plan = ResponsePlan {
        client_version,
        keep_alive: true,
        body: framing_for_client(client_version, head.body),
        date: Some(b"Thu, 01 Jan 1970 00:00:00 GMT"),
    };
    let mut out = Vec::new();
    write_response(&mut out, ResponseView { head, bytes, edits: &Edits::new() }, &plan);
    let mut back = ResponseHead::default();
    let verdict = parse_response(&out, to_head, &HeadLimits::default(), &mut back);
    // The proxy adds one field to a head that may have the maximum already.
    if head.fields.len() + 4 >= HeadLimits::default().fields_max {
        return;
    }
    assert_eq!(verdict, Ok(ParseProgress::Complete), "{}", out.escape_ascii());
    assert_eq!((back.len, back.status, back.version), (out.len(), head.status, client_version));
    assert_eq!(back.body, plan.body);
    // A switch of protocols does not end the connection, and an interim response does not affect its persistence.
    if head.status >= 200 {
        assert_eq!(back.keep_alive, plan.body != BodyFraming::UntilClose);
    }
    let framings = |known| back.fields.iter().filter(|field| field.known == known).count();
    assert!(framings(KnownField::ContentLength) + framings(KnownField::TransferEncoding) <= 1, "framed twice");
}
