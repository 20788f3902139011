//! Finds a connection to a server for an exchange: a pooled or shared one, or a new one.

use std::future::poll_fn;
use std::rc::Rc;

use super::connection::{ExclusiveConnection, connect, pool_of};
use super::link_task::run_link;
use crate::config::snapshot::{ServerEndpoint, ServerProtocol};
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::h1::progress::HeadLimits;
use crate::http::h2::connection::{Connection, LocalSettings, StreamKey};
use crate::limits::{self, Bound};
use crate::observe::metrics::{ConnectionSource, UpstreamCounters};
use crate::worker::message::h2;
use crate::worker::message::h2::link::Link;
use crate::worker::resources::client_info::{BoundState, ClientInfo};
use crate::worker::resources::dial::{Dial, Dialled, VersionOffer};
use crate::worker::server_links::{Agreed, DialGuard, Place, Server};
use crate::worker::worker::Worker;

/// A connection for one exchange.
pub enum ServerConnection<'w, C> {
    Exclusive(ExclusiveConnection<C>),
    Shared(SharedConnection<'w>),
}

/// A part of a connection that other exchanges use at the same time.
pub struct SharedConnection<'w>(Place<'w>);

impl<C> ServerConnection<'_, C> {
    /// The source of a connection that was open already.
    #[inline]
    pub fn source(&self) -> ConnectionSource {
        match self {
            ServerConnection::Exclusive(_) => ConnectionSource::Pooled,
            ServerConnection::Shared(_) => ConnectionSource::Shared,
        }
    }
}

impl SharedConnection<'_> {
    /// The exchange on this connection.
    pub fn stream<'a, D: Dial>(&'a mut self, worker: &'a Worker<D>) -> h2::Stream<'a> {
        h2::Stream::upstream(&self.0.link, self.0.key, &worker.buffers)
    }
}

/// The requirements of an exchange on its connection.
#[derive(Clone, Copy, Default)]
pub struct Requirements<'a> {
    /// The client for whom the exchange is made.
    pub client: Option<&'a ClientInfo>,
    /// The client connection whose bound connection the exchange may use.
    pub owner: Option<&'a BoundState>,
    /// The request asks for a switch to another protocol.
    pub is_upgrade: bool,
    /// The request has credentials that authenticate the connection.
    pub binds: bool,
    /// The request is a HEAD: its response has no body.
    pub is_head: bool,
    /// The request is sent again, because a connection turned out to be stale: it gets a new one.
    pub is_repeated: bool,
    /// The exchange probes an ejected server.
    pub is_probe: bool,
    /// The server has refused the request over HTTP/2.
    pub needs_exclusive: bool,
    /// Counts the connection, with `[metrics]`.
    pub counters: Option<&'a UpstreamCounters>,
}

impl Requirements<'_> {
    /// The versions that a new connection may speak.
    pub fn offer(&self, endpoint: &ServerEndpoint) -> VersionOffer {
        match endpoint.speaks {
            ServerProtocol::Negotiated if self.is_upgrade || self.binds || self.needs_exclusive => VersionOffer::Http1,
            _ => VersionOffer::All,
        }
    }
}

/// Whether the server has refused a request because it takes it over HTTP/1.1 only.
pub fn requires_exclusive(error: &ProxyError) -> bool {
    matches!(&error.cause, Cause::Io(cause) if h2::failure::requires_http1(cause))
}

