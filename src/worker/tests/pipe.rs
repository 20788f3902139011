//! A connection in memory with the faults of a network: it delivers bytes in any pieces, with delays, breaks off anywhere, and resets.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use super::memory_transport::{self, FarEnd, NearEnd};

/// A step in the script of a peer. After the last step the peer sends nothing, and waits until the proxy closes the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptStep {
    Send(Vec<u8>),
    /// Waits until these bytes have been received, behind the bytes awaited before.
    Await(Vec<u8>),
    /// Sends a FIN; the peer still receives.
    Close,
    /// Closes the connection at the moment at which the next bytes are sent: they are lost, and the proxy learns of the end behind them.
    CloseUnseen,
    Reset,
}

/// The pieces in which bytes are delivered, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segmentation {
    Whole,
    Bytes,
    /// A single cut, and a pause there, so that the proxy acts on the bytes before it.
    At(usize),
    /// Random pieces and pauses.
    Seed(u64),
}

#[derive(Debug, Default, Clone, Copy)]
struct Direction {
    pause: u32,
    paused_at: Option<usize>,
}

/// How often the proxy is polled at a cut before the rest arrives.
const PAUSE_AT_CUT: u32 = 8;

/// A peer with a script, and the bytes that it has received.
#[derive(Debug)]
pub struct ScriptedPeer {
    script: VecDeque<ScriptStep>,
    segmentation: Segmentation,
    random: u64,
    /// The pauses of both directions, which are independent.
    sending: Direction,
    receiving: Direction,
    sent: usize,
    pub received: Vec<u8>,
    /// Bytes that the proxy sent behind the peer's unseen close.
    lost: usize,
    awaited: usize,
    /// The peer receives so many bytes and then stalls.
    pub takes_max: usize,
    /// The peer breaks the connection once it has received so many bytes.
    pub breaks_at: usize,
    pub near: NearEnd,
}

pub type Shared = memory_transport::Shared<ScriptedPeer>;
pub type Wire = memory_transport::Wire<ScriptedPeer>;

impl ScriptedPeer {
    pub fn new(script: &[ScriptStep], segmentation: Segmentation) -> Self {
        ScriptedPeer {
            script: script.iter().filter(|step| **step != ScriptStep::Send(Vec::new())).cloned().collect(),
            segmentation,
            random: if let Segmentation::Seed(seed) = segmentation {
                seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
            } else {
                1
            },
            sending: Direction::default(),
            receiving: Direction::default(),
            sent: 0,
            received: Vec::new(),
            lost: 0,
            awaited: 0,
            takes_max: usize::MAX,
            breaks_at: usize::MAX,
            near: NearEnd::default(),
        }
    }

    /// The proxy's end of the connection to this peer.
    pub fn connect(self) -> (Shared, Wire) {
        memory_transport::connect(self)
    }

    fn next_random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// The current step of the script, behind the awaited bytes that have been received.
    fn current_step(&mut self) -> Option<ScriptStep> {
        while let Some(ScriptStep::Await(marker)) = self.script.front() {
            let found = memchr::memmem::find(&self.received[self.awaited..], marker)?;
            self.awaited += found + marker.len();
            self.script.pop_front();
        }
        self.script.front().cloned()
    }

    /// How many of `want` bytes are delivered now; `None` while the connection pauses. `delivered` is the number before.
    fn piece(
        &mut self,
        direction: fn(&mut ScriptedPeer) -> &mut Direction,
        delivered: usize,
        want: usize,
    ) -> Option<usize> {
        if direction(self).pause > 0 {
            direction(self).pause -= 1;
            return None;
        }
        let (size, pause) = match self.segmentation {
            Segmentation::Whole => (want, 0),
            Segmentation::Bytes => (1, 1),
            Segmentation::At(cut) if delivered < cut => ((cut - delivered).min(want), 0),
            Segmentation::At(cut) if delivered == cut => (want, PAUSE_AT_CUT),
            Segmentation::At(_) => (want, 0),
            Segmentation::Seed(_) => (1 + self.next_random(want as u64) as usize, self.next_random(4) as u32),
        };
        if pause > 0 && direction(self).paused_at.replace(delivered) != Some(delivered) {
            direction(self).pause = pause - 1;
            return None;
        }
        Some(size)
    }
}

impl FarEnd for ScriptedPeer {
    fn near(&mut self) -> &mut NearEnd {
        &mut self.near
    }

    fn poll_read(&mut self, cx: &Context<'_>, room: usize) -> Poll<io::Result<Vec<u8>>> {
        match self.current_step() {
            Some(ScriptStep::Send(bytes)) => {
                let delivered = self.sent;
                let Some(size) = self.piece(|peer| &mut peer.sending, delivered, bytes.len().min(room)) else {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                };
                self.sent += size;
                if size == bytes.len() {
                    self.script.pop_front();
                } else {
                    self.script[0] = ScriptStep::Send(bytes[size..].to_vec());
                }
                Poll::Ready(Ok(bytes[..size].to_vec()))
            }
            Some(ScriptStep::Close) => Poll::Ready(Ok(Vec::new())),
            Some(ScriptStep::CloseUnseen) if self.lost > 0 => Poll::Ready(Ok(Vec::new())),
            Some(ScriptStep::CloseUnseen) => self.near.wait(cx),
            Some(ScriptStep::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Some(ScriptStep::Await(_)) | None if self.near.finished => Poll::Ready(Ok(Vec::new())),
            Some(ScriptStep::Await(_)) | None => self.near.wait(cx),
        }
    }

    fn poll_write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.received.len() >= self.breaks_at || self.current_step() == Some(ScriptStep::Reset) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.current_step() == Some(ScriptStep::CloseUnseen) {
            self.lost += bytes.len();
            self.near.wake();
            return Poll::Ready(Ok(bytes.len()));
        }
        let delivered = self.received.len();
        let want = bytes.len().min(self.takes_max.saturating_sub(delivered)).min(self.breaks_at - delivered);
        if want == 0 {
            return Poll::Pending;
        }
        let Some(size) = self.piece(|peer| &mut peer.receiving, delivered, want) else {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        self.received.extend_from_slice(&bytes[..size]);
        self.near.wake();
        Poll::Ready(Ok(size))
    }

    fn is_silent(&mut self) -> bool {
        let step = self.current_step();
        matches!(step, Some(ScriptStep::Await(_) | ScriptStep::CloseUnseen) | None)
            && !self.near.finished
            && self.lost == 0
    }

    fn unacknowledged(&mut self) -> Option<usize> {
        Some(self.lost)
    }

    fn is_gone(&mut self) -> bool {
        matches!(self.current_step(), Some(ScriptStep::Close | ScriptStep::Reset))
    }
}
