//! A connection of a TCP route, from the white list to its log line (docs/reference/layer4.md#connections).

use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Either;

use super::record::TcpRecord;
use super::server::{ServerConnection, connect_to_server};
use super::terminate::terminate;
use crate::backend::Lease;
use crate::config::snapshot::TcpFrontend;
use crate::limits;
use crate::middleware::request_permit::RequestPermit;
use crate::net::tunnel::{TunnelBytes, TunnelEnd, TunnelOptions, TunnelOutcome, TunnelPeer, copy_both};
use crate::net::{Duplex, ReadHalf, Transport, WriteHalf};
use crate::observe::layer4::EndReason;
use crate::observe::metrics::BackendMetrics;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::dial::{ConnectionTask, Dial};
use crate::worker::worker::Worker;

/// The route of a connection.
pub struct ChosenRoute {
    pub frontend: Arc<TcpFrontend>,
    pub counters: Option<Arc<BackendMetrics>>,
    /// Whether the client's TLS ends here.
    pub terminates: bool,
    /// The server name that the client's handshake names.
    pub name: Option<Box<str>>,
}

/// Serves a connection to its end. What precedes the relay is a future of its own: a connection that waits should take little memory.
pub fn serve<R: ReadHalf + 'static, W: WriteHalf + 'static, D: Dial>(
    worker: Rc<Worker<D>>,
    io: Duplex<R, W>,
    peer: Box<ClientInfo>,
    route: ChosenRoute,
) -> impl Future<Output = ()> {
    Box::pin(begin(worker, io, peer, route)).then(|relay| match relay {
        Some(relay) => Either::Left(relay),
        None => Either::Right(ready(())),
    })
}

/// Admits a connection, ends its TLS if the route says so, and connects to a server. Returns the relay, if there is anything to relay.
async fn begin<R: ReadHalf + 'static, W: WriteHalf + 'static, D: Dial>(
    worker: Rc<Worker<D>>,
    mut io: Duplex<R, W>,
    mut peer: Box<ClientInfo>,
    route: ChosenRoute,
) -> Option<ConnectionTask> {
    let ChosenRoute { frontend, counters, terminates, name } = route;
    if let Some(arrival) = &mut peer.arrival {
        arrival.server_name.clone_from(&name);
    }
    let mut record = TcpRecord::begin(&worker, frontend, counters, &peer, name, terminates);
    let permit = match admit(&record.frontend, &peer) {
        Ok(permit) => permit,
        Err(reason) => {
            tracing::debug!(client = %peer.address, frontend = %record.frontend.name, "TCP connection closed: {}", reason.name());
            io.reader.abort();
            record.end = reason;
            return None;
        }
    };
    if !terminates {
        return connect(worker, io, peer, record, permit).await;
    }
    match Box::pin(terminate(&worker, io, &mut peer, &record.frontend)).await {
        Some(stream) => Box::pin(connect(worker, stream, peer, record, permit)).await,
        None => {
            record.end = EndReason::Handshake;
            None
        }
    }
}

/// Whether the frontend takes the connection; with the permit of its connection limit.
fn admit(frontend: &TcpFrontend, peer: &ClientInfo) -> Result<Option<RequestPermit>, EndReason> {
    let client = peer.address.ip();
    if frontend.white_list.as_ref().is_some_and(|list| !list.allows_address(client)) {
        return Err(EndReason::WhiteList);
    }
    match &frontend.max_conn {
        Some(limit) => limit.try_acquire(client).map(Some).ok_or(EndReason::ConnectionLimit),
        None => Ok(None),
    }
}

