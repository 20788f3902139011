//! An HTTP/2 connection of a client: receives, serves its streams and sends, in turns of one task.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::join3;

use super::close::close;
use super::streams::Streams;
use crate::http::h2::connection::{Connection, ConnectionError, LocalSettings, STREAMS_MAX};
use crate::http::head_limits::HeadLimits;
use crate::limits::{self, Bound};
use crate::net::Transport;
use crate::observe::metrics::Side;
use crate::worker::link_turns::{LinkUser, run_turns};
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
    let is_idle = Cell::new(false);
    {
        let limits = pin!(join3(watch(&worker, &link, &is_idle), limit_blocks(&worker, &link), drain(&worker, &link)));
        let client = Client { streams: &mut streams, info: &peer, limits, is_idle: &is_idle };
        run_turns(&worker, &link, &mut io, client).await;
    }
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

/// The client's side of the connection's turns: its streams, and the time limits of the connection.
struct Client<'a, D: Dial, F> {
    streams: &'a mut Streams<D>,
    info: &'a ClientInfo,
    /// Never completes.
    limits: Pin<&'a mut F>,
    /// The connection has been idle for a while.
    is_idle: &'a Cell<bool>,
}

impl<D: Dial, F: Future> LinkUser for Client<'_, D, F> {
    fn begin(&mut self, cx: &Context<'_>) {
        self.streams.register(cx);
    }

    fn take_changes(&mut self) {
        self.streams.take_changes(self.info);
    }

    fn work(&mut self, cx: &mut Context<'_>) {
        // Streams take turns at the output. It is filled before it is sent: each write costs a system call and a segment at least.
        for _ in 0..limits::POLLS_PER_TURN {
            self.streams.poll_due();
            self.streams.take_changes(self.info);
            if !self.streams.has_due() {
                break;
            }
        }
        let _ = self.limits.as_mut().poll(cx);
        if self.is_idle.take() {
            self.streams.trim();
        }
    }

    fn has_due(&self) -> bool {
        self.streams.has_due()
    }

    fn is_done(&self) -> bool {
        self.streams.active() == 0
    }
}

/// Closes the connection after its idle timeout; frees memory that it does not need after a shorter time.
async fn watch<D: Dial>(worker: &Worker<D>, link: &Link, is_idle: &Cell<bool>) {
    let has_streams = |connection: &Connection| connection.streams() > 0;
    let busy = || poll_fn(|_| if link.see(has_streams) { Poll::Ready(()) } else { Poll::Pending });
    let idle = || poll_fn(|_| if link.see(has_streams) { Poll::Pending } else { Poll::Ready(()) });
    let mut is_first = true;
    loop {
        let timeout = worker.idle_timeout(is_first);
        let soon = timeout.time.min(Duration::from_secs(limits::IDLE_TRIM_SECS));
        if timeout.with(soon).within(busy()).await.is_err() {
            link.with(|connection| connection.trim(&worker.buffers));
            is_idle.set(true);
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
