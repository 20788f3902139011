//! Copies both ways between two connections that no longer speak HTTP (after a 101), or never did.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};

use super::free_list::FreeList;
use super::splice::{PipePool, SpliceError, burst, pause};
use super::{ReadHalf, TimeLimit, WriteHalf};
use crate::limits;

/// Parts into which an idle timeout is divided: the tunnel looks that often whether bytes went.
const IDLE_PARTS: u32 = 4;

/// The pipes and time limits of a tunnel.
pub struct TunnelOptions<'a> {
    pub pipes: &'a PipePool,
    /// The number of this thread's waits that hold a buffer with a read in progress.
    pub reads_ahead: &'a Cell<usize>,
    /// How long neither direction may carry anything.
    pub idle_timeout: TimeLimit<'a>,
    /// How long one direction may carry nothing once the other one has ended.
    pub half_closed_timeout: TimeLimit<'a>,
}

/// The end of a tunnel: a connection, and the bytes that have been received on it and have not been passed on.
pub struct TunnelEnd<'a, R, W> {
    pub reader: &'a mut R,
    pub writer: &'a mut W,
    pub received: Vec<u8>,
}

/// The bytes of a tunnel so far: those to the client, and those to the server.
#[derive(Debug, Default)]
pub struct TunnelBytes {
    pub down: Cell<u64>,
    pub up: Cell<u64>,
}

impl TunnelBytes {
    fn sum(&self) -> u64 {
        self.down.get().wrapping_add(self.up.get())
    }
}

/// A peer of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelPeer {
    Client,
    Server,
}

/// Why a tunnel ended.
#[derive(Debug)]
pub enum TunnelOutcome {
    /// Both directions have ended in order; this peer ended its direction first.
    Closed(TunnelPeer),
    /// The connection of this peer failed; `ended` is the peer whose direction had ended in order before.
    Failed { peer: TunnelPeer, error: io::Error, ended: Option<TunnelPeer> },
    /// No bytes went for the idle timeout, or for that of a half-closed tunnel.
    Idle,
}

/// Copies both ways until both directions have ended, one has failed, or nothing went for too long. The end of one direction is passed on as
/// an end, so that half-closed connections work; the order of bytes is kept. Long transfers go through a pipe if both sides are plain
/// sockets. After a failure or a timeout a read may have been dropped: both connections must be closed.
pub async fn copy_both<R: ReadHalf, W: WriteHalf, S: ReadHalf, T: WriteHalf>(
    client: TunnelEnd<'_, R, W>,
    server: TunnelEnd<'_, S, T>,
    bytes: &TunnelBytes,
    options: &TunnelOptions<'_>,
) -> TunnelOutcome {
    let mut down = pin!(copy_one(server.reader, server.received, client.writer, options, &bytes.down));
    let mut up = pin!(copy_one(client.reader, client.received, server.writer, options, &bytes.up));
    let first = {
        let both = pin!(select(down.as_mut(), up.as_mut()));
        match while_active(both, bytes, options.idle_timeout).await {
            None => return TunnelOutcome::Idle,
            Some(Either::Left((Err(error), _))) => return failed(TunnelPeer::Server, error, None),
            Some(Either::Right((Err(error), _))) => return failed(TunnelPeer::Client, error, None),
            Some(Either::Left((Ok(()), _))) => TunnelPeer::Server,
            Some(Either::Right((Ok(()), _))) => TunnelPeer::Client,
        }
    };
    // The peer that ended its direction may have gone altogether, which only writing to it would show.
    let (second, rest) = match first {
        TunnelPeer::Server => (TunnelPeer::Client, while_active(up, bytes, options.half_closed_timeout).await),
        TunnelPeer::Client => (TunnelPeer::Server, while_active(down, bytes, options.half_closed_timeout).await),
    };
    match rest {
        None => TunnelOutcome::Idle,
        Some(Ok(())) => TunnelOutcome::Closed(first),
        Some(Err(error)) => failed(second, error, Some(first)),
    }
}

