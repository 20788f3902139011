//! Written heads parse back strictly to the same meaning, and httparse agrees on every accepted head.

use proptest::prelude::*;
use ringway::http::forward::*;
use ringway::http::h1::progress::{HeadLimits, ParseProgress};
use ringway::http::h1::request_head::parse_request;
use ringway::http::h1::response_head::parse_response;
use ringway::http::{BodyFraming, Edits, KnownField, RequestHead, RequestView, ResponseHead, ResponseView, Version};

type Fields = Vec<(String, String)>;

/// Names and values, more often legal than not, with the significant names among them.
fn fields() -> impl Strategy<Value = Fields> {
    let name = prop_oneof![
        4 => "[A-Za-z][A-Za-z0-9_-]{0,12}",
        3 => proptest::sample::select(vec![
            "Connection", "Keep-Alive", "TE", "Upgrade", "Trailer", "X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host", "X-Real-Ip",
            "X_Forwarded_For", "Cookie", "Date", "Expect", "Proxy-Connection", "X-A", "Set-Cookie",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
    ];
    let value = prop_oneof![
        6 => "[!-~]([ -~]{0,20}[!-~])?",
        2 => proptest::sample::select(vec!["close", "x-a, cookie", "upgrade", "trailers", "websocket", "100-continue", ""]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ];
    proptest::collection::vec((name, value), 0..10)
}

fn framing() -> impl Strategy<Value = Option<(&'static str, &'static str)>> {
    proptest::option::of(proptest::sample::select(vec![
        ("Content-Length", "0"),
        ("content-length", "12"),
        ("Transfer-Encoding", "chunked"),
    ]))
}

fn text(line: &str, fields: &Fields, framing: Option<(&str, &str)>) -> Vec<u8> {
    let mut text = format!("{line}\r\n");
    for (name, value) in fields {
        text += &format!("{name}: {value}\r\n");
    }
    if let Some((name, value)) = framing {
        text += &format!("{name}: {value}\r\n");
    }
    (text + "\r\n").into_bytes()
}

fn pairs<'a>(fields: &'a [ringway::http::Field], bytes: &'a [u8]) -> Vec<(&'a [u8], &'a [u8])> {
    fields.iter().map(|f| (f.name.of(bytes), f.value.of(bytes))).collect()
}

/// The end-to-end fields that the proxy does not write itself.
fn end_to_end<'a>(fields: &'a [ringway::http::Field], bytes: &'a [u8]) -> Vec<(&'a [u8], &'a [u8])> {
    let own = |known| {
        matches!(
            known,
            KnownField::Other | KnownField::Cookie | KnownField::Authorization | KnownField::XForwardedPrefix
        )
    };
    fields.iter().filter(|f| own(f.known) && !f.hop).map(|f| (f.name.of(bytes), f.value.of(bytes))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn written_requests_parse_back(fields in fields(), framing in framing(), trusted in any::<bool>(), secure in any::<bool>()) {
        let line = "POST /a?b HTTP/1.1\r\nHost: h.example:8";
        let bytes = text(line, &fields, framing);
        let (limits, edits) = (HeadLimits::default(), Edits::new());
        let mut head = RequestHead::default();
        if parse_request(&bytes, &limits, &mut head) != Ok(ParseProgress::Complete) {
            return Ok(());
        }
        let plan = ForwardPlan {
            target: b"/a?b", client_ip: b"192.0.2.1", server_name: b"p", body: head.body, upgrade: head.upgrade.is_forwarded(), trusted, secure,
            ..ForwardPlan::default()
        };
        let mut out = Vec::new();
        write_request(&mut out, RequestView { head: &head, bytes: &bytes, edits: &edits }, &plan);
        let mut back = RequestHead::default();
        prop_assert_eq!(parse_request(&out, &limits, &mut back), Ok(ParseProgress::Complete), "{}", out.escape_ascii());
        prop_assert_eq!(back.len, out.len());
        prop_assert_eq!((back.body, back.keep_alive, back.upgrade.is_forwarded()), (head.body, true, head.upgrade.is_forwarded()));
        prop_assert_eq!((back.method.of(&out), back.target.of(&out)), (head.method.of(&bytes), head.target.of(&bytes)));
        prop_assert_eq!(back.host.of(&out), head.host.of(&bytes));
        prop_assert_eq!(end_to_end(&back.fields, &out), end_to_end(&head.fields, &bytes));
        prop_assert!(!back.fields.iter().any(|f| f.hop || f.known == KnownField::ForwardedAlias));
        for known in [KnownField::XForwardedServer, KnownField::XForwardedFor] {
            prop_assert_eq!(back.fields.iter().filter(|f| f.known == known).count(), 1);
        }
        if !trusted {
            let view = RequestView { head: &back, bytes: &out, edits: &edits };
            prop_assert_eq!(view.known(KnownField::XForwardedFor), Some(&b"192.0.2.1"[..]));
            prop_assert_eq!(view.known(KnownField::XRealIp), Some(&b"192.0.2.1"[..]));
        }
    }

    #[test]
    fn written_responses_parse_back(fields in fields(), framing in framing(), status in 200u16..600, to_head in any::<bool>(), old in any::<bool>()) {
        let bytes = text(&format!("HTTP/1.1 {status} Some reason"), &fields, framing);
        let (limits, edits) = (HeadLimits::default(), Edits::new());
        let mut head = ResponseHead::default();
        if parse_response(&bytes, to_head, &limits, &mut head) != Ok(ParseProgress::Complete) {
            return Ok(());
        }
        let client_version = if old { Version::Http10 } else { Version::Http11 };
        let plan = ResponsePlan { client_version, keep_alive: true, body: framing_for_client(client_version, head.body), date: Some(b"D") };
        let mut out = Vec::new();
        write_response(&mut out, ResponseView { head: &head, bytes: &bytes, edits: &edits }, &plan);
        let mut back = ResponseHead::default();
        prop_assert_eq!(parse_response(&out, to_head, &limits, &mut back), Ok(ParseProgress::Complete), "{}", out.escape_ascii());
        prop_assert_eq!((back.len, back.status, back.version), (out.len(), head.status, client_version));
        prop_assert_eq!(back.body, plan.body);
        prop_assert_eq!(back.keep_alive, plan.body != BodyFraming::UntilClose);
        prop_assert!(back.has_date);
        prop_assert_eq!(end_to_end(&back.fields, &out), end_to_end(&head.fields, &bytes));
    }

    #[test]
    fn httparse_agrees_on_accepted_heads(fields in fields(), framing in framing()) {
        let bytes = text("GET /a HTTP/1.1\r\nHost: h", &fields, framing);
        let mut head = RequestHead::default();
        if parse_request(&bytes, &HeadLimits::default(), &mut head) == Ok(ParseProgress::Complete) {
            let mut slots = [httparse::EMPTY_HEADER; 32];
            let mut second = httparse::Request::new(&mut slots);
            prop_assert_eq!(second.parse(&bytes), Ok(httparse::Status::Complete(head.len)));
            prop_assert_eq!((second.method, second.path, second.version), (Some("GET"), Some("/a"), Some(1)));
            let theirs: Vec<_> = second.headers.iter().map(|h| (h.name.as_bytes(), h.value)).collect();
            prop_assert_eq!(pairs(&head.fields, &bytes), theirs);
        }
        let bytes = text("HTTP/1.1 200 OK", &fields, framing);
        let mut head = ResponseHead::default();
        if parse_response(&bytes, false, &HeadLimits::default(), &mut head) == Ok(ParseProgress::Complete) {
            let mut slots = [httparse::EMPTY_HEADER; 32];
            let mut second = httparse::Response::new(&mut slots);
            prop_assert_eq!(second.parse(&bytes), Ok(httparse::Status::Complete(head.len)));
            let theirs: Vec<_> = second.headers.iter().map(|h| (h.name.as_bytes(), h.value)).collect();
            prop_assert_eq!(pairs(&head.fields, &bytes), theirs);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), flip in any::<(u8, u8)>()) {
        let limits = HeadLimits::default();
        let _ = parse_request(&bytes, &limits, &mut RequestHead::default());
        let _ = parse_response(&bytes, false, &limits, &mut ResponseHead::default());
        // One byte of a valid head is changed: if it is accepted, httparse parses it in the same way.
        let mut near = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: x\r\n\r\n".to_vec();
        let at = usize::from(flip.0) % near.len();
        near[at] = flip.1;
        let mut head = RequestHead::default();
        let accepted = parse_request(&near, &limits, &mut head) == Ok(ParseProgress::Complete);
        // Like Go, and unlike httparse, Ringway accepts bytes above 0x7f in a target that are not UTF-8.
        if accepted && head.target.of(&near).is_ascii() {
            let mut slots = [httparse::EMPTY_HEADER; 32];
            let mut second = httparse::Request::new(&mut slots);
            prop_assert_eq!(second.parse(&near).map_err(|e| e.to_string()), Ok(httparse::Status::Complete(head.len)), "{}", near.escape_ascii());
        }
    }
}
