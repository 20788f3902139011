//! The turns of an HTTP/2 connection's task: receives, lets the user of the connection work, and sends, as long as something moves.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::message::h2::connection_io::{ReceiveOptions, Turn, receive, send};
use super::message::h2::link::Link;
use super::resources::dial::Dial;
use super::worker::Worker;
use crate::http::h2::connection::Connection;
use crate::limits::{self, Bound};
use crate::net::Transport;

/// The part of a connection's task that uses its streams.
pub trait LinkUser {
    /// Notes the task, before the turns of one poll.
    fn begin(&mut self, _cx: &Context<'_>) {}

    /// Takes what has changed since the last call.
    fn take_changes(&mut self);

    /// Works on what is due, within a turn.
    fn work(&mut self, _cx: &mut Context<'_>) {}

    /// Whether there is more work that waits for nothing.
    fn has_due(&self) -> bool {
        false
    }

    /// Whether nothing uses the connection any more.
    fn is_done(&self) -> bool;
}

/// Runs the connection until its last output is sent, or the transport has failed and its user is done.
pub async fn run_turns<T: Transport, D: Dial>(worker: &Worker<D>, link: &Link, io: &mut T, mut user: impl LinkUser) {
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
        user.begin(cx);
        let ended = (0..limits::TURNS_MAX).find_map(|_| {
            is_receiving = is_receiving && receiving.as_mut().poll(cx).is_pending();
            user.take_changes();
            user.work(cx);
            if is_sending && let Poll::Ready(sent) = sending.as_mut().poll(cx) {
                is_sending = false;
                if worker.timed(Bound::StalledBody, sent).is_err() {
                    link.with(Connection::receive_end);
                    user.take_changes();
                }
            }
            if !is_sending && user.is_done() {
                return Some(Poll::Ready(()));
            }
            (!turn.take_progress() && !user.has_due()).then_some(Poll::Pending)
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
