//! Opening connections to backends, plain and TLS.

use std::future::Future;
use std::io;
use std::time::Duration;

use super::Worker;
use crate::config::snapshot::ServerEndpoint;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::limits::{self, Bound};
use crate::net::tcp::{TcpReader, TcpWriter};
use crate::net::tls_stream::{self, TlsReader, TlsWriter};
use crate::net::{Duplex, Elapsed, ReadHalf, Tcp, TimeLimit, Transport, WriteHalf, socket};

/// How a worker opens a connection to a server; tests give one that needs no network.
pub trait Dial: 'static {
    type Io: Transport + 'static;

    /// Opens a connection, TLS included, within `limit`.
    fn dial(&self, origin: &ServerEndpoint, limit: TimeLimit<'_>) -> impl Future<Output = Result<Self::Io, Cause>>;
}

/// Dialling over the network.
#[derive(Debug, Clone, Copy, Default)]
pub struct NetworkDial;

/// A connection to a backend, plain or TLS. It moves between pool and requests, so what is large in it is boxed.
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

    async fn dial(&self, origin: &ServerEndpoint, limit: TimeLimit<'_>) -> Result<UpstreamConnection, Cause> {
        limit.within(open(origin, limit)).await.unwrap_or_else(|Elapsed| Err(Cause::TimedOut))
    }
}

/// Opens a connection to a server and remembers how that went: one that cannot be reached is set aside.
pub async fn connect<D: Dial>(worker: &Worker<D>, origin: &ServerEndpoint) -> Result<D::Io, ProxyError> {
    let state = &origin.server.state;
    let limit = worker.deadlines.limit(worker.shared.timeouts.dial);
    // Boxed, as everything that most requests do not need: it would make each connection's task larger.
    match Box::pin(worker.dial.dial(origin, limit)).await {
        Ok(connection) => {
            state.note_connected();
            Ok(connection)
        }
        Err(cause) => {
            if matches!(cause, Cause::TimedOut) {
                worker.exceeded(Bound::Dial);
            }
            if cause.is_unreachable() {
                state.note_connect_failed(worker.clock.mono_nanos());
            }
            Err(ProxyError::new(ExchangePhase::Connect, cause))
        }
    }
}

/// Tries the server's addresses in turn; a name may have several.
async fn open(origin: &ServerEndpoint, limit: TimeLimit<'_>) -> Result<UpstreamConnection, Cause> {
    let addresses = origin.addresses.load();
    let mut failure = Cause::Unresolved;
    for address in addresses.iter() {
        match socket::connect(*address).await {
            Ok(tcp) => return finish(tcp, origin, limit).await,
            Err(e) => failure = Cause::Io(e),
        }
    }
    Err(failure)
}

async fn finish(tcp: Tcp, origin: &ServerEndpoint, limit: TimeLimit<'_>) -> Result<UpstreamConnection, Cause> {
    let Some((config, name)) = &origin.tls else {
        return Ok(Duplex { reader: UpstreamReader::Plain(tcp.reader), writer: UpstreamWriter::Plain(tcp.writer) });
    };
    let limit = limit.with(Duration::from_secs(limits::HANDSHAKE_SECS));
    match limit.within(tls_stream::connect(tcp, config.clone(), name.clone())).await {
        Ok(Ok(tls)) => Ok(Duplex {
            reader: UpstreamReader::Tls(Box::new(tls.reader)),
            writer: UpstreamWriter::Tls(Box::new(tls.writer)),
        }),
        Ok(Err(e)) if e.kind() == io::ErrorKind::InvalidData => Err(Cause::Tls(e.to_string())),
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
