//! The sending side of an exchange on a stream.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use super::failure::to_io;
use super::link::Link;
use crate::http::BodyFraming;
use crate::http::h2::connection::{StreamFailure, StreamKey};
use crate::limits;
use crate::net::TimeLimit;
use crate::worker::message::stream::{BodySink, HeadKind, MessageWriter, RawWrite, SentMessage};
use crate::worker::resources::buffers::BufferPool;

/// The sending side of one exchange. Payload goes to the connection's output at once, as far as the peer's windows and the output's bound
/// allow; the writer holds the rest.
pub struct Writer<'a> {
    pub(super) link: &'a Link,
    pub(super) key: StreamKey,
    pool: &'a BufferPool,
    /// The lines of a head, or payload that has not been accepted yet.
    held: Vec<u8>,
    /// How many bytes at the start of `held` have been accepted.
    accepted: usize,
    state: State,
    turn: Turn,
    /// The stream has failed: nothing can be sent on it any more.
    failure: Option<StreamFailure>,
    /// The payload that was sent, if it is kept.
    sent: Option<Vec<u8>>,
}

/// The stream's turn among the senders of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    None,
    /// The connection had no space for the payload that was to be pushed.
    Awaited,
    /// There is space for payload that was to be pushed.
    Come,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No final head has been written.
    Begun,
    /// `held` has the lines of the final head, which has not been sent: the end of a message without a body can be part of it.
    Head(Follows),
    Body,
    /// The message has no body; nothing follows its head.
    NoBody,
    Ended,
}

/// The bytes that follow a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    Body,
    Nothing,
    /// The stream is a tunnel from now on.
    Tunnel,
}

impl<'a> Writer<'a> {
    pub fn new(link: &'a Link, key: StreamKey, pool: &'a BufferPool) -> Self {
        Writer {
            link,
            key,
            pool,
            held: Vec::new(),
            accepted: 0,
            state: State::Begun,
            turn: Turn::None,
            failure: None,
            sent: None,
        }
    }

    fn lend_held(&mut self) -> &mut Vec<u8> {
        if self.held.capacity() == 0 {
            self.held = self.pool.lend_outgoing();
        }
        &mut self.held
    }

    /// Gives the buffer back once nothing is held.
    fn release(&mut self) {
        self.accepted = 0;
        if self.held.capacity() > 0 {
            self.pool.give_back_outgoing(std::mem::take(&mut self.held));
        }
    }

    /// Sends the final head if it is held. `ends` says whether the message ends with it.
    fn flush_head(&mut self, ends: bool) {
        let State::Head(follows) = self.state else { return };
        let end_stream = follows == Follows::Nothing || (ends && follows == Follows::Body);
        let sent = self.link.with(|connection| connection.send_head(self.key, &self.held, end_stream));
        self.note(sent);
        self.held.clear();
        self.state = match (end_stream, follows) {
            (true, Follows::Nothing) => State::NoBody,
            (true, _) => State::Ended,
            (false, _) => State::Body,
        };
    }

    fn note<T: Default>(&mut self, result: Result<T, StreamFailure>) -> T {
        result.unwrap_or_else(|failure| {
            self.failure = Some(failure);
            T::default()
        })
    }

    /// Gives held payload to the connection, with the end of the stream if `ends`. Returns true once all is accepted.
    fn offer(&mut self, ends: bool) -> bool {
        if self.state != State::Body {
            return true;
        }
        let rest = self.held.get(self.accepted..).unwrap_or_default();
        if rest.is_empty() && !ends {
            return true;
        }
        let count = rest.len();
        let taken = self.link.with(|connection| connection.send_data(self.key, rest, ends));
        let taken = self.note(taken);
        self.accepted += taken;
        // END_STREAM is accepted together with the last byte.
        let is_done = taken == count;
        if is_done && ends {
            self.state = State::Ended;
        }
        is_done || self.failure.is_some()
    }

    /// Waits until all held payload has been accepted, for at most `stall`.
    pub(super) async fn offer_all(&mut self, ends: bool, stall: TimeLimit<'_>) -> io::Result<()> {
        if !self.offer(ends) {
            let waiting = poll_fn(|cx| {
                // Registered before the attempt: a change in between must wake this task.
                self.link.register(self.key, cx.waker());
                if self.offer(ends) { Poll::Ready(()) } else { Poll::Pending }
            });
            // Boxed: most messages are accepted at once, and an unboxed wait would make each handler larger.
            Box::pin(stall.within(waiting)).await?;
        }
        self.release();
        self.result()
    }

