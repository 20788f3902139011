//! Runs the two halves of one exchange at the same time: the request's body may still be sent while the response arrives.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs both futures until one of them is done: `response` with the response, or `body` with the reason why no response is awaited any
/// more. The other future is dropped, and its connection must then be closed.
pub fn race<A: Future, B: Future>(body: A, response: B) -> Race<A, B> {
    Race { body, response }
}

/// The future that was done first.
#[derive(Debug, PartialEq, Eq)]
pub enum First<A, B> {
    Upload(A),
    Response(B),
}

pin_project_lite::pin_project! {
    /// The future of [`race`]. Not an `async fn`, which would hold both futures twice: as its arguments and as the futures that it awaits.
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
