//! An HTTP/1 connection of a client: waits for requests, handles each of them, and closes the connection as the last exchange requires.

use std::rc::Rc;

use super::close::close;
use super::handler::{Handler, HandlerEnd, HandlerInput, HandlerOutput};
use crate::http::forward::{ReplyPlan, write_reply};
use crate::http::h1::progress::{self, HeadLimits, ParseProgress};
use crate::http::h1::request_head::parse_request;
use crate::http::{Reply, Version};
use crate::limits::{self, Bound};
use crate::net::{ReadHalf, Transport, WriteHalf};
use crate::worker::message::h1;
use crate::worker::message::h1::read_buffer::ReadBuffer;
use crate::worker::message::stream::ConnectionDisposition;
use crate::worker::request::exchange::handle_request;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::resources::memory_budget::HeadReservation;
use crate::worker::worker::Worker;

/// The beginning of the connection preface of HTTP/2 (RFC 9113 3.4), which the parser of HTTP/1 refuses.
const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// A connection on which the client speaks HTTP/2, with the bytes that have arrived.
pub struct PriorKnowledge<T> {
    pub io: T,
    pub peer: Box<ClientInfo>,
    pub received: Vec<u8>,
}

/// Serves a connection to its end, or to the preface of HTTP/2.
pub async fn serve<T: Transport + 'static, D: Dial>(
    worker: Rc<Worker<D>>,
    mut io: T,
    mut peer: Box<ClientInfo>,
) -> Option<Box<PriorKnowledge<T>>> {
    let mut is_new = true;
    let end = loop {
        // Up to `READS_AHEAD_MAX` connections wait inside a handler for their next request; all others hold neither handler nor buffer.
        let may_wait_inside = is_new && worker.may_idle_read();
        if !may_wait_inside
            && worker
                .timed(worker.idle_limit(is_new), worker.idle_timeout(is_new).within_io(io.split().0.readable()).await)
                .is_err()
        {
            break ConnectionDisposition::Close;
        }
        let mut handler = worker.handler_pool.lend(|| Handler::new(serve_requests));
        let output = handler.run(HandlerInput { worker: Rc::clone(&worker), io, peer, is_new }).await;
        worker.handler_pool.give_back(handler);
        (io, peer) = (output.io, output.peer);
        match output.end {
            HandlerEnd::Disposition(ConnectionDisposition::KeepAlive) => is_new = false,
            HandlerEnd::Disposition(end) => break end,
            HandlerEnd::PriorKnowledge(received) => return Some(Box::new(PriorKnowledge { io, peer, received })),
        }
    };
    worker.bound.close(&peer.bound);
    Box::pin(close(&worker, &mut io, end)).await;
    None
}

/// Serves requests until the connection ends, or is idle and may not wait in a read. A permit to wait in a read is kept over an idle time
/// only by a connection that has sent a second request: many clients send one request and no more. While the process drains, a request that
/// still arrives is served, and its response closes the connection.
pub async fn serve_requests<T: Transport, D: Dial>(input: HandlerInput<T, D>) -> HandlerOutput<T> {
    let HandlerInput { worker, mut io, peer, is_new } = input;
    let permit = worker.try_idle_read();
    let mut ctx = worker.lend_context();
    let mut buffer = ReadBuffer::default();
    let mut is_first = is_new;
    let mut preface = None;
    let end = loop {
        let waits = permit.is_some() && buffer.is_empty();
        if waits && !await_request(&worker, &mut buffer, &mut io, is_first).await {
            break ConnectionDisposition::Close;
        }
        let may_switch = std::mem::take(&mut is_first) && worker.speaks_http2_in_clear(&peer);
        // The bytes of a long head stay reserved until its request has been served.
        let reservation = match read_head(&worker, &mut ctx, &mut buffer, &mut io, &peer, may_switch).await {
            HeadRead::Request(reservation) => reservation,
            HeadRead::Preface => {
                preface = Some(buffer.take());
                break ConnectionDisposition::KeepAlive;
            }
            HeadRead::Refused(reply) => {
                Box::pin(refuse(&worker, io.split().1, &reply)).await;
                break ConnectionDisposition::Linger;
            }
            HeadRead::Nothing => break ConnectionDisposition::Close,
        };
        let active = worker.begin_request();
        let end = {
            let mut stream = h1::Stream::downstream(&mut io, &mut buffer, &worker.buffers, &ctx.head);
            handle_request(&worker, &mut ctx, &mut stream, &peer).await
        };
        drop((active, reservation));
        ctx.clear(&worker.buffers);
        if end != ConnectionDisposition::KeepAlive {
            // A close with unread bytes becomes a reset, which can destroy the response in transit.
            let is_unread = end == ConnectionDisposition::Close && (!buffer.is_empty() || io.split().0.has_unread());
            break if is_unread { ConnectionDisposition::Linger } else { end };
        }
        if (is_new || permit.is_none()) && buffer.is_empty() {
            break ConnectionDisposition::KeepAlive;
        }
    };
    buffer.discard(&worker.buffers);
    worker.give_back_context(ctx);
    drop(permit);
    HandlerOutput { io, peer, end: preface.map_or(HandlerEnd::Disposition(end), HandlerEnd::PriorKnowledge) }
}