    /// Sends the bytes of a tunnel, and ends its direction if `ends`. The caller limits the time.
    pub(super) async fn write_tunnelled(&mut self, mut bytes: &[u8], ends: bool) -> io::Result<()> {
        poll_fn(|cx| {
            self.link.register(self.key, cx.waker());
            let taken = self.link.with(|connection| connection.send_data(self.key, bytes, ends));
            bytes = bytes.get(self.note(taken)..).unwrap_or_default();
            if bytes.is_empty() || self.failure.is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.result()
    }

    /// Waits until the connection has space for payload of this stream, for at most `stall`.
    async fn wait_for_space(&mut self, stall: TimeLimit<'_>) -> io::Result<()> {
        let waiting = poll_fn(|cx| {
            self.link.register(self.key, cx.waker());
            if self.space() > 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        Box::pin(stall.within(waiting)).await?;
        self.turn = Turn::Come;
        self.result()
    }

    fn result(&self) -> io::Result<()> {
        self.failure.map_or(Ok(()), |failure| Err(to_io(failure)))
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

impl BodySink for Writer<'_> {
    fn push(&mut self, payload: &[u8]) -> bool {
        if payload.is_empty() || matches!(self.state, State::Head(Follows::Nothing) | State::NoBody) {
            return true;
        }
        self.flush_head(false);
        if let Some(sent) = &mut self.sent {
            sent.extend_from_slice(payload);
        }
        let mut rest = payload;
        self.turn = Turn::None;
        if self.held.len() == self.accepted {
            let taken = self.link.with(|connection| connection.send_data(self.key, payload, false));
            let taken = self.note(taken);
            rest = payload.get(taken..).unwrap_or_default();
        }
        if !rest.is_empty() && self.failure.is_none() {
            self.lend_held().extend_from_slice(rest);
        }
        true
    }

    fn space(&mut self) -> usize {
        if self.state != State::Body || self.held.len() > self.accepted || self.failure.is_some() {
            return usize::MAX;
        }
        let space = self.link.with(|connection| connection.data_space(self.key));
        if space == Ok(0) {
            self.turn = Turn::Awaited;
        }
        // The failure is noted when payload is pushed.
        space.unwrap_or(usize::MAX)
    }
}

impl<'a> MessageWriter for Writer<'a> {
    type Half = Writer<'a>;

    fn framing_for(&self, received: BodyFraming) -> BodyFraming {
        match received {
            BodyFraming::UntilClose => BodyFraming::Chunked,
            framing => framing,
        }
    }

    fn takes_interim(&self) -> bool {
        true
    }

    fn needs_reset_when_cut(&self) -> bool {
        false
    }

    fn head(&mut self) -> &mut Vec<u8> {
        let held = self.lend_held();
        held.clear();
        held
    }

    fn head_complete(&mut self, kind: HeadKind) {
        match kind {
            HeadKind::Interim => {
                let sent = self.link.with(|connection| connection.send_head(self.key, &self.held, false));
                self.note(sent);
                self.held.clear();
            }
            HeadKind::Final(framing) => {
                let is_tunnel = framing == BodyFraming::None && opens_tunnel(&self.held);
                self.state = State::Head(match framing {
                    BodyFraming::None if is_tunnel => Follows::Tunnel,
                    BodyFraming::None => Follows::Nothing,
                    _ => Follows::Body,
                });
            }
        }
    }

    async fn send(&mut self, stall: TimeLimit<'_>) -> io::Result<()> {
        self.flush_head(false);
        match self.turn {
            Turn::Awaited => return self.wait_for_space(stall).await,
            // Nothing was pushed: the other streams must not wait for this one.
            Turn::Come => self.link.with(|connection| connection.give_up_turn(self.key)),
            Turn::None => {}
        }
        self.turn = Turn::None;
        self.offer_all(false, stall).await
    }

    async fn finish(&mut self, trailers: &[u8], _closes: bool, stall: TimeLimit<'_>) -> io::Result<()> {
        if matches!(self.state, State::Head(Follows::Tunnel)) {
            self.flush_head(false);
            self.release();
            return self.result();
        }
        self.flush_head(trailers.is_empty());
        if self.state != State::Body {
            self.release();
            return self.result();
        }
        self.offer_all(trailers.is_empty(), stall).await?;
        if !trailers.is_empty() {
            let sent = self.link.with(|connection| connection.send_trailers(self.key, trailers));
            self.note(sent);
            self.state = State::Ended;
        }
        self.result()
    }

    fn keep_sent(&mut self) {
        self.sent = Some(Vec::new());
    }

    fn forget_sent(&mut self) {
        self.sent = None;
    }

    fn take_sent(&mut self) -> Option<SentMessage> {
        self.sent.take().map(|payload| SentMessage { wire_bytes: 0, payload })
    }

    fn as_raw(&mut self) -> Option<RawWrite<'_, Writer<'a>>> {
        None
    }

    async fn send_body(&mut self, mut body: &[u8], closes: bool, stall: TimeLimit<'_>) -> io::Result<()> {
        loop {
            let (next, rest) = body.split_at(limits::HELD_PIECE_BYTES.min(body.len()));
            self.push(next);
            body = rest;
            if body.is_empty() {
                return self.finish(&[], closes, stall).await;
            }
            self.send(stall).await?;
        }
    }
}

/// Whether the head is a response that opens a tunnel, or a request for one.
fn opens_tunnel(lines: &[u8]) -> bool {
    let is_switch = lines.get(8..12) == Some(b" 101");
    let end = memchr::memmem::find(lines, b"\r\n").unwrap_or(lines.len());
    let is_request = !lines.starts_with(b"HTTP/");
    is_switch || (is_request && memchr::memmem::find(&lines[end..], b"\r\nUpgrade: ").is_some())
}
