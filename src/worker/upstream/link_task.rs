//! The task of an HTTP/2 connection to a server: receives, wakes the requests whose streams have changed, and sends, in turns.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::limits;
use crate::net::{Transport, WriteHalf};
use crate::worker::message::h2::connection_io::{ReceiveOptions, Turn, receive, send};
use crate::worker::resources::dial::Dial;
use crate::worker::server_links::NewLink;
use crate::worker::worker::Worker;

/// Starts a task for each new shared connection of the worker. Does not return.
pub async fn run_links<D: Dial>(worker: Rc<Worker<D>>) {
    loop {
        let new = poll_fn(|cx| worker.server_links.poll_new(cx)).await;
        let worker = Rc::clone(&worker);
        monoio::spawn(async move { run_link(&worker, new).await });
    }
}

/// Runs a connection until its last output has been sent, or until the transport fails.
pub async fn run_link<D: Dial>(worker: &Worker<D>, new: NewLink<D::Io>) {
    let NewLink { link: server_link, mut io } = new;
    let link = &server_link.link;
    let turn = Turn::default();
    let (reader, writer) = io.split();
    let (mut window, mut blocks) = (worker.budget.reserve(), worker.budget.reserve());
    let growth = limits::GROWN_CONNECTION_WINDOW_BYTES - limits::CONNECTION_WINDOW_BYTES;
    let options = ReceiveOptions {
        now: || Duration::from_nanos(worker.clock.mono_nanos()),
        hold: || worker.try_idle_read(),
        grow: || window.set(limits::GROWN_CONNECTION_WINDOW_BYTES as usize).then_some(growth),
        reserve: |bytes| blocks.set(bytes),
    };
    {
        let mut receiving = pin!(receive(link, reader, &worker.buffers, &turn, options));
        let mut sending = pin!(send(link, writer, &worker.buffers, &turn, worker.stall()));
        let mut is_receiving = true;
        poll_fn(|cx| {
            link.begin_turn(cx);
            let ended = (0..limits::TURNS_MAX).find_map(|_| {
                is_receiving = is_receiving && receiving.as_mut().poll(cx).is_pending();
                link.wake_handlers();
                if sending.as_mut().poll(cx).is_ready() {
                    return Some(Poll::Ready(()));
                }
                link.wake_handlers();
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
    worker.server_links.remove(&server_link);
    link.with(|connection| connection.receive_end());
    link.wake_handlers();
    // A connection that ended in order is closed in order: what the server still sends must not become a reset.
    let limit = worker.deadlines.limit(Duration::from_secs(limits::LINGER_SECS));
    drop(limit.within_io(io.split().1.shutdown()).await);
}
