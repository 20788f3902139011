//! A future that is allocated once and runs one job after the other, so that a job allocates nothing. It is
//! allocated apart from the task that submits the jobs: a task that waits for its next job does not hold the memory that a job needs.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A boxed future that runs jobs, one at a time.
pub struct ReusableFuture<J, O> {
    future: Pin<Box<dyn Future<Output = ()>>>,
    slot: Rc<JobSlot<J, O>>,
}

/// The job that waits to be run, or the outcome that waits to be taken.
struct JobSlot<J, O> {
    job: Cell<Option<J>>,
    outcome: Cell<Option<O>>,
    is_busy: Cell<bool>,
}

impl<J: 'static, O: 'static> ReusableFuture<J, O> {
    /// `work` makes the future of each job.
    pub fn new<F: Future<Output = O> + 'static>(mut work: impl FnMut(J) -> F + 'static) -> Self {
        let slot = Rc::new(JobSlot { job: Cell::default(), outcome: Cell::default(), is_busy: Cell::default() });
        let inner = Rc::clone(&slot);
        let future = Box::pin(async move {
            loop {
                let job = poll_fn(|_| inner.job.take().map_or(Poll::Pending, Poll::Ready)).await;
                let outcome = work(job).await;
                inner.outcome.set(Some(outcome));
            }
        });
        ReusableFuture { future, slot }
    }

    /// Submits a job, which starts when its outcome is first polled for. No other job may be submitted before that outcome is taken.
    pub fn submit(&mut self, job: J) {
        debug_assert!(!self.is_busy());
        self.slot.is_busy.set(true);
        self.slot.job.set(Some(job));
    }

    /// Submits a job and starts it: polling an operation for the first time submits it to the driver.
    pub fn start(&mut self, job: J) {
        self.submit(job);
        let _ = self.poll_ready(&mut Context::from_waker(Waker::noop()));
    }

    /// Whether a job has been submitted whose outcome has not been taken.
    pub fn is_busy(&self) -> bool {
        self.slot.is_busy.get()
    }

    /// Ready if the outcome is there, which stays in place. If not, `cx` is woken when it is.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The future never completes: after each job it waits for the next one.
        let _ = self.future.as_mut().poll(cx);
        let outcome = self.slot.outcome.take();
        let state = if outcome.is_some() { Poll::Ready(()) } else { Poll::Pending };
        self.slot.outcome.set(outcome);
        state
    }

    /// Takes the outcome of the submitted job. Without one this stays pending.
    pub fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<O> {
        let _ = self.future.as_mut().poll(cx);
        let Some(outcome) = self.slot.outcome.take() else { return Poll::Pending };
        self.slot.is_busy.set(false);
        Poll::Ready(outcome)
    }

    /// Runs one job.
    pub async fn run(&mut self, job: J) -> O {
        self.submit(job);
        poll_fn(|cx| self.poll_output(cx)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn started_job_progresses_and_its_outcome_is_kept() {
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
            assert!(
                reader.poll_ready(&mut cx).is_ready() && reader.is_busy(),
                "polling for readiness does not take the outcome"
            );
            let Poll::Ready(bytes) = reader.poll_output(&mut cx) else { panic!("no outcome") };
            assert_eq!(bytes, b"answer");
            assert!(!reader.is_busy());
        }
    }

    #[test]
    fn submitted_job_starts_at_its_first_poll() {
        let started = Rc::new(Cell::new(0));
        let count = Rc::clone(&started);
        let mut future = ReusableFuture::new(move |job: u32| {
            count.set(count.get() + job);
            async move { job * 2 }
        });
        future.submit(7);
        assert_eq!(started.get(), 0);
        let outcome = future.poll_output(&mut Context::from_waker(Waker::noop()));
        assert_eq!((outcome, started.get()), (Poll::Ready(14), 7));
    }
}
