//! The task of an HTTP/2 connection to a server: receives, wakes the requests whose streams have changed, and sends.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::http::h2::connection::Connection;
use crate::limits::{self, Bound};
use crate::net::{Transport, WriteHalf};
use crate::worker::message::h2::connection_io::{ReceiveOptions, Turn, receive, send};
use crate::worker::message::h2::link::Link;
use crate::worker::resources::dial::Dial;
use crate::worker::server_links::Server;
#[cfg(doc)]
use crate::worker::server_links::ServerLinks;
use crate::worker::worker::Worker;

/// Runs the connection to its end: until the server or the idle timeout ([`ServerLinks::sweep`]) ends it and its last request is done. `server`: where requests find
/// the connection; `None` if it is for one request. `url` names the server in the log.
pub async fn run_link<D: Dial>(
    worker: Rc<Worker<D>>,
    link: Rc<Link>,
    mut io: D::Io,
    server: Option<Rc<Server>>,
    url: String,
) {
    run(&worker, &link, &mut io).await;
    if let Some(server) = &server {
        server.remove(&link);
    }
    let error = link.see(|connection| connection.error().copied());
    if let Some(error) = error {
        worker.log_link_failure(&url, &error);
    }
    let limit = worker.deadlines.limit(Duration::from_secs(limits::LINGER_SECS));
    // The server learns that the connection has ended in order; it is closed in any case.
    let _ = limit.within_io(io.split().1.shutdown()).await;
}

/// Runs the connection until its last output is sent, or the transport has failed and its last request is done.
async fn run<D: Dial>(worker: &Worker<D>, link: &Link, io: &mut D::Io) {
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
    let (mut is_receiving, mut is_sending) = (true, true);
    poll_fn(|cx| {
        link.begin_turn(cx);
        let ended = (0..limits::TURNS_MAX).find_map(|_| {
            is_receiving = is_receiving && receiving.as_mut().poll(cx).is_pending();
            link.wake_handlers();
            if is_sending && let Poll::Ready(sent) = sending.as_mut().poll(cx) {
                is_sending = false;
                if worker.timed(Bound::StalledBody, sent).is_err() {
                    link.with(Connection::receive_end);
                    link.wake_handlers();
                }
            }
            if !is_sending && link.see(|connection| connection.streams() == 0) {
                return Some(Poll::Ready(()));
            }
            (!turn.take_progress()).then_some(Poll::Pending)
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
