//! Whatever goes beyond a bound is counted, once and for the right one; whatever does not is not.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::*;
use crate::config::dynamic::{Backend, DynamicConfig, ErrorPage, Frontend, Route, Server};
use crate::config::snapshot::ServerEndpoint;
use crate::error::Cause;
use crate::http::{BodyFraming, InvalidBody, Violation};
use crate::limits::{self, Bound};
use crate::middleware::AuthRequest;
use crate::middleware::forward_auth::AuthServer;
use crate::net::{RateTooLow, TimeLimit};
use crate::worker::buffered::{RequestBodyError, collect_in_time};
use crate::worker::connection::serve;
use crate::worker::context::ExchangeContext;
use crate::worker::relay::RelayError;
use crate::worker::verify::VerifyError;
use crate::worker::{Dial, Timeouts, forward_auth};
use stage::TIMEOUTS;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const SHORT: Duration = Duration::from_millis(150);

/// Plays once on both drivers; gives what was counted.
fn played(timeouts: Timeouts, client: &[Step], plans: &[Plan], takes_max: usize) -> Vec<String> {
    let counted = Cell::new(Vec::new());
    on_both_drivers(async || {
        let base = Base::new();
        Run { timeouts, takes_max, ..Run::new(client, plans) }.play(&base).await;
        counted.set(base.exceeded());
    });
    counted.take()
}

/// What it is, the limits, what the client does, what the origin does, what the client takes, and what is counted.
type Row<'a> = (&'a str, Timeouts, &'a [Step], &'a [Plan], usize, &'a [&'a str]);

#[test]
fn a_time_that_is_over_counts_for_its_bound() {
    let answers = [origin(&[("\r\n\r\n", OK)])];
    let silent = [Plan::Origin(vec![until("never")])];
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5000));
    let long = [origin(&[("\r\n\r\n", &long)])];
    let half = [send(POST), send("half"), until("Request Timeout"), Step::Close];
    let (idle, head_read) = (Timeouts { idle: Some(SHORT), ..TIMEOUTS }, Timeouts { head_read: SHORT, ..TIMEOUTS });
    let (body_read, stall) = (Timeouts { body_read: Some(SHORT), ..TIMEOUTS }, Timeouts { stall: SHORT, ..TIMEOUTS });
    let mute = Timeouts { head_read: SHORT, idle: None, ..TIMEOUTS };
    let response_header = Timeouts { response_header: Some(SHORT), ..TIMEOUTS };
    let given_up = [send(GET), until("Gateway Timeout"), Step::Close];
    let full = [Plan::TimeOut];
    let rows: [Row; 10] = [
        ("nothing", TIMEOUTS, &[send(GET), until("ok"), Step::Close], &answers, usize::MAX, &[]),
        ("silent from the start", idle, &[], &[], usize::MAX, &["idle_secs 1"]),
        ("silent from the start, never idle", mute, &[], &[], usize::MAX, &["head_read_secs 1"]),
        ("silent after a request", idle, &[send(GET)], &answers, usize::MAX, &["idle_secs 1"]),
        ("half a head", head_read, &[send("GET / HTTP/1.1\r\nHo")], &[], usize::MAX, &["head_read_secs 1"]),
        ("half a body", stall, &half, &silent, usize::MAX, &["stalled_body_secs 1"]),
        ("half a body, readTimeout", body_read, &half, &silent, usize::MAX, &["body_read_secs 1"]),
        ("takes no answer", stall, &[send(GET)], &long, 500, &["stalled_body_secs 1"]),
        ("a server that takes no connection", TIMEOUTS, &given_up, &full, usize::MAX, &["dial_secs 1"]),
        ("a server that does not answer", response_header, &given_up, &silent, usize::MAX, &["response_header_secs 1"]),
    ];
    for (name, timeouts, client, plans, takes_max, expected) in rows {
        assert_eq!(played(timeouts, client, plans, takes_max), expected, "{name}");
    }
}

