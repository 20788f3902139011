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

/// The verdict on the bytes seen so far.
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};

    use futures_util::future::Either;

    use super::*;
    use crate::net::driver::{Driver, DriverPreference};
    use crate::net::{Deadlines, Tcp, is_timeout, socket};

    const MAX: usize = 64 * 1024;

    fn on_both_drivers(work: impl AsyncFn(Tcp, TcpStream, &Deadlines)) {
        for wanted in [DriverPreference::IoUring, DriverPreference::Epoll] {
            let mut driver = Driver::build(wanted).expect("a driver");
            driver.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
                let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
                far.set_nodelay(true).expect("a socket option");
                let (near, _) = listener.accept().expect("accepts");
                work(Tcp::new(socket::attach(near).expect("on this driver")), far, &Deadlines::default()).await;
            });
        }
    }

    /// Needs `whole` bytes, and counts the looks.
    fn needs(whole: usize, looks: &mut usize) -> impl FnMut(&[u8]) -> PeekVerdict<Vec<u8>> + '_ {
        move |bytes| {
            *looks += 1;
            match bytes.get(..whole) {
                Some(all) => PeekVerdict::Decided(all.to_vec()),
                None => PeekVerdict::NeedsBytes(whole),
            }
        }
    }

    #[test]
    fn peeked_bytes_stay_and_single_bytes_do_not_wake_the_thread() {
        on_both_drivers(async |mut tcp, mut far, deadlines| {
            let sender = std::thread::spawn(move || {
                for byte in 0..100u8 {
                    far.write_all(&[byte]).expect("sends");
                    std::thread::sleep(Duration::from_millis(1));
                }
                far
            });
            let mut looks = 0;
            let limit = deadlines.limit(Duration::MAX);
            let seen = peek(&mut tcp.reader, MAX, limit, needs(100, &mut looks)).await.expect("no failure");
            assert_eq!(seen, Some((0..100).collect::<Vec<u8>>()));
            assert!(looks <= 3, "{looks} looks");
            let far = sender.join().expect("ends");
            let (result, bytes) = tcp.reader.read(Vec::with_capacity(200)).await;
            assert!(result.is_ok() && bytes == (0..100).collect::<Vec<u8>>(), "nothing was taken");
            // The mark is gone: a single byte completes a read.
            let mut far = far;
            far.write_all(b"x").expect("sends");
            let read = monoio::time::timeout(Duration::from_secs(5), tcp.reader.read(Vec::with_capacity(8))).await;
            assert_eq!(read.expect("in time").1, b"x");
        });
    }

    #[test]
    fn long_beginning_is_seen_whole() {
        on_both_drivers(async |mut tcp, mut far, deadlines| {
            let text: Vec<u8> = (0..50_000).map(|n| (n % 251) as u8).collect();
            let sent = text.clone();
            let sender = std::thread::spawn(move || {
                for piece in sent.chunks(7_000) {
                    far.write_all(piece).expect("sends");
                    std::thread::sleep(Duration::from_millis(2));
                }
                far
            });
            let (mut looks, limit) = (0, deadlines.limit(Duration::MAX));
            let seen = peek(&mut tcp.reader, MAX, limit, needs(text.len(), &mut looks)).await;
            assert!(seen.expect("no failure") == Some(text));
            drop(sender.join());
        });
    }

    #[test]
    fn end_and_timeout_end_the_wait() {
        on_both_drivers(async |mut tcp, mut far, deadlines| {
            far.write_all(b"ab").expect("sends");
            let mut looks = 0;
            let elapsed = {
                let short = deadlines.limit(Duration::from_millis(1));
                let waiting = std::pin::pin!(peek(&mut tcp.reader, MAX, short, needs(9, &mut looks)));
                let sweeping = std::pin::pin!(async {
                    loop {
                        monoio::time::sleep(Duration::from_millis(50)).await;
                        deadlines.sweep(Duration::from_secs(1));
                    }
                });
                match futures_util::future::select(waiting, sweeping).await {
                    Either::Left((waited, _)) => waited.expect_err("too few bytes"),
                    Either::Right(((), _)) => unreachable!("an endless loop"),
                }
            };
            assert!(is_timeout(&elapsed), "{elapsed}");
            far.shutdown(Shutdown::Write).expect("half-closed");
            let limit = deadlines.limit(Duration::MAX);
            let ended = peek(&mut tcp.reader, MAX, limit, needs(9, &mut looks)).await;
            assert_eq!(ended.expect("no failure"), None);
            let too_much = peek(&mut tcp.reader, 8, limit, needs(9, &mut looks)).await;
            assert_eq!(too_much.map_err(|e| e.kind()), Err(io::ErrorKind::InvalidData));
        });
    }

    #[test]
    fn reset_ends_the_wait() {
        on_both_drivers(async |mut tcp, far, deadlines| {
            socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).expect("a socket option");
            drop(far);
            let (mut looks, limit) = (0, deadlines.limit(Duration::MAX));
            let reset = peek(&mut tcp.reader, MAX, limit, needs(9, &mut looks)).await;
            assert_eq!(reset.map_err(|e| e.kind()), Err(io::ErrorKind::ConnectionReset));
        });
    }

    #[test]
    fn silent_peer_that_closes_is_seen() {
        on_both_drivers(async |mut tcp, far, deadlines| {
            let mut far = far;
            let closing = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                far.shutdown(Shutdown::Write).expect("half-closed");
                let mut rest = Vec::new();
                let _ = far.read_to_end(&mut rest);
            });
            let (mut looks, limit) = (0, deadlines.limit(Duration::MAX));
            assert_eq!(peek(&mut tcp.reader, MAX, limit, needs(1, &mut looks)).await.expect("no failure"), None);
            drop(tcp);
            closing.join().expect("ends");
        });
    }
}
