//! The state of a stream: its windows, and the parts of its message that have arrived.

use std::collections::VecDeque;

use super::rule::{ErrorCode, Rule};
use crate::http::{RequestHead, ResponseHead, Violation};

/// Why a stream has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFailure {
    /// The peer reset the stream.
    Reset(ErrorCode),
    /// The peer certainly has not processed the request: REFUSED_STREAM, or a GOAWAY below the stream (RFC 9113 8.7).
    Refused,
    ConnectionLost,
    /// The peer's message breaks a rule of HTTP; the stream has been reset.
    Malformed(Violation),
    /// The peer broke a rule of the framing layer; the stream has been reset with this code.
    Broken(ErrorCode),
}

/// A response head that has arrived and has not been taken.
#[derive(Debug, Default)]
pub struct ArrivedHead {
    pub head: ResponseHead,
    pub lines: Vec<u8>,
}

/// The place of a stream. Its memory is used for one stream after another.
#[derive(Debug, Default)]
pub struct Stream {
    pub id: u32,
    /// The head of a request, until it is taken.
    pub request: RequestHead,
    /// The heads of responses, oldest first, until they are taken.
    pub responses: VecDeque<ArrivedHead>,
    /// The memory of a response's head that was taken.
    pub spare: ArrivedHead,
    pub lines: Vec<u8>,
    /// Payload that has arrived and has not been handed over.
    pub body: Vec<u8>,
    pub trailers: Vec<u8>,
    /// The final head of the message has arrived.
    pub has_head: bool,
    /// The response is to a HEAD request.
    pub to_head: bool,
    /// Informational responses before the final one.
    pub interim_count: usize,
    /// Payload that the peer has announced and not sent; `None` if it has announced no length.
    pub expected: Option<u64>,
    /// END_STREAM has arrived.
    pub recv_ended: bool,
    /// END_STREAM has been sent.
    pub send_ended: bool,
    /// RST_STREAM has been sent or received: no frame is sent any more.
    pub is_reset: bool,
    pub failure: Option<StreamFailure>,
    /// Bytes that the peer may send.
    pub recv_window: i64,
    /// Bytes handed over, for which the peer has not got credit yet.
    pub recv_credit: u32,
    /// Bytes that may be sent; negative if the peer has reduced its window.
    pub send_window: i64,
    /// The stream is in the queue of senders.
    pub is_queued: bool,
    /// Sending waits for the stream's own window.
    pub waits_for_window: bool,
    /// An extended CONNECT: the data is a tunnel's (RFC 8441).
    pub extended_connect: bool,
}

impl Stream {
    /// Prepares the place for a new stream.
    pub fn begin(&mut self, id: u32, recv_window: u32, send_window: u32) {
        self.id = id;
        self.trailers.clear();
        self.responses.clear();
        self.has_head = false;
        self.to_head = false;
        self.interim_count = 0;
        self.expected = None;
        self.recv_ended = false;
        self.send_ended = false;
        self.is_reset = false;
        self.failure = None;
        self.recv_window = i64::from(recv_window);
        self.recv_credit = 0;
        self.send_window = i64::from(send_window);
        self.is_queued = false;
        self.waits_for_window = false;
        self.extended_connect = false;
    }

    /// Whether frames of the peer still have a meaning on this stream.
    pub fn receives(&self) -> bool {
        !self.recv_ended && !self.is_reset && self.failure.is_none()
    }

    /// The rule that a frame of the message would break now, because the peer has ended or reset the stream.
    pub fn ended_by_peer(&self) -> Option<Rule> {
        match self.failure {
            Some(StreamFailure::Reset(_) | StreamFailure::Refused) => Some(Rule::ClosedStream),
            _ if self.recv_ended && !self.is_reset => Some(Rule::DataAfterEnd),
            _ => None,
        }
    }

    /// Whether both sides have ended the stream.
    pub fn is_closed(&self) -> bool {
        self.is_reset || (self.recv_ended && self.send_ended)
    }
}
