//! Sending a request's body, and the events that end a request before its response: a client that fails or disconnects, a server that stops
//! reading.

use std::cell::Cell;
use std::future::Future;
use std::io;

use super::attempt_error::AttemptError;
use crate::http::forward::write_100_continue;
use crate::limits::Bound;
use crate::net::TimeLimit;
use crate::worker::message::stream::{BodyReader, HeadKind, MessageWriter, RelayError};
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Sends `100 Continue`. The proxy sends it itself, as soon as the request has passed the chains and a server is connected.
pub async fn send_100_continue<W: MessageWriter>(client: &mut W, stall: TimeLimit<'_>) -> Result<(), AttemptError> {
    write_100_continue(client.head());
    client.head_complete(HeadKind::Interim);
    client.send(stall).await.map_err(|_| AttemptError::Downstream(None))
}

/// Limits the sending of a whole request body to `readTimeout`, if that is set
/// (docs/reference/static-configuration.md#timeouts).
pub async fn with_body_timeout<D: Dial>(
    worker: &Worker<D>,
    sending: impl Future<Output = Result<(), RelayError>>,
) -> Result<(), RelayError> {
    let Some(limit) = worker.shared.timeouts.body_read else { return sending.await };
    let elapsed = || {
        worker.exceeded(Bound::BodyRead);
        RelayError::Source(io::ErrorKind::TimedOut.into())
    };
    worker.deadlines.within(limit, sending).await.unwrap_or_else(|_| Err(elapsed()))
}

/// Why a request ends without its response.
pub enum UploadError {
    Downstream(RelayError),
    Upstream(io::Error),
}

/// Waits for an early response after the server has stopped reading the request body: for the stall timeout until the response has begun,
/// then until the client disconnects. Returns why the request ends without its response.
pub async fn await_early_response<R: BodyReader, D: Dial>(
    worker: &Worker<D>,
    client: &mut R,
    response_started: &Cell<bool>,
    error: io::Error,
) -> UploadError {
    match worker.stall().within(wait_for_disconnect(worker, client)).await {
        Ok(gone) => UploadError::Downstream(gone),
        Err(_) if response_started.get() => UploadError::Downstream(wait_for_disconnect(worker, client).await),
        Err(_) => UploadError::Upstream(error),
    }
}

/// Waits until the client has disconnected while its response is awaited or sent: the request is cancelled then
/// (docs/reference/backends.md#client-disconnect).
pub async fn wait_for_disconnect<R: BodyReader, D: Dial>(worker: &Worker<D>, client: &mut R) -> RelayError {
    while !client.disconnects(&worker.deadlines).await {}
    client_gone()
}

/// The failure of a client that has disconnected.
pub fn client_gone() -> RelayError {
    RelayError::Source(io::ErrorKind::ConnectionAborted.into())
}
