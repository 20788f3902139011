//! Parses recorded bytes again: with Ringway's parser and with httparse, which have to agree.

use std::fmt;

use ringway::http::h1::body::Decoder;
use ringway::http::h1::progress::{HeadLimits, ParseProgress};
use ringway::http::h1::request_head::parse_request;
use ringway::http::h1::response_head::{ResponseProgress, parse_response, parse_server_response};
use ringway::http::{BodyFraming, KnownField, RequestHead, ResponseHead};

use crate::{Payload, SLOTS, assert_plain, decode, decode_with, pairs, their_pairs};

/// A request, as far as it arrived.
#[derive(Clone, Default)]
pub struct Request {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub data: Vec<u8>,
    pub trailers: Vec<u8>,
    pub is_chunked: bool,
    /// The whole body has arrived.
    pub is_whole: bool,
    /// The request has no body and an idempotent method (RFC 9110 9.2.2).
    pub may_repeat: bool,
    /// Length of head and body in bytes.
    pub len: usize,
}

impl Request {
    /// Whether the router has no reason to rewrite the target.
    pub fn is_plain(&self) -> bool {
        let unclean = [&b"//"[..], b"/.", b"%", b"\\"];
        let has = |text: &[u8]| self.target.windows(text.len()).any(|window| window == text);
        self.target.starts_with(b"/") && self.target.is_ascii() && !unclean.into_iter().any(has)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.is_whole { "whole" } else { "cut" };
        write!(f, "{} {}, {whole}: ", self.method.escape_ascii(), self.target.escape_ascii())?;
        write!(f, "{} [{}]", self.data.escape_ascii(), self.trailers.escape_ascii())
    }
}

/// The state of the stream after the parsed messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    Nothing,
    /// A truncated message.
    Cut,
    /// Bytes that are no message.
    Refused,
    /// A body that breaks its framing.
    BadBody,
    /// Another protocol, if the server accepted the upgrade.
    Tunnel,
}

/// Parses a stream of requests; the last one may have a truncated body.
pub fn requests(bytes: &[u8]) -> (Vec<Request>, Rest) {
    let (mut requests, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Some((request, rest)) = first_request(&bytes[at..]) else { return (requests, Rest::Cut) };
        if rest != Rest::Refused {
            at += request.len;
            requests.push(request);
        }
        if rest != Rest::Nothing {
            return (requests, rest);
        }
    }
    (requests, Rest::Nothing)
}

/// Parses the first request of a stream, and what follows it; `None` without a whole head.
pub fn first_request(bytes: &[u8]) -> Option<(Request, Rest)> {
    let mut head = RequestHead::default();
    match parse_request(bytes, &HeadLimits::default(), &mut head) {
        Err(_) => return Some((Request::default(), Rest::Refused)),
        Ok(ParseProgress::Partial) => return None,
        Ok(ParseProgress::Complete) => {}
    }
    let method = head.method.of(bytes).to_vec();
    let is_safe = [&b"GET"[..], b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"].contains(&&*method);
    let mut request = Request {
        may_repeat: is_safe && head.body == BodyFraming::None,
        method,
        target: head.target.of(bytes).to_vec(),
        is_chunked: head.body == BodyFraming::Chunked,
        len: head.len,
        ..Request::default()
    };
    let Ok(payload) = decode(head.body, &bytes[head.len..], usize::MAX) else { return Some((request, Rest::BadBody)) };
    request.is_whole = payload.done;
    request.len += payload.len;
    Payload { data: request.data, trailers: request.trailers, .. } = payload;
    let rest = match payload.done {
        false => Rest::Cut,
        true if head.upgrade.is_forwarded() => Rest::Tunnel,
        true => Rest::Nothing,
    };
    Some((request, rest))
}

/// Checks that the request at the beginning of `bytes` is unambiguous, and that its forwarding fields describe the client at `peer`.
pub fn assert_forwarded(bytes: &[u8], peer: &[u8], trusted: bool) {
    let mut head = RequestHead::default();
    let verdict = parse_request(bytes, &HeadLimits::default(), &mut head);
    assert_eq!(verdict, Ok(ParseProgress::Complete), "{}", bytes.escape_ascii());
    assert!(head.keep_alive, "{}", bytes.escape_ascii());
    assert_forwarding_fields(bytes, &head, peer, trusted);
    assert_httparse_agrees(bytes, &head);
}

fn assert_forwarding_fields(out: &[u8], back: &RequestHead, peer: &[u8], trusted: bool) {
    let values = |known| -> Vec<&[u8]> {
        back.fields.iter().filter(|field| field.known == known).map(|field| field.value.of(out)).collect()
    };
    let connection_fields = usize::from(back.upgrade.is_forwarded());
    assert!(!values(KnownField::Upgrade).iter().any(|value| value.to_ascii_lowercase().starts_with(b"h2")));
    assert_eq!(values(KnownField::Connection).len(), connection_fields);
    assert!(values(KnownField::ForwardedAlias).is_empty() && values(KnownField::TransferEncoding).len() <= 1);
    assert_eq!(values(KnownField::XForwardedServer), [b"proxy"]);
    assert!(values(KnownField::XForwardedFor).len() == 1 && values(KnownField::XForwardedFor)[0].ends_with(peer));
    assert!(!values(KnownField::XRealIp).is_empty() && !values(KnownField::XForwardedProto).is_empty());
    if !trusted {
        assert_eq!(values(KnownField::XForwardedFor), [peer]);
        assert_eq!(values(KnownField::XRealIp), [peer]);
        assert_eq!(values(KnownField::XForwardedProto), [b"http"]);
    }
}

fn assert_httparse_agrees(out: &[u8], back: &RequestHead) {
    let ours = pairs(&back.fields, out);
    assert_plain(&ours);
    if !back.target.of(out).is_ascii() {
        return;
    }
    let mut slots = [httparse::EMPTY_HEADER; SLOTS];
    let mut second = httparse::Request::new(&mut slots);
    assert_eq!(second.parse(out), Ok(httparse::Status::Complete(back.len)));
    assert_eq!(second.method.map(str::as_bytes), Some(back.method.of(out)));
    assert_eq!(second.path.map(str::as_bytes), Some(back.target.of(out)));
    assert_eq!(ours, their_pairs(second.headers));
    assert_eq!(
        back.body == BodyFraming::Chunked,
        ours.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"transfer-encoding"))
    );
}

