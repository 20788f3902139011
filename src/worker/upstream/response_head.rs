//! Waiting for the head of a response.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::limits;
use crate::limits::Bound;
use crate::worker::message::stream::{ReceivedHead, ResponseReader};
use crate::worker::resources::context::UpstreamResponse;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Reads the next head into `response`. `responseHeaderTimeout` begins once `request_sent` is true: the server
/// has the whole request then.
///
/// # Errors
/// The connection failed, the head cannot be understood, or `responseHeaderTimeout` has elapsed.
pub async fn read_head<R: ResponseReader, D: Dial>(
    worker: &Worker<D>,
    reader: &mut R,
    to_head: bool,
    request_sent: &Cell<bool>,
    response: &mut UpstreamResponse,
) -> Result<ReceivedHead, ProxyError> {
    let elapsed = || {
        worker.exceeded(Bound::ResponseHeader);
        ProxyError::new(ExchangePhase::Await, Cause::TimedOut)
    };
    let mut reading = pin!(reader.read_head(to_head, response));
    let Some(limit) = worker.shared.timeouts.response_header else { return reading.await };
    if !request_sent.get()
        && let Some(read) = until_set(request_sent, reading.as_mut()).await
    {
        return read;
    }
    // One limit for the whole head: a server that drips must not renew the limit with each byte.
    worker.deadlines.within(limit, reading).await.unwrap_or_else(|_| Err(elapsed()))
}

/// Reads the heads behind an informational response, up to the final one; each may take `responseHeaderTimeout`. `forward` gets each
/// informational response, the one in `response` first.
///
/// # Errors
/// See [`read_head`]; or there are more than [`limits::INFORMATIONAL_MAX`] informational responses.
pub async fn read_final_head<R: ResponseReader, D: Dial>(
    worker: &Worker<D>,
    reader: &mut R,
    to_head: bool,
    request_sent: &Cell<bool>,
    response: &mut UpstreamResponse,
    mut forward: impl AsyncFnMut(&UpstreamResponse),
) -> Result<(), ProxyError> {
    response.has_begun = true;
    for _ in 0..limits::INFORMATIONAL_MAX {
        forward(response).await;
        if read_head(worker, reader, to_head, request_sent, response).await? == ReceivedHead::Final {
            return Ok(());
        }
    }
    Err(ProxyError::new(ExchangePhase::Await, Cause::Malformed("too many informational responses")))
}

/// The output of `work`; `None` if another future of the same task sets `flag` first.
async fn until_set<F: Future>(flag: &Cell<bool>, mut work: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if flag.get() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}
