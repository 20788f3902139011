//! The boundary between the request path and the protocol versions. A message is read through a [`BodyReader`] and written through a
//! [`MessageWriter`], for each protocol version, and for requests and responses alike.

use std::cell::Cell;
use std::future::Future;
use std::io;

use super::limits::RelayLimits;
use crate::error::ProxyError;
use crate::http::deviation::Deviations;
use crate::http::{BodyFraming, Edits};
use crate::net::tunnel::TunnelEnd;
use crate::net::{Deadlines, ReadHalf, TimeLimit, WriteHalf};
use crate::worker::resources::context::UpstreamResponse;

/// How the client's connection continues after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionDisposition {
    KeepAlive,
    Close,
    /// Close after reading for a moment: the client still sends, and a reset would destroy the response that is being sent.
    Linger,
    /// Reset: the client got part of a body that only the connection's end delimits, and must not take that part for the whole.
    Abort,
}

/// The side on which a body failed.
#[derive(Debug)]
pub enum RelayError {
    /// The sender broke off, stalled, or sent bytes that are no body.
    Source(io::Error),
    /// The receiver broke off or stalled.
    Sink(io::Error),
}

/// Takes the payload of a body: a message that is sent, a body that is held in memory, or the input of a compressor.
pub trait BodySink {
    /// Takes all of `payload`. Returns false, and takes none of it, if the sink's bound does not allow more.
    fn push(&mut self, payload: &[u8]) -> bool;

    /// Bytes of payload that the sink passes on without holding them. If there are none, [`MessageWriter::send`] waits for space.
    fn space(&mut self) -> usize {
        usize::MAX
    }
}

impl BodySink for Vec<u8> {
    fn push(&mut self, payload: &[u8]) -> bool {
        self.extend_from_slice(payload);
        true
    }
}

/// The result of [`BodyReader::read_into`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The sink has all payload that has arrived; the body is not complete.
    Part,
    /// Payload has arrived for which the sink has no space now.
    Full,
    /// The sink has all payload, and the body is complete.
    All,
    /// The sink refused a piece.
    Refused,
}

/// The body of a message that is being received.
pub trait BodyReader {
    /// Hands the payload that has arrived to `sink`, without waiting.
    ///
    /// # Errors
    /// `Source` if the bytes that arrived break the body's framing. The sink has the pieces before them.
    fn read_into(&mut self, sink: &mut impl BodySink) -> Result<Delivered, RelayError>;

    /// Waits until more of the body has arrived, for at most `limit`.
    ///
    /// # Errors
    /// `Source` if the sender broke off, failed, or sent nothing or too little in time.
    fn fill(&mut self, limit: TimeLimit<'_>) -> impl Future<Output = Result<(), RelayError>>;

    /// Waits until [`fill`](Self::fill) would return without waiting; reads no bytes.
    fn readable(&mut self) -> impl Future<Output = io::Result<()>>;

    /// Passes the rest of the body to `sink` byte for byte, without decoding it, if both sides frame it alike. Returns false, and does
    /// nothing, if they do not. After true [`read_into`](Self::read_into) returns whether the body is complete.
    fn pass_raw<W: MessageWriter>(
        &mut self,
        sink: &mut W,
        limits: &mut RelayLimits<'_>,
    ) -> impl Future<Output = Result<bool, RelayError>>;

    /// Bytes of payload that are still to come; `None` if the sender has not announced a length.
    fn remaining(&self) -> Option<u64>;

    /// Whether bytes have arrived that have not been handed over.
    fn has_buffered(&self) -> bool;

    /// Bytes of payload handed over so far.
    fn payload_bytes(&self) -> u64;

    /// The trailer fields that may be forwarded, as lines that end in CRLF each; complete once the body is complete.
    fn trailers(&self) -> &[u8];

    /// Drops trailer fields whose name `edits` sets or removes in the head.
    fn drop_edited_trailers(&mut self, edits: &Edits);

    /// Whether no bytes have arrived behind the message, and the connection is open.
    fn is_quiet(&mut self) -> bool;

    /// Waits for a moment; returns whether the sender has disconnected by then: the exchange has no receiver any more.
    fn disconnects(&mut self, deadlines: &Deadlines) -> impl Future<Output = bool>;

    /// As [`disconnects`](Self::disconnects). Sets `has_more` as soon as bytes have arrived behind the message: each poll looks at the
    /// socket.
    fn disconnects_or_sends(&mut self, deadlines: &Deadlines, has_more: &Cell<bool>) -> impl Future<Output = bool>;
}

/// The kind of head that a reader has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceivedHead {
    /// An informational response: another head follows.
    Interim,
    /// A final response, or a 101.
    Final,
}

