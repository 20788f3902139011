//! The scheduler of one seed: runs its tasks in turn until none can proceed, and only then advances the simulated time, until a task is
//! woken. No real time takes part, so that a seed has the same trace on every machine.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::limits;
use crate::net::Deadlines;
use crate::worker::Worker;
use crate::worker::resources::dial::Dial;

/// The concurrent tasks of a seed.
pub type Tasks<'f> = FuturesUnordered<LocalBoxFuture<'f, ()>>;

/// The limit of the simulated time; every seed takes less.
const HANG: Duration = Duration::from_secs(3600);
/// The limit of the turns between two advances of the time; every seed takes fewer.
const TURNS_MAX: usize = 1_000_000;

/// The state that all parties of a seed share.
#[derive(Default)]
pub struct Scheduler {
    /// The waits of the parties; the worker has its own.
    pub deadlines: Deadlines,
    elapsed: Cell<Duration>,
    trace: Cell<u64>,
    /// Bytes that the parties have sent to the proxy, and that the proxy has sent to them.
    to_proxy: Cell<usize>,
    from_proxy: Cell<usize>,
    links: Cell<usize>,
    /// Bytes that the buffers of all connections hold at most.
    buffers: Cell<usize>,
    /// Bytes sent to the proxy that it does not forward.
    forgotten: Cell<usize>,
    /// Tasks that have not been run yet.
    spawned: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
}

impl Scheduler {
    /// Counts a new connection; returns its number.
    pub fn open(&self, is_http2: bool) -> usize {
        let buffers = limits::HEAD_BUFFER_BYTES + limits::COPY_BUFFER_MAX_BYTES;
        let shared = limits::CONNECTION_WINDOW_BYTES as usize + limits::OUTPUT_BYTES_MAX;
        self.buffers.set(self.buffers.get() + buffers + if is_http2 { shared } else { 0 });
        self.links.replace(self.links.get() + 1)
    }

    /// Runs a task beside the others.
    pub fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.spawned.borrow_mut().push(task);
    }

    /// The simulated time.
    pub fn now(&self) -> Duration {
        self.elapsed.get()
    }

    /// Notes that the proxy does not forward `bytes` that are sent to it: control frames, and messages that have failed.
    pub fn forget(&self, bytes: usize) {
        self.forgotten.set(self.forgotten.get() + bytes);
    }

    /// Counts `bytes` that connection `number` has delivered to the proxy, or from it.
    pub fn carried(&self, number: usize, bytes: usize, to_proxy: bool) {
        let count = if to_proxy { &self.to_proxy } else { &self.from_proxy };
        count.set(count.get() + bytes);
        self.note([number as u64, bytes as u64, u64::from(to_proxy)]);
    }

    /// Adds an event to the trace.
    pub fn note(&self, event: [u64; 3]) {
        let mix = |trace: u64, value: u64| (trace ^ value).wrapping_mul(0x0100_0000_01B3).rotate_left(29);
        self.trace.set(event.into_iter().fold(self.trace.get(), mix));
    }

    /// A hash of all events so far.
    pub fn trace(&self) -> u64 {
        self.trace.get()
    }

    /// Checks that the bytes that the proxy has received and not sent fit into its connections' buffers and the `held` bytes of whole
    /// messages.
    pub fn check_memory(&self, held: usize) {
        let kept = self.to_proxy.get().saturating_sub(self.from_proxy.get() + self.forgotten.get());
        assert!(
            kept <= self.buffers.get() + held,
            "{kept} bytes are kept of {} connections, {held} held",
            self.links.get()
        );
    }

    /// Runs all tasks to their end. Calls `before_time_advances` each time before the simulated time advances.
    pub fn run<D: Dial>(&self, worker: &Worker<D>, mut tasks: Tasks<'_>, mut before_time_advances: impl FnMut()) {
        let alarm = Arc::new(Alarm(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&alarm));
        let mut cx = Context::from_waker(&waker);
        loop {
            let mut turns = 0;
            while alarm.0.swap(false, Relaxed) {
                turns += 1;
                assert!(turns < TURNS_MAX, "a task wakes itself without end");
                loop {
                    tasks.extend(self.spawned.take());
                    match tasks.poll_next_unpin(&mut cx) {
                        Poll::Ready(None) => return,
                        Poll::Pending if self.spawned.borrow().is_empty() => break,
                        Poll::Ready(Some(())) | Poll::Pending => {}
                    }
                }
            }
            before_time_advances();
            self.pass_time(worker, &alarm);
        }
    }

    /// Advances the simulated time until a task is woken.
    fn pass_time<D: Dial>(&self, worker: &Worker<D>, alarm: &Alarm) {
        let has_deadline = !self.deadlines.is_empty() || !worker.deadlines.is_empty();
        assert!(has_deadline, "no task can proceed, and none waits for the time");
        while !alarm.0.load(Relaxed) {
            let elapsed = self.elapsed.get() + Duration::from_millis(limits::DEADLINE_TICK_MILLIS);
            assert!(elapsed < HANG, "a connection never ends");
            self.elapsed.set(elapsed);
            worker.clock.set(elapsed);
            worker.deadlines.sweep(elapsed);
            self.deadlines.sweep(elapsed);
        }
        self.note([self.elapsed.get().as_millis() as u64, 0, 2]);
    }
}

struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// Lets the other tasks run `count` times.
pub async fn yield_times(count: u64) {
    for _ in 0..count {
        crate::net::splice::pause().await;
    }
}
