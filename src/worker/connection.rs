//! One client connection: waits for requests, has each served, and ends in the right way.

use std::rc::Rc;
use std::time::Duration;

use super::Worker;
use super::budget::HeadReservation;
use super::context::{ClientInfo, ExchangeContext};
use super::exchange::{ConnectionDisposition, handle_request};
use super::handler::{Handler, HandlerInput, HandlerOutput};
use super::local_reply::reject;
use super::upstream::Dial;
use crate::http::h1::progress::{self, HeadLimits};
use crate::http::h1::request_head::parse_request;
use crate::http::{Reply, Version};
use crate::limits::{self, Bound};
use crate::net::{ReadHalf, Transport, WriteHalf};

/// Serves a connection to its end.
pub async fn serve<T: Transport + 'static, D: Dial>(worker: Rc<Worker<D>>, mut io: T, mut peer: Box<ClientInfo>) {
    let mut is_new = true;
    let end = loop {
        // A few connections wait in a handler, for their first request or, inside of it, for later ones; all others hold nothing.
        let may_wait_inside = is_new && worker.may_idle_read();
        if !may_wait_inside
            && worker
                .timed(worker.idle_limit(is_new), worker.idle_timeout(is_new).within_io(io.split().0.readable()).await)
                .is_err()
        {
            break ConnectionDisposition::Close;
        }
        let mut handler = worker.handler_pool.lend(|| Handler::new(serve_requests));
        let left = handler.run(HandlerInput { worker: Rc::clone(&worker), io, peer, is_new }).await;
        worker.handler_pool.give_back(handler);
        (io, peer) = (left.io, left.peer);
        if left.end != ConnectionDisposition::KeepAlive {
            break left.end;
        }
        is_new = false;
    };
    Box::pin(close(&worker, &mut io, end)).await;
}

/// Serves requests until the connection ends, or idles without a seat. Many clients ask once and no more: one that comes back keeps its
/// seat. While the process drains, a request that comes all the same is served: its answer closes the connection.
pub async fn serve_requests<T: Transport, D: Dial>(guest: HandlerInput<T, D>) -> HandlerOutput<T> {
    let HandlerInput { worker, mut io, peer, is_new } = guest;
    let seat = worker.try_idle_read();
    let mut ctx = worker.lend_context();
    let mut is_first = is_new;
    let end = loop {
        let waits = seat.is_some() && ctx.read_buffer.is_empty();
        if waits && !await_request(&worker, &mut ctx, &mut io, is_first).await {
            break ConnectionDisposition::Close;
        }
        is_first = false;
        // A long head counts for as long as the request is under way.
        let share = match read_head(&worker, &mut ctx, &mut io, &peer).await {
            HeadRead::Request(share) => share,
            HeadRead::Refused(reply) => {
                Box::pin(reject(&worker, io.split().1, &reply, Version::Http11)).await;
                break ConnectionDisposition::Linger;
            }
            HeadRead::Nothing => break ConnectionDisposition::Close,
        };
        let busy = worker.begin_request();
        let end = handle_request(&worker, &mut ctx, &mut io, &peer).await;
        drop((busy, share));
        ctx.clear(&worker.buffers);
        if end != ConnectionDisposition::KeepAlive {
            // A close with unread bytes becomes a reset, which can destroy the answer on its way.
            let is_unread =
                end == ConnectionDisposition::Close && (!ctx.read_buffer.is_empty() || io.split().0.has_unread());
            break if is_unread { ConnectionDisposition::Linger } else { end };
        }
        if (is_new || seat.is_none()) && ctx.read_buffer.is_empty() {
            break ConnectionDisposition::KeepAlive;
        }
    };
    ctx.read_buffer.discard(&worker.buffers);
    worker.give_back_context(ctx);
    drop(seat);
    HandlerOutput { io, peer, end }
}

/// Waits for the next request's first bytes in a read, which saves an operation of the ring for each request. False when the client goes
/// or has been idle too long.
async fn await_request<T: Transport, D: Dial>(
    worker: &Worker<D>,
    ctx: &mut ExchangeContext,
    io: &mut T,
    is_first: bool,
) -> bool {
    let read = worker.idle_timeout(is_first).within_io(ctx.read_buffer.fill(io.split().0, &worker.buffers)).await;
    match read {
        Ok(bytes) => bytes > 0,
        Err(e) => worker.timed(worker.idle_limit(is_first), Err(e)).unwrap_or(false),
    }
}

