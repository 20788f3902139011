//! A connection in memory that is as unkind as a network: it delivers in any pieces, late, breaks off anywhere, and resets.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use super::halves::{self, FarEnd, NearEnd};

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
    pub near: NearEnd,
}

pub type Shared = halves::Shared<Peer>;
pub type Wire = halves::Wire<Peer>;

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
            near: NearEnd::default(),
        }
    }

    /// The proxy's end of the connection to this peer.
    pub fn connect(self) -> (Shared, Wire) {
        halves::connect(self)
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
}

impl FarEnd for Peer {
    fn near(&mut self) -> &mut NearEnd {
        &mut self.near
    }

    fn poll_read(&mut self, cx: &Context<'_>, room: usize) -> Poll<io::Result<Vec<u8>>> {
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
            Some(Step::Await(_)) | None if self.near.finished => Poll::Ready(Ok(Vec::new())),
            Some(Step::Await(_)) | None => self.near.wait(cx),
        }
    }

    fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
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
        self.near.wake();
        Poll::Ready(Ok(size))
    }

    fn is_silent(&mut self) -> bool {
        matches!(self.due(), Some(Step::Await(_)) | None) && !self.near.finished
    }

    fn is_gone(&mut self) -> bool {
        matches!(self.due(), Some(Step::Close | Step::Reset))
    }
}
