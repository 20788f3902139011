//! Time limits of one thread's waits, without a timer for each: a wait takes a slot in a table, and a sweep ten times a second wakes the
//! waits whose time has elapsed. A wait that ends before its first suspension costs nothing, and no wait reads the clock.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use slab::Slab;

use crate::limits;

/// The waits of one thread. The current time is that of the last [`sweep`](Deadlines::sweep), in ticks of
/// [`limits::DEADLINE_TICK_MILLIS`].
#[derive(Default)]
pub struct Deadlines {
    now: Cell<u64>,
    /// No slot is due before this tick: most sweeps check nothing else.
    earliest: Cell<u64>,
    slots: RefCell<Slab<Slot>>,
}

struct Slot {
    due: u64,
    waker: Waker,
}

/// A time limit to pass to waits, with the table that they take their slots in.
#[derive(Clone, Copy)]
pub struct TimeLimit<'d> {
    deadlines: &'d Deadlines,
    pub time: Duration,
}

/// The time limit elapsed before the work was done. The work has been dropped, and with it the buffers that it had lent to the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl From<Elapsed> for io::Error {
    fn from(_: Elapsed) -> Self {
        io::ErrorKind::TimedOut.into()
    }
}

/// Whether a wait failed because its time limit elapsed. The kernel's own time-out, of a peer that has vanished, does not count: that error
/// has an OS error number.
pub fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

impl Deadlines {
    /// Runs `work` for at most `time` and two ticks.
    ///
    /// # Errors
    /// [`Elapsed`] if the time limit elapses first.
    pub fn within<F: Future>(&self, time: Duration, work: F) -> Within<'_, F> {
        Within { work, time, slot: SlotGuard { table: self, key: None } }
    }

    /// `time` as a limit to pass on.
    pub fn limit(&self, time: Duration) -> TimeLimit<'_> {
        TimeLimit { deadlines: self, time }
    }

    /// Waits until `limit` has elapsed.
    pub async fn pause(&self, limit: Duration) {
        let _ = self.within(limit, pending::<()>()).await;
    }

    /// Sets the current time to `elapsed` since the start of the thread, and wakes the waits whose limit has elapsed.
    pub fn sweep(&self, elapsed: Duration) {
        let now = ticks(elapsed);
        self.now.set(now);
        if now < self.earliest.get() {
            return;
        }
        let mut earliest = u64::MAX;
        // Wakers are called after the borrow of the table: the last waker of a task frees the task, and with it perhaps slots.
        let mut due_wakers = Vec::new();
        for (_, slot) in self.slots.borrow().iter() {
            match slot.due {
                due if due <= now => due_wakers.push(slot.waker.clone()),
                due => earliest = earliest.min(due),
            }
        }
        self.earliest.set(earliest);
        due_wakers.into_iter().for_each(Waker::wake);
    }

    /// The number of pending waits.
    pub fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    #[cfg_attr(reachability, expect(dead_code, reason = "tests and fuzz targets see with it that no wait is left"))]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn insert(&self, limit: Duration, waker: &Waker) -> usize {
        // One tick for the current one, which has begun already, and one for rounding down: no wait is cut short.
        let due = self.now.get().saturating_add(ticks(limit)).saturating_add(2);
        self.earliest.set(self.earliest.get().min(due));
        self.slots.borrow_mut().insert(Slot { due, waker: waker.clone() })
    }

    fn has_elapsed(&self, key: usize, waker: &Waker) -> bool {
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

    /// Runs `work` for at most this limit and two ticks.
    ///
    /// # Errors
    /// [`Elapsed`] if the time limit elapses first.
    pub fn within<F: Future>(self, work: F) -> Within<'d, F> {
        self.deadlines.within(self.time, work)
    }

    /// As [`within`](Self::within), for I/O operations.
    ///
    /// # Errors
    /// The errors of `work`, and `TimedOut` if the limit elapses first.
    pub fn within_io<T, F: Future<Output = io::Result<T>>>(self, work: F) -> impl Future<Output = io::Result<T>> {
        self.within(work).map(|outcome| outcome?)
    }
}

fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) / limits::DEADLINE_TICK_MILLIS
}

pin_project_lite::pin_project! {
    /// Work under a time limit. Not an `async fn`: that would store the work twice, as its argument and as the future that it awaits.
    pub struct Within<'d, F> {
        #[pin]
        work: F,
        time: Duration,
        slot: SlotGuard<'d>,
    }
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.work.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let table = this.slot.table;
        match this.slot.key {
            None => this.slot.key = Some(table.insert(*this.time, cx.waker())),
            Some(key) if table.has_elapsed(key, cx.waker()) => return Poll::Ready(Err(Elapsed)),
            Some(_) => {}
        }
        Poll::Pending
    }
}

/// The slot of one wait, freed when the wait completes or is dropped.
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
    fn wait_ends_when_its_limit_has_elapsed_and_not_before() {
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
    fn ready_work_takes_no_slot_and_dropped_work_frees_its_slot() {
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
    fn earlier_due_wait_is_found_by_the_next_sweep() {
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