/// A final response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub data: Vec<u8>,
    pub is_whole: bool,
}

/// Parses a stream of responses to requests of these methods, up to the first truncated one. `is_ended`: the stream ended orderly.
pub fn answers<'m>(bytes: &[u8], is_ended: bool, methods: impl Iterator<Item = &'m [u8]>) -> (Vec<Answer>, Rest) {
    read_answers(bytes, is_ended, methods, false)
}

/// As [`answers`], for the responses of a server, whose deviations are normalised.
pub fn server_answers<'m>(
    bytes: &[u8],
    is_ended: bool,
    methods: impl Iterator<Item = &'m [u8]>,
) -> (Vec<Answer>, Rest) {
    read_answers(bytes, is_ended, methods, true)
}

/// Parses the head at the start of `bytes`. Returns its length; `None` if it is not complete.
fn response_head(bytes: &[u8], to_head: bool, head: &mut ResponseHead, is_lenient: bool) -> Option<Option<usize>> {
    if !is_lenient {
        let progress = parse_response(bytes, to_head, &HeadLimits::RESPONSE, head).ok()?;
        return Some((progress == ParseProgress::Complete).then_some(head.len));
    }
    match parse_server_response(bytes, to_head, head).ok()? {
        ResponseProgress::Complete => Some(Some(head.len)),
        ResponseProgress::Normalised { received_len, .. } => Some(Some(received_len)),
        ResponseProgress::Partial => Some(None),
    }
}

fn read_answers<'m>(
    bytes: &[u8],
    is_ended: bool,
    methods: impl Iterator<Item = &'m [u8]>,
    is_lenient: bool,
) -> (Vec<Answer>, Rest) {
    let (mut answers, mut at) = (Vec::new(), 0);
    // One more than there are methods, to detect a response without a request.
    for method in methods.chain([&b"GET"[..]]) {
        let head = loop {
            let (rest, mut head) = (&bytes[at..], ResponseHead::default());
            match response_head(rest, method == b"HEAD", &mut head, is_lenient) {
                Some(Some(len)) => at += len,
                Some(None) if rest.is_empty() => return (answers, Rest::Nothing),
                Some(None) => return (answers, Rest::Cut),
                None => return (answers, Rest::Refused),
            }
            if head.status == 101 || head.status >= 200 {
                break head;
            }
        };
        let decoder = if is_lenient { Decoder::of_response(head.body) } else { Decoder::new(head.body) };
        let Ok(payload) = decode_with(decoder, &bytes[at..], usize::MAX) else { return (answers, Rest::BadBody) };
        at += payload.len;
        let is_whole = payload.done || (head.body == BodyFraming::UntilClose && is_ended);
        answers.push(Answer { status: head.status, data: payload.data, is_whole });
        match head.status {
            101 => return (answers, Rest::Tunnel),
            _ if !is_whole => return (answers, Rest::Cut),
            _ => {}
        }
    }
    let rest = if at == bytes.len() { Rest::Nothing } else { Rest::Refused };
    (answers, rest)
}

/// Checks that httparse parses each head in a stream of whole responses in the same way.
pub fn assert_answers_agree(bytes: &[u8], methods: &[&[u8]]) {
    let (mut at, mut method) = (0, 0);
    while at < bytes.len() && method < methods.len() {
        let (rest, mut head) = (&bytes[at..], ResponseHead::default());
        let parsed = parse_response(rest, methods[method] == b"HEAD", &HeadLimits::RESPONSE, &mut head);
        if parsed != Ok(ParseProgress::Complete) {
            return;
        }
        let ours = pairs(&head.fields, rest);
        assert_plain(&ours);
        let mut slots = [httparse::EMPTY_HEADER; SLOTS];
        let mut second = httparse::Response::new(&mut slots);
        assert_eq!(second.parse(rest), Ok(httparse::Status::Complete(head.len)), "{}", rest.escape_ascii());
        assert_eq!((second.code, ours), (Some(head.status), their_pairs(second.headers)));
        let Ok(payload) = decode(head.body, &rest[head.len..], usize::MAX) else { return };
        at += head.len + payload.len;
        method += usize::from(head.status >= 200);
        if head.status == 101 || !payload.done {
            return;
        }
    }
}
