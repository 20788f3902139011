//! HTTP/1.1 (and 1.0) behind the boundary of `message::stream`: one connection carries one exchange at a time.

pub mod read_buffer;
mod reader;
mod response_head;
mod verbatim;
mod writer;

use read_buffer::ReadBuffer;
pub use reader::Reader;
pub use writer::{Writer, send_final};

use super::stream::MessageStream;
use crate::http::{BodyFraming, RequestHead, Version};
use crate::net::tunnel::TunnelEnd;
use crate::net::{ReadHalf, Transport, WriteHalf};
use crate::worker::resources::buffers::BufferPool;

/// An exchange on an HTTP/1 connection.
pub struct Stream<'a, R, W: WriteHalf> {
    reader: Reader<'a, R>,
    writer: Writer<'a, W>,
}

impl<'a, R: ReadHalf, W: WriteHalf> Stream<'a, R, W> {
    /// The client's side of an exchange: the head of the request has been read, its body is next.
    pub fn downstream<T: Transport<Read = R, Write = W>>(
        io: &'a mut T,
        buffer: &'a mut ReadBuffer,
        pool: &'a BufferPool,
        request: &RequestHead,
    ) -> Self {
        let (read_half, write_half) = io.split();
        Stream {
            reader: Reader::of_request(read_half, buffer, pool, request.body),
            writer: Writer::new(write_half, pool, request.version),
        }
    }

    /// The server's side of an exchange: nothing has been sent yet.
    pub fn upstream<T: Transport<Read = R, Write = W>>(
        io: &'a mut T,
        buffer: &'a mut ReadBuffer,
        pool: &'a BufferPool,
    ) -> Self {
        let (read_half, write_half) = io.split();
        Stream {
            reader: Reader::of_response(read_half, buffer, pool),
            writer: Writer::new(write_half, pool, Version::Http11),
        }
    }
}

impl<'a, R: ReadHalf, W: WriteHalf> MessageStream for Stream<'a, R, W> {
    type Reader = Reader<'a, R>;
    type Writer = Writer<'a, W>;
    type RawReader = R;
    type RawWriter = W;

    fn split(&mut self) -> (&mut Reader<'a, R>, &mut Writer<'a, W>) {
        (&mut self.reader, &mut self.writer)
    }

    fn tunnel_end(&mut self) -> TunnelEnd<'_, R, W> {
        let (reader, received) = self.reader.raw_parts();
        TunnelEnd { reader, writer: self.writer.half(), received }
    }
}

/// Whether a body of this framing is sent as bare payload, without framing between its bytes.
fn is_counted(framing: BodyFraming) -> bool {
    matches!(framing, BodyFraming::Length(_) | BodyFraming::UntilClose)
}
