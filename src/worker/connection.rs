//! One client connection: waits for requests, has each served, and ends in the right way.

use std::rc::Rc;
use std::time::Duration;

use super::Worker;
use super::budget::HeadShare;
use super::exchange::{End, exchange};
use super::handler::{Guest, Handler, Left};
use super::local::reject;
use super::talk::{Peer, Talk};
use super::upstream::Dial;
use crate::http::h1::codec::{self, Limits};
use crate::http::h1::server::parse_request;
use crate::http::{Reply, Version};
use crate::limits::{self, Bound};
use crate::net::{ReadHalf, Transport, WriteHalf};

/// Serves a connection to its end.
pub async fn serve<T: Transport + 'static, D: Dial>(worker: Rc<Worker<D>>, mut io: T, mut peer: Box<Peer>) {
    let mut is_new = true;
    let end = loop {
        // A few connections wait in a handler, for their first request or, inside of it, for later ones; all others hold nothing.
        let may_wait_inside = is_new && worker.has_seat();
        if !may_wait_inside
            && worker
                .timed(worker.silence(is_new), worker.patience(is_new).bound(io.split().0.readable()).await)
                .is_err()
        {
            break End::Close;
        }
        let mut handler = worker.handlers.lend(|| Handler::new(converse));
        let left = handler.run(Guest { worker: Rc::clone(&worker), io, peer, is_new }).await;
        worker.handlers.give_back(handler);
        (io, peer) = (left.io, left.peer);
        if left.end != End::KeepAlive {
            break left.end;
        }
        is_new = false;
    };
    Box::pin(finish(&worker, &mut io, end)).await;
}

/// Serves requests until the connection ends, or idles without a seat. Many clients ask once and no more: one that comes back keeps its
/// seat. While the process drains, a request that comes all the same is served: its answer closes the connection.
pub async fn converse<T: Transport, D: Dial>(guest: Guest<T, D>) -> Left<T> {
    let Guest { worker, mut io, peer, is_new } = guest;
    let seat = worker.take_seat();
    let mut talk = worker.lend_talk();
    let mut is_first = is_new;
    let end = loop {
        let waits = seat.is_some() && talk.inbox.is_empty();
        if waits && !await_request(&worker, &mut talk, &mut io, is_first).await {
            break End::Close;
        }
        is_first = false;
        // A long head counts for as long as the request is under way.
        let share = match read_head(&worker, &mut talk, &mut io, &peer).await {
            Heard::Request(share) => share,
            Heard::Refused(reply) => {
                Box::pin(reject(&worker, io.split().1, &reply, Version::Http11)).await;
                break End::Linger;
            }
            Heard::Nothing => break End::Close,
        };
        let busy = worker.begin_request();
        let end = exchange(&worker, &mut talk, &mut io, &peer).await;
        drop((busy, share));
        talk.clear(&worker.buffers);
        if end != End::KeepAlive {
            // A close with unread bytes becomes a reset, which can destroy the answer on its way.
            let is_unread = end == End::Close && (!talk.inbox.is_empty() || io.split().0.has_unread());
            break if is_unread { End::Linger } else { end };
        }
        if (is_new || seat.is_none()) && talk.inbox.is_empty() {
            break End::KeepAlive;
        }
    };
    talk.inbox.discard(&worker.buffers);
    worker.give_back_talk(talk);
    drop(seat);
    Left { io, peer, end }
}

/// Waits for the next request's first bytes in a read, which saves an operation of the ring for each request. False when the client goes
/// or has been idle too long.
async fn await_request<T: Transport, D: Dial>(worker: &Worker<D>, talk: &mut Talk, io: &mut T, is_first: bool) -> bool {
    let read = worker.patience(is_first).bound(talk.inbox.fill(io.split().0, &worker.buffers)).await;
    match read {
        Ok(bytes) => bytes > 0,
        Err(e) => worker.timed(worker.silence(is_first), Err(e)).unwrap_or(false),
    }
}

enum Heard<'w> {
    /// With what its head takes of the worker's memory, if it is long.
    Request(Option<HeadShare<'w>>),
    Refused(Reply),
    /// The client closed, stalled or vanished; nobody is left to answer, or nothing was asked.
    Nothing,
}

/// Reads until a whole head is there, and moves it into `talk.bytes`.
async fn read_head<'w, T: Transport, D: Dial>(
    worker: &'w Worker<D>,
    talk: &mut Talk,
    io: &mut T,
    peer: &Peer,
) -> Heard<'w> {
    let limit = worker.shared.timeouts.head_read;
    let work = async {
        let mut seen = 0;
        let mut share = None;
        loop {
            let pending = talk.inbox.pending();
            // Every connection has room for an ordinary head; what is beyond that is shared by all.
            if pending.len() > limits::HEAD_BUFFER_BYTES
                && !share.get_or_insert_with(|| worker.budget.head_share()).set(pending.len())
            {
                worker.exceeded(Bound::HeldBytes);
                return Heard::Refused(Reply::text(503, "Service Unavailable"));
            }
            // After an incomplete parse only a line end or a full buffer can change the outcome: a head that drips in is not
            // parsed again for every byte.
            let worth_parsing = seen == 0
                || codec::head_end(pending, seen).is_some()
                || pending.len() >= limits::REQUEST_HEAD_BYTES_MAX;
            if worth_parsing && !pending.is_empty() {
                match parse_request(pending, &Limits::REQUEST, &mut talk.head) {
                    Ok(codec::Progress::Complete) => return Heard::Request(share),
                    Ok(codec::Progress::Partial) => {}
                    Err(refused) => {
                        worker.shared.metrics.head_refused();
                        tracing::debug!(client = %peer.address, status = refused.status, "request refused: {refused}");
                        return Heard::Refused(refused.reply());
                    }
                }
            }
            seen = pending.len();
            match talk.inbox.fill(io.split().0, &worker.buffers).await {
                Ok(n) if n > 0 => {}
                _ => return Heard::Nothing,
            }
        }
    };
    let heard = match worker.deadlines.within(limit, work).await {
        Ok(heard) => heard,
        // Most slow heads are idle pre-connections of browsers: they get silence, as v1 gave.
        Err(_) => {
            worker.exceeded(Bound::HeadRead);
            Heard::Nothing
        }
    };
    if matches!(heard, Heard::Request(_)) {
        talk.bytes = talk.inbox.detach(talk.head.len, &worker.buffers);
    }
    heard
}

/// Ends the connection: FIN first, and for a client that still sends a moment of reading on.
async fn finish<T: Transport, D: Dial>(worker: &Worker<D>, io: &mut T, end: End) {
    let (reader, writer) = io.split();
    if end == End::Abort {
        return reader.abort();
    }
    if end == End::Close && reader.as_plain().is_some() {
        // The writer sends the FIN when it is dropped, and nobody is waited for.
        return;
    }
    let moment = worker.deadlines.limit(Duration::from_secs(limits::LINGER_SECS));
    // A client that reads nothing would hold up the last record of TLS for ever.
    if moment.bound(writer.shutdown()).await.is_err() || end != End::Linger {
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
    let _ = moment.bound(drain).await;
}