/// A response from a server, whose head has not been read yet.
pub trait ResponseReader: BodyReader {
    /// Reads the next head into `response`. `to_head`: the request was a HEAD, so no body follows.
    ///
    /// # Errors
    /// The connection failed, or the head cannot be understood.
    fn read_head(
        &mut self,
        to_head: bool,
        response: &mut UpstreamResponse,
    ) -> impl Future<Output = Result<ReceivedHead, ProxyError>>;

    /// The deviations from HTTP that were normalised in what has been read.
    fn deviations(&self) -> Deviations;
}

/// The kind of head that a writer has been given.
#[derive(Debug, Clone, Copy)]
pub enum HeadKind {
    /// An informational response: another head follows.
    Interim,
    /// The head of the message, and the framing of its body.
    Final(BodyFraming),
}

/// A message that is being sent. If the writer is dropped before [`finish`](Self::finish), the receiver must learn that the message was
/// cut.
pub trait MessageWriter: BodySink {
    type Half: WriteHalf;

    /// The framing on this connection for a body that was received with the framing `received`.
    fn framing_for(&self, received: BodyFraming) -> BodyFraming;

    /// Whether the receiver's protocol version has informational responses.
    fn takes_interim(&self) -> bool;

    /// Whether only a reset tells this receiver that a response was cut whose first part it has got.
    fn needs_reset_when_cut(&self) -> bool;

    /// The empty buffer for a head, which is written as lines of HTTP/1.1.
    fn head(&mut self) -> &mut Vec<u8>;

    /// Marks the head in the buffer as complete.
    fn head_complete(&mut self, kind: HeadKind);

    /// Sends the bytes that the writer holds.
    fn send(&mut self, stall: TimeLimit<'_>) -> impl Future<Output = io::Result<()>>;

    /// Ends the message with `trailers`, and sends the bytes that the writer holds. If the message `closes` the connection, the connection
    /// is shut down as soon as they are sent, and the last bytes may leave together with the FIN.
    fn finish(&mut self, trailers: &[u8], closes: bool, stall: TimeLimit<'_>) -> impl Future<Output = io::Result<()>>;

    /// Keeps the payload that is sent from now on, until it is taken or the writer is dropped. Called before the payload is pushed.
    fn keep_sent(&mut self);

    /// Ends keeping: the message is too long to be sent by [`finish`](Self::finish) alone.
    fn forget_sent(&mut self);

    /// Takes the kept message out, if it was sent by `finish` alone.
    fn take_sent(&mut self) -> Option<SentMessage>;

    /// The socket and the bytes to be sent first, if the rest of the body may be sent without framing.
    fn as_raw(&mut self) -> Option<RawWrite<'_, Self::Half>>;

    /// Sends a whole body that is held in memory, and ends the message. The body is sent in pieces, and each piece has the time `stall`:
    /// one limit for the whole body would cut off a client that reads a long response over a slow line.
    fn send_body(&mut self, body: &[u8], closes: bool, stall: TimeLimit<'_>) -> impl Future<Output = io::Result<()>>;
}

/// A message that was sent, and may have to be sent again.
#[derive(Debug, Default)]
pub struct SentMessage {
    /// The bytes that went out on the connection; 0 if the connection has other messages too.
    pub wire_bytes: usize,
    /// The body without framing.
    pub payload: Vec<u8>,
}

/// A writer's connection, for bytes that need no framing.
pub struct RawWrite<'a, W> {
    pub half: &'a mut W,
    /// Bytes that have to be sent first.
    pub unsent: &'a mut Vec<u8>,
}

/// An exchange on a connection: the message that is received, and the message that is sent.
pub trait MessageStream {
    type Reader: BodyReader;
    type Writer: MessageWriter;
    type RawReader: ReadHalf;
    type RawWriter: WriteHalf;

    fn split(&mut self) -> (&mut Self::Reader, &mut Self::Writer);

    /// The connection as raw bytes, for the tunnel that a 101 opens.
    fn tunnel_end(&mut self) -> TunnelEnd<'_, Self::RawReader, Self::RawWriter>;
}
