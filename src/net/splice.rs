//! Moves long bodies between two plain sockets without copying them through user space: socket to pipe to socket (splice(2)).
//!
//! The driver reports readiness; the system calls are made here and do not block. The ring's own splice operation runs on kernel threads,
//! one per idle connection, and is slower than copying (docs/reference/drivers.md#splice-on-ready-sockets,
//! docs/reference/drivers.md#why-not-splice-through-the-ring). Sockets under io_uring are blocking, and SPLICE_F_NONBLOCK covers only the
//! pipe: both sockets are made non-blocking for the time of a transfer (`nonblocking`).

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use super::free_list::FreeList;
use super::low_water::LowWater;
use super::nonblocking::{NonblockingPair, TransferCounts};
pub use super::pipe::{Pipe, SpliceError};
use super::tcp::{TcpReader, TcpWriter};
use super::{MinRate, TimeLimit};
use crate::limits;

/// A worker's pool of pipes. Opening a pipe costs three system calls, and beyond about 1024 pipes per user the kernel makes them smaller.
pub struct PipePool {
    free: FreeList<Pipe>,
    counts: TransferCounts,
}

impl Default for PipePool {
    fn default() -> Self {
        PipePool { free: FreeList::new(limits::PIPES_POOLED_MAX), counts: TransferCounts::default() }
    }
}

impl PipePool {
    /// Takes a pipe from the pool, or opens one. `None` if no descriptors are left: then the body is copied, which needs none.
    pub fn lend(&self) -> Option<Pipe> {
        if let Some(pipe) = self.free.take() {
            return Some(pipe);
        }
        Pipe::open()
    }

    #[cfg(test)]
    pub fn has_spare(&self) -> bool {
        !self.free.is_empty()
    }

    /// Returns a pipe to the pool. The pipe must be empty: else its bytes would become part of the next body.
    fn give_back(&self, pipe: Pipe) {
        self.free.put(pipe);
    }

    /// Closes the pipes that were not needed since the last call; returns their number.
    pub fn trim(&self) -> usize {
        self.free.trim()
    }
}

/// A transfer: the head of a message, then the rest of its body.
pub struct Transfer<'a> {
    pub from: &'a mut TcpReader,
    pub to: &'a mut TcpWriter,
    /// The message's head and the first bytes of its body: they have been read already.
    pub head: &'a [u8],
    /// Bytes still to be moved from socket to socket.
    pub count: u64,
    /// The stall timeout: how long the receiver may take no bytes, and, if `pace` is set, the sender send none. Without `pace` the sender
    /// is waited for indefinitely: a response may take as long as its client stays.
    pub stall: TimeLimit<'a>,
    /// Whether to wait for large pieces (`low_water`). Off for requests: clients are slower, and an upload gains nothing.
    pub in_good_pieces: bool,
    /// The minimum data rate of the sender. Set for clients: with a byte now and then, a client could hold a server's connection
    /// indefinitely.
    pub pace: Option<&'a mut MinRate>,
}

impl Transfer<'_> {
    /// Sends the head and moves exactly `count` bytes. `moved` counts, at every moment, the bytes behind the head that have been written to
    /// the sink's socket. `on_last` is called before the last of them are written.
    ///
    /// # Errors
    /// `Source` if the sender ended early, failed or was too slow; `Sink` if the receiver failed or stalled.
    pub async fn run(
        self,
        pipe: Pipe,
        pipes: &PipePool,
        moved: &Cell<u64>,
        on_last: impl FnMut(),
    ) -> Result<(), SpliceError> {
        self.run_until(pipe, pipes, moved, Until::AllMoved, on_last).await.map(drop)
    }

    /// Runs the transfer `until` its end. True if the source has ended, which is an error with `Until::AllMoved`.
    async fn run_until(
        self,
        pipe: Pipe,
        pipes: &PipePool,
        moved: &Cell<u64>,
        until: Until,
        on_last: impl FnMut(),
    ) -> Result<bool, SpliceError> {
        let Transfer { from, to, head, count, stall, in_good_pieces, pace } = self;
        let sockets = NonblockingPair::new(from, to, &pipes.counts)?;
        let low_water = LowWater::new(in_good_pieces);
        let mut splicer = Splicer { sockets, head, count, stall, until, low_water, pace };
        let result = splicer.run(&pipe, moved, on_last).await;
        if result.is_ok() {
            pipes.give_back(pipe);
        }
        result
    }
}

/// Moves the bytes of a stream without a length until it pauses; true if the source has ended. `moved` counts the bytes written to the sink.
/// If no pipe can be opened nothing is moved: the caller copies.
///
/// # Errors
/// The side that failed.
pub async fn burst(
    from: &mut TcpReader,
    to: &mut TcpWriter,
    pipes: &PipePool,
    stall: TimeLimit<'_>,
    moved: &Cell<u64>,
) -> Result<bool, SpliceError> {
    let Some(pipe) = pipes.lend() else { return Ok(false) };
    let transfer = Transfer { from, to, head: &[], count: u64::MAX, stall, in_good_pieces: true, pace: None };
    transfer.run_until(pipe, pipes, moved, Until::SourcePauses, || ()).await
}

