//! A whole exchange over a faulty transport: a client, the proxy's own connection handler, and servers. The servers get the client's
//! requests and nothing else, unambiguous to every parser; the client gets whole responses, at most one for each request.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use ringway_fuzz::harness::{self, Client, PEER, RunResult, Scenario, Server};
use ringway_fuzz::reading::{
    self, Answer, Request, Rest, assert_answers_agree, assert_forwarded, first_request, requests,
};
use ringway_fuzz::wire::Link;

fuzz_target!(|bytes: &[u8]| {
    let Some(scenario) = Scenario::read(bytes) else { return };
    let RunResult { client, servers } = harness::run(&scenario);
    let client = client.borrow();
    if is_http2(client.taken(), &client.received) {
        return;
    }
    let (asked, rest) = requests(client.taken());
    let mut sent: Vec<(usize, Option<Request>)> = Vec::new();
    let mut answered: Vec<Answer> = Vec::new();
    for server in &servers {
        let server = server.borrow();
        let received = requests_received_by(&server, &client, &asked, scenario.trusted);
        // A server may respond before it has received the request's method.
        for assumed in [&b"GET"[..], b"HEAD"] {
            let methods = received.iter().map(|(_, request)| request.as_ref().map_or(assumed, |known| &known.method));
            answered.extend(reading::server_answers(server.taken(), server.is_at_end(), methods).0);
        }
        sent.extend(received);
    }
    sent.sort_by_key(|(number, _)| *number);
    check_sent(&asked, &sent);
    check_answers(&client, &asked, rest, &answered);
});

/// Whether the connection has become one of HTTP/2, whose first line the client sent and whose first frame the proxy answered (RFC 9113
/// 3.4). The targets of HTTP/2 judge what follows.
fn is_http2(sent: &[u8], received: &[u8]) -> bool {
    let starts_with_settings = received.len() > 4 && received[0] == 0 && received[3..5] == [4, 0];
    sent.starts_with(b"PRI * HTTP/2.0\r\n") && starts_with_settings
}

/// The requests that a server received, each with its number. The last one may be truncated, even in its head, if there is a reason.
fn requests_received_by(
    server: &Link<Server>,
    client: &Link<Client>,
    asked: &[Request],
    trusted: bool,
) -> Vec<(usize, Option<Request>)> {
    let is_cut_off = asked.last().is_some_and(|last| !last.is_whole)
        || [client.has_failed(), client.is_at_end(), server.has_failed(), server.is_at_end()].contains(&true)
        || server.peer.responded_early
        || client.is_slow()
        || server.is_slow();
    let begun = &server.peer.begun;
    let ends = begun.iter().skip(1).map(|(_, at)| *at).chain([server.received.len()]);
    let messages = begun.iter().zip(ends).map(|((number, at), end)| (*number, &server.received[*at..end]));
    let read = messages.map(|(number, bytes)| {
        let Some((request, rest)) = first_request(bytes) else {
            assert!(is_cut_off, "a head that is cut: {}", bytes.escape_ascii());
            return (number, None);
        };
        assert!(!matches!(rest, Rest::Refused | Rest::BadBody), "{rest:?}: {}", bytes.escape_ascii());
        assert_forwarded(bytes, PEER.as_bytes(), trusted);
        assert!(request.is_whole || is_cut_off, "a body that is cut: {}", bytes.escape_ascii());
        let behind = &bytes[request.len..];
        if !behind.is_empty() {
            let start = asked.iter().map(|request| request.len).sum();
            assert_eq!(rest, Rest::Tunnel, "bytes behind a request: {}", bytes.escape_ascii());
            assert!(
                client.taken()[start..].starts_with(behind),
                "bytes that the client did not send: {}",
                behind.escape_ascii()
            );
        }
        (number, Some(request))
    });
    read.collect()
}

/// Every request that was sent upstream is a request of the client, in the client's order, once; a repeatable one may have been sent twice.
fn check_sent(asked: &[Request], sent: &[(usize, Option<Request>)]) {
    // The numbers of sent requests that the client's requests so far can account for.
    let mut accounted = BTreeSet::from([0]);
    for ask in asked {
        let is_sent = |at: usize| {
            let message = sent.get(at);
            message.is_some_and(|(_, request)| request.as_ref().is_none_or(|request| carries(request, ask)))
        };
        for at in accounted.clone().into_iter().filter(|at| is_sent(*at)) {
            accounted.insert(at + 1);
            if ask.may_repeat && is_sent(at + 1) {
                accounted.insert(at + 2);
            }
        }
    }
    assert!(accounted.contains(&sent.len()), "asked {asked:?}, sent {sent:?}");
}

/// Whether `request` is the client's request, as far as it arrived. A body that breaks its framing is never forwarded as whole.
fn carries(request: &Request, ask: &Request) -> bool {
    let same_trailers = request.trailers == ask.trailers || !request.is_chunked;
    let same_body = match (request.is_whole, ask.is_whole) {
        (true, whole) => whole && request.data == ask.data && same_trailers,
        (false, true) => ask.data.starts_with(&request.data),
        // The forwarded part of a malformed body is not known here.
        (false, false) => true,
    };
    let same_target = match &*ask.target {
        // An absolute URI without a path (RFC 9112 3.2.1, 3.2.4).
        b"" => [&b"/"[..], b"*"].contains(&&*request.target),
        target => request.target == target || !ask.is_plain(),
    };
    request.method == ask.method && same_target && same_body
}

/// Checks the client's responses: at most one final response for each request, in order; a successful whole response comes whole from a
/// server.
fn check_answers(client: &Link<Client>, asked: &[Request], rest: Rest, answered: &[Answer]) {
    let received = client.received.escape_ascii();
    let mut methods: Vec<&[u8]> = asked.iter().map(|request| &*request.method).collect();
    if rest == Rest::Refused {
        methods.push(b"GET");
    }
    assert_answers_agree(&client.received, &methods);
    let is_ended = !client.near.cut && !client.has_failed();
    let (answers, end) = reading::answers(&client.received, is_ended, methods.iter().copied());
    assert!(answers.len() <= methods.len(), "more responses than requests: {received}");
    assert!(!matches!(end, Rest::Refused | Rest::BadBody), "{end:?}: {received}");
    for answer in answers.iter().filter(|answer| answer.is_whole && answer.status < 300) {
        assert!(answered.contains(answer), "a response that no server sent: {answer:?}: {received}");
    }
}