/// The outcome of a failure in the direction that comes from this peer.
fn failed(from: TunnelPeer, error: SpliceError, ended: Option<TunnelPeer>) -> TunnelOutcome {
    let to = match from {
        TunnelPeer::Client => TunnelPeer::Server,
        TunnelPeer::Server => TunnelPeer::Client,
    };
    match error {
        SpliceError::Source(error) => TunnelOutcome::Failed { peer: from, error, ended },
        SpliceError::Sink(error) => TunnelOutcome::Failed { peer: to, error, ended },
    }
}

/// Runs `work` for as long as bytes go; `None` if none went for `limit`, and a fraction of it at most.
async fn while_active<F: Future>(
    mut work: Pin<&mut F>,
    bytes: &TunnelBytes,
    limit: TimeLimit<'_>,
) -> Option<F::Output> {
    if limit.time == Duration::MAX {
        return Some(work.await);
    }
    let part = limit.with(limit.time / IDLE_PARTS);
    let (mut before, mut silent_parts) = (bytes.sum(), 0);
    while silent_parts < IDLE_PARTS {
        if let Ok(output) = part.within(work.as_mut()).await {
            return Some(output);
        }
        let now = bytes.sum();
        silent_parts = if now == before { silent_parts + 1 } else { 0 };
        before = now;
    }
    None
}

/// Copies one direction to its end. What few tunnels need, or what takes long anyway, is boxed: a tunnel that waits should be small.
async fn copy_one<R: ReadHalf, W: WriteHalf>(
    from: &mut R,
    first: Vec<u8>,
    to: &mut W,
    options: &TunnelOptions<'_>,
    copied: &Cell<u64>,
) -> Result<(), SpliceError> {
    let mut buffer = first;
    let mut copied_this_turn = 0;
    loop {
        let is_full = buffer.len() >= limits::COPY_BUFFER_MIN_BYTES;
        copied_this_turn += buffer.len();
        buffer = try_send(to, buffer, copied);
        if !buffer.is_empty() {
            buffer = Box::pin(send(to, buffer, copied)).await.map_err(SpliceError::Sink)?;
        }
        // A full buffer means that more may be waiting: a file that is sent through, not a message.
        if is_full && let (Some(from), Some(to)) = (from.as_plain(), to.as_plain()) {
            give_back(std::mem::take(&mut buffer));
            let stall = options.idle_timeout.with(Duration::MAX);
            if Box::pin(burst(from, to, options.pipes, stall, copied)).await? {
                break;
            }
        } else if copied_this_turn >= limits::COPY_TURN_BYTES {
            copied_this_turn = 0;
            pause().await;
        }
        buffer = receive(from, buffer, options.reads_ahead).await.map_err(SpliceError::Source)?;
        if buffer.is_empty() {
            give_back(buffer);
            break;
        }
    }
    Box::pin(to.shutdown()).await.map_err(SpliceError::Sink)
}

/// Sends what a plain socket takes at once, which is nearly every message: that saves an operation of the ring. Returns an empty buffer, or
/// the rest.
fn try_send<W: WriteHalf>(to: &mut W, mut buffer: Vec<u8>, copied: &Cell<u64>) -> Vec<u8> {
    if let Some(socket) = to.as_plain()
        && !buffer.is_empty()
    {
        // A failure is reported by the next write.
        let sent = socket.try_write(&[IoSlice::new(&buffer)], false).unwrap_or(0);
        copied.set(copied.get() + sent as u64);
        match sent == buffer.len() {
            true => buffer.clear(),
            false => drop(buffer.drain(..sent)),
        }
    }
    buffer
}

/// Sends all of the buffer and returns it empty.
async fn send<W: WriteHalf>(to: &mut W, buffer: Vec<u8>, copied: &Cell<u64>) -> io::Result<Vec<u8>> {
    let (result, mut buffer) = to.write_all(buffer).await;
    result?;
    copied.set(copied.get() + buffer.len() as u64);
    buffer.clear();
    Ok(buffer)
}

