//! The first bytes of a connection, seen without taking them: TLS, HTTP, a tunnel or a splice then begins with the whole stream.
//!
//! A connection that waits for more bytes holds no buffer. The low-water mark (SO_RCVLOWAT, socket(7)) lets the kernel collect the bytes
//! that are needed, so that a peer that sends them one by one does not wake the thread for each.

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::time::Duration;

use super::tcp::TcpReader;
use super::{ReadHalf, TimeLimit};

/// Size of the first look: the first message of nearly every protocol fits.
const FIRST_LOOK_BYTES: usize = 4096;

/// A receiving half whose bytes can be seen without taking them.
pub trait PeekHalf: ReadHalf {
    /// Copies bytes that have arrived into `into`; they stay unread. 0 at the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if nothing has arrived; else the failure of the connection.
    fn try_peek(&mut self, into: &mut [u8]) -> io::Result<usize>;

    /// Sets the number of bytes from which on the half is readable. The end of the stream and a failure make it readable at once.
    ///
    /// # Errors
    /// The operating system's.
    fn set_low_water(&mut self, bytes: usize) -> io::Result<()>;
}

impl PeekHalf for TcpReader {
    fn try_peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        TcpReader::try_peek(self, into)
    }

    fn set_low_water(&mut self, bytes: usize) -> io::Result<()> {
        TcpReader::set_low_water(self, bytes)
    }
}

/// What the bytes seen so far say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeekVerdict<T> {
    Decided(T),
    /// The decision needs so many bytes, counted from the start of the connection.
    NeedsBytes(usize),
}

thread_local! {
    /// The bytes of the look in progress. A look does not wait, so one buffer serves all connections of the thread.
    static LOOK_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Shows `judge` the first bytes of a connection until it decides; nothing is taken from the connection. `None` if the stream ends first.
///
/// # Errors
/// The failure of the connection; `TimedOut` if `limit` elapses first; `InvalidData` if the decision needs more than `bytes_max` bytes.
pub async fn peek<R: PeekHalf, T>(
    reader: &mut R,
    bytes_max: usize,
    limit: TimeLimit<'_>,
    judge: impl FnMut(&[u8]) -> PeekVerdict<T>,
) -> io::Result<Option<T>> {
    let mut marked = Marked { reader, is_set: false };
    limit.within_io(marked.peek(bytes_max, limit, judge)).await
}

/// A half that perhaps has a low-water mark, which is removed on drop: later reads must complete with any byte.
struct Marked<'r, R: PeekHalf> {
    reader: &'r mut R,
    is_set: bool,
}

impl<R: PeekHalf> Drop for Marked<'_, R> {
    fn drop(&mut self) {
        if self.is_set {
            // Cannot fail: the same half took a mark before.
            let _ = self.reader.set_low_water(1);
        }
    }
}

impl<R: PeekHalf> Marked<'_, R> {
    async fn peek<T>(
        &mut self,
        bytes_max: usize,
        limit: TimeLimit<'_>,
        mut judge: impl FnMut(&[u8]) -> PeekVerdict<T>,
    ) -> io::Result<Option<T>> {
        let mut seen = 0;
        loop {
            match look(self.reader, bytes_max, &mut judge)? {
                Look::Ended => return Ok(None),
                Look::Nothing => {}
                Look::Saw(_, PeekVerdict::Decided(decision)) => return Ok(Some(decision)),
                Look::Saw(bytes, PeekVerdict::NeedsBytes(needed)) => {
                    // The end of the stream is not visible as long as unread bytes precede it.
                    if bytes == seen && self.reader.is_closed_by_peer() {
                        return Ok(None);
                    }
                    if bytes == seen {
                        // The kernel reports a socket as readable although the mark is not reached if its receive buffer is exhausted by
                        // small segments. The wait keeps such a peer from spinning the thread.
                        let _ = limit.with(Duration::ZERO).within(pending::<()>()).await;
                    }
                    let needed = needed.max(bytes + 1);
                    if needed > bytes_max {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    // If the kernel rejects the mark, each further byte wakes the thread.
                    self.is_set |= self.reader.set_low_water(needed).is_ok();
                    seen = bytes;
                }
            }
            self.reader.readable().await?;
        }
    }
}

enum Look<T> {
    Ended,
    Nothing,
    /// So many bytes, and the verdict on them.
    Saw(usize, PeekVerdict<T>),
}

fn look<R: PeekHalf, T>(
    reader: &mut R,
    bytes_max: usize,
    judge: &mut impl FnMut(&[u8]) -> PeekVerdict<T>,
) -> io::Result<Look<T>> {
    LOOK_BUFFER.with_borrow_mut(|buffer| {
        loop {
            if buffer.is_empty() {
                buffer.resize(FIRST_LOOK_BYTES, 0);
            }
            let bytes = match reader.try_peek(buffer) {
                Ok(0) => return Ok(Look::Ended),
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Look::Nothing),
                Err(e) => return Err(e),
            };
            // A full buffer may hide the bytes that the decision needs.
            match judge(buffer.get(..bytes).unwrap_or_default()) {
                PeekVerdict::NeedsBytes(_) if bytes == buffer.len() && bytes < bytes_max => {
                    let larger = buffer.len().saturating_mul(2);
                    buffer.resize(larger, 0);
                }
                verdict => return Ok(Look::Saw(bytes, verdict)),
            }
        }
    })
}