#[test]
fn chunks_that_are_refused_count_for_what_is_wrong_with_them() {
    let extension = format!("1;{}\r\n", "e".repeat(limits::CHUNK_OVERHEAD_BYTES_MAX as usize + 1));
    let trailer = format!("0\r\nA: {}\r\n\r\n", "a".repeat(limits::TRAILER_BYTES_MAX));
    let rows = [
        ("zz\r\n", "chunk_framing 1"),
        ("00000000000000005\r\n", "chunk_framing 1"),
        ("5;\0", "chunk_framing 1"),
        ("5\r\nhelloX", "chunk_framing 1"),
        ("0\r\nA\r\n\r\n", "chunk_framing 1"),
        (&extension, "chunk_overhead_bytes 1"),
        (&trailer, "trailer_bytes 1"),
    ];
    let plans = [Plan::Origin(vec![until("never")])];
    for (chunks, expected) in rows {
        let client = [send(&format!("{CHUNKED}{chunks}")), until("400 Bad Request"), Step::Close];
        assert_eq!(played(TIMEOUTS, &client, &plans, usize::MAX), [expected], "{:.20}", chunks);
    }
    // It broke off: nothing was exceeded.
    let client = [send(&format!("{CHUNKED}5\r\nhel")), Step::Close];
    assert!(played(TIMEOUTS, &client, &plans, usize::MAX).is_empty());
}

#[test]
fn a_body_that_finds_no_room_is_counted() {
    on_both_drivers(async || {
        for (max, used, status, expected) in [
            (4, 0, 413, "buffered_body_bytes 1"),
            (5, limits::HELD_BYTES_PER_WORKER_MAX, 503, "held_bytes_per_worker 1"),
        ] {
            let base = Base::new();
            let worker = stage::worker(&std::sync::Arc::new(base.shared(TIMEOUTS)), Nobody);
            worker.budget.used.set(used);
            let mut ctx = ExchangeContext::default();
            ctx.head.body = BodyFraming::Length(5);
            ctx.read_buffer.unread(b"hello", &worker.buffers);
            let (_client, mut wire) = pipe::Peer::new(&[], Chop::Whole).connect();
            let refused = collect_in_time(&worker, max, &mut ctx, &mut wire).await;
            assert!(matches!(refused, Err(RequestBodyError::Refused(reply)) if reply.status == status), "{expected}");
            assert_eq!(base.exceeded(), [expected]);
        }
    });
}

#[test]
fn a_long_head_counts_until_its_request_is_over() {
    let base = Base::new();
    let worker = stage::worker(&std::sync::Arc::new(base.shared(TIMEOUTS)), Silent);
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let (_client, wire) = pipe::Peer::new(&[send(&head)], Chop::Whole).connect();
    let mut serving = Box::pin(serve(std::rc::Rc::clone(&worker), wire, stage::peer()));
    assert!(serving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "nobody answers it");
    assert_eq!(worker.budget.used(), head.len());
    drop(serving);
    assert_eq!(worker.budget.used(), 0);
}

