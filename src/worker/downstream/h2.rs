//! An HTTP/2 connection of a client: receives, serves its streams and sends, in turns of one task.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::close::close;
use super::streams::Streams;
use crate::http::h2::connection::{Connection, ConnectionError, LocalSettings, STREAMS_MAX};
use crate::http::head_limits::HeadLimits;
use crate::limits::{self, Bound};
use crate::net::Transport;
use crate::observe::metrics::Side;
use crate::worker::message::h2::connection_io::{ReceiveOptions, Turn, receive, send};
use crate::worker::message::h2::link::Link;
use crate::worker::message::stream::ConnectionDisposition;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Serves a connection to its end. `received` has arrived already: the beginning of the connection preface, or nothing.
pub async fn serve<T: Transport, D: Dial>(worker: Rc<Worker<D>>, mut io: T, peer: Box<ClientInfo>, received: Vec<u8>) {
    let link = Rc::new(Link::downstream(Connection::server(settings())));
    let (_open, _counted) = (worker.links.insert(&link), worker.begin_multiplexed());
    let _gauge = worker.count_http2_connection(Side::Client);
    if !received.is_empty() {
        let now = Duration::from_nanos(worker.clock.mono_nanos());
        link.with(|connection| connection.receive(&received, now, &worker.buffers));
    }
    drop(received);
    let mut streams = Streams::new(Rc::clone(&worker), Rc::clone(&link));
    run(&worker, &link, &mut streams, &mut io, &peer).await;
    worker.count_notes(&link, Side::Client);
    if let Some(error) = link.see(|connection| connection.error().copied()) {
        let ConnectionError { code, why, source } = error;
        let entry_point = &worker.shared.entry_points[peer.entry].name;
        let code = code.as_str();
        tracing::debug!(client = %peer.address, %entry_point, code, "HTTP/2 connection ended: {why} ({source})");
    }
    streams.close();
    close(&worker, &mut io, ConnectionDisposition::Linger).await;
}

fn settings() -> LocalSettings {
    LocalSettings {
        streams_max: STREAMS_MAX as u32,
        head: HeadLimits::REQUEST,
        stream_window: limits::STREAM_WINDOW_BYTES,
        connection_window: limits::CONNECTION_WINDOW_BYTES,
        connect_protocol: true,
    }
}

/// Runs the connection until its last output is sent, or the transport has failed and every handler has ended.
async fn run<T: Transport, D: Dial>(
    worker: &Worker<D>,
    link: &Link,
    streams: &mut Streams<D>,
    io: &mut T,
    client: &ClientInfo,
) {
    let turn = Turn::default();
    let (reader, writer) = io.split();
    let (mut window, mut blocks) = (worker.budget.reserve(), worker.budget.reserve_head());
    let growth = limits::GROWN_CONNECTION_WINDOW_BYTES - limits::CONNECTION_WINDOW_BYTES;
    let options = ReceiveOptions {
        now: || Duration::from_nanos(worker.clock.mono_nanos()),
        hold: || worker.try_idle_read(),
        grow: || window.set(limits::GROWN_CONNECTION_WINDOW_BYTES as usize).then_some(growth),
        reserve: |bytes| {
            let fits = blocks.set(bytes);
            if !fits {
                worker.exceeded(Bound::HeldBytes);
            }
            fits
        },
    };
    let mut receiving = pin!(receive(link, reader, &worker.buffers, &turn, options));
    let mut sending = pin!(send(link, writer, &worker.buffers, &turn, worker.stall()));
    let mut watching = pin!(watch(worker, link, &turn));
    let mut limiting = pin!(limit_blocks(worker, link));
    let mut draining = pin!(drain(worker, link));
    let (mut is_receiving, mut is_sending) = (true, true);
    poll_fn(|cx| {
        streams.register(cx);
        link.begin_turn(cx);
        let ended = (0..limits::TURNS_MAX).find_map(|_| {
            is_receiving = is_receiving && receiving.as_mut().poll(cx).is_pending();
            streams.take_changes(client);
            streams.poll_due();
            let _ = (watching.as_mut().poll(cx), limiting.as_mut().poll(cx), draining.as_mut().poll(cx));
            if is_sending && let Poll::Ready(sent) = sending.as_mut().poll(cx) {
                is_sending = false;
                if worker.timed(Bound::StalledBody, sent).is_err() {
                    link.with(|connection| connection.receive_end());
                    streams.take_changes(client);
                }
            }
            if turn.take_idle() {
                streams.trim();
            }
            if !is_sending && streams.active() == 0 {
                return Some(Poll::Ready(()));
            }
            (!turn.take_progress() && !streams.has_due()).then_some(Poll::Pending)
        });
        link.end_turn();
        ended.unwrap_or_else(|| {
            // The worker's other connections come first.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    })
    .await;
}

/// Closes the connection after its idle timeout; frees memory that it does not need after a shorter time.
async fn watch<D: Dial>(worker: &Worker<D>, link: &Link, turn: &Turn) {
    let has_streams = |connection: &Connection| connection.streams() > 0;
    let busy = || poll_fn(|_| if link.see(has_streams) { Poll::Ready(()) } else { Poll::Pending });
    let idle = || poll_fn(|_| if link.see(has_streams) { Poll::Pending } else { Poll::Ready(()) });
    let mut is_first = true;
    loop {
        let timeout = worker.idle_timeout(is_first);
        let soon = timeout.time.min(Duration::from_secs(limits::IDLE_TRIM_SECS));
        if timeout.with(soon).within(busy()).await.is_err() {
            link.with(|connection| connection.trim(&worker.buffers));
            turn.note_idle();
            if timeout.with(timeout.time.saturating_sub(soon)).within(busy()).await.is_err() {
                worker.exceeded(worker.idle_limit(is_first));
                link.with(Connection::shut_down);
                return std::future::pending().await;
            }
        }
        is_first = false;
        idle().await;
    }
}

/// Limits the time for a header block as for a head of HTTP/1: a client that sends one in drips must not hold the connection.
async fn limit_blocks<D: Dial>(worker: &Worker<D>, link: &Link) {
    let until = |within| {
        poll_fn(move |_| match link.see(Connection::is_within_block) == within {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    };
    loop {
        until(true).await;
        if worker.deadlines.within(worker.shared.timeouts.head_read, until(false)).await.is_err() {
            worker.exceeded(Bound::HeadRead);
            link.with(Connection::receive_end);
            return std::future::pending().await;
        }
    }
}

/// Announces the end of the connection when the process drains, and ends it a moment later: requests that are on their way by then are
/// served (RFC 9113 6.8).
async fn drain<D: Dial>(worker: &Worker<D>, link: &Link) {
    poll_fn(|_| if worker.is_draining() { Poll::Ready(()) } else { Poll::Pending }).await;
    link.with(Connection::announce_shutdown);
    worker.deadlines.pause(Duration::from_millis(limits::GOAWAY_NOTICE_MILLIS)).await;
    link.with(Connection::shut_down);
    std::future::pending().await
}
