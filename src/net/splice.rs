//! Long bodies between two plain sockets without copying them through user space: socket to pipe to socket (splice(2)).
//!
//! Readiness comes through the driver, the system calls are made here and do not block. The ring's own splice operation runs on kernel
//! threads, one per idle connection, and is slower than copying (runtime.md 3 and 4). Sockets under io_uring are blocking ones, and
//! SPLICE_F_NONBLOCK covers only the pipe: both are made non-blocking for the time of a transfer (`unblocked`).

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::TimeLimit;
use super::low_water::LowWater;
use super::tcp::{TcpReader, TcpWriter};
use super::unblocked::{InUse, Unblocked};
use crate::limits;

/// A worker's spare pipes. Opening one costs three system calls and, past about 1024 per user, the kernel shrinks them.
#[derive(Default)]
pub struct Pipes {
    spare: RefCell<Vec<Pipe>>,
    in_use: InUse,
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

/// A transfer of a body's rest, and what goes in front of it.
pub struct Transfer<'a> {
    pub from: &'a mut TcpReader,
    pub to: &'a mut TcpWriter,
    /// The message's head and the first bytes of its body, which have been read already.
    pub head: &'a [u8],
    /// Bytes still to be moved from socket to socket.
    pub count: u64,
    /// How long either side may stand still.
    pub stall: TimeLimit<'a>,
}

impl Transfer<'_> {
    /// Sends the head and moves exactly `count` bytes, or says which side broke; `moved` counts the bytes behind the head that reached the
    /// sink's socket at every moment. `ends` is called before the last of them go to the sink.
    ///
    /// # Errors
    /// `Source` when the sender ended early or failed, `Sink` when the receiver did. No pipe to be had is the sink's failure.
    pub async fn run(self, pipes: &Pipes, moved: &mut u64, ends: impl FnMut()) -> Result<(), Broken> {
        let Transfer { from, to, head, count, stall } = self;
        let pipe = pipes.lend().map_err(Broken::Sink)?;
        let sockets = Unblocked::new(from, to, &pipes.in_use)?;
        let mut pump = Pump { sockets, head, count, stall, water: LowWater::default() };
        let result = pump.run(&pipe, moved, ends).await;
        pump.water.reset(pump.sockets.from);
        if result.is_ok() {
            pipes.give_back(pipe);
        }
        result
    }
}

/// A transfer under way.
struct Pump<'a> {
    sockets: Unblocked<'a>,
    head: &'a [u8],
    count: u64,
    stall: TimeLimit<'a>,
    water: LowWater,
}

