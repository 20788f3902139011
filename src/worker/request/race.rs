//! Two halves of one exchange at the same time: a request's body goes up while its response may already come down.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs both until `response` is done, or until `body` says that none is waited for any more; the other one is abandoned, and its connection
/// must then be closed.
pub fn race<A: Future, B: Future>(body: A, response: B) -> Race<A, B> {
    Race { body, response }
}

/// Which of the two has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum First<A, B> {
    Upload(A),
    Response(B),
}

pin_project_lite::pin_project! {
    /// See [`both`]. Not an `async fn`: that would hold both futures twice, as its arguments and as what it awaits.
    pub struct Race<A, B> {
        #[pin]
        body: A,
        #[pin]
        response: B,
    }
}

impl<A: Future, B: Future> Future for Race<A, B> {
    type Output = First<A::Output, B::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(outcome) = this.body.poll(cx) {
            return Poll::Ready(First::Upload(outcome));
        }
        this.response.poll(cx).map(First::Response)
    }
}
