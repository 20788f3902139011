//! A connection in memory whose faults stand in the fuzzer's bytes: pieces of any size, pauses, an end or a reset in mid-stream, a peer
//! that takes nothing more.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringway::net::Deadlines;

use super::memory_transport::{self, FarEnd, NearEnd};

/// How a party behaves; the character `0` stands for its best behaviour, so that a seed can be read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conduct {
    pub fault: Fault,
    /// Bytes that travel at a time, both ways; 0 for all of them.
    piece: usize,
    pause: Pause,
}

/// What goes wrong. The number counts bytes of the connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Says that it sends no more after so many bytes.
    Ends(usize),
    /// Both ways end in an error once so many have travelled, or once the party has heard so many.
    Resets(usize),
    Breaks(usize),
    /// Nothing travels any more, or nothing towards the party.
    StandsStill(usize),
    TakesNoMore(usize),
    /// It cannot be connected to.
    Refuses,
    IsAway,
}

/// What lies between two pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Pause {
    #[default]
    None,
    /// The proxy is woken and finds nothing.
    Look,
    Time(Duration),
}

impl Conduct {
    pub const BYTES: usize = 5;

    pub fn read(control: [u8; Self::BYTES]) -> Conduct {
        let at = usize::from(control[3]) | usize::from(control[4] & 15) << 8;
        let fault = match control[0] & 7 {
            0 => Fault::None,
            1 => Fault::Ends(at),
            2 => Fault::Resets(at),
            3 => Fault::Breaks(at),
            4 => Fault::StandsStill(at),
            5 => Fault::TakesNoMore(at),
            6 => Fault::Refuses,
            _ => Fault::IsAway,
        };
        let pause = match control[2] & 3 {
            0 => Pause::None,
            1 => Pause::Look,
            2 => Pause::Time(Duration::from_millis(200)),
            _ => Pause::Time(Duration::from_secs(2)),
        };
        Conduct { fault, piece: usize::from(control[1] & 15), pause }
    }
}

/// What a party says to what it has heard.
pub trait Party {
    /// `heard` is all that it has heard so far, nothing at first. What it says is added to `says`.
    fn hear(&mut self, heard: &[u8], says: &mut Vec<u8>);
}

/// One connection.
pub struct Line<P> {
    pub party: P,
    conduct: Conduct,
    /// The time of all lines.
    clock: Rc<Deadlines>,
    /// All that the party says, and how much of it the proxy has taken.
    says: Vec<u8>,
    taken: usize,
    pub heard: Vec<u8>,
    /// It has gone away.
    pub has_left: bool,
    pub near: NearEnd,
}

pub type Shared<P> = memory_transport::Shared<Line<P>>;
pub type Wire<P> = memory_transport::Wire<Line<P>>;

/// The line of a party, and the proxy's end of it.
pub fn connect<P: Party>(mut party: P, conduct: Conduct, clock: &Rc<Deadlines>) -> (Shared<P>, Wire<P>) {
    let mut says = Vec::new();
    party.hear(&[], &mut says);
    memory_transport::connect(Line {
        party,
        conduct,
        clock: Rc::clone(clock),
        says,
        taken: 0,
        heard: Vec::new(),
        has_left: false,
        near: NearEnd::default(),
    })
}

impl<P: Party> Line<P> {
    /// What the proxy has taken of what the party said.
    pub fn taken(&self) -> &[u8] {
        &self.says[..self.taken]
    }

    /// The proxy was told that nothing more comes, in good order.
    pub fn is_at_end(&self) -> bool {
        let has_ended = matches!(self.conduct.fault, Fault::Ends(at) if self.taken >= at);
        !self.is_broken() && has_ended
    }

    /// Its fault has shown, or the party has gone.
    pub fn has_failed(&self) -> bool {
        let takes_no_more = matches!(self.conduct.fault, Fault::TakesNoMore(at) if self.heard.len() >= at);
        self.is_broken() || self.stands_still() || takes_no_more
    }

    /// So slow that the proxy may lose its patience.
    pub fn is_slow(&self) -> bool {
        matches!(self.conduct.pause, Pause::Time(_))
    }

    /// It says something unasked.
    pub fn say(&mut self, bytes: &[u8]) {
        self.says.extend_from_slice(bytes);
    }

    /// The party goes away.
    pub fn leave(&mut self) {
        self.has_left = true;
        self.near.wake();
    }

    fn is_broken(&self) -> bool {
        self.has_left
            || match self.conduct.fault {
                Fault::Resets(at) => self.taken + self.heard.len() >= at,
                Fault::Breaks(at) => self.heard.len() >= at,
                _ => false,
            }
    }

    fn stands_still(&self) -> bool {
        matches!(self.conduct.fault, Fault::StandsStill(at) if self.taken + self.heard.len() >= at)
    }

    /// How much of `want` bytes travels at once, when `left` are left until something happens.
    fn piece(&self, want: usize, left: usize) -> usize {
        let piece = if self.conduct.piece == 0 { usize::MAX } else { self.conduct.piece };
        want.min(piece).min(left)
    }

    fn can_say(&self) -> usize {
        let left = match self.conduct.fault {
            Fault::Ends(at) => at.saturating_sub(self.taken),
            Fault::Resets(at) | Fault::StandsStill(at) => at.saturating_sub(self.taken + self.heard.len()),
            _ => usize::MAX,
        };
        self.piece(self.says.len() - self.taken, left)
    }

    fn can_hear(&self, want: usize) -> usize {
        let left = match self.conduct.fault {
            Fault::Breaks(at) | Fault::TakesNoMore(at) => at.saturating_sub(self.heard.len()),
            Fault::Resets(at) | Fault::StandsStill(at) => at.saturating_sub(self.taken + self.heard.len()),
            _ => usize::MAX,
        };
        self.piece(want, left)
    }
}

impl<P: Party> FarEnd for Line<P> {
    fn near(&mut self) -> &mut NearEnd {
        &mut self.near
    }

    fn poll_read(&mut self, cx: &Context<'_>, room: usize) -> Poll<io::Result<Vec<u8>>> {
        if self.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let size = self.can_say().min(room);
        if size > 0 {
            self.taken += size;
            return Poll::Ready(Ok(self.says[self.taken - size..self.taken].to_vec()));
        }
        if self.is_at_end() || (self.near.finished && !self.stands_still()) {
            return Poll::Ready(Ok(Vec::new()));
        }
        self.near.wait(cx)
    }

    fn poll_write(&mut self, _cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let size = self.can_hear(bytes.len());
        if size == 0 {
            return Poll::Pending;
        }
        self.heard.extend_from_slice(&bytes[..size]);
        self.party.hear(&self.heard, &mut self.says);
        self.near.wake();
        Poll::Ready(Ok(size))
    }

    fn is_silent(&mut self) -> bool {
        self.can_say() == 0 && !self.is_at_end() && !self.is_broken() && !self.near.finished
    }

    fn is_gone(&mut self) -> bool {
        self.is_broken() || self.is_at_end()
    }

    async fn travel(line: &Shared<P>) {
        let (pause, clock) = (line.borrow().conduct.pause, Rc::clone(&line.borrow().clock));
        match pause {
            Pause::None => {}
            Pause::Look => ringway::net::splice::pause().await,
            Pause::Time(time) => clock.pause(time).await,
        }
    }
}
