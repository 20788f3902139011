//! Connections to servers: opened over plain TCP or TLS, and used for one exchange after another.

use std::io;
use std::time::Duration;

use crate::config::snapshot::ServerEndpoint;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::limits::{self, Bound};
use crate::net::tcp::{TcpReader, TcpWriter};
use crate::net::tls_stream::{self, TlsReader, TlsWriter};
use crate::net::{Duplex, Elapsed, ReadHalf, Tcp, TimeLimit, Transport, WriteHalf, socket};
use crate::worker::message::h1;
use crate::worker::message::h1::read_buffer::ReadBuffer;
use crate::worker::resources::buffers::BufferPool;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// A connection that one exchange uses exclusively.
pub struct ExclusiveConnection<C> {
    io: C,
    /// Bytes that have arrived and have not been read. They are dropped with the connection: unsolicited bytes must never become a response
    /// to another request (docs/reference/security-promises.md#unsolicited-response).
    received: ReadBuffer,
}

impl<C: Transport> ExclusiveConnection<C> {
    pub fn new(io: C) -> Self {
        ExclusiveConnection { io, received: ReadBuffer::default() }
    }

    /// The exchange on this connection, in the protocol that the connection speaks.
    pub fn stream<'a>(&'a mut self, pool: &'a BufferPool) -> h1::Stream<'a, C::Read, C::Write> {
        h1::Stream::upstream(&mut self.io, &mut self.received, pool)
    }

    /// Whether bytes have arrived that nothing has read: a response has begun, or the server sent bytes that were not asked for.
    pub fn has_unread(&self) -> bool {
        !self.received.is_empty()
    }

    /// Pools the connection if the exchange ended cleanly (`is_reusable`), no unsolicited bytes have arrived, and the process does not
    /// drain; else closes the connection.
    pub fn release<D: Dial<Io = C>>(mut self, worker: &Worker<D>, endpoint: &ServerEndpoint, is_reusable: bool) {
        let is_reusable = is_reusable && self.received.is_empty() && !worker.is_draining();
        self.received.discard(&worker.buffers);
        if is_reusable {
            worker.pool.put(endpoint.pool, self.io, worker.clock.mono_nanos(), &worker.buffers);
        }
    }
}

/// Opens connections over the network.
#[derive(Debug, Clone, Copy, Default)]
pub struct NetworkDial;

/// A connection to a server, plain or TLS. Connections move between pool and requests, so the large parts are boxed.
pub type UpstreamConnection = Duplex<UpstreamReader, UpstreamWriter>;

pub enum UpstreamReader {
    Plain(TcpReader),
    Tls(Box<TlsReader<TcpReader>>),
}

pub enum UpstreamWriter {
    Plain(TcpWriter),
    Tls(Box<TlsWriter<TcpWriter>>),
}

impl Dial for NetworkDial {
    type Io = UpstreamConnection;

    async fn dial(&self, endpoint: &ServerEndpoint, limit: TimeLimit<'_>) -> Result<UpstreamConnection, Cause> {
        limit.within(open(endpoint, limit)).await.unwrap_or_else(|Elapsed| Err(Cause::TimedOut))
    }
}

/// Opens a connection to a server and records the outcome: a server that cannot be reached several times in a row is ejected.
///
/// # Errors
/// The server cannot be reached, in time or at all.
pub async fn connect<D: Dial>(worker: &Worker<D>, endpoint: &ServerEndpoint) -> Result<D::Io, ProxyError> {
    let state = &endpoint.server.state;
    let limit = worker.deadlines.limit(worker.shared.timeouts.dial);
    // Boxed: most requests use a pooled connection, and an unboxed dial would make each handler larger.
    match Box::pin(worker.dial.dial(endpoint, limit)).await {
        Ok(connection) => {
            state.note_connected();
            Ok(connection)
        }
        Err(cause) => {
            if matches!(cause, Cause::TimedOut) {
                worker.exceeded(Bound::Dial);
            }
            if let Cause::Tls(reason) = &cause {
                worker.log_tls_failure(endpoint, reason);
            }
            if cause.is_unreachable() {
                state.note_connect_failed(worker.clock.mono_nanos());
            }
            Err(ProxyError::new(ExchangePhase::Connect, cause))
        }
    }
}

