//! Copies both ways between two connections that no longer speak HTTP (after a 101).

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};

use futures_util::future::{Either, select};

use super::splice::{PipePool, SpliceError, burst};
use super::{ReadHalf, TimeLimit, WriteHalf};
use crate::limits;

/// The pipes and time limits of a tunnel.
#[derive(Clone, Copy)]
pub struct TunnelOptions<'a> {
    pub pipes: &'a PipePool,
    /// How long a receiver may take nothing.
    pub send_timeout: TimeLimit<'a>,
    /// How long one direction may carry nothing once the other one has ended.
    pub idle_timeout: TimeLimit<'a>,
}

/// The end of a tunnel: a connection, and the bytes that have been received on it and have not been passed on.
pub struct TunnelEnd<'a, R, W> {
    pub reader: &'a mut R,
    pub writer: &'a mut W,
    pub received: Vec<u8>,
}

/// Copies both ways until both directions have ended, one has failed, or the one that is left has been silent for too long. The end of one
/// direction is passed on as an end, so that half-closed connections work; the order of bytes is kept. Long transfers go through a pipe if
/// both sides are plain sockets. Returns the bytes that went (to the client, to the server).
pub async fn copy_both<R: ReadHalf, W: WriteHalf, S: ReadHalf, T: WriteHalf>(
    client: TunnelEnd<'_, R, W>,
    server: TunnelEnd<'_, S, T>,
    options: TunnelOptions<'_>,
) -> (u64, u64) {
    let (down, up) = (Cell::new(0), Cell::new(0));
    {
        let mut downward = pin!(copy_one(server.reader, server.received, client.writer, options, &down));
        let mut upward = pin!(copy_one(client.reader, client.received, server.writer, options, &up));
        // A direction that fails ends the tunnel: the other one's pending read is dropped with its connection.
        match select(downward.as_mut(), upward.as_mut()).await {
            Either::Left((Ok(()), upward)) => drain_remaining(upward, &up, options.idle_timeout).await,
            Either::Right((Ok(()), downward)) => drain_remaining(downward, &down, options.idle_timeout).await,
            Either::Left((Err(_), _)) | Either::Right((Err(_), _)) => {}
        }
    }
    (down.get(), up.get())
}

/// Copies the direction that is left for as long as bytes come: the peer that ended the other direction may have gone altogether, which only
/// writing to it would show.
async fn drain_remaining(
    mut left: Pin<&mut impl Future<Output = io::Result<()>>>,
    copied: &Cell<u64>,
    idle_timeout: TimeLimit<'_>,
) {
    let mut before = None;
    while before.replace(copied.get()) != Some(copied.get()) {
        if idle_timeout.within(left.as_mut()).await.is_ok() {
            return;
        }
    }
}

async fn copy_one<R: ReadHalf, W: WriteHalf>(
    from: &mut R,
    first: Vec<u8>,
    to: &mut W,
    options: TunnelOptions<'_>,
    copied: &Cell<u64>,
) -> io::Result<()> {
    let mut buffer = first;
    let mut is_full = false;
    loop {
        if !buffer.is_empty() {
            let (result, returned) = to.write_all(buffer).await;
            buffer = returned;
            result?;
            copied.set(copied.get() + buffer.len() as u64);
            buffer.clear();
        }
        // A full buffer means that more may be waiting: a file that is sent through, not a message.
        if is_full && splice(from, to, options, copied).await? {
            return to.shutdown().await;
        }
        // An idle tunnel holds no buffer: there may be tens of thousands of tunnels.
        if buffer.capacity() > 0 {
            buffer = Vec::new();
        }
        from.readable().await?;
        buffer.reserve(limits::COPY_BUFFER_MIN_BYTES);
        let (result, returned) = from.read(buffer).await;
        buffer = returned;
        if result? == 0 {
            return to.shutdown().await;
        }
        is_full = buffer.len() >= limits::COPY_BUFFER_MIN_BYTES;
    }
}

/// Moves what has come through a pipe; true if the source has ended.
async fn splice<R: ReadHalf, W: WriteHalf>(
    from: &mut R,
    to: &mut W,
    options: TunnelOptions<'_>,
    copied: &Cell<u64>,
) -> io::Result<bool> {
    let (Some(from), Some(to)) = (from.as_plain(), to.as_plain()) else { return Ok(false) };
    burst(from, to, options.pipes, options.send_timeout, copied).await.map_err(|broken| match broken {
        SpliceError::Source(e) | SpliceError::Sink(e) => e,
    })
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
                let options = TunnelOptions {
                    pipes: &pipes,
                    send_timeout: deadlines.limit(Duration::MAX),
                    idle_timeout: deadlines.limit(Duration::MAX),
                };
                let moved = copy_both(end(&mut client, b"A"), end(&mut backend, b"B"), options).await;
                drop((client, backend));
                monoio::time::sleep(Duration::from_millis(20)).await;
                let ((up, got_down), (down, got_up)) = (one.join().expect("ends"), other.join().expect("ends"));
                assert!(got_up[..1] == *b"A" && got_up[1..] == up, "the client's bytes, {} of them", got_up.len());
                assert!(got_down[..1] == *b"B" && got_down[1..] == down, "the backend's, {}", got_down.len());
                assert_eq!(moved, (3_000_001, 3_000_001));
                assert!(pipes.has_spare(), "long streams went through a pipe");
            });
        }
    }
}
