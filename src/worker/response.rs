//! A backend's response on its way to the client: head through the chains, body in bounded steps.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use super::Worker;
use super::context::{ClientInfo, PathRewrite, UpstreamResponse, fill_random, unmap_ipv4};
use super::gzip;
use super::relay::Relay;
use super::request_record::RequestRecord;
use super::upstream::Dial;
use crate::config::snapshot::Frontend;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::forward::{ResponsePlan, framing_for_client, write_response};
use crate::http::h1::body::Decoder;
use crate::http::h1::progress::{self, HeadLimits, ParseProgress};
use crate::http::h1::response_head::parse_response;
use crate::http::{BodyFraming, Edits, RequestHead, ResponseView};
use crate::limits::{self, Bound};
use crate::middleware::error_pages::ErrorPageRequest;
use crate::middleware::gzip::CompressionPlan;
use crate::middleware::{Chain, ChainState, Request, RequestInfo, Response};
use crate::net::{MinRate, ReadHalf, WriteHalf};

/// The request that is being answered, borrowed apart from the body that may still be on its way.
pub struct ResponseContext<'a> {
    pub head: &'a RequestHead,
    pub bytes: &'a [u8],
    pub edits: &'a mut Edits,
    pub chain_state: &'a mut ChainState,
    /// The target after path modifiers, if one changed it.
    pub target: Option<&'a Vec<u8>>,
    pub path: &'a PathRewrite,
    pub peer: &'a ClientInfo,
    /// The sticky cookie that this answer brings.
    pub cookie: Option<&'a str>,
    /// The request's body has gone out whole.
    pub request_sent: &'a Cell<bool>,
    /// The answer is on its way to the client: from here on nothing else may be written to it.
    pub response_started: &'a Cell<bool>,
}

/// What became of the response.
pub struct ResponseOutcome {
    /// The client has all of it, and its connection may carry another request.
    pub keep_alive: bool,
    /// The backend's connection is in step.
    pub upstream_ok: bool,
    /// 101: both connections are a tunnel now.
    pub upgraded: bool,
    /// The client has a part of a body that only its connection's end marks.
    pub is_cut: bool,
    /// Nothing has gone to the client: an error page takes the response's place.
    pub page: Option<ErrorPageRequest>,
}

/// Reads a final response and passes it on.
///
/// # Errors
/// As long as nothing has gone to the client: afterwards only closing its connection tells it (docs/reference/security-promises.md#truncated-response).
pub async fn forward_response<R: ReadHalf, W: WriteHalf, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    reader: &mut R,
    writer: &mut W,
    mut asked: ResponseContext<'_>,
    answer: &mut UpstreamResponse,
    record: &mut RequestRecord<'_>,
) -> Result<ResponseOutcome, ProxyError> {
    let is_head = asked.head.method.of(asked.bytes) == b"HEAD";
    read_head(worker, reader, is_head, asked.request_sent, answer).await?;
    let upgraded = answer.head.status == 101;
    if upgraded && !asked.head.websocket {
        return Err(ProxyError::new(
            ExchangePhase::Await,
            Cause::Malformed("101 to a request that asked for no upgrade"),
        ));
    }
    worker.clock.read();
    record.response_received(answer.head.status);
    if let Some(cookie) = asked.cookie {
        answer.edits.add(b"Set-Cookie", cookie.as_bytes());
    }
    let page = run_response_chain(worker, frontend, &mut asked, answer);
    if page.is_some() {
        // The body that nobody wants goes with its connection, unless there is none.
        let upstream_ok = answer.head.keep_alive && answer.head.body == BodyFraming::None;
        return Ok(ResponseOutcome { keep_alive: false, upstream_ok, upgraded: false, is_cut: false, page });
    }
    if asked.chain_state.body != CompressionPlan::Plain {
        return Ok(Box::pin(gzip::deliver(worker, reader, writer, &mut asked, answer, record)).await);
    }
    let outgoing = framing_for_client(asked.head.version, answer.head.body);
    let mut out = std::mem::take(&mut answer.out);
    let keep_alive = write_response_head(worker, &asked, answer, outgoing, &mut out);

    asked.response_started.set(true);
    let mut decoder = Decoder::new(answer.head.body);
    let stall = worker.stall();
    let mut relay = Relay {
        decoder: &mut decoder,
        incoming: answer.head.body,
        outgoing,
        inbox: &mut answer.read_buffer,
        buffers: &worker.buffers,
        stall,
        idle_timeout: None,
        min_rate: MinRate::default(),
        moved: 0,
        // A tunnel keeps its place to its own end.
        permits: (!upgraded).then_some(&mut *asked.chain_state),
        closes: !keep_alive && !upgraded,
    };
    let (result, out) = relay.run(reader, writer, out).await;
    let result = worker.relayed(result);
    record.delivered(relay.moved, &result);
    answer.out = out;
    let is_complete = result.is_ok();
    Ok(ResponseOutcome {
        keep_alive: keep_alive && is_complete,
        upstream_ok: is_complete && answer.head.keep_alive && !upgraded,
        upgraded: upgraded && is_complete,
        is_cut: outgoing == BodyFraming::UntilClose && !is_complete,
        page: None,
    })
}

