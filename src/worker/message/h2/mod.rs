//! HTTP/2 behind the boundary of `message::stream`: one connection carries many exchanges at a time, each on a stream of its own.

pub mod connection_io;
pub mod failure;
pub mod link;
mod reader;
mod response_head;
mod tunnel;
mod writer;

use link::Link;
pub use reader::Reader;
pub use writer::Writer;

use super::stream::{ConnectionDisposition, MessageStream};
use crate::http::RequestHead;
use crate::http::h2::connection::{Buffers, ErrorCode, StreamKey};
use crate::net::tunnel::TunnelEnd;
use crate::worker::resources::buffers::BufferPool;

/// An exchange on a stream of an HTTP/2 connection.
pub struct Stream<'a> {
    link: &'a Link,
    key: StreamKey,
    reader: Reader<'a>,
    writer: Writer<'a>,
}

impl<'a> Stream<'a> {
    /// The client's side of an exchange: the head of the request has been taken, its body is next.
    pub fn downstream(link: &'a Link, key: StreamKey, pool: &'a BufferPool, request: &RequestHead) -> Self {
        let reader = Reader::of_request(link, key, pool, request.body);
        Stream { link, key, reader, writer: Writer::new(link, key, pool) }
    }

    /// The server's side of an exchange: nothing has been sent yet.
    pub fn upstream(link: &'a Link, key: StreamKey, pool: &'a BufferPool) -> Self {
        let reader = Reader::of_response(link, key, pool);
        Stream { link, key, reader, writer: Writer::new(link, key, pool) }
    }

    /// Ends the client's side as the exchange requires. What else the end of a stream needs is done when the stream is released.
    pub fn end(&mut self, disposition: ConnectionDisposition) {
        if disposition == ConnectionDisposition::Abort {
            self.link.with(|connection| connection.reset(self.key, ErrorCode::InternalError));
        }
    }
}

impl<'a> MessageStream for Stream<'a> {
    type Reader = Reader<'a>;
    type Writer = Writer<'a>;
    type RawReader = Reader<'a>;
    type RawWriter = Writer<'a>;

    fn split(&mut self) -> (&mut Reader<'a>, &mut Writer<'a>) {
        (&mut self.reader, &mut self.writer)
    }

    fn tunnel_end(&mut self) -> TunnelEnd<'_, Reader<'a>, Writer<'a>> {
        TunnelEnd { reader: &mut self.reader, writer: &mut self.writer, received: Vec::new() }
    }
}

impl Buffers for BufferPool {
    fn lend(&self) -> Vec<u8> {
        BufferPool::lend(self)
    }

    fn give_back(&self, buffer: Vec<u8>) {
        BufferPool::give_back(self, buffer);
    }
}
