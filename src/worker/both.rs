//! Two halves of one exchange at the same time: a request's body goes up while its response may already come down.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

/// Runs both until `response` is done; `body` may end before, and is abandoned (its connection must then be closed) if it does not.
/// Returns the response's outcome and the body's, if it had one by then.
pub async fn both<A, B>(
    body: impl Future<Output = A>,
    response: impl Future<Output = B>,
    mut is_fatal: impl FnMut(&A) -> bool,
) -> (Option<A>, Option<B>) {
    let mut body = pin!(body);
    let mut response = pin!(response);
    let mut sent = None;
    let received = std::future::poll_fn(|cx| {
        if sent.is_none()
            && let Poll::Ready(outcome) = body.as_mut().poll(cx)
        {
            let fatal = is_fatal(&outcome);
            sent = Some(outcome);
            if fatal {
                return Poll::Ready(None);
            }
        }
        response.as_mut().poll(cx).map(Some)
    })
    .await;
    (sent, received)
}