/// Waits for the next request's first bytes in a read, which saves an operation of the ring for each request. Returns false if the client
/// disconnects or its idle timeout elapses.
async fn await_request<T: Transport, D: Dial>(
    worker: &Worker<D>,
    buffer: &mut ReadBuffer,
    io: &mut T,
    is_first: bool,
) -> bool {
    let read = worker.idle_timeout(is_first).within_io(buffer.fill(io.split().0, &worker.buffers)).await;
    match read {
        Ok(bytes) => bytes > 0,
        Err(e) => worker.timed(worker.idle_limit(is_first), Err(e)).unwrap_or(false),
    }
}

enum HeadRead<'w> {
    /// A request, with the reservation in the worker's memory budget for its head, if the head is long.
    Request(Option<HeadReservation<'w>>),
    Refused(Reply),
    /// The connection begins with the preface of HTTP/2.
    Preface,
    /// The client closed, stalled or vanished before a whole head: no reply is sent.
    Nothing,
}

/// Reads until a whole head is there, and moves its bytes into `ctx.bytes`.
async fn read_head<'w, T: Transport, D: Dial>(
    worker: &'w Worker<D>,
    ctx: &mut ExchangeContext,
    buffer: &mut ReadBuffer,
    io: &mut T,
    peer: &ClientInfo,
    may_switch: bool,
) -> HeadRead<'w> {
    let limit = worker.shared.timeouts.head_read;
    let work = async {
        let mut seen = 0;
        let mut reservation = None;
        loop {
            let pending = buffer.pending();
            // Heads of up to `HEAD_BUFFER_BYTES` are not counted; for longer heads all connections share a part of the memory budget.
            if pending.len() > limits::HEAD_BUFFER_BYTES
                && !reservation.get_or_insert_with(|| worker.budget.reserve_head()).set(pending.len())
            {
                worker.exceeded(Bound::HeldBytes);
                return HeadRead::Refused(Reply::text(503, "Service Unavailable"));
            }
            // After an incomplete parse, the head is parsed again once its empty line or a full buffer is there, not once for
            // every byte of a head that drips in.
            let worth_parsing = seen == 0
                || progress::head_end(pending, seen).is_some()
                || pending.len() >= limits::REQUEST_HEAD_BYTES_MAX;
            if worth_parsing && !pending.is_empty() {
                match parse_request(pending, &HeadLimits::REQUEST, &mut ctx.head) {
                    Ok(ParseProgress::Complete) => return HeadRead::Request(reservation),
                    Ok(ParseProgress::Partial) => {}
                    Err(_) if may_switch && pending.starts_with(PREFACE_LINE) => return HeadRead::Preface,
                    Err(refused) => {
                        worker.shared.metrics.head_refused();
                        tracing::debug!(client = %peer.address, status = refused.status, "request refused: {refused}");
                        return HeadRead::Refused(refused.reply());
                    }
                }
            }
            seen = pending.len();
            match buffer.fill(io.split().0, &worker.buffers).await {
                Ok(n) if n > 0 => {}
                _ => return HeadRead::Nothing,
            }
        }
    };
    let outcome = match worker.deadlines.within(limit, work).await {
        Ok(outcome) => outcome,
        // Most slow heads are idle pre-connections of browsers: they get no response, as in Traefik 1.7.
        Err(_) => {
            worker.exceeded(Bound::HeadRead);
            HeadRead::Nothing
        }
    };
    if matches!(outcome, HeadRead::Request(_)) {
        ctx.bytes = buffer.detach(ctx.head.len, &worker.buffers);
    }
    outcome
}

/// Sends the reply to bytes that are no request. The caller lingers, then closes the connection.
async fn refuse<W: WriteHalf, D: Dial>(worker: &Worker<D>, writer: &mut W, reply: &Reply) {
    let mut out = worker.buffers.lend();
    worker.clock.with_date(|date| {
        let plan = ReplyPlan { version: Version::Http11, keep_alive: false, head_request: false, date: Some(date) };
        write_reply(&mut out, reply, &plan);
    });
    let sent = h1::send_final(writer, &mut out, true, worker.stall()).await;
    let _ = worker.timed(Bound::StalledBody, sent);
    worker.buffers.give_back(out);
}
