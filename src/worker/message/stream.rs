//! The boundary between the request path and the protocol versions. A message is read through a [`BodyReader`] and written through a
//! [`MessageWriter`], whichever version its connection speaks and whether it is a request or a response.

use std::future::Future;
use std::io;

use super::limits::RelayLimits;
use crate::error::ProxyError;
use crate::http::{BodyFraming, Edits};
use crate::net::tunnel::TunnelEnd;
use crate::net::{Deadlines, ReadHalf, TimeLimit, WriteHalf};
use crate::worker::resources::context::UpstreamResponse;

/// What happens to the client's side after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionDisposition {
    KeepAlive,
    Close,
    /// Close after reading for a moment: the client still sends, and a reset would destroy the response that is under way.
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

/// Takes the payload of a body: a message on its way out, a body that is held in memory, the input of a compressor.
pub trait BodySink {
    /// Takes all of `payload`; false if the sink's bound does not allow it, and then the sink takes none of it.
    fn push(&mut self, payload: &[u8]) -> bool;
}

impl BodySink for Vec<u8> {
    fn push(&mut self, payload: &[u8]) -> bool {
        self.extend_from_slice(payload);
        true
    }
}

/// What a [`BodyReader`] handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// All that has arrived; the body goes on.
    Part,
    /// The end of the body too.
    All,
    /// The sink refused a piece.
    Refused,
}

/// The body of a message that is being received.
pub trait BodyReader {
    /// Hands the payload that has arrived to `sink`, without waiting.
    ///
    /// # Errors
    /// `Source` if the bytes that arrived break the body's framing. The pieces before them are with the sink.
    fn read_into(&mut self, sink: &mut impl BodySink) -> Result<Delivered, RelayError>;

    /// Waits until more of the body has arrived, at most for `limit`.
    ///
    /// # Errors
    /// `Source` if the sender broke off, failed, or sent nothing or too little in time.
    fn fill(&mut self, limit: TimeLimit<'_>) -> impl Future<Output = Result<(), RelayError>>;

    /// Waits until [`fill`](Self::fill) would return at once, and reads nothing.
    fn readable(&mut self) -> impl Future<Output = io::Result<()>>;

    /// Passes the rest of the body to `sink` byte for byte, without decoding it, if both sides frame it alike; false if they do not,
    /// and then nothing has been done. After true [`read_into`](Self::read_into) says whether the body has ended.
    fn pass_raw<W: MessageWriter>(
        &mut self,
        sink: &mut W,
        limits: &mut RelayLimits<'_>,
    ) -> impl Future<Output = Result<bool, RelayError>>;

    /// Bytes of payload that are known to come; `None` if the sender has not said.
    fn remaining(&self) -> Option<u64>;

    /// Whether bytes have arrived that nobody has taken.
    fn has_buffered(&self) -> bool;

    /// Bytes of payload handed over so far.
    fn payload_bytes(&self) -> u64;

    /// The trailer fields that may be passed on, as lines that end in CRLF each; complete once the body is done.
    fn trailers(&self) -> &[u8];

    /// Keeps back trailers by the name of a field that `edits` sets or removes in the head.
    fn drop_edited_trailers(&mut self, edits: &Edits);

    /// Waits until the sender has gone: nobody needs the exchange any more.
    fn disconnected(&mut self, deadlines: &Deadlines) -> impl Future<Output = ()>;
}

/// A response from a server: its head comes before its body.
pub trait ResponseReader: BodyReader {
    /// Reads until the head of a final response (or a 101) is there, and puts it into `response`. `to_head`: the request was a HEAD, so
    /// no body follows.
    ///
    /// # Errors
    /// The connection failed, or the head cannot be understood.
    fn read_head(
        &mut self,
        to_head: bool,
        response: &mut UpstreamResponse,
    ) -> impl Future<Output = Result<(), ProxyError>>;
}

/// What kind of head a writer has been given.
#[derive(Debug, Clone, Copy)]
pub enum HeadKind {
    /// An informational response: another head follows.
    Interim,
    /// The head of the message, whose body is framed like this.
    Final(BodyFraming),
}

/// A message that is being sent. If it is dropped before [`finish`](Self::finish), its receiver must be told that it was cut.
pub trait MessageWriter: BodySink {
    type Half: WriteHalf;

    /// How a body that was received as `received` goes out on this connection.
    fn framing_for(&self, received: BodyFraming) -> BodyFraming;

    /// Whether only a reset tells this receiver that a response which it has begun to get was cut.
    fn needs_reset_when_cut(&self) -> bool;

    /// The empty buffer for a head, which is written as the lines of HTTP/1.1.
    fn head(&mut self) -> &mut Vec<u8>;

    /// The head in the buffer is complete.
    fn head_complete(&mut self, kind: HeadKind);

    /// Sends what the writer holds.
    fn send(&mut self, stall: TimeLimit<'_>) -> impl Future<Output = io::Result<()>>;

    /// Ends the message, behind `trailers`, and sends what the writer holds. If it `closes`, the connection is shut down as soon as this is
    /// done, and the bytes may leave together with its end.
    fn finish(&mut self, trailers: &[u8], closes: bool, stall: TimeLimit<'_>) -> impl Future<Output = io::Result<()>>;

    /// The socket and the bytes that go first, if the rest of the body may be sent without being framed.
    fn as_raw(&mut self) -> Option<RawWrite<'_, Self::Half>>;

    /// Sends a whole body that is held in memory, and ends the message. The body goes out in pieces, and each piece has the time of `stall`:
    /// one limit for all of it would cut off a client that takes a long response at the speed of its line.
    fn send_body(&mut self, body: &[u8], closes: bool, stall: TimeLimit<'_>) -> impl Future<Output = io::Result<()>>;
}

/// A writer's connection, for bytes that need no framing.
pub struct RawWrite<'a, W> {
    pub half: &'a mut W,
    /// Bytes that have to be sent first.
    pub unsent: &'a mut Vec<u8>,
}

/// One exchange on a connection: the message that arrives, and the one that leaves.
pub trait MessageStream {
    type Reader: BodyReader;
    type Writer: MessageWriter;
    type RawReader: ReadHalf;
    type RawWriter: WriteHalf;

    fn split(&mut self) -> (&mut Self::Reader, &mut Self::Writer);

    /// The connection without its protocol, for the tunnel that a 101 opens.
    fn tunnel_end(&mut self) -> TunnelEnd<'_, Self::RawReader, Self::RawWriter>;
}
