//! A future that is made once and does one job after the other, so that a job allocates nothing; what it needs while it works is held
//! by nobody who only waits for the next job.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A worker of its own: takes a job, gives an outcome, one at a time.
pub struct ReusableFuture<J, O> {
    working: Pin<Box<dyn Future<Output = ()>>>,
    desk: Rc<JobSlot<J, O>>,
}

/// Where a job waits to be done, or its outcome for its taker.
struct JobSlot<J, O> {
    job: Cell<Option<J>>,
    outcome: Cell<Option<O>>,
    is_busy: Cell<bool>,
}

impl<J: 'static, O: 'static> ReusableFuture<J, O> {
    /// `work` is called for one job after the other.
    pub fn new<F: Future<Output = O> + 'static>(mut work: impl FnMut(J) -> F + 'static) -> Self {
        let desk = Rc::new(JobSlot { job: Cell::default(), outcome: Cell::default(), is_busy: Cell::default() });
        let inner = Rc::clone(&desk);
        let working = Box::pin(async move {
            loop {
                let job = poll_fn(|_| inner.job.take().map_or(Poll::Pending, Poll::Ready)).await;
                let outcome = work(job).await;
                inner.outcome.set(Some(outcome));
            }
        });
        ReusableFuture { working, desk }
    }

    /// Takes a job on; it is begun when its outcome is asked for. Nothing is under way.
    pub fn submit(&mut self, job: J) {
        debug_assert!(!self.is_busy());
        self.desk.is_busy.set(true);
        self.desk.job.set(Some(job));
    }

    /// Takes a job on and begins it: an operation is handed to the driver when it is polled for the first time.
    pub fn start(&mut self, job: J) {
        self.submit(job);
        let _ = self.poll_ready(&mut Context::from_waker(Waker::noop()));
    }

    /// A job has been taken on and its outcome not been taken.
    pub fn is_busy(&self) -> bool {
        self.desk.is_busy.get()
    }

    /// Whether the outcome is there; if not, `cx` is woken when it is.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // It never ends: after each job it waits for the next one.
        let _ = self.working.as_mut().poll(cx);
        let outcome = self.desk.outcome.take();
        let state = if outcome.is_some() { Poll::Ready(()) } else { Poll::Pending };
        self.desk.outcome.set(outcome);
        state
    }

    /// The outcome. Only what has been taken on can be waited for.
    pub fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<O> {
        let _ = self.working.as_mut().poll(cx);
        let Some(outcome) = self.desk.outcome.take() else { return Poll::Pending };
        self.desk.is_busy.set(false);
        Poll::Ready(outcome)
    }

    /// Does one job.
    pub async fn run(&mut self, job: J) -> O {
        self.submit(job);
        poll_fn(|cx| self.poll_output(cx)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_goes_on_while_nobody_waits_and_its_outcome_is_kept() {
        let arrived = Rc::new(Cell::new(false));
        let socket = Rc::clone(&arrived);
        let mut reader = ReusableFuture::new(move |mut buffer: Vec<u8>| {
            let socket = Rc::clone(&socket);
            async move {
                poll_fn(|_| if socket.get() { Poll::Ready(()) } else { Poll::Pending }).await;
                buffer.extend_from_slice(b"answer");
                buffer
            }
        });
        let mut cx = Context::from_waker(Waker::noop());
        assert!(!reader.is_busy());
        for _ in 0..2 {
            arrived.set(false);
            reader.start(Vec::new());
            assert!(reader.is_busy() && reader.poll_output(&mut cx).is_pending());
            arrived.set(true);
            assert!(reader.poll_ready(&mut cx).is_ready() && reader.is_busy(), "looking does not take it");
            let Poll::Ready(bytes) = reader.poll_output(&mut cx) else { panic!("no outcome") };
            assert_eq!(bytes, b"answer");
            assert!(!reader.is_busy());
        }
    }

    #[test]
    fn a_job_is_not_begun_before_somebody_waits_for_it() {
        let begun = Rc::new(Cell::new(0));
        let count = Rc::clone(&begun);
        let mut resident = ReusableFuture::new(move |job: u32| {
            count.set(count.get() + job);
            async move { job * 2 }
        });
        resident.submit(7);
        assert_eq!(begun.get(), 0);
        let outcome = resident.poll_output(&mut Context::from_waker(Waker::noop()));
        assert_eq!((outcome, begun.get()), (Poll::Ready(14), 7));
    }
}
