//! A connection in memory that is as unkind as a network: it delivers in any pieces, late, breaks off anywhere, and resets.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::net::{Duplex, ReadHalf, WriteHalf};

/// What the peer at the other end of a connection does, in order. After the last step it stays silent until the proxy closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Send(Vec<u8>),
    /// Goes on once these bytes have come in, behind what was awaited before.
    Await(Vec<u8>),
    /// No more bytes from this side; it still listens.
    Close,
    Reset,
}

/// In which pieces bytes travel, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chop {
    Whole,
    Bytes,
    /// One cut, and a pause there, so that the proxy acts on what it has.
    At(usize),
    /// Random pieces and pauses.
    Seed(u64),
}

#[derive(Debug, Default, Clone, Copy)]
struct Lane {
    pause: u32,
    paused_at: Option<usize>,
}

/// Looks that the proxy gets at a cut before the rest arrives.
const PAUSE_AT_CUT: u32 = 8;

/// One peer: its script, and what it has heard.
#[derive(Debug)]
pub struct Peer {
    script: VecDeque<Step>,
    chop: Chop,
    random: u64,
    /// The pauses of its sending and of its hearing: both go on at once.
    sending: Lane,
    hearing: Lane,
    sent: usize,
    pub heard: Vec<u8>,
    awaited: usize,
    /// Takes no more than so many bytes and then stands still.
    pub takes_max: usize,
    /// Breaks off once it has heard so many bytes.
    pub breaks_at: usize,
    waker: Option<Waker>,
    /// The proxy has said that these are its last bytes: it must say next that it sends no more, or let go of the connection.
    pub last: bool,
    /// The proxy has said that it sends no more; it has let go of the connection; it has cut it.
    pub finished: bool,
    pub dropped: bool,
    pub cut: bool,
}

pub type Shared = Rc<RefCell<Peer>>;
pub type Wire = Duplex<Reader, Writer>;

pub struct Reader(Shared);
pub struct Writer(Shared);

impl Peer {
    pub fn new(script: &[Step], chop: Chop) -> Self {
        Peer {
            script: script.iter().filter(|step| **step != Step::Send(Vec::new())).cloned().collect(),
            chop,
            random: if let Chop::Seed(seed) = chop { seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 } else { 1 },
            sending: Lane::default(),
            hearing: Lane::default(),
            sent: 0,
            heard: Vec::new(),
            awaited: 0,
            takes_max: usize::MAX,
            breaks_at: usize::MAX,
            waker: None,
            last: false,
            finished: false,
            dropped: false,
            cut: false,
        }
    }

    /// The proxy's end of the connection to this peer.
    pub fn connect(self) -> (Shared, Wire) {
        let shared = Rc::new(RefCell::new(self));
        (Rc::clone(&shared), Duplex { reader: Reader(Rc::clone(&shared)), writer: Writer(shared) })
    }

    fn next_random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// The step that is due, after those that have come true.
    fn due(&mut self) -> Option<Step> {
        while let Some(Step::Await(marker)) = self.script.front() {
            let found = memchr::memmem::find(&self.heard[self.awaited..], marker)?;
            self.awaited += found + marker.len();
            self.script.pop_front();
        }
        self.script.front().cloned()
    }

    /// How much of `want` bytes travels now; `None` while the connection pauses.
    fn piece(&mut self, lane: fn(&mut Peer) -> &mut Lane, travelled: usize, want: usize) -> Option<usize> {
        if lane(self).pause > 0 {
            lane(self).pause -= 1;
            return None;
        }
        let (size, pause) = match self.chop {
            Chop::Whole => (want, 0),
            Chop::Bytes => (1, 1),
            Chop::At(cut) if travelled < cut => ((cut - travelled).min(want), 0),
            Chop::At(cut) if travelled == cut => (want, PAUSE_AT_CUT),
            Chop::At(_) => (want, 0),
            Chop::Seed(_) => (1 + self.next_random(want as u64) as usize, self.next_random(4) as u32),
        };
        if pause > 0 && lane(self).paused_at.replace(travelled) != Some(travelled) {
            lane(self).pause = pause - 1;
            return None;
        }
        Some(size)
    }

    /// Bytes that wait for the end must not be kept waiting.
    fn check_nothing_is_held_back(&self) {
        assert!(!self.last || self.finished, "a wait behind the last bytes");
    }

    fn poll_read(&mut self, cx: &Context<'_>, room: usize) -> Poll<io::Result<Vec<u8>>> {
        self.check_nothing_is_held_back();
        match self.due() {
            Some(Step::Send(bytes)) => {
                let travelled = self.sent;
                let Some(size) = self.piece(|peer| &mut peer.sending, travelled, bytes.len().min(room)) else {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                };
                self.sent += size;
                if size == bytes.len() {
                    self.script.pop_front();
                } else {
                    self.script[0] = Step::Send(bytes[size..].to_vec());
                }
                Poll::Ready(Ok(bytes[..size].to_vec()))
            }
            Some(Step::Close) => Poll::Ready(Ok(Vec::new())),
            Some(Step::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Some(Step::Await(_)) | None if self.finished => Poll::Ready(Ok(Vec::new())),
            Some(Step::Await(_)) | None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        assert!(!self.last, "bytes after the last ones: {:?}", String::from_utf8_lossy(bytes));
        assert!(!self.finished, "bytes after the end of the stream: {:?}", String::from_utf8_lossy(bytes));
        if self.heard.len() >= self.breaks_at || self.due() == Some(Step::Reset) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let travelled = self.heard.len();
        let want = bytes.len().min(self.takes_max.saturating_sub(travelled)).min(self.breaks_at - travelled);
        if want == 0 {
            return Poll::Pending;
        }
        let Some(size) = self.piece(|peer| &mut peer.hearing, travelled, want) else {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        self.heard.extend_from_slice(&bytes[..size]);
        self.wake();
        Poll::Ready(Ok(size))
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn is_silent(&mut self) -> bool {
        matches!(self.due(), Some(Step::Await(_)) | None) && !self.finished
    }
}

impl ReadHalf for Reader {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(64);
        }
        let room = buffer.capacity() - buffer.len();
        match poll_fn(|cx| self.0.borrow_mut().poll_read(cx, room)).await {
            Ok(bytes) => {
                buffer.extend_from_slice(&bytes);
                (Ok(bytes.len()), buffer)
            }
            Err(e) => (Err(e), buffer),
        }
    }

    async fn readable(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut peer = self.0.borrow_mut();
            peer.check_nothing_is_held_back();
            if !peer.is_silent() {
                return Poll::Ready(Ok(()));
            }
            peer.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn is_quiet(&mut self) -> bool {
        self.0.borrow_mut().is_silent()
    }

    fn is_gone(&mut self) -> bool {
        matches!(self.0.borrow_mut().due(), Some(Step::Close | Step::Reset))
    }

    fn abort(&mut self) {
        self.0.borrow_mut().cut = true;
    }
}

impl WriteHalf for Writer {
    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let mut done = 0;
        while done < buffer.len() {
            match poll_fn(|cx| self.0.borrow_mut().poll_write(cx, &buffer[done..])).await {
                Ok(size) => done += size,
                Err(e) => return (Err(e), buffer),
            }
        }
        (Ok(()), buffer)
    }

    async fn write_last(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let written = self.write_all(buffer).await;
        self.0.borrow_mut().last = written.0.is_ok();
        written
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        let mut peer = self.0.borrow_mut();
        peer.finished = true;
        peer.wake();
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.borrow_mut().dropped = true;
    }
}
