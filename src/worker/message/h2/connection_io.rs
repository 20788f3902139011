//! Moves the bytes of an HTTP/2 connection between its transport and its state. The connection's task runs both directions and polls them
//! in turns.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use super::link::Link;
use crate::limits;
use crate::net::{ReadHalf, TimeLimit, WriteHalf};
use crate::worker::resources::buffers::BufferPool;

/// The notes of a connection's directions for its task, in a turn.
#[derive(Default)]
pub struct Turn {
    /// Bytes have been received, or output has been taken: other parts of the task may have work.
    has_progress: Cell<bool>,
}

impl Turn {
    /// Whether there was progress since the last call.
    pub fn take_progress(&self) -> bool {
        self.has_progress.take()
    }
}

/// The worker's part in receiving.
pub struct ReceiveOptions<N, H, G, B> {
    /// Reads the clock.
    pub now: N,
    /// A permit to hold a buffer while the connection waits for bytes, if there is one.
    pub hold: H,
    /// Reserves the memory for a larger receive window; returns by how many bytes it grows.
    pub grow: G,
    /// Reserves memory for so many bytes of incomplete header blocks; returns whether they may be held.
    pub reserve: B,
}

/// Receives until the connection ends.
pub async fn receive<R, N, H, P, G, B>(
    link: &Link,
    half: &mut R,
    pool: &BufferPool,
    turn: &Turn,
    mut options: ReceiveOptions<N, H, G, B>,
) where
    R: ReadHalf,
    N: Fn() -> Duration,
    H: Fn() -> Option<P>,
    G: FnMut() -> Option<u32>,
    B: FnMut(usize) -> bool,
{
    let mut has_grown = false;
    loop {
        poll_fn(|_| if link.see(|connection| connection.wants_input()) { Poll::Ready(()) } else { Poll::Pending })
            .await;
        let permit = (options.hold)();
        if permit.is_none() && half.readable().await.is_err() {
            break;
        }
        let (result, bytes) = half.read(pool.lend()).await;
        drop(permit);
        let is_open = matches!(result, Ok(n) if n > 0);
        if is_open {
            link.with(|connection| {
                connection.receive(&bytes, (options.now)(), pool);
                if connection.held_bytes() > limits::HEAD_BUFFER_BYTES && !(options.reserve)(connection.held_bytes()) {
                    connection.receive_end();
                }
                // A connection whose window is full most of the time is slowed down by it.
                if !has_grown && connection.unread_total() >= limits::CONNECTION_WINDOW_BYTES as usize / 2 {
                    has_grown = true;
                    (options.grow)().into_iter().for_each(|bytes| connection.grow_window(bytes));
                }
            });
        }
        pool.give_back(bytes);
        if !is_open {
            break;
        }
        end_turn(turn).await;
    }
    link.with(|connection| connection.receive_end());
    end_turn(turn).await;
}

/// Ends this direction's part of the turn: the task polls the other parts first.
async fn end_turn(turn: &Turn) {
    turn.has_progress.set(true);
    let mut is_first = true;
    poll_fn(|_| if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }).await;
}

/// Sends output as it comes, until the connection is finished and its last output is sent.
///
/// # Errors
/// The transport failed, or took nothing for `stall`.
pub async fn send<W: WriteHalf>(
    link: &Link,
    half: &mut W,
    pool: &BufferPool,
    turn: &Turn,
    stall: TimeLimit<'_>,
) -> io::Result<()> {
    let (mut spare, mut was_long) = (Vec::new(), false);
    loop {
        if !link.see(|connection| connection.has_output()) {
            release(pool, &mut spare);
            let has_output = poll_fn(|_| {
                link.see(|connection| match (connection.has_output(), connection.is_finished()) {
                    (true, _) => Poll::Ready(true),
                    (false, true) => Poll::Ready(false),
                    (false, false) => Poll::Pending,
                })
            });
            if !has_output.await {
                return Ok(());
            }
        }
        if spare.capacity() == 0 {
            spare = if was_long { pool.lend_large() } else { pool.lend_outgoing() };
        }
        let out = link.with(|connection| connection.take_output(std::mem::take(&mut spare)));
        was_long = out.capacity() > limits::POOLED_BUFFER_BYTES_MAX;
        turn.has_progress.set(true);
        let (result, mut out) = stall.within_io(async { Ok(half.write_all(out).await) }).await?;
        result?;
        out.clear();
        spare = out;
    }
}

/// Gives the buffer back when nothing is to be sent.
fn release(pool: &BufferPool, spare: &mut Vec<u8>) {
    if spare.capacity() > limits::POOLED_BUFFER_BYTES_MAX {
        pool.give_back_large(std::mem::take(spare));
    } else if spare.capacity() > 0 {
        pool.give_back_outgoing(std::mem::take(spare));
    }
}
