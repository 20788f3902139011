//! A connection in memory whose faults are given by the fuzzer's bytes: segments of any size, pauses, an end or a reset in mid-stream, a
//! peer that stops reading.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringway::net::Deadlines;

use super::memory_transport::{self, FarEnd, NearEnd};

/// Behaviour of a peer. The character `0` stands for a faultless one, so that seeds are readable.
#[derive(Debug, Clone, Copy, Default)]
pub struct Behaviour {
    pub fault: Fault,
    /// Bytes of a segment, in both directions; 0 for no limit.
    piece: usize,
    pause: Pause,
}

/// A fault of the connection. The numbers count bytes of the connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// The peer ends its direction after this many bytes.
    Ends(usize),
    /// Both directions fail once this many bytes have passed, or once the peer has received this many.
    Resets(usize),
    ResetsWhenReceived(usize),
    /// No byte passes any more, or no byte towards the peer.
    Stalls(usize),
    StopsReading(usize),
    /// The connection is refused, or times out.
    RefusesConnection,
    Unreachable,
}

/// The pause between two segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Pause {
    #[default]
    None,
    /// The proxy is woken although there is nothing to read.
    SpuriousWake,
    Time(Duration),
}

impl Behaviour {
    pub const BYTES: usize = 5;

    pub fn read(control: [u8; Self::BYTES]) -> Behaviour {
        let at = usize::from(control[3]) | usize::from(control[4] & 15) << 8;
        let fault = match control[0] & 7 {
            0 => Fault::None,
            1 => Fault::Ends(at),
            2 => Fault::Resets(at),
            3 => Fault::ResetsWhenReceived(at),
            4 => Fault::Stalls(at),
            5 => Fault::StopsReading(at),
            6 => Fault::RefusesConnection,
            _ => Fault::Unreachable,
        };
        let pause = match control[2] & 3 {
            0 => Pause::None,
            1 => Pause::SpuriousWake,
            2 => Pause::Time(Duration::from_millis(200)),
            _ => Pause::Time(Duration::from_secs(2)),
        };
        Behaviour { fault, piece: usize::from(control[1] & 15), pause }
    }
}

/// The reaction of a peer to the bytes that it has received.
pub trait ScriptedPeer {
    /// `received` holds all bytes received so far, none at first. The peer appends its own bytes to `outgoing`.
    fn receive(&mut self, received: &[u8], outgoing: &mut Vec<u8>);
}

/// A connection between a peer and the proxy.
pub struct Link<P> {
    pub peer: P,
    behaviour: Behaviour,
    /// The clock that all links share.
    clock: Rc<Deadlines>,
    /// All bytes that the peer sends, and how many of them the proxy has read.
    outgoing: Vec<u8>,
    taken: usize,
    pub received: Vec<u8>,
    /// The peer has closed the connection.
    pub has_disconnected: bool,
    pub near: NearEnd,
}

pub type Shared<P> = memory_transport::Shared<Link<P>>;
pub type Wire<P> = memory_transport::Wire<Link<P>>;

/// The link of a peer, and the proxy's end of it.
pub fn connect<P: ScriptedPeer>(mut peer: P, behaviour: Behaviour, clock: &Rc<Deadlines>) -> (Shared<P>, Wire<P>) {
    let mut outgoing = Vec::new();
    peer.receive(&[], &mut outgoing);
    memory_transport::connect(Link {
        peer,
        behaviour,
        clock: Rc::clone(clock),
        outgoing,
        taken: 0,
        received: Vec::new(),
        has_disconnected: false,
        near: NearEnd::default(),
    })
}

impl<P: ScriptedPeer> Link<P> {
    /// The bytes of the peer that the proxy has read.
    pub fn taken(&self) -> &[u8] {
        &self.outgoing[..self.taken]
    }

