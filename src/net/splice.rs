//! Long bodies between two plain sockets without copying them through user space: socket to pipe to socket (splice(2)).
//!
//! Readiness comes through the driver, the system calls are made here and do not block. The ring's own splice operation runs on kernel
//! threads, one per idle connection, and is slower than copying (docs/reference/drivers.md#splice-on-ready-sockets, docs/reference/drivers.md#why-not-splice-through-the-ring). Sockets under io_uring are blocking ones, and
//! SPLICE_F_NONBLOCK covers only the pipe: both are made non-blocking for the time of a transfer (`unblocked`).

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

/// A worker's spare pipes. Opening one costs three system calls and, past about 1024 per user, the kernel shrinks them.
pub struct PipePool {
    spare: FreeList<Pipe>,
    in_use: TransferCounts,
}

impl Default for PipePool {
    fn default() -> Self {
        PipePool { spare: FreeList::new(limits::PIPES_POOLED_MAX), in_use: TransferCounts::default() }
    }
}

impl PipePool {
    /// None where there are no descriptors left: then a body is copied, which needs none.
    pub fn lend(&self) -> Option<Pipe> {
        if let Some(pipe) = self.spare.take() {
            return Some(pipe);
        }
        Pipe::open()
    }

    #[cfg(test)]
    pub fn has_spare(&self) -> bool {
        !self.spare.is_empty()
    }

    /// Only an empty pipe may carry the next body.
    fn give_back(&self, pipe: Pipe) {
        self.spare.put(pipe);
    }

    /// Closes those that nobody has needed since the last call; gives their number.
    pub fn trim(&self) -> usize {
        self.spare.trim()
    }
}

/// A transfer of a body's rest, and what goes in front of it.
pub struct Transfer<'a> {
    pub from: &'a mut TcpReader,
    pub to: &'a mut TcpWriter,
    /// The message's head and the first bytes of its body, which have been read already.
    pub head: &'a [u8],
    /// Bytes still to be moved from socket to socket.
    pub count: u64,
    /// How long the receiver may stand still, and a sender whose pace counts: an answer is waited for as long as its client stays.
    pub stall: TimeLimit<'a>,
    /// Good pieces are waited for (`low_water`). Not those of clients: they are slower, and an upload gains nothing.
    pub in_good_pieces: bool,
    /// What came while the sender was waited for; kept of clients, which could hold a server for ever with a byte now and then.
    pub pace: Option<&'a mut MinRate>,
}

impl Transfer<'_> {
    /// Sends the head and moves exactly `count` bytes, or says which side broke; `moved` counts the bytes behind the head that reached the
    /// sink's socket at every moment. `ends` is called before the last of them go to the sink.
    ///
    /// # Errors
    /// `Source` when the sender ended early, failed or was too slow, `Sink` when the receiver did.
    pub async fn run(
        self,
        pipe: Pipe,
        pipes: &PipePool,
        moved: &Cell<u64>,
        ends: impl FnMut(),
    ) -> Result<(), SpliceError> {
        self.go(pipe, pipes, moved, Until::Counted, ends).await.map(drop)
    }

    /// True if the source has ended, which breaks a body that is counted.
    async fn go(
        self,
        pipe: Pipe,
        pipes: &PipePool,
        moved: &Cell<u64>,
        until: Until,
        ends: impl FnMut(),
    ) -> Result<bool, SpliceError> {
        let Transfer { from, to, head, count, stall, in_good_pieces, pace } = self;
        let sockets = NonblockingPair::new(from, to, &pipes.in_use)?;
        let water = LowWater::new(in_good_pieces);
        let mut pump = Splicer { sockets, head, count, stall, until, water, pace };
        let result = pump.run(&pipe, moved, ends).await;
        if result.is_ok() {
            pipes.give_back(pipe);
        }
        result
    }
}

/// Moves what has come, as long as more is there at once; true if the source has ended. `moved` counts what reached the sink. Without a
/// pipe to be had nothing is moved: the caller copies.
///
/// # Errors
/// Which side failed.
pub async fn burst(
    from: &mut TcpReader,
    to: &mut TcpWriter,
    pipes: &PipePool,
    stall: TimeLimit<'_>,
    moved: &Cell<u64>,
) -> Result<bool, SpliceError> {
    let Some(pipe) = pipes.lend() else { return Ok(false) };
    let transfer = Transfer { from, to, head: &[], count: u64::MAX, stall, in_good_pieces: false, pace: None };
    transfer.go(pipe, pipes, moved, Until::Dry, || ()).await
}

