//! The end of an HTTP/2 connection that a client or a server of the simulation holds. The state machine is the proxy's own one in the other
//! role, which its own tests compare with another implementation: it notices every rule that the proxy breaks.

use std::rc::Rc;

use super::super::memory_transport;
use super::link::{Link, Party, Random};
use super::messages::pattern;
use super::scheduler::Scheduler;
use crate::http::h2::connection::{Connection, ErrorCode, LocalSettings, StreamFailure};
use crate::http::head_limits::HeadLimits;
use crate::limits;
use crate::worker::resources::buffers::BufferPool;

/// The longest time between two turns of a party that wait for nothing but time.
const TURN_MILLIS_MAX: u64 = 1000;
const FRAME_HEADER_BYTES: usize = 9;
/// Frame types that carry messages: DATA, HEADERS, CONTINUATION.
const MESSAGE_FRAMES: [u8; 3] = [0, 1, 9];
/// The header of a frame that is longer than any may be.
const GARBAGE: [u8; 20] = [0xff; 20];

/// An end of a connection.
pub struct Peer {
    pub connection: Connection,
    pub buffers: BufferPool,
    pub random: Random,
    pub outgoing: Vec<u8>,
    /// Whether payload is read in the turns only, not when it arrives.
    pub is_slow: bool,
    scheduler: Rc<Scheduler>,
}

impl Peer {
    pub fn new(connection: Connection, mut random: Random, scheduler: &Rc<Scheduler>) -> Self {
        let is_slow = random.once_in(4);
        let (buffers, scheduler) = (BufferPool::default(), Rc::clone(scheduler));
        Peer { connection, buffers, random, outgoing: Vec::new(), is_slow, scheduler }
    }

    /// Receives bytes of the proxy, which never break a rule of HTTP/2.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.connection.receive(bytes, self.scheduler.now(), &self.buffers);
        assert!(self.connection.error().is_none(), "the proxy breaks a rule: {:?}", self.connection.error());
    }

    /// Moves the connection's output to `outgoing` once that is empty. Returns whether there was any.
    pub fn flush(&mut self) -> bool {
        while self.connection.next_woken().is_some() {}
        while self.connection.next_note().is_some() {}
        if !self.outgoing.is_empty() || !self.connection.has_output() {
            return false;
        }
        self.outgoing = self.connection.take_output(Vec::new());
        self.scheduler.forget(control_bytes(&self.outgoing));
        true
    }

    /// Sends what is no HTTP/2: the proxy must end the connection.
    pub fn send_garbage(&mut self) {
        self.outgoing.extend_from_slice(&GARBAGE);
    }

    /// Sends a frame that has no effect: PING, PRIORITY or one of an unknown type.
    pub fn send_control_frame(&mut self) {
        // The first frame has to be SETTINGS.
        self.flush();
        let kind = [(6, 8), (2, 5), (0xbe, 7)][self.random.below(3) as usize];
        let (kind, length): (u8, u8) = kind;
        let stream = if kind == 2 { 1 } else { 0 };
        let before = self.outgoing.len();
        self.outgoing.extend_from_slice(&[0, 0, length, kind, 0, 0, 0, 0, stream]);
        self.outgoing.resize(before + FRAME_HEADER_BYTES + usize::from(length), 0);
        self.scheduler.forget(self.outgoing.len() - before);
    }

    /// Notes that the proxy does not forward payload that was sent to it.
    pub fn forget(&self, bytes: usize) {
        self.scheduler.forget(bytes);
    }
}

/// Bytes of the frames that concern the connection and the windows: the proxy handles them and forwards none. The client's preface counts
/// as one of them.
fn control_bytes(output: &[u8]) -> usize {
    let (mut sum, mut rest) = (0, output);
    if let Some(behind) = rest.strip_prefix(crate::http::h2::connection::PREFACE) {
        sum += rest.len() - behind.len();
        rest = behind;
    }
    while let Some([a, b, c, kind, ..]) = rest.first_chunk::<FRAME_HEADER_BYTES>() {
        let length = FRAME_HEADER_BYTES + u32::from_be_bytes([0, *a, *b, *c]) as usize;
        sum += if MESSAGE_FRAMES.contains(kind) { 0 } else { length };
        rest = &rest[length..];
    }
    sum
}

/// The settings of a peer. `stream_window` and `streams_max`: what the proxy may send at a time.
pub fn settings(stream_window: u32, streams_max: u32) -> LocalSettings {
    LocalSettings {
        streams_max,
        head: HeadLimits::REQUEST,
        stream_window,
        connection_window: limits::CONNECTION_WINDOW_BYTES,
        connect_protocol: false,
    }
}

/// The value of a field in the lines of a head.
pub fn field<'a>(lines: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = lines.lines().filter_map(|line| line.split_once(':'));
    fields.find(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1.trim())
}

/// Checks that the proxy has ended a stream in a way that its peer can see, and without a fault of its own.
pub fn check_failure(failure: StreamFailure, id: &str) {
    let is_fair = match failure {
        StreamFailure::Reset(code) => code != ErrorCode::FlowControlError && code != ErrorCode::StreamClosed,
        StreamFailure::Refused | StreamFailure::ConnectionLost => true,
        StreamFailure::Malformed(_) | StreamFailure::Broken(_) => false,
    };
    assert!(is_fair, "the proxy breaks the message {id}: {failure:?}");
}

/// Checks bytes of the body that belongs to `id`.
pub fn check_body(id: &str, received: &[u8]) {
    assert!(received == pattern(id, received.len()), "bytes of another message in the body of {id}");
}

/// Lets a party work from time to time, until the proxy has dropped its connection.
pub async fn take_turns<P: Party>(
    link: memory_transport::Shared<Link<P>>,
    mut random: Random,
    scheduler: Rc<Scheduler>,
) {
    while !link.borrow().near.dropped {
        scheduler.deadlines.pause(std::time::Duration::from_millis(random.below(TURN_MILLIS_MAX))).await;
        let mut link = link.borrow_mut();
        link.party.turn();
        link.near.wake();
    }
}