    /// The proxy has seen an orderly end of the peer's direction.
    pub fn is_at_end(&self) -> bool {
        let has_ended = matches!(self.behaviour.fault, Fault::Ends(at) if self.taken >= at);
        !self.is_broken() && has_ended
    }

    /// The fault has taken effect, or the peer has disconnected.
    pub fn has_failed(&self) -> bool {
        let stops_reading = matches!(self.behaviour.fault, Fault::StopsReading(at) if self.received.len() >= at);
        self.is_broken() || self.is_stalled() || stops_reading
    }

    /// The pauses may exceed the proxy's time-outs.
    pub fn is_slow(&self) -> bool {
        matches!(self.behaviour.pause, Pause::Time(_))
    }

    /// Sends bytes without a request.
    pub fn send_unsolicited(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
    }

    /// Closes the peer's end.
    pub fn disconnect(&mut self) {
        self.has_disconnected = true;
        self.near.wake();
    }

    fn is_broken(&self) -> bool {
        self.has_disconnected
            || match self.behaviour.fault {
                Fault::Resets(at) => self.taken + self.received.len() >= at,
                Fault::ResetsWhenReceived(at) => self.received.len() >= at,
                _ => false,
            }
    }

    fn is_stalled(&self) -> bool {
        matches!(self.behaviour.fault, Fault::Stalls(at) if self.taken + self.received.len() >= at)
    }

    /// The size of the next segment of `want` bytes, when `left` bytes remain until a fault.
    fn piece(&self, want: usize, left: usize) -> usize {
        let piece = if self.behaviour.piece == 0 { usize::MAX } else { self.behaviour.piece };
        want.min(piece).min(left)
    }

    fn sendable(&self) -> usize {
        let left = match self.behaviour.fault {
            Fault::Ends(at) => at.saturating_sub(self.taken),
            Fault::Resets(at) | Fault::Stalls(at) => at.saturating_sub(self.taken + self.received.len()),
            _ => usize::MAX,
        };
        self.piece(self.outgoing.len() - self.taken, left)
    }

    fn receivable(&self, want: usize) -> usize {
        let left = match self.behaviour.fault {
            Fault::ResetsWhenReceived(at) | Fault::StopsReading(at) => at.saturating_sub(self.received.len()),
            Fault::Resets(at) | Fault::Stalls(at) => at.saturating_sub(self.taken + self.received.len()),
            _ => usize::MAX,
        };
        self.piece(want, left)
    }
}

impl<P: ScriptedPeer> FarEnd for Link<P> {
    fn near(&mut self) -> &mut NearEnd {
        &mut self.near
    }

    fn poll_read(&mut self, cx: &Context<'_>, room: usize) -> Poll<io::Result<Vec<u8>>> {
        if self.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let size = self.sendable().min(room);
        if size > 0 {
            self.taken += size;
            return Poll::Ready(Ok(self.outgoing[self.taken - size..self.taken].to_vec()));
        }
        if self.is_at_end() || (self.near.finished && !self.is_stalled()) {
            return Poll::Ready(Ok(Vec::new()));
        }
        self.near.wait(cx)
    }

    fn poll_write(&mut self, _cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let size = self.receivable(bytes.len());
        if size == 0 {
            return Poll::Pending;
        }
        self.received.extend_from_slice(&bytes[..size]);
        self.peer.receive(&self.received, &mut self.outgoing);
        self.near.wake();
        Poll::Ready(Ok(size))
    }

    fn is_silent(&mut self) -> bool {
        self.sendable() == 0 && !self.is_at_end() && !self.is_broken() && !self.near.finished
    }

    fn is_gone(&mut self) -> bool {
        self.is_broken() || self.is_at_end()
    }

    async fn travel(link: &Shared<P>) {
        let (pause, clock) = (link.borrow().behaviour.pause, Rc::clone(&link.borrow().clock));
        match pause {
            Pause::None => {}
            Pause::SpuriousWake => ringway::net::splice::pause().await,
            Pause::Time(time) => clock.pause(time).await,
        }
    }
}