/// When a transfer has done its work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// All that was counted has been moved.
    Counted,
    /// The source has nothing more for the moment.
    Dry,
}

/// A transfer under way.
struct Splicer<'a> {
    sockets: NonblockingPair<'a>,
    head: &'a [u8],
    count: u64,
    stall: TimeLimit<'a>,
    until: Until,
    water: LowWater,
    pace: Option<&'a mut MinRate>,
}

/// Also where a transfer is given up: what the sender still sends is read as before.
impl Drop for Splicer<'_> {
    fn drop(&mut self) {
        self.water.reset(self.sockets.from);
    }
}

impl Splicer<'_> {
    async fn run(&mut self, pipe: &Pipe, moved: &Cell<u64>, mut ends: impl FnMut()) -> Result<bool, SpliceError> {
        let mut turn = 0;
        while self.count > 0 {
            let wanted = self.count.min(limits::PIPE_BYTES as u64) as usize;
            let found = self.sockets.from.splice_into(&pipe.writer, wanted);
            // What has been read already waits for nothing, and is owed also where nothing more comes.
            if !matches!(found, Ok(1..)) {
                self.send_head(false).await?;
            }
            let held = match found {
                Ok(0) if self.until == Until::Dry => return Ok(true),
                Ok(0) => return Err(SpliceError::Source(io::ErrorKind::UnexpectedEof.into())),
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && self.until == Until::Dry => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_more().await.map_err(SpliceError::Source)?;
                    continue;
                }
                Err(e) => return Err(SpliceError::Source(e)),
            };
            if let Some(pace) = &mut self.pace {
                pace.add_bytes(held as u64);
            }
            // Its segments take what is in the pipe along.
            self.send_head(true).await?;
            self.count -= held as u64;
            if self.count == 0 {
                ends();
            }
            self.empty(pipe, held, moved).await?;
            turn += held;
            // A fast stream never has to wait: without a pause it would keep the core from all other connections.
            if turn >= limits::SPLICE_TURN_BYTES && self.count > 0 {
                turn = 0;
                pause().await;
            }
        }
        Ok(false)
    }

    async fn wait_for_more(&mut self) -> io::Result<()> {
        let (from, count) = (&mut *self.sockets.from, self.count);
        let Some(pace) = &mut self.pace else {
            return self.water.wait(from, count, self.stall.with(Duration::MAX)).await;
        };
        let start = Instant::now();
        self.water.wait(from, count, self.stall).await?;
        pace.add_wait(self.stall.time, start.elapsed())
    }

    /// Sends what is left of the head; `more` says that the next bytes are there already.
    async fn send_head(&mut self, more: bool) -> Result<(), SpliceError> {
        while !self.head.is_empty() {
            match self.sockets.to.try_write(&[IoSlice::new(self.head)], more) {
                Ok(bytes) => self.head = &self.head[bytes..],
                Err(e) => self.wait_for_room(e).await?,
            }
        }
        Ok(())
    }

    /// Moves `held` bytes from the pipe to the sink.
    async fn empty(&mut self, pipe: &Pipe, mut held: usize, moved: &Cell<u64>) -> Result<(), SpliceError> {
        // A full pipe has a successor: the kernel may fill its segments. Any other piece must not wait for one that may be long in coming.
        let more = held == limits::PIPE_BYTES && self.count > 0 && self.until == Until::Counted;
        while held > 0 {
            match self.sockets.to.splice_from(&pipe.reader, held, more) {
                Ok(bytes) => {
                    held -= bytes;
                    moved.set(moved.get() + bytes as u64);
                }
                Err(e) => self.wait_for_room(e).await?,
            }
        }
        Ok(())
    }

    async fn wait_for_room(&self, refused: io::Error) -> Result<(), SpliceError> {
        if refused.kind() != io::ErrorKind::WouldBlock {
            return Err(SpliceError::Sink(refused));
        }
        self.stall.within_io(self.sockets.to.writable()).await.map_err(SpliceError::Sink)
    }
}

/// Lets the other tasks of this worker, and its ring, have their turn.
pub async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests;
