//! A connection in memory between the proxy and a party that may not be honest: bytes travel in random pieces, late by a look or by
//! seconds, stand still for ever, or the connection resets, all as the seed says.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::super::halves::{self, FarEnd, NearEnd};
use super::course::Course;

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
    pub near: NearEnd,
}

pub type Shared<P> = halves::Shared<Link<P>>;
pub type Wire<P> = halves::Wire<Link<P>>;

/// Longest pause, in looks that the proxy gets before the next piece travels.
const PAUSE_MAX: u64 = 6;

/// One piece in so many is late by up to so many milliseconds of the seed's time. No honest message is late by as much as a limit.
const LATE_ONCE_IN: u64 = 50;
const LATE_MILLIS_MAX: u64 = 2000;

/// A link of a party without faults; give it some before it is used.
pub fn connect<P: Party>(party: P, random: Random, course: &Rc<Course>) -> (Shared<P>, Wire<P>) {
    halves::connect(Link {
        party,
        random,
        course: Rc::clone(course),
        number: course.open(),
        travelled: 0,
        stalls_after: usize::MAX,
        resets_after: usize::MAX,
        pause: 0,
        near: NearEnd::default(),
    })
}

impl<P: Party> Link<P> {
    /// The proxy ended the connection with a FIN, and everything before it has arrived.
    pub fn ended_in_order(&self) -> bool {
        self.near.finished && !self.near.cut && !self.is_reset() && !self.stands_still()
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

    /// How late the next piece is.
    fn delay(&mut self) -> Option<Duration> {
        let is_late = self.random.once_in(LATE_ONCE_IN);
        is_late.then(|| Duration::from_millis(self.random.below(LATE_MILLIS_MAX)))
    }
}

impl<P: Party> FarEnd for Link<P> {
    fn near(&mut self) -> &mut NearEnd {
        &mut self.near
    }

    fn poll_read(&mut self, cx: &Context<'_>, room: usize) -> Poll<io::Result<Vec<u8>>> {
        if self.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let want = if self.stands_still() { 0 } else { self.party.outgoing().len().min(room) };
        if want > 0 {
            let Some(size) = self.piece(cx, want) else { return Poll::Pending };
            // Behind its last word the proxy reads on for a moment, and throws away what comes.
            if !self.near.finished {
                self.course.carried(self.number, size, true);
            }
            return Poll::Ready(Ok(self.party.outgoing().drain(..size).collect()));
        }
        if self.near.finished || (self.party.has_finished() && !self.stands_still()) {
            return Poll::Ready(Ok(Vec::new()));
        }
        self.near.wait(cx)
    }

    fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.stands_still() {
            return Poll::Pending;
        }
        let Some(size) = self.piece(cx, bytes.len()) else { return Poll::Pending };
        self.course.carried(self.number, size, false);
        self.party.hear(&bytes[..size]);
        self.near.wake();
        Poll::Ready(Ok(size))
    }

    fn is_silent(&mut self) -> bool {
        let waits = self.stands_still() || (self.party.outgoing().is_empty() && !self.party.has_finished());
        waits && !self.near.finished && !self.is_reset()
    }

    fn is_gone(&mut self) -> bool {
        self.is_reset() || self.party.has_finished()
    }

    async fn travel(link: &Shared<P>) {
        let delay = link.borrow_mut().delay();
        if let Some(delay) = delay {
            let course = Rc::clone(&link.borrow().course);
            course.deadlines.pause(delay).await;
        }
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