/// Writes the response's head into `out`, with the body framed as `outgoing`; gives whether the connection may go on behind it.
pub fn write_response_head<D: Dial>(
    worker: &Worker<D>,
    asked: &ResponseContext<'_>,
    answer: &UpstreamResponse,
    outgoing: BodyFraming,
    out: &mut Vec<u8>,
) -> bool {
    // A refused upgrade ends the connection: bytes the client sent for the new protocol must not be read as a request.
    let keep_alive = asked.head.keep_alive
        && asked.request_sent.get()
        && outgoing != BodyFraming::UntilClose
        && !asked.head.websocket
        && !worker.is_draining();
    out.clear();
    worker.clock.with_date(|date| {
        let view = ResponseView { head: &answer.head, bytes: &answer.bytes, edits: &answer.edits };
        let client_version = asked.head.version;
        write_response(out, view, &ResponsePlan { client_version, keep_alive, body: outgoing, date: Some(date) });
    });
    keep_alive
}

/// Reads until a final response's head (or 101) is there, and moves it into `answer.bytes`. Informational ones are dropped, as v1 does.
/// The time for it begins once `sent_all` says that the backend has the whole request.
pub async fn read_head<R: ReadHalf, D: Dial>(
    worker: &Worker<D>,
    reader: &mut R,
    is_head: bool,
    sent_all: &Cell<bool>,
    answer: &mut UpstreamResponse,
) -> Result<(), ProxyError> {
    let late = || {
        worker.exceeded(Bound::ResponseHeader);
        ProxyError::new(ExchangePhase::Await, Cause::TimedOut)
    };
    let mut reading = pin!(final_head(worker, reader, is_head, answer));
    let Some(limit) = worker.shared.timeouts.response_header else { return reading.await };
    if !sent_all.get()
        && let Some(read) = until_set(sent_all, reading.as_mut()).await
    {
        return read;
    }
    // One limit for the whole head: a server that drips must not renew it with each byte.
    worker.deadlines.within(limit, reading).await.unwrap_or_else(|_| Err(late()))
}

/// What `work` comes to; `None` once `over` is set, by whoever shares its task.
async fn until_set<F: Future>(over: &Cell<bool>, mut work: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if over.get() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

async fn final_head<R: ReadHalf, D: Dial>(
    worker: &Worker<D>,
    reader: &mut R,
    is_head: bool,
    answer: &mut UpstreamResponse,
) -> Result<(), ProxyError> {
    let failed = |cause| ProxyError::new(ExchangePhase::Await, cause);
    let mut informational = 0;
    let mut seen = 0;
    loop {
        let pending = answer.read_buffer.pending();
        // As with requests: a head that drips in is parsed when it may be whole, not once per byte.
        let worth_parsing = seen == 0
            || progress::head_end(pending, seen).is_some()
            || pending.len() >= limits::RESPONSE_HEAD_BYTES_MAX;
        if worth_parsing && !pending.is_empty() {
            let parsed = parse_response(answer.read_buffer.pending(), is_head, &HeadLimits::RESPONSE, &mut answer.head);
            match parsed.map_err(|e| failed(Cause::Malformed(e.why)))? {
                ParseProgress::Complete if answer.head.status >= 200 || answer.head.status == 101 => {
                    answer.bytes = answer.read_buffer.detach(answer.head.len, &worker.buffers);
                    return Ok(());
                }
                ParseProgress::Complete => {
                    answer.read_buffer.consume(answer.head.len);
                    seen = 0;
                    informational += 1;
                    if informational > limits::INFORMATIONAL_MAX {
                        return Err(failed(Cause::Malformed("too many informational responses")));
                    }
                    continue;
                }
                ParseProgress::Partial => {}
            }
        }
        seen = answer.read_buffer.pending().len();
        match answer.read_buffer.fill(reader, &worker.buffers).await {
            Ok(0) => return Err(failed(Cause::Closed)),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::TimedOut => return Err(failed(Cause::TimedOut)),
            Err(e) => return Err(failed(Cause::Io(e))),
        }
    }
}

/// The response's way back through all chains, innermost step first. Gives the error page that takes its place, if one does.
pub fn run_response_chain<D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    asked: &mut ResponseContext<'_>,
    answer: &mut UpstreamResponse,
) -> Option<ErrorPageRequest> {
    let entry = &worker.shared.entry_points[asked.peer.entry].chain;
    let chains: [&Chain; 4] = [&frontend.attempt, &frontend.inner, &frontend.outer, entry];
    if chains.iter().all(|chain| chain.is_empty()) {
        return None;
    }
    let original_target = asked.head.target.of(asked.bytes);
    let facts = RequestInfo {
        peer: unmap_ipv4(asked.peer.address.ip()),
        peer_port: asked.peer.address.port(),
        secure: asked.peer.secure,
        trusted: asked.peer.trusted,
        proxies: worker.proxies(asked.peer),
        now: worker.now(),
        target: asked.target.map_or(original_target, Vec::as_slice),
        original_target,
        path_replaced: asked.path.replaced,
        added_prefix: &asked.path.added_prefix,
        client_certs: &asked.peer.certs,
        random: fill_random,
    };
    let request = Request { head: asked.head, bytes: asked.bytes, edits: asked.edits };
    let mut received = Response::Backend { head: &answer.head, bytes: &answer.bytes, edits: &mut answer.edits };
    chains.iter().find_map(|chain| {
        let page = chain.on_response(chain.middlewares().len(), &request, &mut received, &facts, asked.chain_state);
        page.map(|(ask, _)| ask)
    })
}
