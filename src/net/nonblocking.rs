//! Sockets that are non-blocking while bodies are spliced. Under io_uring sockets are blocking, and a splice(2) of one would block the
//! whole thread. A request body and its response can be spliced between the same two sockets at the same time, each in its own direction:
//! if the first transfer to end made a socket blocking again, the other would block the thread. So transfers are counted per socket.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;

use super::pipe::SpliceError;
use super::tcp::{TcpReader, TcpWriter};

/// The number of this thread's transfers that use each socket.
#[derive(Default)]
pub(super) struct TransferCounts(RefCell<HashMap<RawFd, u32>>);

/// The two sockets of one transfer. When the last transfer of a socket completes or is dropped, the socket becomes blocking again.
pub(super) struct NonblockingPair<'a> {
    pub from: &'a mut TcpReader,
    pub to: &'a mut TcpWriter,
    counts: &'a TransferCounts,
    has_source: bool,
    has_sink: bool,
}

impl<'a> NonblockingPair<'a> {
    /// # Errors
    /// A socket that cannot be made non-blocking.
    pub fn new(
        from: &'a mut TcpReader,
        to: &'a mut TcpWriter,
        counts: &'a TransferCounts,
    ) -> Result<Self, SpliceError> {
        let mut sockets = NonblockingPair { from, to, counts, has_source: false, has_sink: false };
        if monoio::utils::is_legacy() {
            return Ok(sockets);
        }
        sockets.has_source = true;
        counts.enter(sockets.from.number(), || sockets.from.set_nonblocking(true)).map_err(SpliceError::Source)?;
        sockets.has_sink = true;
        counts.enter(sockets.to.number(), || sockets.to.set_nonblocking(true)).map_err(SpliceError::Sink)?;
        Ok(sockets)
    }
}

impl Drop for NonblockingPair<'_> {
    fn drop(&mut self) {
        // A socket that cannot be made blocking again is broken: its next operation fails.
        if self.has_source {
            self.counts.leave(self.from.number(), || drop(self.from.set_nonblocking(false)));
        }
        if self.has_sink {
            self.counts.leave(self.to.number(), || drop(self.to.set_nonblocking(false)));
        }
    }
}

impl TransferCounts {
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    fn enter(&self, socket: RawFd, set_nonblocking: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut counts = self.0.borrow_mut();
        let count = counts.entry(socket).or_default();
        *count += 1;
        if *count == 1 { set_nonblocking() } else { Ok(()) }
    }

    fn leave(&self, socket: RawFd, set_blocking: impl FnOnce()) {
        let mut counts = self.0.borrow_mut();
        let Some(count) = counts.get_mut(&socket) else { return };
        *count -= 1;
        if *count == 0 {
            counts.remove(&socket);
            set_blocking();
        }
    }
}
