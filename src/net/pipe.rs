//! A kernel pipe between two sockets, the single splice(2) call, and the error that says which side of a transfer failed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::limits;

/// A non-blocking pipe that a body passes through on its way from socket to socket.
pub struct Pipe {
    pub(super) reader: OwnedFd,
    pub(super) writer: OwnedFd,
}

/// The side that ended a transfer early. Bytes moved before the failure stay moved.
#[derive(Debug)]
pub enum SpliceError {
    Source(io::Error),
    Sink(io::Error),
}

impl Pipe {
    /// Opens a pipe of [`limits::PIPE_BYTES`]. `None` if no descriptors are left.
    pub(super) fn open() -> Option<Pipe> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // A smaller pipe works as well, only with more system calls.
        let _ = fcntl_setpipe_size(&writer, limits::PIPE_BYTES);
        Some(Pipe { reader, writer })
    }
}

/// Moves at most `count` bytes by one splice(2) between two descriptors, of which one is a pipe. Neither side blocks. `more` announces that
/// further bytes follow at once.
pub(super) fn splice_once(from: impl AsFd, to: impl AsFd, count: usize, more: bool) -> io::Result<usize> {
    let mut flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    if more {
        flags |= SpliceFlags::MORE;
    }
    Ok(splice(from, None, to, None, count, flags)?)
}
