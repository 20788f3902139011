//! A request's body on its way up, and what ends a request before its answer: a client that fails or goes, a backend that takes no more.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::time::Duration;

use super::Worker;
use super::bounds::invalid_body;
use super::forward::AttemptError;
use super::relay::RelayError;
use super::send::send;
use super::upstream::Dial;
use crate::http::RejectedRequest;
use crate::http::Reply;
use crate::http::forward::write_100_continue;
use crate::limits::{self, Bound};
use crate::net::{ReadHalf, Transport};

/// `100 Continue` comes from the proxy, as soon as the request has passed the chain and a server is connected.
pub async fn send_100_continue<T: Transport, D: Dial>(client: &mut T, worker: &Worker<D>) -> Result<(), AttemptError> {
    let mut invitation = worker.buffers.lend();
    write_100_continue(&mut invitation);
    let (result, invitation) = send(client.split().1, invitation, worker.stall()).await;
    worker.buffers.give_back(invitation);
    result.map_err(|_| AttemptError::Downstream(None))
}

/// A whole request body in the time that `readTimeout` gives, if it gives one (docs/reference/static-configuration.md#timeouts).
pub async fn with_body_timeout<D: Dial>(
    worker: &Worker<D>,
    sending: impl Future<Output = Result<(), RelayError>>,
) -> Result<(), RelayError> {
    let Some(limit) = worker.shared.timeouts.body_read else { return sending.await };
    let late = || {
        worker.exceeded(Bound::BodyRead);
        RelayError::Source(io::ErrorKind::TimedOut.into())
    };
    worker.deadlines.within(limit, sending).await.unwrap_or_else(|_| Err(late()))
}

/// Why a request ends without its answer.
pub enum UploadError {
    Client(RelayError),
    Backend(io::Error),
}

/// The backend takes no more of the request: it may still answer, but is not waited for any longer than it could have stood still.
pub async fn await_early_response<R: ReadHalf, D: Dial>(
    worker: &Worker<D>,
    client: &mut R,
    began: &Cell<bool>,
    error: io::Error,
) -> UploadError {
    match worker.stall().within(wait_for_disconnect(worker, client)).await {
        Ok(gone) => UploadError::Client(gone),
        Err(_) if began.get() => UploadError::Client(wait_for_disconnect(worker, client).await),
        Err(_) => UploadError::Backend(error),
    }
}

/// Ends when the client has gone while its answer is awaited or on its way: then nobody needs it any more (docs/reference/backends.md#client-disconnect). Looking once a
/// second costs quick requests next to nothing, and leaves the ring out of it.
pub async fn wait_for_disconnect<R: ReadHalf, D: Dial>(worker: &Worker<D>, client: &mut R) -> RelayError {
    loop {
        worker.deadlines.pause(Duration::from_millis(limits::DISCONNECT_POLL_MILLIS)).await;
        if client.is_closed_by_peer() {
            return RelayError::Source(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

/// The client's part of a failure: words if it is still there.
pub fn downstream_error(error: RelayError) -> AttemptError {
    let RelayError::Source(error) = error else { return AttemptError::Downstream(None) };
    AttemptError::Downstream(match invalid_body(&error) {
        Some(invalid) => Some(RejectedRequest::from(invalid.0).reply()),
        None if error.kind() == io::ErrorKind::TimedOut => Some(Reply::text(408, "Request Timeout")),
        None => None,
    })
}
