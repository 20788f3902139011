//! Two halves of one exchange at the same time: a request's body goes up while its response may already come down.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs both until `response` is done; `body` may end before, and is abandoned (its connection must then be closed) if it does not.
/// Gives the body's outcome, if it had one by then, and the response's, unless the body's was fatal.
pub fn both<A, B: Future, P>(body: A, response: B, is_fatal: P) -> Both<A, B, P, A::Output>
where
    A: Future,
    P: FnMut(&A::Output) -> bool,
{
    Both { body, response, is_fatal, sent: None }
}

pin_project_lite::pin_project! {
    /// See [`both`]. Not an `async fn`: that would hold both futures twice, as its arguments and as what it awaits.
    pub struct Both<A, B, P, O> {
        #[pin]
        body: A,
        #[pin]
        response: B,
        is_fatal: P,
        sent: Option<O>,
    }
}

impl<A, B, P> Future for Both<A, B, P, A::Output>
where
    A: Future,
    B: Future,
    P: FnMut(&A::Output) -> bool,
{
    type Output = (Option<A::Output>, Option<B::Output>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.sent.is_none()
            && let Poll::Ready(outcome) = this.body.poll(cx)
        {
            let is_over = (this.is_fatal)(&outcome);
            *this.sent = Some(outcome);
            if is_over {
                return Poll::Ready((this.sent.take(), None));
            }
        }
        this.response.poll(cx).map(|received| (this.sent.take(), Some(received)))
    }
}
