//! A connection to a server that one exchange at a time uses, and opening connections.

use crate::config::snapshot::ServerEndpoint;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::keep_alive::KeepAlive;
use crate::limits::Bound;
use crate::net::{Transport, WriteHalf};
use crate::observe::metrics::UpstreamCounters;
use crate::worker::message::h1;
use crate::worker::message::h1::read_buffer::ReadBuffer;
use crate::worker::pool::idle_until;
use crate::worker::resources::buffers::BufferPool;
use crate::worker::resources::client_info::{BoundState, ClientInfo};
use crate::worker::resources::dial::{Dial, Dialled, VersionOffer};
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

    /// Closes the connection, or keeps it for the next request as `reuse` says, if no unsolicited bytes have arrived. A connection that began
    /// with a PROXY header is never pooled: it belongs to the client that the header names. `announced`: what the
    /// server has announced in its last response. While the process drains, nothing is pooled. `offer`: the versions that were offered when
    /// the connection was opened.
    #[inline]
    pub fn release<D: Dial<Io = C>>(
        mut self,
        worker: &Worker<D>,
        endpoint: &ServerEndpoint,
        offer: VersionOffer,
        reuse: Reuse<'_>,
        announced: &KeepAlive,
    ) {
        let is_clean = self.received.is_empty();
        self.received.discard(&worker.buffers);
        let until_nanos = idle_until(worker.clock.mono_nanos(), announced);
        match reuse {
            Reuse::AllClients if is_clean && endpoint.proxy_protocol.is_none() && !worker.is_draining() => {
                worker.pool.put(pool_of(endpoint, offer), self.io, until_nanos, &worker.buffers);
            }
            Reuse::OneClient(client) if is_clean => worker.bound.put(client, endpoint.pool, self.io, until_nanos),
            _ => {}
        }
    }
}

/// The number of the pool of connections to the server on which `offer` was offered.
#[inline]
pub fn pool_of(endpoint: &ServerEndpoint, offer: VersionOffer) -> usize {
    match (&endpoint.tls, offer) {
        (Some(tls), VersionOffer::Http1) => tls.http1_pool,
        _ => endpoint.pool,
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

/// Opens a connection to a server and records the outcome: a server that cannot be reached several times in a row is ejected.
///
/// # Errors
/// The server cannot be reached, in time or at all.
pub async fn connect<D: Dial>(
    worker: &Worker<D>,
    endpoint: &ServerEndpoint,
    client: Option<&ClientInfo>,
    counters: Option<&UpstreamCounters>,
    offer: VersionOffer,
) -> Result<Dialled<D::Io>, ProxyError> {
    let state = &endpoint.server.state;
    let limit = worker.deadlines.limit(worker.shared.timeouts.dial);
    let began_nanos = counters.map(|_| worker.clock.read());
    let dialled = worker.dial.dial(endpoint, client, offer, limit).await;
    if let Some((counters, began_nanos)) = counters.zip(began_nanos) {
        match &dialled {
            Ok(_) => counters.connected(worker.clock.read().saturating_sub(began_nanos)),
            Err(_) => counters.connect_failed(),
        }
    }
    match dialled {
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
