//! Long bodies between two plain sockets without copying them through user space: socket to pipe to socket (splice(2)).
//!
//! Readiness comes through the driver, the system calls are made here and do not block. The ring's own splice operation runs on kernel
//! threads, one per idle connection, and is slower than copying (runtime.md 3 and 4). Sockets under io_uring are blocking ones, and
//! SPLICE_F_NONBLOCK covers only the pipe: both are made non-blocking for the time of a transfer and blocking again after it.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::tcp::{TcpReader, TcpWriter};
use super::{ReadHalf, TimeLimit};
use crate::limits;

/// A worker's spare pipes. Opening one costs three system calls and, past about 1024 per user, the kernel shrinks them.
#[derive(Default)]
pub struct Pipes {
    spare: RefCell<Vec<Pipe>>,
}

struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// Which side ended a transfer early; what had been moved by then has been moved.
#[derive(Debug)]
pub enum Broken {
    Source(io::Error),
    Sink(io::Error),
}

impl Pipes {
    fn lend(&self) -> io::Result<Pipe> {
        if let Some(pipe) = self.spare.borrow_mut().pop() {
            return Ok(pipe);
        }
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A smaller pipe works as well, only with more system calls.
        let _ = fcntl_setpipe_size(&writer, limits::PIPE_BYTES);
        Ok(Pipe { reader, writer })
    }

    /// Only an empty pipe may carry the next body.
    fn give_back(&self, pipe: Pipe) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < limits::PIPES_POOLED_MAX {
            spare.push(pipe);
        }
    }
}

/// Moves exactly `count` bytes, or says which side broke; `moved` counts the bytes that reached the sink's socket at every moment.
/// Either side may stand still for `stall` at the most. `ends` is called before the last of them go to the sink.
///
/// # Errors
/// `Source` when the sender ended early or failed, `Sink` when the receiver did. No pipe to be had is the sink's failure.
pub async fn transfer(
    from: &mut TcpReader,
    to: &mut TcpWriter,
    count: u64,
    stall: TimeLimit<'_>,
    pipes: &Pipes,
    moved: &mut u64,
    ends: impl FnMut(),
) -> Result<(), Broken> {
    let pipe = pipes.lend().map_err(Broken::Sink)?;
    let ring = !monoio::utils::is_legacy();
    if ring {
        from.set_nonblocking(true).map_err(Broken::Source)?;
        to.set_nonblocking(true).map_err(Broken::Sink)?;
    }
    let result = pump(from, to, &pipe, count, stall, moved, ends).await;
    if ring {
        // A socket that cannot be switched back is broken anyway: its next operation says so.
        let _ = from.set_nonblocking(false);
        let _ = to.set_nonblocking(false);
    }
    if result.is_ok() {
        pipes.give_back(pipe);
    }
    result
}

async fn pump(
    from: &mut TcpReader,
    to: &mut TcpWriter,
    pipe: &Pipe,
    count: u64,
    stall: TimeLimit<'_>,
    moved: &mut u64,
    mut ends: impl FnMut(),
) -> Result<(), Broken> {
    let mut left = count;
    let mut turn = 0;
    while left > 0 {
        let wanted = left.min(limits::PIPE_BYTES as u64) as usize;
        let held = match from.splice_into(&pipe.writer, wanted) {
            Ok(0) => return Err(Broken::Source(io::ErrorKind::UnexpectedEof.into())),
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                stall.bound(from.readable()).await.map_err(Broken::Source)?;
                continue;
            }
            Err(e) => return Err(Broken::Source(e)),
        };
        left -= held as u64;
        if left == 0 {
            ends();
        }
        empty(to, pipe, held, left > 0, stall, moved).await?;
        turn += held;
        // A fast stream never has to wait: without a pause it would keep the core from all other connections.
        if turn >= limits::SPLICE_TURN_BYTES && left > 0 {
            turn = 0;
            pause().await;
        }
    }
    Ok(())
}

/// Moves `held` bytes from the pipe to the sink. `more` bytes of the body will follow, so the kernel may fill its segments.
async fn empty(
    to: &mut TcpWriter,
    pipe: &Pipe,
    mut held: usize,
    more: bool,
    stall: TimeLimit<'_>,
    moved: &mut u64,
) -> Result<(), Broken> {
    while held > 0 {
        match to.splice_from(&pipe.reader, held, more) {
            Ok(bytes) => {
                held -= bytes;
                *moved += bytes as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                stall.bound(to.writable()).await.map_err(Broken::Sink)?
            }
            Err(e) => return Err(Broken::Sink(e)),
        }
    }
    Ok(())
}

/// One splice of at most `count` bytes between descriptors of which one is a pipe; neither side blocks.
pub(super) fn splice_once(
    from: impl std::os::fd::AsFd,
    to: impl std::os::fd::AsFd,
    count: usize,
    more: bool,
) -> io::Result<usize> {
    let mut flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    if more {
        flags |= SpliceFlags::MORE;
    }
    Ok(splice(from, None, to, None, count, flags)?)
}