#[test]
fn an_error_page_counts_until_it_has_been_sent() {
    let of = |backend: &str| Frontend {
        backend: backend.to_owned(),
        routes: [("rule".to_owned(), Route { rule: format!("PathPrefix:/{backend}") })].into(),
        ..Frontend::default()
    };
    let server = Server { url: "http://10.0.0.1:80".to_owned(), weight: 1 };
    let backend = Backend { servers: [("one".to_owned(), server)].into(), ..Backend::default() };
    let page = ErrorPage { status: vec!["500".to_owned()], backend: "pages".to_owned(), query: "/page".to_owned() };
    let main = Frontend { errors: [("all".to_owned(), page)].into(), ..of("main") };
    let base = Base::of([DynamicConfig {
        backends: [("main".to_owned(), backend.clone()), ("pages".to_owned(), backend)].into(),
        frontends: [("main".to_owned(), main), ("pages".to_owned(), of("pages"))].into(),
        tls: Vec::new(),
    }]);
    let worker = stage::worker(&std::sync::Arc::new(base.shared(TIMEOUTS)), Failing);
    let mut slow = pipe::Peer::new(&[send("GET /main HTTP/1.1\r\nHost: a\r\n\r\n")], Chop::Whole);
    slow.takes_max = 1000;
    let (client, wire) = slow.connect();
    let mut serving = Box::pin(serve(std::rc::Rc::clone(&worker), wire, stage::peer()));
    assert!(serving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it takes no more");
    assert_eq!((client.borrow().heard.len(), worker.budget.used()), (1000, FAILURE_BYTES));
    drop(serving);
    assert_eq!(worker.budget.used(), 0);
}

#[test]
fn an_authentication_server_that_does_not_answer_in_time_is_counted() {
    let base = Base::new();
    let worker = stage::worker(&std::sync::Arc::new(base.shared(TIMEOUTS)), Silent);
    let server = AuthServer { https: false, authority: "auth".to_owned(), target: "/".to_owned() };
    let ask = AuthRequest { server, fields: Vec::new() };
    let mut call = pin!(forward_auth::call(&worker, &ask, Some(&base.tables[0].snapshot.backends[0].endpoints[0])));
    let mut cx = Context::from_waker(Waker::noop());
    for (elapsed, is_over) in [(0, false), (limits::AUTH_ANSWER_SECS, false), (limits::AUTH_ANSWER_SECS + 1, true)] {
        worker.deadlines.sweep(Duration::from_secs(elapsed));
        let polled = call.as_mut().poll(&mut cx);
        assert_eq!(matches!(polled, Poll::Ready(None)), is_over, "after {elapsed} s");
    }
    assert_eq!(base.exceeded(), ["auth_answer_secs 1"]);
}

#[test]
fn failures_that_are_no_bound_count_for_none() {
    let base = Base::new();
    let worker = stage::worker(&std::sync::Arc::new(base.shared(TIMEOUTS)), Nobody);
    let truncated = io::Error::new(io::ErrorKind::InvalidData, InvalidBody(Violation::BodyTruncated));
    let vanished = io::Error::from_raw_os_error(110);
    assert_eq!(vanished.kind(), io::ErrorKind::TimedOut, "the kernel's word for a peer that is gone");
    for error in [truncated, io::ErrorKind::BrokenPipe.into(), vanished] {
        assert!(worker.relayed::<()>(Err(RelayError::Source(error))).is_err());
    }
    assert_eq!(worker.verdict::<()>(Err(VerifyError::Failed)), None);
    assert!(worker.timed(Bound::Idle, Ok(())).is_ok());
    assert!(base.exceeded().is_empty(), "{:?}", base.exceeded());
    assert_eq!(worker.verdict::<()>(Err(VerifyError::QueueFull)), None);
    assert!(worker.relayed::<()>(Err(RelayError::Source(RateTooLow.into()))).is_err());
    assert_eq!(base.exceeded(), ["body_bytes_per_stall 1", "verify_queue 1"]);
}

/// Leads nowhere.
struct Nobody;

impl Dial for Nobody {
    type Io = pipe::Wire;

    async fn dial(&self, _: &ServerEndpoint, _: TimeLimit<'_>) -> Result<pipe::Wire, Cause> {
        Err(Cause::Closed)
    }
}

/// Leads to somebody who has a long page for everything.
struct Failing;

const FAILURE_BYTES: usize = 20_000;

impl Dial for Failing {
    type Io = pipe::Wire;

    async fn dial(&self, _: &ServerEndpoint, _: TimeLimit<'_>) -> Result<pipe::Wire, Cause> {
        let page = "x".repeat(FAILURE_BYTES);
        let answer = format!("HTTP/1.1 500 Oops\r\nContent-Length: {FAILURE_BYTES}\r\n\r\n{page}");
        Ok(pipe::Peer::new(&[until("\r\n\r\n"), send(&answer)], Chop::Whole).connect().1)
    }
}

/// Leads to somebody who says nothing.
pub struct Silent;

impl Dial for Silent {
    type Io = pipe::Wire;

    async fn dial(&self, _: &ServerEndpoint, _: TimeLimit<'_>) -> Result<pipe::Wire, Cause> {
        Ok(pipe::Peer::new(&[], Chop::Whole).connect().1)
    }
}
