//! Connections to servers: opened over plain TCP or TLS, and used for one exchange after another.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::config::snapshot::{ServerEndpoint, ServerProtocol};
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::keep_alive::KeepAlive;
use crate::limits::{self, Bound};
use crate::net::tcp::{TcpReader, TcpWriter};
use crate::net::tls_stream::{self, TlsReader, TlsWriter};
use crate::net::{Duplex, Elapsed, ReadHalf, Tcp, TimeLimit, Transport, WriteHalf, socket};
use crate::worker::message::h1;
use crate::worker::message::h1::read_buffer::ReadBuffer;
use crate::worker::pool::idle_until;
use crate::worker::resources::buffers::BufferPool;
use crate::worker::resources::client_info::BoundState;
use crate::worker::resources::dial::{Dial, Dialled, Offer};
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

    /// Whether the server's system has not acknowledged any of the last `sent` bytes. If the server has closed the connection by then, it
    /// did so before it could read them: its FIN acknowledges all that its system had received, and nothing that arrives behind the FIN can
    /// be answered (docs/reference/security-promises.md#repeated-request). After a reset this says nothing: the acknowledgement of a reset is not read.
    pub fn has_unacknowledged(&mut self, sent: usize) -> bool {
        sent > 0 && self.io.split().1.unacknowledged().is_some_and(|bytes| bytes >= sent)
    }

    /// Whether bytes have arrived that nothing has read: a response has begun, or the server sent bytes that were not asked for.
    pub fn has_unread(&self) -> bool {
        !self.received.is_empty()
    }

    /// Closes the connection, or keeps it for the next request as `reuse` says, if no unsolicited bytes have arrived. `announced`: what the
    /// server has announced in its last response. While the process drains, nothing is pooled.
    pub fn release<D: Dial<Io = C>>(
        mut self,
        worker: &Worker<D>,
        endpoint: &ServerEndpoint,
        reuse: Reuse<'_>,
        announced: &KeepAlive,
    ) {
        let is_clean = self.received.is_empty();
        self.received.discard(&worker.buffers);
        let until_nanos = idle_until(worker.clock.mono_nanos(), announced);
        match reuse {
            Reuse::AllClients if is_clean && !worker.is_draining() => {
                worker.pool.put(endpoint.pool, self.io, until_nanos, &worker.buffers);
            }
            Reuse::OneClient(client) if is_clean => worker.bound.put(client, endpoint.pool, self.io, until_nanos),
            _ => {}
        }
    }
}

/// The clients whose requests may follow on a connection to a server.
#[derive(Debug, Clone, Copy)]
pub enum Reuse<'a> {
    Never,
    AllClients,
    /// Only those of this client connection: it has authenticated the connection.
    OneClient(&'a BoundState),
}

impl<'a> Reuse<'a> {
    /// The reuse of a connection after an exchange. `is_bound`: a client has authenticated the connection.
    pub fn of(is_reusable: bool, is_bound: bool, client: Option<&'a BoundState>) -> Self {
        match (is_reusable, is_bound, client) {
            (true, false, _) => Reuse::AllClients,
            (true, true, Some(client)) => Reuse::OneClient(client),
            _ => Reuse::Never,
        }
    }
}

/// The connection to the server that is bound to the client, if there is one.
#[inline]
pub fn take_bound<D: Dial>(worker: &Worker<D>, endpoint: &ServerEndpoint, client: &BoundState) -> Option<D::Io> {
    if client.has_owner() { worker.bound.take(client, endpoint.pool, worker.clock.mono_nanos()) } else { None }
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

    async fn dial(
        &self,
        endpoint: &ServerEndpoint,
        offer: Offer,
        limit: TimeLimit<'_>,
    ) -> Result<Dialled<UpstreamConnection>, Cause> {
        limit.within(open(endpoint, offer, limit)).await.unwrap_or_else(|Elapsed| Err(Cause::TimedOut))
    }
}

/// Opens a connection to a server and records the outcome: a server that cannot be reached several times in a row is ejected.
///
/// # Errors
/// The server cannot be reached, in time or at all.
pub async fn dial<D: Dial>(
    worker: &Worker<D>,
    endpoint: &ServerEndpoint,
    offer: Offer,
) -> Result<Dialled<D::Io>, ProxyError> {
    let state = &endpoint.server.state;
    let limit = worker.deadlines.limit(worker.shared.timeouts.dial);
    match worker.dial.dial(endpoint, offer, limit).await {
        Ok(dialled) => {
            state.note_connected();
            Ok(dialled)
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
async fn open(
    endpoint: &ServerEndpoint,
    offer: Offer,
    limit: TimeLimit<'_>,
) -> Result<Dialled<UpstreamConnection>, Cause> {
    let addresses = endpoint.addresses.load();
    let mut failure = Cause::Unresolved;
    for address in addresses.iter() {
        match socket::connect(*address).await {
            Ok(tcp) => return finish(tcp, endpoint, offer, limit).await,
            Err(e) => failure = Cause::Io(e),
        }
    }
    Err(failure)
}

async fn finish(
    tcp: Tcp,
    endpoint: &ServerEndpoint,
    offer: Offer,
    limit: TimeLimit<'_>,
) -> Result<Dialled<UpstreamConnection>, Cause> {
    let Some(tls) = &endpoint.tls else {
        let io = Duplex { reader: UpstreamReader::Plain(tcp.reader), writer: UpstreamWriter::Plain(tcp.writer) };
        return Ok(Dialled { io, is_http2: endpoint.speaks == ServerProtocol::Http2 });
    };
    let config = match offer {
        Offer::All => &tls.configs.all,
        Offer::Http1 => &tls.configs.http1,
    };
    let limit = limit.with(Duration::from_secs(limits::HANDSHAKE_SECS));
    match limit.within(tls_stream::connect(tcp, Arc::clone(config), tls.name.clone())).await {
        Ok(Ok(tls)) => {
            let is_http2 = tls.with_session(|session| session.alpn() == Some(b"h2"));
            let (reader, writer) = (Box::new(tls.reader), Box::new(tls.writer));
            let io = Duplex { reader: UpstreamReader::Tls(reader), writer: UpstreamWriter::Tls(writer) };
            Ok(Dialled { io, is_http2 })
        }
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

    fn unacknowledged(&self) -> Option<usize> {
        match self {
            UpstreamWriter::Plain(half) => half.unacknowledged(),
            UpstreamWriter::Tls(half) => half.unacknowledged(),
        }
    }
}