/// Connects to a server. The client of a connection that no server takes gets a reset.
async fn connect<T: Transport + 'static, D: Dial>(
    worker: Rc<Worker<D>>,
    mut client: T,
    peer: Box<ClientInfo>,
    mut record: TcpRecord<D>,
    permit: Option<RequestPermit>,
) -> Option<ConnectionTask> {
    match Box::pin(connect_to_server(&worker, &peer, &mut record)).await {
        Ok(ServerConnection { io: server, lease }) => {
            let relayed = Relayed { client, server, record, _lease: lease, _permit: permit };
            Some(Box::pin(relay_to_end(Box::new(relayed))))
        }
        Err(reason) => {
            client.split().0.abort();
            record.end = reason;
            None
        }
    }
}

/// A connection with its server.
struct Relayed<T, D: Dial> {
    client: T,
    server: D::Io,
    record: TcpRecord<D>,
    _lease: Lease,
    _permit: Option<RequestPermit>,
}

/// Relays until the connection ends.
async fn relay_to_end<T: Transport, D: Dial>(mut relayed: Box<Relayed<T, D>>) {
    let Relayed { client, server, record, .. } = &mut *relayed;
    let worker = &record.worker;
    let idle = worker.deadlines.limit(worker.shared.timeouts.tcp_idle);
    let options = TunnelOptions {
        pipes: &worker.buffers.pipes,
        reads_ahead: &worker.reads_ahead,
        idle_timeout: idle,
        half_closed_timeout: idle,
    };
    let outcome = relay(client, server, &record.bytes, &options).await;
    let terminates = record.terminates;
    record.end = match outcome {
        TunnelOutcome::Closed(TunnelPeer::Client) => EndReason::ClientClosed,
        TunnelOutcome::Closed(TunnelPeer::Server) => EndReason::ServerClosed,
        // The reset is passed on: an end in order would tell the other peer that it has the whole stream.
        TunnelOutcome::Failed { peer: TunnelPeer::Client, error, ended } => {
            let is_truncated = terminates && error.kind() == io::ErrorKind::UnexpectedEof;
            match is_truncated && ended.is_some() {
                // Many clients answer close_notify by closing the connection.
                true => EndReason::ServerClosed,
                false => {
                    server.split().0.abort();
                    if is_truncated { EndReason::ClientTruncated } else { EndReason::ClientReset }
                }
            }
        }
        TunnelOutcome::Failed { peer: TunnelPeer::Server, .. } => {
            client.split().0.abort();
            EndReason::ServerReset
        }
        TunnelOutcome::Idle => {
            // TLS ends with close_notify; a client that takes nothing cannot hold that up.
            if terminates {
                let linger = record.worker.deadlines.limit(Duration::from_secs(limits::LINGER_SECS));
                let _ = Box::pin(linger.within_io(client.split().1.shutdown())).await;
            }
            EndReason::Idle
        }
    };
}

/// Relays between two connections. Nearly all are plain sockets, whose relay takes much less memory than one that could do TLS too.
fn relay<'a, T: Transport, U: Transport>(
    client: &'a mut T,
    server: &'a mut U,
    bytes: &'a TunnelBytes,
    options: &'a TunnelOptions<'a>,
) -> Pin<Box<dyn Future<Output = TunnelOutcome> + 'a>> {
    let (reader, writer) = client.split();
    let (server_reader, server_writer) = server.split();
    let is_plain = reader.as_plain().is_some()
        && writer.as_plain().is_some()
        && server_reader.as_plain().is_some()
        && server_writer.as_plain().is_some();
    if !is_plain {
        return Box::pin(copy_both(end(reader, writer), end(server_reader, server_writer), bytes, options));
    }
    match (reader.as_plain(), writer.as_plain(), server_reader.as_plain(), server_writer.as_plain()) {
        (Some(reader), Some(writer), Some(server_reader), Some(server_writer)) => {
            Box::pin(copy_both(end(reader, writer), end(server_reader, server_writer), bytes, options))
        }
        // A plain socket stays one.
        _ => Box::pin(ready(TunnelOutcome::Idle)),
    }
}

fn end<'a, R, W>(reader: &'a mut R, writer: &'a mut W) -> TunnelEnd<'a, R, W> {
    TunnelEnd { reader, writer, received: Vec::new() }
}
