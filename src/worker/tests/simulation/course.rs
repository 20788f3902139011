//! The course of one seed: its tasks run in turn until none can go on, and only then time goes by, up to what is due next. Nobody sleeps,
//! so that the same seed takes the same course wherever it runs.

use std::cell::Cell;
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

/// What goes on at the same time.
pub type Tasks<'f> = FuturesUnordered<LocalBoxFuture<'f, ()>>;

/// Longer than any seed takes, in its own time.
const HANG: Duration = Duration::from_secs(3600);
/// More than are ever taken before time has to go by.
const TURNS_MAX: usize = 1_000_000;

/// What all parties of a seed share.
#[derive(Default)]
pub struct Course {
    /// The waits of everybody but the worker, which has its own.
    pub deadlines: Deadlines,
    elapsed: Cell<Duration>,
    trace: Cell<u64>,
    /// Bytes that all parties have sent to the proxy, and that it has passed on.
    taken: Cell<usize>,
    given: Cell<usize>,
    links: Cell<usize>,
}

impl Course {
    /// A connection has been opened; gives its number.
    pub fn open(&self) -> usize {
        self.links.replace(self.links.get() + 1)
    }

    /// Link `number` has carried so many bytes to the proxy, or from it.
    pub fn carried(&self, number: usize, bytes: usize, to_proxy: bool) {
        let count = if to_proxy { &self.taken } else { &self.given };
        count.set(count.get() + bytes);
        self.note([number as u64, bytes as u64, u64::from(to_proxy)]);
    }

    /// Something has happened: it becomes part of the trace.
    pub fn note(&self, facts: [u64; 3]) {
        let mix = |trace: u64, fact: u64| (trace ^ fact).wrapping_mul(0x0100_0000_01B3).rotate_left(29);
        self.trace.set(facts.into_iter().fold(self.trace.get(), mix));
    }

    /// What has happened so far, as one number.
    pub fn trace(&self) -> u64 {
        self.trace.get()
    }

    /// What was taken in and not passed on is in the connections' buffers, or `held` as a whole message.
    pub fn check_memory(&self, held: usize) {
        let kept = self.taken.get().saturating_sub(self.given.get());
        let buffers = self.links.get() * (limits::HEAD_BUFFER_BYTES + limits::COPY_BUFFER_MAX_BYTES);
        assert!(kept <= buffers + held, "{kept} bytes are kept of {} connections, {held} held", self.links.get());
    }

    /// Runs all tasks to their end. `look` is called whenever time is about to go by.
    pub fn run<D: Dial>(&self, worker: &Worker<D>, mut tasks: Tasks<'_>, mut look: impl FnMut()) {
        let alarm = Arc::new(Alarm(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&alarm));
        let mut cx = Context::from_waker(&waker);
        loop {
            let mut turns = 0;
            while alarm.0.swap(false, Relaxed) {
                turns += 1;
                assert!(turns < TURNS_MAX, "somebody turns in circles");
                while let Poll::Ready(ended) = tasks.poll_next_unpin(&mut cx) {
                    if ended.is_none() {
                        return;
                    }
                }
            }
            look();
            self.pass_time(worker, &alarm);
        }
    }

    /// Nobody can go on: lets time go by until somebody is woken.
    fn pass_time<D: Dial>(&self, worker: &Worker<D>, alarm: &Alarm) {
        let someone_waits = !self.deadlines.is_empty() || !worker.deadlines.is_empty();
        assert!(someone_waits, "nobody can go on, and nobody waits for the time");
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

/// Lets the others run so many times.
pub async fn looks(count: u64) {
    for _ in 0..count {
        crate::net::splice::pause().await;
    }
}