/// Lets the other tasks of this worker, and its ring, have their turn.
async fn pause() {
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
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::net::driver::{Driver, Wanted};
    use crate::net::{Deadlines, Duplex, Tcp};

    /// A connection of ours and its other end, which a thread uses with plain blocking calls.
    fn pair(listener: &TcpListener) -> (Tcp, TcpStream) {
        let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        let (near, _) = listener.accept().expect("accepts");
        near.set_nonblocking(monoio::utils::is_legacy()).expect("mode");
        (Tcp::new(monoio::net::TcpStream::from_std(near).expect("a stream")), far)
    }

    /// A table whose time goes by.
    fn deadlines() -> Rc<Deadlines> {
        let (deadlines, start) = (Rc::new(Deadlines::default()), Instant::now());
        let swept = Rc::clone(&deadlines);
        monoio::spawn(async move {
            loop {
                monoio::time::sleep(Duration::from_millis(10)).await;
                swept.sweep(start.elapsed());
            }
        });
        deadlines
    }

    fn body(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n * 31 % 251) as u8).collect()
    }

    #[test]
    fn a_long_body_arrives_whole_and_the_sockets_go_on_as_before() {
        for wanted in [Wanted::Auto, Wanted::Epoll] {
            let mut driver = Driver::build(wanted).expect("a driver");
            driver.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
                let (Duplex { mut reader, .. }, mut source) = pair(&listener);
                let (Duplex { mut writer, .. }, mut sink) = pair(&listener);
                let sent = body(3_000_000);
                let copy = sent.clone();
                let feeding = std::thread::spawn(move || {
                    source.write_all(&copy).expect("sends");
                    source.write_all(b"next message").expect("sends");
                    source
                });
                let reading = std::thread::spawn(move || {
                    let mut got = vec![0; 3_000_000];
                    sink.read_exact(&mut got).expect("receives");
                    got
                });
                let pipes = Pipes::default();
                let mut moved = 0;
                let deadlines = deadlines();
                let stall = deadlines.limit(Duration::from_secs(10));
                transfer(&mut reader, &mut writer, 3_000_000, stall, &pipes, &mut moved, || ()).await.expect("moves");
                assert_eq!(moved, 3_000_000);
                assert!(reading.join().expect("reads") == sent);
                let (n, next) = reader.read(Vec::with_capacity(64)).await;
                assert_eq!((n.expect("reads on"), next.as_slice()), (12, &b"next message"[..]));
                assert_eq!(pipes.spare.borrow().len(), 1);
                drop(feeding.join());
            });
        }
    }

    #[test]
    fn a_sender_that_ends_early_is_told_apart_from_a_receiver_that_went() {
        let mut driver = Driver::build(Wanted::Auto).expect("a driver");
        driver.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let pipes = Pipes::default();
            let deadlines = deadlines();
            let stall = deadlines.limit(Duration::from_secs(5));
            let (Duplex { mut reader, .. }, mut source) = pair(&listener);
            let (Duplex { mut writer, .. }, sink) = pair(&listener);
            source.write_all(&body(1000)).expect("sends");
            drop(source);
            let mut moved = 0;
            let cut = transfer(&mut reader, &mut writer, 5000, stall, &pipes, &mut moved, || ()).await;
            assert!(matches!(cut, Err(Broken::Source(_))), "{cut:?}");
            assert_eq!(moved, 1000, "what came before the cut has been passed on");
            drop(sink);
            let (Duplex { mut reader, .. }, mut source) = pair(&listener);
            let feeding = std::thread::spawn(move || drop(source.write_all(&body(8_000_000))));
            let gone = transfer(&mut reader, &mut writer, 8_000_000, stall, &pipes, &mut moved, || ()).await;
            assert!(matches!(gone, Err(Broken::Sink(_))), "{gone:?}");
            drop(reader);
            // The ring closes the socket; the thread blocks until it has.
            monoio::time::sleep(Duration::from_millis(50)).await;
            feeding.join().expect("ends");
            assert!(pipes.spare.borrow().is_empty(), "a pipe that may hold bytes is not used again");
        });
    }

    #[test]
    fn silence_has_a_limit() {
        let mut driver = Driver::build(Wanted::Auto).expect("a driver");
        driver.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let (Duplex { mut reader, .. }, _source) = pair(&listener);
            let (Duplex { mut writer, .. }, _sink) = pair(&listener);
            let deadlines = deadlines();
            let stall = deadlines.limit(Duration::from_millis(30));
            let stalled = transfer(&mut reader, &mut writer, 10, stall, &Pipes::default(), &mut 0, || ()).await;
            assert!(matches!(stalled, Err(Broken::Source(e)) if e.kind() == io::ErrorKind::TimedOut));
        });
    }
}
