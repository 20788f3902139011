//! A message or wait that exceeds a bound is counted once, for that bound; others are not counted.

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
use crate::http::BodyFraming;
use crate::http::InvalidBody;
use crate::http::Violation;
use crate::limits::{self, Bound};
use crate::middleware::AuthRequest;
use crate::middleware::forward_auth::AuthServer;
use crate::net::{RateTooLow, TimeLimit};
use crate::worker::downstream::h1::serve;
use crate::worker::message::h1;
use crate::worker::message::h1::read_buffer::ReadBuffer;
use crate::worker::message::stream::RelayError;
use crate::worker::request::buffered::{RequestBodyError, collect_in_time};
use crate::worker::request::forward_auth;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::verify::VerifyError;
use crate::worker::{ClientInfo, ConnectionTask, Dial, Dialled, Timeouts, VersionOffer};
use harness::TIMEOUTS;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const SHORT: Duration = Duration::from_millis(150);

/// Runs once with each driver; returns the bounds that were counted in the last run.
fn played(timeouts: Timeouts, client: &[ScriptStep], dial_scripts: &[DialScript], takes_max: usize) -> Vec<String> {
    let counted = Cell::new(Vec::new());
    on_both_drivers(async || {
        let base = Base::new();
        Run { timeouts, takes_max, ..Run::new(client, dial_scripts) }.play(&base).await;
        counted.set(base.exceeded());
    });
    counted.take()
}

/// Name, time limits, script of the client, scripts of the dials, bytes that the client receives, and the counted bounds.
type Row<'a> = (&'a str, Timeouts, &'a [ScriptStep], &'a [DialScript], usize, &'a [&'a str]);

#[test]
fn elapsed_timeout_counts_for_its_bound() {
    let responses = [origin(&[("\r\n\r\n", OK)])];
    let silent = [DialScript::Origin(vec![until("never")])];
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5000));
    let long = [origin(&[("\r\n\r\n", &long)])];
    let half = [send(POST), send("half"), until("Request Timeout"), ScriptStep::Close];
    let (idle, head_read) = (Timeouts { idle: Some(SHORT), ..TIMEOUTS }, Timeouts { head_read: SHORT, ..TIMEOUTS });
    let (body_read, stall) = (Timeouts { body_read: Some(SHORT), ..TIMEOUTS }, Timeouts { stall: SHORT, ..TIMEOUTS });
    let mute = Timeouts { head_read: SHORT, idle: None, ..TIMEOUTS };
    let response_header = Timeouts { response_header: Some(SHORT), ..TIMEOUTS };
    let given_up = [send(GET), until("Gateway Timeout"), ScriptStep::Close];
    let full = [DialScript::TimeOut];
    let rows: [Row; 10] = [
        ("nothing", TIMEOUTS, &[send(GET), until("ok"), ScriptStep::Close], &responses, usize::MAX, &[]),
        ("silent from the start", idle, &[], &[], usize::MAX, &["idle_secs 1"]),
        ("silent from the start, never idle", mute, &[], &[], usize::MAX, &["head_read_secs 1"]),
        ("silent after a request", idle, &[send(GET)], &responses, usize::MAX, &["idle_secs 1"]),
        ("half a head", head_read, &[send("GET / HTTP/1.1\r\nHo")], &[], usize::MAX, &["head_read_secs 1"]),
        ("half a body", stall, &half, &silent, usize::MAX, &["stalled_body_secs 1"]),
        ("half a body, readTimeout", body_read, &half, &silent, usize::MAX, &["body_read_secs 1"]),
        ("takes no response", stall, &[send(GET)], &long, 500, &["stalled_body_secs 1"]),
        ("a server that takes no connection", TIMEOUTS, &given_up, &full, usize::MAX, &["dial_secs 1"]),
        (
            "a server that sends no response",
            response_header,
            &given_up,
            &silent,
            usize::MAX,
            &["response_header_secs 1"],
        ),
    ];
    for (name, timeouts, client, dial_scripts, takes_max, expected) in rows {
        assert_eq!(played(timeouts, client, dial_scripts, takes_max), expected, "{name}");
    }
}

#[test]
fn invalid_chunks_count_for_their_bound() {
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
    let dial_scripts = [DialScript::Origin(vec![until("never")])];
    for (chunks, expected) in rows {
        let client = [send(&format!("{CHUNKED}{chunks}")), until("400 Bad Request"), ScriptStep::Close];
        assert_eq!(played(TIMEOUTS, &client, &dial_scripts, usize::MAX), [expected], "{:.20}", chunks);
    }
    // The client broke off: no bound was exceeded.
    let client = [send(&format!("{CHUNKED}5\r\nhel")), ScriptStep::Close];
    assert!(played(TIMEOUTS, &client, &dial_scripts, usize::MAX).is_empty());
}

#[test]
fn body_beyond_bound_or_budget_is_counted() {
    on_both_drivers(async || {
        for (max, used, status, expected) in [
            (4, 0, 413, "buffered_body_bytes 1"),
            (5, limits::HELD_BYTES_PER_WORKER_MAX, 503, "held_bytes_per_worker 1"),
        ] {
            let base = Base::new();
            let worker = harness::worker(&std::sync::Arc::new(base.shared(TIMEOUTS)), Unreachable);
            worker.budget.used.set(used);
            let mut ctx = ExchangeContext::default();
            ctx.head.body = BodyFraming::Length(5);
            let mut buffer = ReadBuffer::default();
            buffer.unread(b"hello", &worker.buffers);
            let (_client, mut wire) = pipe::ScriptedPeer::new(&[], Segmentation::Whole).connect();
            let mut stream = h1::Stream::downstream(&mut wire, &mut buffer, &worker.buffers, &ctx.head);
            let refused = collect_in_time(&worker, max, &ctx, &mut stream).await;
            assert!(matches!(refused, Err(RequestBodyError::Refused(reply)) if reply.status == status), "{expected}");
            assert_eq!(base.exceeded(), [expected]);
        }
    });
}