enum HeadRead<'w> {
    /// With what its head takes of the worker's memory, if it is long.
    Request(Option<HeadReservation<'w>>),
    Refused(Reply),
    /// The client closed, stalled or vanished; nobody is left to answer, or nothing was asked.
    Nothing,
}

/// Reads until a whole head is there, and moves it into `ctx.bytes`.
async fn read_head<'w, T: Transport, D: Dial>(
    worker: &'w Worker<D>,
    ctx: &mut ExchangeContext,
    io: &mut T,
    peer: &ClientInfo,
) -> HeadRead<'w> {
    let limit = worker.shared.timeouts.head_read;
    let work = async {
        let mut seen = 0;
        let mut share = None;
        loop {
            let pending = ctx.read_buffer.pending();
            // Every connection has room for an ordinary head; what is beyond that is shared by all.
            if pending.len() > limits::HEAD_BUFFER_BYTES
                && !share.get_or_insert_with(|| worker.budget.reserve_head()).set(pending.len())
            {
                worker.exceeded(Bound::HeldBytes);
                return HeadRead::Refused(Reply::text(503, "Service Unavailable"));
            }
            // After an incomplete parse only a line end or a full buffer can change the outcome: a head that drips in is not
            // parsed again for every byte.
            let worth_parsing = seen == 0
                || progress::head_end(pending, seen).is_some()
                || pending.len() >= limits::REQUEST_HEAD_BYTES_MAX;
            if worth_parsing && !pending.is_empty() {
                match parse_request(pending, &HeadLimits::REQUEST, &mut ctx.head) {
                    Ok(progress::ParseProgress::Complete) => return HeadRead::Request(share),
                    Ok(progress::ParseProgress::Partial) => {}
                    Err(refused) => {
                        worker.shared.metrics.head_refused();
                        tracing::debug!(client = %peer.address, status = refused.status, "request refused: {refused}");
                        return HeadRead::Refused(refused.reply());
                    }
                }
            }
            seen = pending.len();
            match ctx.read_buffer.fill(io.split().0, &worker.buffers).await {
                Ok(n) if n > 0 => {}
                _ => return HeadRead::Nothing,
            }
        }
    };
    let heard = match worker.deadlines.within(limit, work).await {
        Ok(heard) => heard,
        // Most slow heads are idle pre-connections of browsers: they get silence, as v1 gave.
        Err(_) => {
            worker.exceeded(Bound::HeadRead);
            HeadRead::Nothing
        }
    };
    if matches!(heard, HeadRead::Request(_)) {
        ctx.bytes = ctx.read_buffer.detach(ctx.head.len, &worker.buffers);
    }
    heard
}

/// Ends the connection: FIN first, and for a client that still sends a moment of reading on.
async fn close<T: Transport, D: Dial>(worker: &Worker<D>, io: &mut T, end: ConnectionDisposition) {
    let (reader, writer) = io.split();
    if end == ConnectionDisposition::Abort {
        return reader.abort();
    }
    if end == ConnectionDisposition::Close && reader.as_plain().is_some() {
        // The writer sends the FIN when it is dropped, and nobody is waited for.
        return;
    }
    let moment = worker.deadlines.limit(Duration::from_secs(limits::LINGER_SECS));
    // A client that reads nothing would hold up the last record of TLS for ever.
    if moment.within_io(writer.shutdown()).await.is_err() || end != ConnectionDisposition::Linger {
        return;
    }
    let drain = async {
        let mut left = limits::LINGER_BYTES_MAX;
        let mut buffer = Vec::with_capacity(limits::COPY_BUFFER_MIN_BYTES);
        while left > 0 {
            let (result, returned) = reader.read(buffer).await;
            buffer = returned;
            match result? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
            buffer.clear();
        }
        Ok(())
    };
    let _ = moment.within_io(drain).await;
}