/// A connection that is open already: the one that is bound to the client, else a shared or a pooled one. A repeated request gets none.
#[inline]
pub fn take_open<'w, D: Dial>(
    worker: &'w Worker<D>,
    endpoint: &ServerEndpoint,
    needs: &Requirements<'_>,
) -> Option<ServerConnection<'w, D::Io>> {
    if needs.is_repeated {
        return None;
    }
    let offer = needs.offer(endpoint);
    let exclusive = |io| ServerConnection::Exclusive(ExclusiveConnection::new(io));
    if let Some(owner) = needs.owner
        && owner.has_owner()
        && let Some(bound) = worker.bound.take(owner, endpoint.pool, worker.clock.mono_nanos())
    {
        return Some(exclusive(bound));
    }
    // An upgrade gets a new connection, which cannot turn out to be stale.
    if needs.is_probe || (needs.is_upgrade && endpoint.speaks != ServerProtocol::Http2) {
        return None;
    }
    if endpoint.speaks != ServerProtocol::Http1 && offer == VersionOffer::All {
        if needs.binds || needs.is_upgrade {
            return None;
        }
        if let Some(place) = worker.server_links.open(endpoint.pool, needs.is_head) {
            return Some(ServerConnection::Shared(shared(worker, endpoint, place)));
        }
        if endpoint.speaks == ServerProtocol::Http2 {
            return None;
        }
    }
    worker.pool.take(pool_of(endpoint, offer), worker.clock.mono_nanos()).map(exclusive)
}

/// Opens a connection, or waits for a place on one that another request opens.
///
/// # Errors
/// The server cannot be reached, in time or at all, or cannot take the request over the HTTP version that it speaks.
pub async fn open<'w, D: Dial>(
    worker: &'w Worker<D>,
    endpoint: &ServerEndpoint,
    needs: Requirements<'_>,
) -> Result<ServerConnection<'w, D::Io>, ProxyError> {
    let offer = needs.offer(endpoint);
    if endpoint.speaks == ServerProtocol::Http1 || offer == VersionOffer::Http1 {
        let dialled = connect(worker, endpoint, needs.client, needs.counters, offer).await?;
        return Ok(ServerConnection::Exclusive(ExclusiveConnection::new(dialled.io)));
    }
    if needs.binds {
        // No other client may use a connection that a client authenticates.
        let dialled = connect(worker, endpoint, needs.client, needs.counters, offer).await?;
        return first_place(worker, endpoint, &needs, dialled, None);
    }
    match needs.is_upgrade {
        true => open_tunnel(worker, endpoint, &needs).await,
        false => open_shared(worker, endpoint, &needs).await,
    }
}

/// Takes a place on a connection that requests share, or opens such a connection. While one is being opened, other requests wait for it:
/// a burst of requests needs no burst of connections.
async fn open_shared<'w, D: Dial>(
    worker: &'w Worker<D>,
    endpoint: &ServerEndpoint,
    needs: &Requirements<'_>,
) -> Result<ServerConnection<'w, D::Io>, ProxyError> {
    let server = worker.server_links.server(endpoint.pool);
    let limit = worker.shared.timeouts.dial;
    let mut needs_new = needs.is_probe;
    let waiting = async {
        loop {
            if !std::mem::take(&mut needs_new)
                && let Some(place) = worker.server_links.open(endpoint.pool, needs.is_head)
            {
                return Ok(Turn::Open(place));
            }
            if server.agreed() == Some(Agreed::Http1) {
                return Ok(Turn::Dials(None));
            }
            match server.begin_dial() {
                Some(guard) => return Ok(Turn::Dials(Some(guard))),
                None => server.changed().await?,
            }
        }
    };
    let guard = match worker.deadlines.within(limit, waiting).await {
        Ok(Ok(Turn::Open(place))) => {
            if let Some(counters) = needs.counters {
                counters.connection(ConnectionSource::Shared);
            }
            return Ok(ServerConnection::Shared(shared(worker, endpoint, place)));
        }
        Ok(Ok(Turn::Dials(guard))) => guard,
        Ok(Err(cause)) => return Err(ProxyError::new(ExchangePhase::Connect, cause)),
        Err(_) => {
            worker.exceeded(Bound::Dial);
            return Err(ProxyError::new(ExchangePhase::Connect, Cause::TimedOut));
        }
    };
    let dialled = match connect(worker, endpoint, needs.client, needs.counters, VersionOffer::All).await {
        Ok(dialled) => dialled,
        Err(error) => {
            guard.into_iter().for_each(|guard| guard.failed(&error.cause));
            return Err(error);
        }
    };
    server.set_agreed(if dialled.is_http2 { Agreed::Http2 } else { Agreed::Http1 });
    let connection = first_place(worker, endpoint, needs, dialled, Some(&server));
    drop(guard);
    connection
}

