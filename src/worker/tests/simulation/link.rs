//! A connection in memory between the proxy and a party. Bytes are delivered in random pieces, delayed by some polls or by seconds; with
//! faults, the connection stalls indefinitely or is reset. The seed decides all of it.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::super::memory_transport::{self, FarEnd, NearEnd};
use super::http2_peer::take_turns;
use super::scheduler::Scheduler;

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

/// The peer at the other end of a connection: a client or a server.
pub trait Party {
    /// Receives bytes from the proxy.
    fn receive(&mut self, bytes: &[u8]);
    /// The bytes that the party has to send now; delivered bytes are removed from the front.
    fn outgoing(&mut self) -> &mut Vec<u8>;
    /// Whether the party sends nothing more once `outgoing` is empty.
    fn has_finished(&self) -> bool;

    fn is_http2(&self) -> bool {
        false
    }

    /// Does what waits for nothing but time. Called from time to time if the party speaks HTTP/2.
    fn turn(&mut self) {}
}

/// A connection and its faults.
pub struct Link<P> {
    pub party: P,
    random: Random,
    scheduler: Rc<Scheduler>,
    number: usize,
    /// Bytes delivered in both directions together.
    delivered: usize,
    pub stalls_after: usize,
    pub resets_after: usize,
    pause: u64,
    pub near: NearEnd,
}

pub type Shared<P> = memory_transport::Shared<Link<P>>;
pub type Wire<P> = memory_transport::Wire<Link<P>>;

/// Longest pause, as the number of polls before the next piece is delivered.
const PAUSE_MAX: u64 = 6;

/// A piece in `LATE_ONCE_IN` is delayed by up to `LATE_MILLIS_MAX` of the simulated time. Without faults no message is delayed beyond a
/// time limit.
const LATE_ONCE_IN: u64 = 50;
const LATE_MILLIS_MAX: u64 = 2000;

/// A connection to a party, without faults; [`add_faults`] adds some.
pub fn connect<P: Party + 'static>(party: P, mut random: Random, scheduler: &Rc<Scheduler>) -> (Shared<P>, Wire<P>) {
    let is_http2 = party.is_http2();
    let turns = is_http2.then(|| random.split());
    let (link, wire) = memory_transport::connect(Link {
        party,
        random,
        scheduler: Rc::clone(scheduler),
        number: scheduler.open(is_http2),
        delivered: 0,
        stalls_after: usize::MAX,
        resets_after: usize::MAX,
        pause: 0,
        near: NearEnd::default(),
    });
    if let Some(turns) = turns {
        scheduler.spawn(Box::pin(take_turns(Rc::clone(&link), turns, Rc::clone(scheduler))));
    }
    (link, wire)
}

impl<P: Party> Link<P> {
    /// Whether the proxy ended the connection with a FIN, and all bytes before it have arrived.
    pub fn ended_in_order(&self) -> bool {
        self.near.finished && !self.near.cut && !self.is_reset() && !self.is_stalled()
    }

    fn is_reset(&self) -> bool {
        self.delivered >= self.resets_after
    }

    fn is_stalled(&self) -> bool {
        self.delivered >= self.stalls_after
    }

    /// How many of `want` bytes are delivered now; `None` while the connection pauses.
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
        let left = self.resets_after.min(self.stalls_after).saturating_sub(self.delivered).max(1);
        let size = want.min(limit).min(left);
        self.delivered += size;
        Some(size)
    }

    /// The delay of the next piece, if it is delayed.
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
        let want = if self.is_stalled() { 0 } else { self.party.outgoing().len().min(room) };
        if want > 0 {
            let Some(size) = self.piece(cx, want) else { return Poll::Pending };
            // After its FIN the proxy reads on for a moment, and drops the bytes.
            if !self.near.finished {
                self.scheduler.carried(self.number, size, true);
            }
            return Poll::Ready(Ok(self.party.outgoing().drain(..size).collect()));
        }
        if self.near.finished || (self.party.has_finished() && !self.is_stalled()) {
            return Poll::Ready(Ok(Vec::new()));
        }
        self.near.wait(cx)
    }

    fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.is_stalled() {
            return Poll::Pending;
        }
        let Some(size) = self.piece(cx, bytes.len()) else { return Poll::Pending };
        self.scheduler.carried(self.number, size, false);
        self.party.receive(&bytes[..size]);
        self.near.wake();
        Poll::Ready(Ok(size))
    }

    fn is_silent(&mut self) -> bool {
        let waits = self.is_stalled() || (self.party.outgoing().is_empty() && !self.party.has_finished());
        waits && !self.near.finished && !self.is_reset()
    }

    fn is_gone(&mut self) -> bool {
        self.is_reset() || self.party.has_finished()
    }

    async fn travel(link: &Shared<P>) {
        let delay = link.borrow_mut().delay();
        if let Some(delay) = delay {
            let scheduler = Rc::clone(&link.borrow().scheduler);
            scheduler.deadlines.pause(delay).await;
        }
    }
}

/// Makes a connection stall indefinitely once in `stalls` calls, else be reset once in ten.
pub fn add_faults<P>(link: &Shared<P>, stalls: u64, random: &mut Random) {
    let at = random.below(3000) as usize;
    if random.once_in(stalls) {
        link.borrow_mut().stalls_after = at;
    } else if random.once_in(10) {
        link.borrow_mut().resets_after = at;
    }
}