impl Pump<'_> {
    async fn run(&mut self, pipe: &Pipe, moved: &mut u64, mut ends: impl FnMut()) -> Result<(), Broken> {
        let mut turn = 0;
        while self.count > 0 {
            let wanted = self.count.min(limits::PIPE_BYTES as u64) as usize;
            let held = match self.sockets.from.splice_into(&pipe.writer, wanted) {
                Ok(0) => return Err(Broken::Source(io::ErrorKind::UnexpectedEof.into())),
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.send_head(false).await?;
                    self.water.wait(self.sockets.from, self.count, self.stall).await.map_err(Broken::Source)?;
                    continue;
                }
                Err(e) => return Err(Broken::Source(e)),
            };
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
        Ok(())
    }

    /// Sends what is left of the head; `more` says that the next bytes are there already.
    async fn send_head(&mut self, more: bool) -> Result<(), Broken> {
        while !self.head.is_empty() {
            match self.sockets.to.send_now(&[IoSlice::new(self.head)], more) {
                Ok(bytes) => self.head = &self.head[bytes..],
                Err(e) => self.wait_for_room(e).await?,
            }
        }
        Ok(())
    }

    /// Moves `held` bytes from the pipe to the sink.
    async fn empty(&mut self, pipe: &Pipe, mut held: usize, moved: &mut u64) -> Result<(), Broken> {
        // A full pipe has a successor: the kernel may fill its segments. Any other piece must not wait for one that may be long in coming.
        let more = held == limits::PIPE_BYTES && self.count > 0;
        while held > 0 {
            match self.sockets.to.splice_from(&pipe.reader, held, more) {
                Ok(bytes) => {
                    held -= bytes;
                    *moved += bytes as u64;
                }
                Err(e) => self.wait_for_room(e).await?,
            }
        }
        Ok(())
    }

    async fn wait_for_room(&self, refused: io::Error) -> Result<(), Broken> {
        if refused.kind() != io::ErrorKind::WouldBlock {
            return Err(Broken::Sink(refused));
        }
        self.stall.bound(self.sockets.to.writable()).await.map_err(Broken::Sink)
    }
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
mod tests {
    use std::cell::Cell;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::net::driver::{Driver, Wanted};
    use crate::net::{Deadlines, Duplex, ReadHalf, Tcp};

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
                let head = sent[..1000].to_vec();
                let copy = sent[1000..].to_vec();
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
                let (from, to) = (&mut reader, &mut writer);
                let transfer = Transfer { from, to, head: &head, count: 2_999_000, stall };
                transfer.run(&pipes, &mut moved, || ()).await.expect("moves");
                assert_eq!(moved, 2_999_000);
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
            let (from, to) = (&mut reader, &mut writer);
            let cut = Transfer { from, to, head: &[], count: 5000, stall }.run(&pipes, &mut moved, || ()).await;
            assert!(matches!(cut, Err(Broken::Source(_))), "{cut:?}");
            assert_eq!(moved, 1000, "what came before the cut has been passed on");
            drop(sink);
            let (Duplex { mut reader, .. }, mut source) = pair(&listener);
            let feeding = std::thread::spawn(move || drop(source.write_all(&body(8_000_000))));
            let (from, to) = (&mut reader, &mut writer);
            let gone =
                Transfer { from, to, head: b"head", count: 8_000_000, stall }.run(&pipes, &mut moved, || ()).await;
            assert!(matches!(gone, Err(Broken::Sink(_))), "{gone:?}");
            drop(reader);
            // The ring closes the socket; the thread blocks until it has.
            monoio::time::sleep(Duration::from_millis(50)).await;
            feeding.join().expect("ends");
            assert!(pipes.spare.borrow().is_empty(), "a pipe that may hold bytes is not used again");
        });
    }

    /// The next piece is sent when the last one has arrived: if any of them waited for more, nothing would ever come.
    async fn in_pieces(pieces: &'static [usize]) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (Duplex { mut reader, .. }, mut source) = pair(&listener);
        let (Duplex { mut writer, .. }, mut sink) = pair(&listener);
        sink.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
        let far = std::thread::spawn(move || {
            for len in pieces {
                source.write_all(&vec![7; *len]).expect("sends");
                let mut got = vec![0; *len];
                sink.read_exact(&mut got).expect("arrives");
                assert!(got.iter().all(|byte| *byte == 7));
            }
            source.write_all(b"!").expect("sends");
            (source, sink)
        });
        let deadlines = deadlines();
        let stall = deadlines.limit(Duration::from_secs(10));
        let count = pieces.iter().sum::<usize>() as u64;
        let transfer = Transfer { from: &mut reader, to: &mut writer, head: &[], count, stall };
        transfer.run(&Pipes::default(), &mut 0, || ()).await.expect("moves");
        let (n, next) = reader.read(Vec::with_capacity(64)).await;
        assert_eq!((n.expect("reads on"), next.as_slice()), (1, &b"!"[..]), "one byte is enough again");
        drop(far.join().expect("ends"));
    }

    #[test]
    fn a_sender_that_waits_is_forwarded_as_it_sends() {
        for wanted in [Wanted::IoUring, Wanted::Epoll] {
            let mut driver = Driver::build(wanted).expect("a driver");
            driver.block_on(async {
                in_pieces(&[4_999_999, 1]).await;
                in_pieces(&[600_000, 1, 300_000, 1000, 1000, 97_998, 1]).await;
                in_pieces(&[1000, 1, 30_000]).await;
            });
        }
    }

    #[test]
    fn a_transfer_that_ends_leaves_the_other_direction_as_it_is() {
        let mut driver = Driver::build(Wanted::Auto).expect("a driver");
        driver.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let (Duplex { mut reader, mut writer }, mut client) = pair(&listener);
            let (Duplex { reader: mut back_reader, writer: mut back_writer }, mut server) = pair(&listener);
            client.write_all(&body(25_000)).expect("sends");
            let mut rest = client.try_clone().expect("the same socket");
            let slow = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                rest.write_all(&body(25_000)).expect("sends the rest, while the answer is awaited");
            });
            let late = std::thread::spawn(move || {
                let mut got = vec![0; 50_000];
                server.read_exact(&mut got).expect("the body");
                for _ in 0..2 {
                    std::thread::sleep(Duration::from_millis(700));
                    server.write_all(&body(25_000)).expect("sends a part of the answer");
                }
                server
            });
            let (deadlines, pipes) = (deadlines(), Pipes::default());
            let (longest, ticked) = (Cell::new(Duration::ZERO), Cell::new(Instant::now()));
            let stall = deadlines.limit(Duration::from_secs(10));
            let up = async {
                let transfer = Transfer { from: &mut reader, to: &mut back_writer, head: &[], count: 50_000, stall };
                transfer.run(&pipes, &mut 0, || ()).await.expect("the body moves");
            };
            let down = async {
                let transfer = Transfer { from: &mut back_reader, to: &mut writer, head: &[], count: 50_000, stall };
                transfer.run(&pipes, &mut 0, || ()).await.expect("the answer moves");
            };
            // A thread that waits in a system call ticks no more.
            let ticking = async {
                loop {
                    longest.set(longest.get().max(ticked.replace(Instant::now()).elapsed()));
                    monoio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let both = async {
                futures_util::join!(up, down);
            };
            futures_util::future::select(std::pin::pin!(both), std::pin::pin!(ticking)).await;
            let longest = longest.get().max(ticked.get().elapsed());
            assert!(longest < Duration::from_millis(500), "the thread stood still for {longest:?}");
            assert!(pipes.in_use.is_empty(), "both sockets are as they were");
            let mut answer = vec![0; 50_000];
            client.read_exact(&mut answer).expect("the answer");
            assert!(answer.chunks(25_000).all(|part| part == body(25_000)));
            slow.join().expect("ends");
            drop(late.join().expect("ends"));
        });
    }

    #[test]
    fn silence_has_a_limit() {
        let mut driver = Driver::build(Wanted::Auto).expect("a driver");
        driver.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let (Duplex { mut reader, .. }, _source) = pair(&listener);
            let (Duplex { mut writer, .. }, mut sink) = pair(&listener);
            let deadlines = deadlines();
            let stall = deadlines.limit(Duration::from_millis(30));
            let (from, to) = (&mut reader, &mut writer);
            let transfer = Transfer { from, to, head: b"head", count: 10, stall };
            let stalled = transfer.run(&Pipes::default(), &mut 0, || ()).await;
            assert!(matches!(stalled, Err(Broken::Source(e)) if e.kind() == io::ErrorKind::TimedOut));
            let mut head = [0; 4];
            sink.read_exact(&mut head).expect("receives");
            assert_eq!(&head, b"head", "what is there does not wait for what is not");
        });
    }
}
