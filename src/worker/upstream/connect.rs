//! Gives a request its way to a server: a connection of its own, or a stream of one that requests share.

use super::connection::{ExclusiveConnection, dial, take_bound};
use super::shared_stream::SharedStream;
use crate::config::snapshot::{ServerEndpoint, ServerProtocol};
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::limits::Bound;
use crate::net::Elapsed;
use crate::worker::resources::client_info::BoundState;
use crate::worker::resources::context::UpstreamResponse;
use crate::worker::resources::dial::{Dial, Dialled, Offer};
use crate::worker::worker::Worker;

/// The connection of one exchange with a server.
pub enum ServerConnection<'w, D: Dial> {
    Exclusive(ExclusiveConnection<D::Io>),
    Shared(SharedStream<'w, D>),
}

/// What a request needs of its connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionNeeds {
    /// The request is a HEAD: its response has no body.
    pub is_head: bool,
    /// The request asks for an upgrade, so that the connection may become a tunnel.
    pub is_upgrade: bool,
    /// No other client's request may follow or accompany the request on its connection.
    pub is_exclusive: bool,
}

/// Takes an open connection to the server, or opens one. Returns also whether the connection was open already: the server may be about to
/// close it.
///
/// # Errors
/// The server cannot be reached, in time or at all, or does not offer what the request needs.
pub async fn obtain<'w, D: Dial>(
    worker: &'w Worker<D>,
    endpoint: &ServerEndpoint,
    needs: ConnectionNeeds,
    client: Option<&BoundState>,
    response: &UpstreamResponse,
) -> Result<(ServerConnection<'w, D>, bool), ProxyError> {
    if let Some(open) = take_open(worker, endpoint, needs, client, response) {
        return Ok((open, true));
    }
    // Boxed: few requests open a connection, and an unboxed future would make each handler larger.
    Ok((Box::pin(connect(worker, endpoint, needs)).await?, false))
}

/// An open connection to the server for the attempt whose response goes to `response`: the one that is bound to the client, else a stream of
/// a shared one, else a pooled one. A repeated request gets none. An upgrade gets only a bound one: a pooled one may be stale.
#[inline]
fn take_open<'w, D: Dial>(
    worker: &'w Worker<D>,
    endpoint: &ServerEndpoint,
    needs: ConnectionNeeds,
    client: Option<&BoundState>,
    response: &UpstreamResponse,
) -> Option<ServerConnection<'w, D>> {
    let exclusive = |io| ServerConnection::Exclusive(ExclusiveConnection::new(io));
    if response.repeated {
        return None;
    }
    if let Some(bound) = client.and_then(|client| take_bound(worker, endpoint, client)) {
        return Some(exclusive(bound));
    }
    if needs.is_upgrade || response.is_probe {
        return None;
    }
    if endpoint.speaks != ServerProtocol::Http1
        && !needs.is_exclusive
        && let Some(opened) = worker.server_links.open_stream(endpoint.pool, needs.is_head)
    {
        return Some(ServerConnection::Shared(SharedStream::new(worker, opened, false)));
    }
    worker.take_pooled(endpoint, response).map(exclusive)
}

/// Opens a connection to the server.
///
/// # Errors
/// The server cannot be reached, in time or at all, or does not offer what the request needs.
async fn connect<'w, D: Dial>(
    worker: &'w Worker<D>,
    endpoint: &ServerEndpoint,
    needs: ConnectionNeeds,
) -> Result<ServerConnection<'w, D>, ProxyError> {
    match endpoint.speaks {
        ServerProtocol::Http1 => {}
        ServerProtocol::Negotiated if needs.is_upgrade || needs.is_exclusive => {}
        _ => return connect_shared(worker, endpoint, needs).await,
    }
    let Dialled { io, .. } = dial(worker, endpoint, Offer::Http1).await?;
    Ok(ServerConnection::Exclusive(ExclusiveConnection::new(io)))
}

/// Opens a connection that requests share, or waits for the one that another request opens at the moment.
async fn connect_shared<'w, D: Dial>(
    worker: &'w Worker<D>,
    endpoint: &ServerEndpoint,
    needs: ConnectionNeeds,
) -> Result<ServerConnection<'w, D>, ProxyError> {
    let failed = |cause| ProxyError::new(ExchangePhase::Connect, cause);
    if needs.is_upgrade {
        return Err(failed(Cause::Unsupported("an h2c server takes no upgrades")));
    }
    if needs.is_exclusive {
        let Dialled { io, .. } = dial(worker, endpoint, Offer::All).await?;
        return open_on_new(worker, endpoint, needs, io);
    }
    let (links, pool) = (&worker.server_links, endpoint.pool);
    let limit = worker.deadlines.limit(worker.shared.timeouts.dial);
    let waiting = async {
        loop {
            if endpoint.speaks == ServerProtocol::Negotiated && links.speaks_http1(pool) {
                return Ok(None);
            }
            if let Some(guard) = links.begin_dial(pool) {
                return Ok(Some(guard));
            }
            links.dial_ended(pool).await?;
            if let Some(opened) = links.open_stream(pool, needs.is_head) {
                return Err(Opened::Stream(opened));
            }
        }
    };
    let guard = match limit.within(waiting).await {
        Ok(Ok(guard)) => guard,
        Ok(Err(Opened::Stream(opened))) => {
            return Ok(ServerConnection::Shared(SharedStream::new(worker, opened, false)));
        }
        Ok(Err(Opened::Failed(cause))) => return Err(failed(cause)),
        Err(Elapsed) => {
            worker.exceeded(Bound::Dial);
            return Err(failed(Cause::TimedOut));
        }
    };
    match dial(worker, endpoint, Offer::All).await {
        Ok(Dialled { io, is_http2: true }) => {
            links.note_speaks_http1(pool, false);
            open_on_new(worker, endpoint, needs, io)
        }
        Ok(Dialled { io, is_http2: false }) => {
            links.note_speaks_http1(pool, true);
            Ok(ServerConnection::Exclusive(ExclusiveConnection::new(io)))
        }
        Err(error) => {
            if let Some(guard) = guard {
                guard.failed(&error.cause);
            }
            Err(error)
        }
    }
}

/// Why a request has not to open a connection.
enum Opened<S> {
    Stream(S),
    Failed(Cause),
}

impl<S> From<Cause> for Opened<S> {
    fn from(cause: Cause) -> Self {
        Opened::Failed(cause)
    }
}

/// Takes the first stream of a new connection.
fn open_on_new<'w, D: Dial>(
    worker: &'w Worker<D>,
    endpoint: &ServerEndpoint,
    needs: ConnectionNeeds,
    io: D::Io,
) -> Result<ServerConnection<'w, D>, ProxyError> {
    let link = worker.server_links.insert(endpoint.pool, io, endpoint.tls.is_some(), needs.is_exclusive);
    // A new connection has a free stream: the server has announced no limit yet.
    let key = link.open(needs.is_head).ok_or_else(|| ProxyError::new(ExchangePhase::Connect, Cause::Closed))?;
    Ok(ServerConnection::Shared(SharedStream::new(worker, (link, key), needs.is_exclusive)))
}
