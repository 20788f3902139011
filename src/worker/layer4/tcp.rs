//! A connection of a TCP route, from the white list to its log line (docs/reference/layer4.md#connections).

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::record::TcpRecord;
use super::server::{ServerConnection, connect_to_server};
use super::terminate::terminate;
use crate::config::snapshot::TcpFrontend;
use crate::limits;
use crate::middleware::tcp_max_conn::TcpMaxConn;
use crate::net::tunnel::{TunnelEnd, TunnelOptions, TunnelOutcome, TunnelPeer, copy_both};
use crate::net::{Duplex, ReadHalf, Transport, WriteHalf};
use crate::observe::layer4::EndReason;
use crate::observe::metrics::BackendMetrics;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::dial::Dial;
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

/// Serves a connection to its end. A graceful shutdown waits for it as for a request.
pub async fn serve<R: ReadHalf + 'static, W: WriteHalf + 'static, D: Dial>(
    worker: &Rc<Worker<D>>,
    mut io: Duplex<R, W>,
    mut peer: Box<ClientInfo>,
    route: ChosenRoute,
) {
    let ChosenRoute { frontend, counters, terminates, name } = route;
    let _active = worker.begin_request();
    if let Some(arrival) = &mut peer.arrival {
        arrival.server_name.clone_from(&name);
    }
    let mut record = TcpRecord::begin(worker, frontend, counters, &peer, name, terminates);
    let client = peer.address.ip();
    if record.frontend.white_list.as_ref().is_some_and(|list| !list.allows_address(client)) {
        tracing::debug!(client = %peer.address, frontend = %record.frontend.name, "TCP connection closed: not in the white list");
        io.reader.abort();
        record.end = EndReason::WhiteList;
        return;
    }
    let limit = record.frontend.max_conn.as_ref().map(|limit: &TcpMaxConn| limit.try_acquire(client));
    let _permit = match limit {
        Some(None) => {
            tracing::debug!(client = %peer.address, frontend = %record.frontend.name, "TCP connection closed: connection limit reached");
            io.reader.abort();
            record.end = EndReason::ConnectionLimit;
            return;
        }
        permit => permit.flatten(),
    };
    record.end = match terminates {
        false => pass_on(worker, io, peer, &mut record).await,
        true => match Box::pin(terminate(worker, io, &mut peer, &record.frontend)).await {
            Some(stream) => Box::pin(pass_on(worker, stream, peer, &mut record)).await,
            None => EndReason::Handshake,
        },
    };
}

/// Connects to a server and relays until the connection ends. The client of a connection that no server takes gets a reset.
async fn pass_on<T: Transport, D: Dial>(
    worker: &Worker<D>,
    mut client: T,
    peer: Box<ClientInfo>,
    record: &mut TcpRecord<D>,
) -> EndReason {
    let connected = Box::pin(connect_to_server(worker, &peer, record)).await;
    // An idle connection holds no more than it needs.
    drop(peer);
    let ServerConnection { io: mut server, lease } = match connected {
        Ok(connection) => connection,
        Err(reason) => {
            client.split().0.abort();
            return reason;
        }
    };
    let outcome = relay(worker, &mut client, &mut server, record).await;
    let terminates = record.terminates;
    let reason = match outcome {
        TunnelOutcome::Closed(TunnelPeer::Client) => EndReason::ClientClosed,
        TunnelOutcome::Closed(TunnelPeer::Server) => EndReason::ServerClosed,
        // The reset is passed on: an end in order would tell the other peer that it has the whole stream.
        TunnelOutcome::Failed { peer: TunnelPeer::Client, error, ended } => {
            let is_truncated = terminates && error.kind() == io::ErrorKind::UnexpectedEof;
            if is_truncated && ended.is_some() {
                // Many clients answer close_notify by closing the connection.
                return EndReason::ServerClosed;
            }
            server.split().0.abort();
            if is_truncated { EndReason::ClientTruncated } else { EndReason::ClientReset }
        }
        TunnelOutcome::Failed { peer: TunnelPeer::Server, .. } => {
            client.split().0.abort();
            EndReason::ServerReset
        }
        TunnelOutcome::Idle => {
            // TLS ends with close_notify; a client that takes nothing cannot hold that up.
            if terminates {
                let linger = worker.deadlines.limit(Duration::from_secs(limits::LINGER_SECS));
                let _ = Box::pin(linger.within_io(client.split().1.shutdown())).await;
            }
            EndReason::Idle
        }
    };
    drop(lease);
    reason
}

async fn relay<T: Transport, U: Transport, D: Dial>(
    worker: &Worker<D>,
    client: &mut T,
    server: &mut U,
    record: &TcpRecord<D>,
) -> TunnelOutcome {
    let idle = worker.deadlines.limit(worker.shared.timeouts.tcp_idle);
    let options = TunnelOptions {
        pipes: &worker.buffers.pipes,
        reads_ahead: &worker.reads_ahead,
        idle_timeout: idle,
        half_closed_timeout: idle,
    };
    let (reader, writer) = client.split();
    let (server_reader, server_writer) = server.split();
    // Nearly all connections are plain sockets, whose relay takes much less memory than one that could do TLS too.
    if let (Some(server_reader), Some(server_writer)) = (server_reader.as_plain(), server_writer.as_plain()) {
        let server = end(server_reader, server_writer);
        if let (Some(reader), Some(writer)) = (reader.as_plain(), writer.as_plain()) {
            return Box::pin(copy_both(end(reader, writer), server, &record.bytes, &options)).await;
        }
        return Box::pin(copy_both(end(reader, writer), server, &record.bytes, &options)).await;
    }
    Box::pin(copy_both(end(reader, writer), end(server_reader, server_writer), &record.bytes, &options)).await
}

fn end<'a, R, W>(reader: &'a mut R, writer: &'a mut W) -> TunnelEnd<'a, R, W> {
    TunnelEnd { reader, writer, received: Vec::new() }
}