/// Waits for bytes; none at the end of the stream. Up to `READS_AHEAD_MAX` waits of a thread hold a buffer with a read in progress, which
/// needs one system call less. All others hold none: there may be tens of thousands of tunnels.
async fn receive<R: ReadHalf>(from: &mut R, buffer: Vec<u8>, reads_ahead: &Cell<usize>) -> io::Result<Vec<u8>> {
    if reads_ahead.get() < limits::READS_AHEAD_MAX && from.as_plain().is_some() {
        let _ahead = ReadAhead::new(reads_ahead);
        if let Some(unused) = from.read_ahead(lend(buffer)) {
            give_back(unused);
        }
        while from.is_reading_ahead() {
            from.readable().await?;
            // The outcome is there: the future of the read need not be stored.
            if let Some((result, received)) = from.read(Vec::new()).now_or_never() {
                return result.map(|_| received);
            }
        }
    } else {
        give_back(buffer);
    }
    from.readable().await?;
    let mut buffer = lend(Vec::new());
    if from.try_read(&mut buffer)? == 0 {
        // The end of the stream, or TLS, whose bytes have to be decrypted first.
        let (result, received) = Box::pin(from.read(buffer)).await;
        result?;
        buffer = received;
    }
    Ok(buffer)
}

/// A wait that holds a buffer.
struct ReadAhead<'a>(&'a Cell<usize>);

impl<'a> ReadAhead<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        ReadAhead(count)
    }
}

impl Drop for ReadAhead<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

thread_local! {
    /// Spare copy buffers of the thread's tunnels.
    static COPY_BUFFERS: FreeList<Vec<u8>> = const { FreeList::new(limits::COPY_BUFFERS_MAX) };
}

/// Drops the copy buffers of the calling thread that were not needed since the last call; returns their number.
pub fn trim_free_buffers() -> usize {
    COPY_BUFFERS.with(FreeList::trim)
}

/// An empty copy buffer: `buffer` itself if it is one.
fn lend(buffer: Vec<u8>) -> Vec<u8> {
    if buffer.capacity() == limits::COPY_BUFFER_MIN_BYTES {
        return buffer;
    }
    COPY_BUFFERS.with(FreeList::take).unwrap_or_else(|| Vec::with_capacity(limits::COPY_BUFFER_MIN_BYTES))
}

fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() == limits::COPY_BUFFER_MIN_BYTES {
        buffer.clear();
        COPY_BUFFERS.with(|buffers| buffers.put(buffer));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::net::driver::{Driver, DriverPreference};
    use crate::net::tcp::{TcpReader, TcpWriter};
    use crate::net::{Deadlines, Tcp, socket};

    /// A connection of ours and its other end.
    fn pair() -> (Tcp, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        far.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket option");
        let (near, _) = listener.accept().expect("accepts");
        (Tcp::new(socket::attach(near).expect("on this driver")), far)
    }

    fn end<'a>(tcp: &'a mut Tcp, received: &[u8]) -> TunnelEnd<'a, TcpReader, TcpWriter> {
        TunnelEnd { reader: &mut tcp.reader, writer: &mut tcp.writer, received: received.to_vec() }
    }

    fn options<'a>(
        pipes: &'a PipePool,
        reads_ahead: &'a Cell<usize>,
        deadlines: &'a Deadlines,
        idle: Duration,
    ) -> TunnelOptions<'a> {
        let limit = deadlines.limit(idle);
        TunnelOptions { pipes, reads_ahead, idle_timeout: limit, half_closed_timeout: limit }
    }

    /// Runs a tunnel between a client and a server whose far ends `act` gets; the time passes ten times as fast.
    fn outcome_of(
        act: impl Fn(TcpStream, TcpStream) + Send + Copy + 'static,
        check: impl Fn(TunnelOutcome, (u64, u64)),
    ) {
        for wanted in [DriverPreference::IoUring, DriverPreference::Epoll] {
            for held in [0, limits::READS_AHEAD_MAX] {
                let mut driver = Driver::build(wanted).expect("a driver");
                driver.block_on(async {
                    let ((mut client, far_client), (mut server, far_server)) = (pair(), pair());
                    let acting = std::thread::spawn(move || act(far_client, far_server));
                    let (pipes, deadlines) = (PipePool::default(), Deadlines::default());
                    let (reads_ahead, bytes) = (Cell::new(held), TunnelBytes::default());
                    let options = options(&pipes, &reads_ahead, &deadlines, Duration::from_secs(2));
                    let outcome = {
                        let tunnel = pin!(copy_both(end(&mut client, b""), end(&mut server, b""), &bytes, &options));
                        let timing = pin!(async {
                            for tenth in 1.. {
                                monoio::time::sleep(Duration::from_millis(10)).await;
                                deadlines.sweep(Duration::from_millis(100 * tenth));
                            }
                        });
                        match select(tunnel, timing).await {
                            Either::Left((outcome, _)) => outcome,
                            Either::Right(_) => unreachable!("an endless loop"),
                        }
                    };
                    match &outcome {
                        TunnelOutcome::Failed { peer: TunnelPeer::Client, .. } => server.reader.abort(),
                        TunnelOutcome::Failed { peer: TunnelPeer::Server, .. } => client.reader.abort(),
                        _ => {}
                    }
                    check(outcome, (bytes.up.get(), bytes.down.get()));
                    assert_eq!(reads_ahead.get(), held, "no wait is counted any more");
                    assert!(deadlines.is_empty(), "no wait is left");
                    drop((client, server));
                    monoio::time::sleep(Duration::from_millis(20)).await;
                    acting.join().expect("ends");
                });
            }
        }
    }

    fn reset(far: TcpStream) {
        socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).expect("a socket option");
    }

    fn read_exact(far: &mut TcpStream, wanted: &[u8]) {
        let mut got = vec![0; wanted.len()];
        far.read_exact(&mut got).expect("bytes");
        assert_eq!(got, wanted);
    }

    #[test]
    fn half_closed_client_gets_the_rest_and_the_first_end_is_named() {
        let act = |mut client: TcpStream, mut server: TcpStream| {
            client.write_all(b"request").expect("sends");
            client.shutdown(Shutdown::Write).expect("half-closed");
            let mut got = Vec::new();
            server.read_to_end(&mut got).expect("the end of the request");
            assert_eq!(got, b"request");
            server.write_all(b"response").expect("sends");
            drop(server);
            got.clear();
            client.read_to_end(&mut got).expect("the end of the response");
            assert_eq!(got, b"response");
        };
        outcome_of(act, |outcome, bytes| {
            assert!(matches!(outcome, TunnelOutcome::Closed(TunnelPeer::Client)), "{outcome:?}");
            assert_eq!(bytes, (7, 8));
        });
    }

    #[test]
    fn reset_of_one_peer_reaches_the_other() {
        let act = |mut client: TcpStream, mut server: TcpStream| {
            client.write_all(b"x").expect("sends");
            read_exact(&mut server, b"x");
            reset(client);
            let lost = server.read(&mut [0; 8]).expect_err("a reset, not an end");
            assert_eq!(lost.kind(), io::ErrorKind::ConnectionReset);
        };
        outcome_of(act, |outcome, bytes| {
            assert!(matches!(outcome, TunnelOutcome::Failed { peer: TunnelPeer::Client, .. }), "{outcome:?}");
            assert_eq!(bytes, (1, 0));
        });
        let act = |mut client: TcpStream, mut server: TcpStream| {
            server.write_all(b"hello").expect("sends");
            read_exact(&mut client, b"hello");
            reset(server);
            let lost = client.read(&mut [0; 8]).expect_err("a reset, not an end");
            assert_eq!(lost.kind(), io::ErrorKind::ConnectionReset);
        };
        outcome_of(act, |outcome, bytes| {
            assert!(matches!(outcome, TunnelOutcome::Failed { peer: TunnelPeer::Server, .. }), "{outcome:?}");
            assert_eq!(bytes, (0, 5));
        });
    }

    #[test]
    fn silent_tunnel_ends_and_active_tunnel_does_not() {
        let act = |mut client: TcpStream, mut server: TcpStream| {
            // The idle timeout is 200 ms of this test's time.
            for _ in 0..40 {
                client.write_all(b"x").expect("sends");
                read_exact(&mut server, b"x");
                std::thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(server.read(&mut [0; 8]).expect("an end"), 0);
            drop(client);
        };
        outcome_of(act, |outcome, bytes| {
            assert!(matches!(outcome, TunnelOutcome::Idle), "{outcome:?}");
            assert_eq!(bytes, (40, 0));
        });
    }

    #[test]
    fn half_closed_tunnel_without_bytes_ends() {
        let act = |client: TcpStream, mut server: TcpStream| {
            client.shutdown(Shutdown::Write).expect("half-closed");
            assert_eq!(server.read(&mut [0; 8]).expect("the end"), 0);
            std::thread::sleep(Duration::from_millis(600));
            drop(client);
        };
        outcome_of(act, |outcome, _| assert!(matches!(outcome, TunnelOutcome::Idle), "{outcome:?}"));
    }

    #[test]
    fn receiver_that_takes_nothing_holds_little_memory_and_ends_by_the_timeout() {
        let act = |mut client: TcpStream, server: TcpStream| {
            client.set_nonblocking(true).expect("non-blocking");
            let (mut sent, piece) = (0, vec![7; 64 * 1024]);
            for _ in 0..60 {
                while let Ok(bytes) = client.write(&piece) {
                    sent += bytes;
                    assert!(sent < 64 << 20, "the sender is never held up");
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            drop(server);
        };
        outcome_of(act, |outcome, _| assert!(matches!(outcome, TunnelOutcome::Idle), "{outcome:?}"));
    }

    /// A message now and then, long ones at once; then everything that comes the other way.
    fn talk(mut far: TcpStream, salt: usize) -> (Vec<u8>, Vec<u8>) {
        let sent: Vec<u8> = (0..3_000_000).map(|n| ((n * 31 + salt) % 251) as u8).collect();
        let mut half = far.try_clone().expect("the same socket");
        let text = sent.clone();
        let sending = std::thread::spawn(move || {
            let (short, long) = text.split_at(10_000);
            for message in short.chunks(1_000) {
                half.write_all(message).expect("sends");
                std::thread::sleep(Duration::from_millis(2));
            }
            half.write_all(long).expect("sends");
            half.shutdown(Shutdown::Write).expect("a half-closed connection");
        });
        let mut got = Vec::new();
        far.read_to_end(&mut got).expect("reads to the end");
        sending.join().expect("ends");
        (sent, got)
    }

    #[test]
    fn long_streams_go_both_ways_at_once_and_arrive_whole() {
        for wanted in [DriverPreference::IoUring, DriverPreference::Epoll] {
            let mut driver = Driver::build(wanted).expect("a driver");
            driver.block_on(async {
                let ((mut client, far_client), (mut backend, far_backend)) = (pair(), pair());
                let one = std::thread::spawn(move || talk(far_client, 1));
                let other = std::thread::spawn(move || talk(far_backend, 2));
                let (pipes, deadlines) = (PipePool::default(), Deadlines::default());
                let (reads_ahead, bytes) = (Cell::new(0), TunnelBytes::default());
                let options = options(&pipes, &reads_ahead, &deadlines, Duration::MAX);
                let outcome = copy_both(end(&mut client, b"A"), end(&mut backend, b"B"), &bytes, &options).await;
                assert!(matches!(outcome, TunnelOutcome::Closed(_)), "{outcome:?}");
                drop((client, backend));
                monoio::time::sleep(Duration::from_millis(20)).await;
                let ((up, got_down), (down, got_up)) = (one.join().expect("ends"), other.join().expect("ends"));
                assert!(got_up[..1] == *b"A" && got_up[1..] == up, "the client's bytes, {} of them", got_up.len());
                assert!(got_down[..1] == *b"B" && got_down[1..] == down, "the backend's, {}", got_down.len());
                assert_eq!((bytes.down.get(), bytes.up.get(), reads_ahead.get()), (3_000_001, 3_000_001, 0));
                assert!(pipes.has_spare(), "long streams went through a pipe");
            });
        }
    }
}