/// When a transfer is complete.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// All `count` bytes have been moved.
    AllMoved,
    /// The source sends nothing for `LOW_WATER_MILLIS`.
    SourcePauses,
}

/// A running transfer.
struct Splicer<'a> {
    sockets: NonblockingPair<'a>,
    head: &'a [u8],
    count: u64,
    stall: TimeLimit<'a>,
    until: Until,
    low_water: LowWater,
    pace: Option<&'a mut MinRate>,
}

/// Resets the low-water mark, also if the transfer is dropped: later reads of the socket must complete with any byte.
impl Drop for Splicer<'_> {
    fn drop(&mut self) {
        self.low_water.reset(self.sockets.from);
    }
}

impl Splicer<'_> {
    async fn run(&mut self, pipe: &Pipe, moved: &Cell<u64>, mut on_last: impl FnMut()) -> Result<bool, SpliceError> {
        let mut moved_this_turn = 0;
        let mut has_paused = false;
        while self.count > 0 {
            let wanted = self.count.min(limits::PIPE_BYTES as u64) as usize;
            let result = self.sockets.from.splice_into(&pipe.writer, wanted);
            // The head does not wait for further bytes, and is sent even if the source has ended or failed.
            if !matches!(result, Ok(1..)) {
                self.send_head(false).await?;
            }
            let in_pipe = match result {
                Ok(0) if self.until == Until::SourcePauses => return Ok(true),
                Ok(0) => return Err(SpliceError::Source(io::ErrorKind::UnexpectedEof.into())),
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && has_paused => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && self.until == Until::SourcePauses => {
                    // What has arrived in the pause without reaching the mark is moved before the end.
                    let is_long = u64::MAX - self.count >= limits::LOW_WATER_STREAM_BYTES;
                    let gathered = self.low_water.gather(self.sockets.from, is_long).await;
                    has_paused = !gathered.map_err(SpliceError::Source)?;
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_readable().await.map_err(SpliceError::Source)?;
                    continue;
                }
                Err(e) => return Err(SpliceError::Source(e)),
            };
            if let Some(pace) = &mut self.pace {
                pace.add_bytes(in_pipe as u64);
            }
            // With `more`: the kernel may fill the head's last segment with bytes of the pipe.
            self.send_head(true).await?;
            self.count -= in_pipe as u64;
            if self.count == 0 {
                on_last();
            }
            self.drain_pipe(pipe, in_pipe, moved).await?;
            moved_this_turn += in_pipe;
            // A fast stream never waits: without a pause it would keep the core from all other connections.
            if moved_this_turn >= limits::SPLICE_TURN_BYTES && self.count > 0 {
                moved_this_turn = 0;
                pause().await;
            }
        }
        Ok(false)
    }

    async fn wait_readable(&mut self) -> io::Result<()> {
        let (from, count) = (&mut *self.sockets.from, self.count);
        let Some(pace) = &mut self.pace else {
            return self.low_water.wait(from, count, self.stall.with(Duration::MAX)).await;
        };
        let start = Instant::now();
        self.low_water.wait(from, count, self.stall).await?;
        pace.add_wait(self.stall.time, start.elapsed())
    }

    /// Sends the rest of the head; `more` announces that further bytes follow at once.
    async fn send_head(&mut self, more: bool) -> Result<(), SpliceError> {
        while !self.head.is_empty() {
            match self.sockets.to.try_write(&[IoSlice::new(self.head)], more) {
                Ok(bytes) => self.head = &self.head[bytes..],
                Err(e) => self.wait_writable(e).await?,
            }
        }
        Ok(())
    }

    /// Moves the `in_pipe` bytes of the pipe to the sink.
    async fn drain_pipe(&mut self, pipe: &Pipe, mut in_pipe: usize, moved: &Cell<u64>) -> Result<(), SpliceError> {
        // After a full pipe more bytes are likely there already: the kernel may wait for them to fill its last segment. Any other piece
        // must not wait: the next bytes may take long.
        let more = in_pipe == limits::PIPE_BYTES && self.count > 0 && self.until == Until::AllMoved;
        while in_pipe > 0 {
            match self.sockets.to.splice_from(&pipe.reader, in_pipe, more) {
                Ok(bytes) => {
                    in_pipe -= bytes;
                    moved.set(moved.get() + bytes as u64);
                }
                Err(e) => self.wait_writable(e).await?,
            }
        }
        Ok(())
    }

    async fn wait_writable(&self, error: io::Error) -> Result<(), SpliceError> {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Err(SpliceError::Sink(error));
        }
        self.stall.within_io(self.sockets.to.writable()).await.map_err(SpliceError::Sink)
    }
}

/// Yields to the other tasks of this worker, and to its driver.
pub async fn pause() {
    let mut has_yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests;
