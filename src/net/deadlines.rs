//! Time limits of one thread's waits, without a timer for each: a wait takes a slot in a table, and a sweep ten times a second wakes those
//! that are over. A wait that ends before its first suspension costs nothing at all, and none reads the clock.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use slab::Slab;

use crate::limits;

/// The waits of one thread. Time is what [`sweep`](Deadlines::sweep) was told last, in steps of [`limits::DEADLINE_TICK_MILLIS`].
#[derive(Default)]
pub struct Deadlines {
    now: Cell<u64>,
    /// No slot is due before this tick: most sweeps look at nothing else.
    earliest: Cell<u64>,
    slots: RefCell<Slab<Slot>>,
}

struct Slot {
    due: u64,
    waker: Waker,
}

/// A limit for waits to come, and the table that they are kept in.
#[derive(Clone, Copy)]
pub struct TimeLimit<'d> {
    deadlines: &'d Deadlines,
    pub time: Duration,
}

/// The time was over before the work was done. The work has been dropped, and with it what it had lent to the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl From<Elapsed> for io::Error {
    fn from(_: Elapsed) -> Self {
        io::ErrorKind::TimedOut.into()
    }
}

/// Whether a wait failed because its time was over. The kernel's own time-out, of a peer that has vanished, is none of ours.
pub fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

impl Deadlines {
    /// Runs `work` for `time`, and up to two ticks longer, at the most.
    ///
    /// # Errors
    /// [`Late`] when the time is over first.
    pub fn within<F: Future>(&self, time: Duration, work: F) -> Within<'_, F> {
        Within { work, time, held: SlotGuard { table: self, key: None } }
    }

    /// `time` as a limit to be handed on.
    pub fn limit(&self, time: Duration) -> TimeLimit<'_> {
        TimeLimit { deadlines: self, time }
    }

    /// Lets `limit` go by.
    pub async fn pause(&self, limit: Duration) {
        let _ = self.within(limit, pending::<()>()).await;
    }

    /// It is `elapsed` after the start of the thread: wakes the waits that are over.
    pub fn sweep(&self, elapsed: Duration) {
        let now = ticks(elapsed);
        self.now.set(now);
        if now < self.earliest.get() {
            return;
        }
        let mut earliest = u64::MAX;
        // Woken after the table is free again: the last waker of a task frees the task, and with it perhaps slots.
        let mut over = Vec::new();
        for (_, slot) in self.slots.borrow().iter() {
            match slot.due {
                due if due <= now => over.push(slot.waker.clone()),
                due => earliest = earliest.min(due),
            }
        }
        self.earliest.set(earliest);
        over.into_iter().for_each(Waker::wake);
    }

    /// Waits under way.
    pub fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn enter(&self, limit: Duration, waker: &Waker) -> usize {
        // The current tick has begun some time ago: one more, so that no wait is cut short.
        let due = self.now.get().saturating_add(ticks(limit)).saturating_add(2);
        self.earliest.set(self.earliest.get().min(due));
        self.slots.borrow_mut().insert(Slot { due, waker: waker.clone() })
    }

    fn is_over(&self, key: usize, waker: &Waker) -> bool {
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[key];
        slot.waker.clone_from(waker);
        slot.due <= self.now.get()
    }
}

impl<'d> TimeLimit<'d> {
    /// Another limit of the same thread.
    pub fn with(self, time: Duration) -> TimeLimit<'d> {
        TimeLimit { time, ..self }
    }

    /// Runs `work`, for this long at the most.
    ///
    /// # Errors
    /// [`Late`] when the time is over first.
    pub fn within<F: Future>(self, work: F) -> Within<'d, F> {
        self.deadlines.within(self.time, work)
    }

    /// As [`within`](Self::within), for input and output.
    ///
    /// # Errors
    /// Those of `work`, and `TimedOut`.
    pub fn within_io<T, F: Future<Output = io::Result<T>>>(self, work: F) -> impl Future<Output = io::Result<T>> {
        self.within(work).map(|outcome| outcome?)
    }
}

fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) / limits::DEADLINE_TICK_MILLIS
}

pin_project_lite::pin_project! {
    /// Work under a time limit. Not an `async fn`: that would hold the work twice, as its argument and as what it awaits.
    pub struct Within<'d, F> {
        #[pin]
        work: F,
        time: Duration,
        held: SlotGuard<'d>,
    }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.work.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let table = this.held.table;
        match this.held.key {
            None => this.held.key = Some(table.enter(*this.time, cx.waker())),
            Some(key) if table.is_over(key, cx.waker()) => return Poll::Ready(Err(Elapsed)),
            Some(_) => {}
        }
        Poll::Pending
    }
}

/// A place in the table, free again when the wait ends in whatever way.
struct SlotGuard<'d> {
    table: &'d Deadlines,
    key: Option<usize>,
}

impl Drop for SlotGuard<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let slot = self.table.slots.borrow_mut().remove(key);
            drop(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_wait_ends_when_its_time_is_over_and_not_before() {
        let (deadlines, count) = (Deadlines::default(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        deadlines.sweep(SECOND);
        let mut short = pin!(deadlines.pause(SECOND));
        let mut long = pin!(deadlines.pause(3 * SECOND));
        assert!(short.as_mut().poll(&mut cx).is_pending() && long.as_mut().poll(&mut cx).is_pending());
        deadlines.sweep(2 * SECOND);
        assert_eq!(count.0.load(Relaxed), 0, "the tick in which it began does not count");
        deadlines.sweep(2 * SECOND + Duration::from_millis(2 * limits::DEADLINE_TICK_MILLIS));
        assert_eq!(count.0.load(Relaxed), 1);
        assert!(short.as_mut().poll(&mut cx).is_ready() && long.as_mut().poll(&mut cx).is_pending());
        deadlines.sweep(10 * SECOND);
        assert!(long.as_mut().poll(&mut cx).is_ready());
        assert!(deadlines.is_empty());
    }

    #[test]
    fn work_that_is_done_at_once_takes_no_slot_and_dropped_work_frees_its_own() {
        let deadlines = Deadlines::default();
        let mut cx = Context::from_waker(Waker::noop());
        let done = pin!(deadlines.within(SECOND, async { deadlines.len() })).poll(&mut cx);
        assert_eq!(done, Poll::Ready(Ok(0)));
        {
            let mut waiting = pin!(deadlines.within(SECOND, pending::<()>()));
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
            assert_eq!(deadlines.len(), 1);
        }
        assert!(deadlines.is_empty());
    }

    #[test]
    fn a_new_wait_that_is_due_earlier_is_found_by_the_next_sweep() {
        let deadlines = Deadlines::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut long = pin!(deadlines.pause(100 * SECOND));
        assert!(long.as_mut().poll(&mut cx).is_pending());
        deadlines.sweep(5 * SECOND);
        let mut short = pin!(deadlines.pause(SECOND));
        assert!(short.as_mut().poll(&mut cx).is_pending());
        deadlines.sweep(7 * SECOND);
        assert!(short.as_mut().poll(&mut cx).is_ready() && long.as_mut().poll(&mut cx).is_pending());
    }
}