#[test]
fn long_head_is_reserved_until_request_ends() {
    let base = Base::new();
    let worker = harness::worker(&std::sync::Arc::new(base.shared(TIMEOUTS)), Silent);
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let (_client, wire) = pipe::ScriptedPeer::new(&[send(&head)], Segmentation::Whole).connect();
    let mut serving = Box::pin(serve(std::rc::Rc::clone(&worker), wire, harness::peer()));
    assert!(
        serving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(),
        "the server sends no response"
    );
    assert_eq!(worker.budget.used(), head.len());
    drop(serving);
    assert_eq!(worker.budget.used(), 0);
}

#[test]
fn error_page_is_reserved_until_sent() {
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
    let worker = harness::worker(&std::sync::Arc::new(base.shared(TIMEOUTS)), Failing);
    let mut slow = pipe::ScriptedPeer::new(&[send("GET /main HTTP/1.1\r\nHost: a\r\n\r\n")], Segmentation::Whole);
    slow.takes_max = 1000;
    let (client, wire) = slow.connect();
    let mut serving = Box::pin(serve(std::rc::Rc::clone(&worker), wire, harness::peer()));
    assert!(serving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "the client receives no more");
    assert_eq!((client.borrow().received.len(), worker.budget.used()), (1000, FAILURE_BYTES));
    drop(serving);
    assert_eq!(worker.budget.used(), 0);
}

#[test]
fn authentication_timeout_is_counted() {
    let base = Base::new();
    let worker = harness::worker(&std::sync::Arc::new(base.shared(TIMEOUTS)), Silent);
    let server = AuthServer { authority: "auth".to_owned(), target: "/".to_owned() };
    let auth_request = AuthRequest { server, fields: Vec::new() };
    let mut auth_call =
        pin!(forward_auth::call(&worker, &auth_request, Some(&base.tables[0].snapshot.backends[0].endpoints[0])));
    let mut cx = Context::from_waker(Waker::noop());
    for (elapsed, is_over) in [(0, false), (limits::AUTH_RESPONSE_SECS, false), (limits::AUTH_RESPONSE_SECS + 1, true)]
    {
        worker.deadlines.sweep(Duration::from_secs(elapsed));
        let polled = auth_call.as_mut().poll(&mut cx);
        assert_eq!(matches!(polled, Poll::Ready(None)), is_over, "after {elapsed} s");
    }
    assert_eq!(base.exceeded(), ["auth_answer_secs 1"]);
}

#[test]
fn failures_without_bound_are_not_counted() {
    let base = Base::new();
    let worker = harness::worker(&std::sync::Arc::new(base.shared(TIMEOUTS)), Unreachable);
    let truncated = io::Error::new(io::ErrorKind::InvalidData, InvalidBody(Violation::BodyTruncated));
    let vanished = io::Error::from_raw_os_error(110);
    assert_eq!(vanished.kind(), io::ErrorKind::TimedOut, "the kernel's error for a peer that has vanished");
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

/// Every dial fails.
struct Unreachable;

impl Dial for Unreachable {
    type Io = pipe::Wire;

    async fn dial(
        &self,
        _: &ServerEndpoint,
        _: Option<&ClientInfo>,
        _: VersionOffer,
        _: TimeLimit<'_>,
    ) -> Result<Dialled<pipe::Wire>, Cause> {
        Err(Cause::Closed)
    }

    fn run(&self, _task: ConnectionTask) {
        unreachable!("the servers speak HTTP/1.1");
    }
}

/// Every dial reaches a server that responds 500 with a long page.
struct Failing;

const FAILURE_BYTES: usize = 20_000;

impl Dial for Failing {
    type Io = pipe::Wire;

    async fn dial(
        &self,
        _: &ServerEndpoint,
        _: Option<&ClientInfo>,
        _: VersionOffer,
        _: TimeLimit<'_>,
    ) -> Result<Dialled<pipe::Wire>, Cause> {
        let page = "x".repeat(FAILURE_BYTES);
        let response = format!("HTTP/1.1 500 Oops\r\nContent-Length: {FAILURE_BYTES}\r\n\r\n{page}");
        Ok(Dialled::http1(
            pipe::ScriptedPeer::new(&[until("\r\n\r\n"), send(&response)], Segmentation::Whole).connect().1,
        ))
    }

    fn run(&self, _task: ConnectionTask) {
        unreachable!("the servers speak HTTP/1.1");
    }
}

/// Every dial reaches a server that sends nothing.
pub struct Silent;

impl Dial for Silent {
    type Io = pipe::Wire;

    async fn dial(
        &self,
        _: &ServerEndpoint,
        _: Option<&ClientInfo>,
        _: VersionOffer,
        _: TimeLimit<'_>,
    ) -> Result<Dialled<pipe::Wire>, Cause> {
        Ok(Dialled::http1(pipe::ScriptedPeer::new(&[], Segmentation::Whole).connect().1))
    }

    fn run(&self, _task: ConnectionTask) {
        unreachable!("the servers speak HTTP/1.1");
    }
}
