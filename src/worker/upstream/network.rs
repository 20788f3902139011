//! Connections to servers over the network: plain TCP or TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::config::snapshot::{ServerEndpoint, ServerProtocol};
use crate::detect::{ProxyVersion, local_header};
use crate::error::Cause;
use crate::limits;
use crate::net::tcp::{TcpReader, TcpWriter};
use crate::net::tls_stream::{self, TlsReader, TlsWriter};
use crate::net::{Duplex, Elapsed, ReadHalf, Tcp, TimeLimit, WriteHalf, socket};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::dial::{ConnectionTask, Dial, Dialled, VersionOffer};

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
        client: Option<&ClientInfo>,
        offer: VersionOffer,
        limit: TimeLimit<'_>,
    ) -> Result<Dialled<UpstreamConnection>, Cause> {
        limit.within(open(endpoint, client, offer, limit)).await.unwrap_or_else(|Elapsed| Err(Cause::TimedOut))
    }

    fn run(&self, task: ConnectionTask) {
        monoio::spawn(task);
    }
}

/// Connects to the server's addresses in turn, until one accepts; a name may have several.
async fn open(
    endpoint: &ServerEndpoint,
    client: Option<&ClientInfo>,
    offer: VersionOffer,
    limit: TimeLimit<'_>,
) -> Result<Dialled<UpstreamConnection>, Cause> {
    let addresses = endpoint.addresses.load();
    let mut failure = Cause::Unresolved;
    for address in addresses.iter() {
        match socket::connect(*address).await {
            Ok(mut tcp) => {
                if let Some(version) = endpoint.proxy_protocol {
                    // Boxed: most servers get no header.
                    Box::pin(send_proxy_header(&mut tcp, version, client)).await.map_err(Cause::Io)?;
                }
                return finish(tcp, endpoint, offer, limit).await;
            }
            Err(e) => failure = Cause::Io(e),
        }
    }
    Err(failure)
}

/// Begins a connection with the PROXY header of `client`, or with that of the proxy itself.
async fn send_proxy_header(tcp: &mut Tcp, version: ProxyVersion, client: Option<&ClientInfo>) -> io::Result<()> {
    let header = match client {
        Some(client) => client.proxy_header(version),
        None => local_header(version),
    };
    tcp.writer.write_all(header).await.0
}

async fn finish(
    tcp: Tcp,
    endpoint: &ServerEndpoint,
    offer: VersionOffer,
    limit: TimeLimit<'_>,
) -> Result<Dialled<UpstreamConnection>, Cause> {
    let Some(tls) = &endpoint.tls else {
        let io = Duplex { reader: UpstreamReader::Plain(tcp.reader), writer: UpstreamWriter::Plain(tcp.writer) };
        return Ok(Dialled { io, is_http2: endpoint.speaks == ServerProtocol::Http2 });
    };
    let config = match offer {
        VersionOffer::All => &tls.configs.any,
        VersionOffer::Http1 => &tls.configs.http1,
    };
    let limit = limit.with(Duration::from_secs(limits::HANDSHAKE_SECS));
    match limit.within(tls_stream::connect(tcp, Arc::clone(config), tls.name.clone())).await {
        Ok(Ok(tls)) => {
            // A server that agrees on no protocol speaks HTTP/1.1 (docs/reference/backends.md#version-of-http).
            let is_http2 = tls.with_session(|session| session.alpn() == Some(b"h2"));
            let io = Duplex {
                reader: UpstreamReader::Tls(Box::new(tls.reader)),
                writer: UpstreamWriter::Tls(Box::new(tls.writer)),
            };
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
