//! A whole request on its way to the backend: what the backend sees is exactly one request, the same to every reader, with the proxy's
//! own word on the client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::http::forward::{ForwardPlan, HostChoice, write_request};
use ringway::http::h1::codec::{Limits, Progress};
use ringway::http::h1::server::parse_request;
use ringway::http::{Body, Edits, Known, RequestHead, RequestView};
use ringway_fuzz::{Payload, SLOTS, assert_plain, decode, encode, pairs, their_pairs};

const PEER: &[u8] = b"192.0.2.1";

fuzz_target!(|bytes: &[u8]| {
    let mut head = RequestHead::default();
    if parse_request(bytes, &Limits::default(), &mut head) != Ok(Progress::Complete) {
        return;
    }
    // A full head has no room for what the proxy adds.
    if head.fields.len() + 10 > Limits::default().fields_max || head.len + 2000 > Limits::default().head_bytes_max {
        return;
    }
    let Ok(payload) = decode(head.body, &bytes[head.len..], usize::MAX) else { return };
    if payload.done {
        for trusted in [false, true] {
            check(bytes, &head, &payload, trusted);
        }
    }
});

fn check(bytes: &[u8], head: &RequestHead, payload: &Payload, trusted: bool) {
    let host = head.host.of(bytes);
    let plan = ForwardPlan {
        target: head.target.of(bytes),
        host: if host.is_empty() { HostChoice::Given(b"10.0.0.1:80") } else { HostChoice::Client },
        client_ip: PEER,
        secure: trusted,
        trusted,
        server_name: b"proxy",
        body: head.body,
        websocket: head.websocket,
        expect: false,
        extra: &[],
    };
    let mut out = Vec::new();
    write_request(&mut out, RequestView { head, bytes, edits: &Edits::new() }, &plan);
    let head_len = out.len();
    encode(head.body, payload, &mut out);

    let mut back = RequestHead::default();
    let verdict = parse_request(&out, &Limits::default(), &mut back);
    assert_eq!(verdict, Ok(Progress::Complete), "{}", out.escape_ascii());
    assert_eq!((back.len, back.body, back.keep_alive, back.websocket), (head_len, head.body, true, head.websocket));
    assert_eq!(back.method.of(&out), head.method.of(bytes));
    let body = decode(back.body, &out[back.len..], 5).expect("a body that reads back");
    assert_eq!(body.data, payload.data);
    assert!(body.done && back.len + body.len == out.len(), "bytes behind the one request");
    vouches_for_the_client(&out, &back, trusted);
    agrees_with_httparse(&out, &back);
}

fn vouches_for_the_client(out: &[u8], back: &RequestHead, trusted: bool) {
    let values = |known| -> Vec<&[u8]> {
        back.fields.iter().filter(|field| field.known == known).map(|field| field.value.of(out)).collect()
    };
    let connection_fields = if back.websocket { 1 } else { 0 };
    assert_eq!(values(Known::Connection).len(), connection_fields);
    assert!(values(Known::ForwardedAlias).is_empty() && values(Known::TransferEncoding).len() <= 1);
    assert_eq!(values(Known::XForwardedServer), [b"proxy"]);
    assert!(values(Known::XForwardedFor).len() == 1 && values(Known::XForwardedFor)[0].ends_with(PEER));
    assert!(!values(Known::XRealIp).is_empty() && !values(Known::XForwardedProto).is_empty());
    if !trusted {
        assert_eq!(values(Known::XForwardedFor), [PEER]);
        assert_eq!(values(Known::XRealIp), [PEER]);
        assert_eq!(values(Known::XForwardedProto), [b"http"]);
    }
}

fn agrees_with_httparse(out: &[u8], back: &RequestHead) {
    let ours = pairs(&back.fields, out);
    assert_plain(&ours);
    if !back.target.of(out).is_ascii() {
        return;
    }
    let mut slots = [httparse::EMPTY_HEADER; SLOTS];
    let mut second = httparse::Request::new(&mut slots);
    assert_eq!(second.parse(out), Ok(httparse::Status::Complete(back.len)));
    assert_eq!(second.path.map(str::as_bytes), Some(back.target.of(out)));
    assert_eq!(ours, their_pairs(second.headers));
    assert_eq!(
        back.body == Body::Chunked,
        ours.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"transfer-encoding"))
    );
}
