//! Connections to backends: dialling, and the idle ones each worker keeps.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::time::Duration;

use monoio::time::timeout;

use super::Worker;
use crate::config::snapshot::Origin;
use crate::error::{Cause, Phase, ProxyError};
use crate::limits;
use crate::net::secure::{self, SecureReader, SecureWriter};
use crate::net::tcp::{TcpReader, TcpWriter};
use crate::net::{Duplex, ReadHalf, Tcp, Transport, WriteHalf, socket};

/// How a worker opens a connection to a server; tests give one that needs no network.
pub trait Dial: 'static {
    type Io: Transport + 'static;

    /// Opens a connection, TLS included, within `limit`.
    fn dial(&self, origin: &Origin, limit: Duration) -> impl Future<Output = Result<Self::Io, Cause>>;
}

/// Dialling over the network.
#[derive(Debug, Clone, Copy, Default)]
pub struct NetworkDial;

/// A connection to a backend, plain or TLS.
pub type Upstream = Duplex<UpstreamReader, UpstreamWriter>;

pub enum UpstreamReader {
    Plain(TcpReader),
    Tls(SecureReader<TcpReader>),
}

pub enum UpstreamWriter {
    Plain(TcpWriter),
    Tls(SecureWriter<TcpWriter>),
}

impl Dial for NetworkDial {
    type Io = Upstream;

    async fn dial(&self, origin: &Origin, limit: Duration) -> Result<Upstream, Cause> {
        match timeout(limit, open(origin)).await {
            Ok(opened) => opened,
            Err(_) => Err(Cause::TimedOut),
        }
    }
}

/// Opens a connection to a server and remembers how that went: one that cannot be reached is set aside.
pub async fn connect<D: Dial>(worker: &Worker<D>, origin: &Origin) -> Result<D::Io, ProxyError> {
    let state = &origin.server.state;
    match worker.dial.dial(origin, worker.shared.timeouts.dial).await {
        Ok(connection) => {
            state.note_connected();
            Ok(connection)
        }
        Err(cause) => {
            if cause.is_unreachable() {
                state.note_connect_failed(worker.clock.mono_nanos());
            }
            Err(ProxyError::new(Phase::Connect, cause))
        }
    }
}

/// Tries the server's addresses in turn; a name may have several.
async fn open(origin: &Origin) -> Result<Upstream, Cause> {
    let addresses = origin.addresses.load();
    let mut failure = Cause::Unresolved;
    for address in addresses.iter() {
        match socket::connect(*address).await {
            Ok(tcp) => return finish(tcp, origin).await,
            Err(e) => failure = Cause::Io(e),
        }
    }
    Err(failure)
}

async fn finish(tcp: Tcp, origin: &Origin) -> Result<Upstream, Cause> {
    let Some((config, name)) = &origin.tls else {
        return Ok(Duplex { reader: UpstreamReader::Plain(tcp.reader), writer: UpstreamWriter::Plain(tcp.writer) });
    };
    let handshake =
        timeout(Duration::from_secs(limits::HANDSHAKE_SECS), secure::connect(tcp, config.clone(), name.clone()));
    match handshake.await {
        Ok(Ok(tls)) => Ok(Duplex { reader: UpstreamReader::Tls(tls.reader), writer: UpstreamWriter::Tls(tls.writer) }),
        Ok(Err(e)) if e.kind() == io::ErrorKind::InvalidData => Err(Cause::Tls(e.to_string())),
        Ok(Err(e)) => Err(Cause::Io(e)),
        Err(_) => Err(Cause::TimedOut),
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

    fn is_quiet(&mut self) -> bool {
        match self {
            UpstreamReader::Plain(half) => half.is_quiet(),
            UpstreamReader::Tls(half) => half.is_quiet(),
        }
    }

    fn as_plain(&mut self) -> Option<&mut TcpReader> {
        match self {
            UpstreamReader::Plain(half) => Some(half),
            UpstreamReader::Tls(_) => None,
        }
    }

    fn is_gone(&mut self) -> bool {
        match self {
            UpstreamReader::Plain(half) => half.is_gone(),
            UpstreamReader::Tls(half) => half.is_gone(),
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

/// A worker's idle connections, by server. The last one put in is the first taken out: the warm ones stay warm, the rest ages out.
pub struct Pool<C> {
    /// By the server's number: they are small and dense.
    idle: RefCell<Vec<Vec<Idle<C>>>>,
    per_server_max: usize,
}

struct Idle<C> {
    connection: C,
    since_nanos: u64,
}

impl<C: Transport> Pool<C> {
    /// `per_server_max`: idle connections kept for one server by this worker (`maxIdleConnsPerHost`).
    pub fn new(per_server_max: usize) -> Self {
        Pool { idle: RefCell::default(), per_server_max }
    }

    /// A connection that is still open and on which nothing unasked has arrived. `pool` is the server's number.
    pub fn take(&self, pool: usize, now_nanos: u64) -> Option<C> {
        loop {
            let mut found = self.idle.borrow_mut().get_mut(pool)?.pop()?;
            let is_fresh = now_nanos.saturating_sub(found.since_nanos) < idle_nanos_max();
            if is_fresh && found.connection.split().0.is_quiet() {
                return Some(found.connection);
            }
        }
    }

    /// Keeps a connection whose last exchange ended cleanly.
    pub fn put(&self, pool: usize, connection: C, now_nanos: u64) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() <= pool {
            idle.resize_with(pool + 1, Vec::new);
        }
        let list = &mut idle[pool];
        if list.len() < self.per_server_max {
            list.push(Idle { connection, since_nanos: now_nanos });
        }
    }

    /// Closes what has been idle too long.
    pub fn sweep(&self, now_nanos: u64) {
        for list in self.idle.borrow_mut().iter_mut() {
            list.retain(|idle| now_nanos.saturating_sub(idle.since_nanos) < idle_nanos_max());
        }
    }

    /// Closes all of them: descriptors are wanted elsewhere.
    pub fn clear(&self) {
        self.idle.borrow_mut().iter_mut().for_each(Vec::clear);
    }

    /// Idle connections at this moment.
    pub fn len(&self) -> usize {
        self.idle.borrow().iter().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn idle_nanos_max() -> u64 {
    limits::UPSTREAM_IDLE_SECS * 1_000_000_000
}