/// How a request that may share a connection goes on.
enum Turn {
    Open((Rc<Link>, StreamKey)),
    /// The request opens a connection. With a guard others wait for it; without, the server has agreed on a version that is not shared.
    Dials(Option<DialGuard>),
}

/// The first place on a new connection. `server`: where other requests find the connection; `None` if they must not use it.
fn first_place<'w, D: Dial>(
    worker: &'w Worker<D>,
    endpoint: &ServerEndpoint,
    needs: &Requirements<'_>,
    dialled: Dialled<D::Io>,
    server: Option<&Rc<Server>>,
) -> Result<ServerConnection<'w, D::Io>, ProxyError> {
    if !dialled.is_http2 {
        return Ok(ServerConnection::Exclusive(ExclusiveConnection::new(dialled.io)));
    }
    let link = Rc::new(Link::upstream(Connection::client(settings(), endpoint.tls.is_some())));
    let place = link.with(|connection| connection.open(needs.is_head));
    if let Some(server) = server {
        server.insert(Rc::clone(&link));
    }
    let (Some(itself), Some(key)) = (worker.itself(), place) else {
        let cause = Cause::Unsupported("the worker has ended, or the connection takes no request");
        return Err(ProxyError::new(ExchangePhase::Connect, cause));
    };
    let task = run_link(itself, Rc::clone(&link), dialled.io, server.cloned(), endpoint.url.clone());
    worker.dial.run(Box::pin(task));
    let mut connection = shared(worker, endpoint, (link, key));
    if server.is_none() {
        connection.0.end_connection();
    }
    Ok(ServerConnection::Shared(connection))
}

/// A place for a tunnel, on a connection of a server that supports tunnels on its streams (RFC 8441).
async fn open_tunnel<'w, D: Dial>(
    worker: &'w Worker<D>,
    endpoint: &ServerEndpoint,
    needs: &Requirements<'_>,
) -> Result<ServerConnection<'w, D::Io>, ProxyError> {
    let connection = open_shared(worker, endpoint, needs).await?;
    let ServerConnection::Shared(SharedConnection(place)) = &connection else { return Ok(connection) };
    let has_settings = poll_fn(|cx| {
        place.link.poll_stream(place.key, cx, |connection| {
            (connection.has_peer_settings() || connection.failure(place.key).is_some()).then_some(())
        })
    });
    let waited = worker.deadlines.within(worker.shared.timeouts.dial, has_settings).await;
    if waited.is_err() {
        worker.exceeded(Bound::Dial);
        return Err(ProxyError::new(ExchangePhase::Connect, Cause::TimedOut));
    }
    if place.link.with(|connection| connection.open_tunnel(place.key)) {
        return Ok(connection);
    }
    let cause = Cause::Unsupported(
        "it does not announce WebSockets over HTTP/2 (RFC 8441); if it also speaks HTTP/1.1, use http:// or https:// in its URL",
    );
    Err(ProxyError::new(ExchangePhase::Connect, cause))
}

fn shared<'w, D: Dial>(
    worker: &'w Worker<D>,
    endpoint: &ServerEndpoint,
    place: (Rc<Link>, StreamKey),
) -> SharedConnection<'w> {
    SharedConnection(Place::new(place, &worker.server_links, &worker.buffers, endpoint.pool))
}

fn settings() -> LocalSettings {
    LocalSettings {
        streams_max: limits::SERVER_STREAMS_MAX,
        head: HeadLimits::RESPONSE,
        stream_window: limits::STREAM_WINDOW_BYTES,
        connection_window: limits::CONNECTION_WINDOW_BYTES,
        connect_protocol: false,
    }
}
