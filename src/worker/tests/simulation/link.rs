//! A connection in memory between the proxy and a party that may not be honest: bytes travel in random pieces, late by a look or by
//! seconds, stand still for ever, or the connection resets, all as the seed says.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::course::Course;
use crate::net::{Duplex, ReadHalf, WriteHalf};

/// Numbers from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True once in `of` times.
    pub fn once_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    pub fn split(&mut self) -> Random {
        Random(self.next())
    }
}

/// Who is at the other end.
pub trait Party {
    /// Takes bytes from the proxy.
    fn hear(&mut self, bytes: &[u8]);
    /// What it has to send now; what has travelled is removed from the front.
    fn outgoing(&mut self) -> &mut Vec<u8>;
    /// It sends nothing more once `outgoing` is empty.
    fn has_finished(&self) -> bool;
}

/// One connection.
pub struct Link<P> {
    pub party: P,
    random: Random,
    course: Rc<Course>,
    number: usize,
    /// Both ways together.
    travelled: usize,
    pub stalls_after: usize,
    pub resets_after: usize,
    pause: u64,
    reader: Option<Waker>,
    /// The proxy has said that it sends no more; has let go of the connection; has cut it.
    pub finished: bool,
    pub dropped: bool,
    pub cut: bool,
}

pub type Shared<P> = Rc<RefCell<Link<P>>>;
pub type Wire<P> = Duplex<Reader<P>, Writer<P>>;

pub struct Reader<P>(Shared<P>);
pub struct Writer<P>(Shared<P>);

/// Longest pause, in looks that the proxy gets before the next piece travels.
const PAUSE_MAX: u64 = 6;

/// One piece in so many is late by up to so many milliseconds of the seed's time. No honest message is late by as much as a limit.
const LATE_ONCE_IN: u64 = 50;
const LATE_MILLIS_MAX: u64 = 2000;

/// A link of a party without faults; give it some before it is used.
pub fn connect<P: Party>(party: P, random: Random, course: &Rc<Course>) -> (Shared<P>, Wire<P>) {
    let shared = Rc::new(RefCell::new(Link {
        party,
        random,
        course: Rc::clone(course),
        number: course.open(),
        travelled: 0,
        stalls_after: usize::MAX,
        resets_after: usize::MAX,
        pause: 0,
        reader: None,
        finished: false,
        dropped: false,
        cut: false,
    }));
    (Rc::clone(&shared), Duplex { reader: Reader(Rc::clone(&shared)), writer: Writer(shared) })
}

impl<P: Party> Link<P> {
    /// The proxy ended the connection with a FIN, and everything before it has arrived.
    pub fn ended_in_order(&self) -> bool {
        self.finished && !self.cut && !self.is_reset() && !self.stands_still()
    }

    fn is_reset(&self) -> bool {
        self.travelled >= self.resets_after
    }

    fn stands_still(&self) -> bool {
        self.travelled >= self.stalls_after
    }

    /// How much of `want` travels now; `None` while the connection pauses.
    fn piece(&mut self, cx: &Context<'_>, want: usize) -> Option<usize> {
        if self.pause > 0 {
            self.pause -= 1;
            cx.waker().wake_by_ref();
            return None;
        }
        self.pause = self.random.below(PAUSE_MAX);
        let limit = match self.random.below(4) {
            0 => 1,
            1 => 1 + self.random.below(16) as usize,
            _ => usize::MAX,
        };
        let left = self.resets_after.min(self.stalls_after).saturating_sub(self.travelled).max(1);
        let size = want.min(limit).min(left);
        self.travelled += size;
        Some(size)
    }

    fn poll_read(&mut self, cx: &Context<'_>, room: usize) -> Poll<io::Result<Vec<u8>>> {
        if self.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let want = if self.stands_still() { 0 } else { self.party.outgoing().len().min(room) };
        if want > 0 {
            let Some(size) = self.piece(cx, want) else { return Poll::Pending };
            // Behind its last word the proxy reads on for a moment, and throws away what comes.
            if !self.finished {
                self.course.carried(self.number, size, true);
            }
            return Poll::Ready(Ok(self.party.outgoing().drain(..size).collect()));
        }
        if self.finished || (self.party.has_finished() && !self.stands_still()) {
            return Poll::Ready(Ok(Vec::new()));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        assert!(!self.finished, "bytes after the end of the stream: {}", bytes.escape_ascii());
        if self.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.stands_still() {
            return Poll::Pending;
        }
        let Some(size) = self.piece(cx, bytes.len()) else { return Poll::Pending };
        self.course.carried(self.number, size, false);
        self.party.hear(&bytes[..size]);
        self.wake_reader();
        Poll::Ready(Ok(size))
    }

    /// How late the next piece is.
    fn delay(&mut self) -> Option<Duration> {
        let is_late = self.random.once_in(LATE_ONCE_IN);
        is_late.then(|| Duration::from_millis(self.random.below(LATE_MILLIS_MAX)))
    }

    pub fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Nothing to read, and no end in sight.
    fn is_silent(&mut self) -> bool {
        let waits = self.stands_still() || (self.party.outgoing().is_empty() && !self.party.has_finished());
        waits && !self.finished && !self.is_reset()
    }
}

/// Lets the time go by that the next piece takes.
async fn travel<P: Party>(link: &Shared<P>) {
    let delay = link.borrow_mut().delay();
    if let Some(delay) = delay {
        let course = Rc::clone(&link.borrow().course);
        course.deadlines.pause(delay).await;
    }
}

impl<P: Party> ReadHalf for Reader<P> {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(64);
        }
        travel(&self.0).await;
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
            let mut link = self.0.borrow_mut();
            if !link.is_silent() {
                return Poll::Ready(Ok(()));
            }
            link.reader = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn is_quiet(&mut self) -> bool {
        self.0.borrow_mut().is_silent()
    }

    fn is_gone(&mut self) -> bool {
        let link = self.0.borrow();
        link.is_reset() || link.party.has_finished()
    }

    fn abort(&mut self) {
        self.0.borrow_mut().cut = true;
    }
}

impl<P: Party> WriteHalf for Writer<P> {
    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let mut done = 0;
        while done < buffer.len() {
            travel(&self.0).await;
            match poll_fn(|cx| self.0.borrow_mut().poll_write(cx, &buffer[done..])).await {
                Ok(size) => done += size,
                Err(e) => return (Err(e), buffer),
            }
        }
        (Ok(()), buffer)
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        let mut link = self.0.borrow_mut();
        link.finished = true;
        link.wake_reader();
        Ok(())
    }
}

impl<P> Drop for Writer<P> {
    fn drop(&mut self) {
        self.0.borrow_mut().dropped = true;
    }
}

/// A link stands still for ever once in `stalls`, and is reset once in ten.
pub fn add_faults<P>(link: &Shared<P>, stalls: u64, random: &mut Random) {
    let at = random.below(3000) as usize;
    if random.once_in(stalls) {
        link.borrow_mut().stalls_after = at;
    } else if random.once_in(10) {
        link.borrow_mut().resets_after = at;
    }
}