/// Connects to the server's addresses in turn, until one accepts; a name may have several.
async fn open(endpoint: &ServerEndpoint, limit: TimeLimit<'_>) -> Result<UpstreamConnection, Cause> {
    let addresses = endpoint.addresses.load();
    let mut failure = Cause::Unresolved;
    for address in addresses.iter() {
        match socket::connect(*address).await {
            Ok(tcp) => return finish(tcp, endpoint, limit).await,
            Err(e) => failure = Cause::Io(e),
        }
    }
    Err(failure)
}

async fn finish(tcp: Tcp, endpoint: &ServerEndpoint, limit: TimeLimit<'_>) -> Result<UpstreamConnection, Cause> {
    let Some((config, name)) = &endpoint.tls else {
        return Ok(Duplex { reader: UpstreamReader::Plain(tcp.reader), writer: UpstreamWriter::Plain(tcp.writer) });
    };
    let limit = limit.with(Duration::from_secs(limits::HANDSHAKE_SECS));
    match limit.within(tls_stream::connect(tcp, config.clone(), name.clone())).await {
        Ok(Ok(tls)) => Ok(Duplex {
            reader: UpstreamReader::Tls(Box::new(tls.reader)),
            writer: UpstreamWriter::Tls(Box::new(tls.writer)),
        }),
        Ok(Err(e)) if e.kind() == io::ErrorKind::InvalidData => Err(Cause::Tls(e.to_string())),
        // Some old devices end the connection instead of sending an alert.
        Ok(Err(e)) if matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            let text = format!("{e} in the TLS handshake: the port may speak no TLS, or only versions before 1.2");
            Err(Cause::Io(io::Error::new(e.kind(), text)))
        }
        Ok(Err(e)) => Err(Cause::Io(e)),
        Err(Elapsed) => Err(Cause::TimedOut),
    }
}

impl ReadHalf for UpstreamReader {
    async fn read(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        match self {
            UpstreamReader::Plain(half) => half.read(buffer).await,
            UpstreamReader::Tls(half) => half.read(buffer).await,
        }
    }

    async fn readable(&mut self) -> io::Result<()> {
        match self {
            UpstreamReader::Plain(half) => half.readable().await,
            UpstreamReader::Tls(half) => half.readable().await,
        }
    }

    fn is_reusable(&mut self) -> bool {
        match self {
            UpstreamReader::Plain(half) => half.is_reusable(),
            UpstreamReader::Tls(half) => half.is_reusable(),
        }
    }

    fn try_read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            UpstreamReader::Plain(half) => half.try_read(buffer),
            UpstreamReader::Tls(half) => half.try_read(buffer),
        }
    }

    fn read_ahead(&mut self, buffer: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            UpstreamReader::Plain(half) => half.read_ahead(buffer),
            UpstreamReader::Tls(half) => half.read_ahead(buffer),
        }
    }

    fn is_reading_ahead(&self) -> bool {
        match self {
            UpstreamReader::Plain(half) => half.is_reading_ahead(),
            UpstreamReader::Tls(half) => half.is_reading_ahead(),
        }
    }

    fn as_plain(&mut self) -> Option<&mut TcpReader> {
        match self {
            UpstreamReader::Plain(half) => Some(half),
            UpstreamReader::Tls(_) => None,
        }
    }

    fn is_closed_by_peer(&mut self) -> bool {
        match self {
            UpstreamReader::Plain(half) => half.is_closed_by_peer(),
            UpstreamReader::Tls(half) => half.is_closed_by_peer(),
        }
    }

    fn abort(&mut self) {
        match self {
            UpstreamReader::Plain(half) => half.abort(),
            UpstreamReader::Tls(half) => half.abort(),
        }
    }
}

impl WriteHalf for UpstreamWriter {
    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        match self {
            UpstreamWriter::Plain(half) => half.write_all(buffer).await,
            UpstreamWriter::Tls(half) => half.write_all(buffer).await,
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            UpstreamWriter::Plain(half) => half.shutdown().await,
            UpstreamWriter::Tls(half) => half.shutdown().await,
        }
    }

    fn as_plain(&mut self) -> Option<&mut TcpWriter> {
        match self {
            UpstreamWriter::Plain(half) => Some(half),
            UpstreamWriter::Tls(_) => None,
        }
    }
}
