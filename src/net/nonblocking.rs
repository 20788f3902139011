//! Sockets that do not block while bodies are spliced. Under io_uring sockets are blocking ones, and a splice(2) of one would wait with the
//! whole thread. A body and the answer to it can pass between the same two sockets at the same time, each in its own direction: what the
//! first to end set back would stop the other one's thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;

use super::pipe::SpliceError;
use super::tcp::{TcpReader, TcpWriter};

/// How many transfers of this thread use each socket.
#[derive(Default)]
pub(super) struct TransferCounts(RefCell<HashMap<RawFd, u32>>);

/// The two sockets of one transfer; the last transfer of each makes it blocking again, also where it is dropped before its end.
pub(super) struct NonblockingPair<'a> {
    pub from: &'a mut TcpReader,
    pub to: &'a mut TcpWriter,
    in_use: &'a TransferCounts,
    has_source: bool,
    has_sink: bool,
}

impl<'a> NonblockingPair<'a> {
    /// # Errors
    /// A socket that cannot be switched.
    pub fn new(
        from: &'a mut TcpReader,
        to: &'a mut TcpWriter,
        in_use: &'a TransferCounts,
    ) -> Result<Self, SpliceError> {
        let mut sockets = NonblockingPair { from, to, in_use, has_source: false, has_sink: false };
        if monoio::utils::is_legacy() {
            return Ok(sockets);
        }
        sockets.has_source = true;
        in_use.enter(sockets.from.number(), || sockets.from.set_nonblocking(true)).map_err(SpliceError::Source)?;
        sockets.has_sink = true;
        in_use.enter(sockets.to.number(), || sockets.to.set_nonblocking(true)).map_err(SpliceError::Sink)?;
        Ok(sockets)
    }
}

impl Drop for NonblockingPair<'_> {
    fn drop(&mut self) {
        // A socket that cannot be switched back is broken anyway: its next operation says so.
        if self.has_source {
            self.in_use.leave(self.from.number(), || drop(self.from.set_nonblocking(false)));
        }
        if self.has_sink {
            self.in_use.leave(self.to.number(), || drop(self.to.set_nonblocking(false)));
        }
    }
}

impl TransferCounts {
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    fn enter(&self, socket: RawFd, unblock: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut counts = self.0.borrow_mut();
        let count = counts.entry(socket).or_default();
        *count += 1;
        if *count == 1 { unblock() } else { Ok(()) }
    }

    fn leave(&self, socket: RawFd, block: impl FnOnce()) {
        let mut counts = self.0.borrow_mut();
        let Some(count) = counts.get_mut(&socket) else { return };
        *count -= 1;
        if *count == 0 {
            counts.remove(&socket);
            block();
        }
    }
}
