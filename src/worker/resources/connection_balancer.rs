//! Connections spread evenly over the workers. The kernel's hash (SO_REUSEPORT) gives one of four workers twice as many as another, where
//! there are few: a worker that accepts a connection while another has clearly fewer passes the socket on, and wakes that one's ring.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::task::AtomicWaker;

use crate::limits;

/// What is clearly fewer: by two, and by a sixteenth. A difference that is smaller is not worth waking another thread.
const SLACK_DIVISOR: usize = 16;

/// An accepted connection that is on no ring.
#[derive(Debug)]
pub struct AcceptedConnection {
    pub entry: usize,
    pub stream: TcpStream,
    pub address: SocketAddr,
}

/// What others see of a worker's connections, and where they leave those that they pass on to it.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct HandoffQueue {
    served: AtomicUsize,
    on_the_way: AtomicUsize,
    /// `None` unless the worker runs.
    waiting: Mutex<Option<VecDeque<AcceptedConnection>>>,
    waker: AtomicWaker,
}

/// What a worker shows of itself while it runs. Aligned so that no two workers write to one cache line.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct WorkerStatus {
    /// Requests under way, tunnels included.
    pub active: AtomicUsize,
    /// Its ring has carried another byte.
    pub beats: AtomicU64,
    /// Its connections, and those that others pass on to it.
    pub(in crate::worker) handoff_queue: HandoffQueue,
}

impl WorkerStatus {
    /// The worker's thread has started and has not ended.
    pub fn is_running(&self) -> bool {
        self.handoff_queue.is_open()
    }
}

/// The worker runs: from when this is dropped it gets nothing more.
pub struct OpenGuard<'a>(&'a HandoffQueue);

impl HandoffQueue {
    /// Counts a connection that the worker serves from now on.
    pub fn begin(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// Its end.
    pub fn end(&self) {
        self.served.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections of the worker, those on their way to it included.
    pub fn load(&self) -> usize {
        // In this order: one that arrives meanwhile is counted twice rather than not at all.
        self.in_transit() + self.served.load(Ordering::Relaxed)
    }

    pub fn in_transit(&self) -> usize {
        self.on_the_way.load(Ordering::Acquire)
    }

    pub fn open(&self) -> OpenGuard<'_> {
        *self.queue() = Some(VecDeque::new());
        OpenGuard(self)
    }

    /// The worker runs.
    pub fn is_open(&self) -> bool {
        self.queue().is_some()
    }

    /// Passes a connection on.
    ///
    /// # Errors
    /// The connection itself, where the worker is gone or takes too long over what waits already.
    pub fn try_push(&self, accepted: AcceptedConnection) -> Result<(), AcceptedConnection> {
        let mut queue = self.queue();
        let Some(waiting) = queue.as_mut().filter(|waiting| waiting.len() < limits::HANDOFF_QUEUE_MAX) else {
            return Err(accepted);
        };
        self.on_the_way.fetch_add(1, Ordering::Relaxed);
        waiting.push_back(accepted);
        drop(queue);
        self.waker.wake();
        Ok(())
    }

    /// Gives each connection that arrives to `receive`, which begins it; never ends.
    pub async fn run(&self, receive: impl Fn(AcceptedConnection)) {
        loop {
            let accepted = poll_fn(|cx| {
                // Before the look: what arrives behind it wakes.
                self.waker.register(cx.waker());
                self.queue().as_mut().and_then(VecDeque::pop_front).map_or(Poll::Pending, Poll::Ready)
            });
            receive(accepted.await);
            self.on_the_way.fetch_sub(1, Ordering::Release);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Option<VecDeque<AcceptedConnection>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenGuard<'_> {
    fn drop(&mut self) {
        // What still waits is closed with this thread.
        let left = self.0.queue().take().map_or(0, |waiting| waiting.len());
        self.0.on_the_way.fetch_sub(left, Ordering::Release);
    }
}

/// Where a connection goes that worker `own` has accepted, if not to itself.
pub fn less_loaded(own: usize, all: &[WorkerStatus]) -> Option<&HandoffQueue> {
    let loads = all.iter().map(|vitals| (vitals.handoff_queue.load(), &vitals.handoff_queue));
    let (load, least) = loads.min_by_key(|(load, _)| *load)?;
    is_clearly_fewer(load, all.get(own)?.handoff_queue.load()).then_some(least)
}

fn is_clearly_fewer(load: usize, own: usize) -> bool {
    own > load + 1 + load / SLACK_DIVISOR
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::pin::pin;
    use std::sync::Arc;
    use std::thread;
    use std::time::{Duration, Instant};

    use futures_channel::oneshot;
    use futures_util::future::select;

    use super::*;
    use crate::net::driver::{Driver, DriverPreference};
    use crate::net::socket;

    fn accepted() -> (TcpStream, AcceptedConnection) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (stream, address) = listener.accept().expect("accepted");
        (client, AcceptedConnection { entry: 0, stream, address })
    }

    #[test]
    fn only_a_clear_difference_moves_a_connection() {
        for (load, own, moves) in
            [(0, 1, false), (0, 2, true), (15, 16, false), (15, 17, true), (160, 171, false), (160, 172, true)]
        {
            assert_eq!(is_clearly_fewer(load, own), moves, "{own} here, {load} there");
        }
        let vitals: Vec<WorkerStatus> = (0..3).map(|_| WorkerStatus::default()).collect();
        assert!(less_loaded(0, &vitals).is_none());
        (0..2).for_each(|_| vitals[0].handoff_queue.begin());
        vitals[1].handoff_queue.begin();
        assert!(std::ptr::eq(less_loaded(0, &vitals).expect("the idle one"), &raw const vitals[2].handoff_queue));
        assert!(less_loaded(1, &vitals).is_none(), "one is no clear difference");
    }

    #[test]
    fn a_full_intake_and_one_that_nobody_empties_give_the_connection_back() {
        let intake = HandoffQueue::default();
        let (_client, one) = accepted();
        let one = intake.try_push(one).expect_err("not open yet");
        let opened = intake.open();
        intake.try_push(one).expect("open");
        let mut clients = Vec::new();
        for _ in 1..limits::HANDOFF_QUEUE_MAX {
            let (client, next) = accepted();
            clients.push(client);
            intake.try_push(next).expect("there is room");
        }
        let (_client, last) = accepted();
        let last = intake.try_push(last).expect_err("full");
        assert_eq!((intake.in_transit(), intake.load()), (limits::HANDOFF_QUEUE_MAX, limits::HANDOFF_QUEUE_MAX));
        drop(opened);
        intake.try_push(last).expect_err("closed");
        assert_eq!(intake.load(), 0);
    }

    #[test]
    fn a_worker_whose_thread_ends_on_a_bug_is_seen_to_have_ended() {
        let vitals = Arc::new(WorkerStatus::default());
        assert!(!vitals.is_running(), "not started yet");
        let (own, seen) = (Arc::clone(&vitals), Arc::clone(&vitals));
        let worker = thread::spawn(move || {
            let _opened = own.handoff_queue.open();
            assert!(seen.is_running());
            panic!("on purpose");
        });
        let words = worker.join().expect_err("it panics").downcast::<&str>().expect("a literal");
        assert_eq!(*words, "on purpose");
        assert!(!vitals.is_running());
    }

    #[test]
    fn a_sleeping_ring_is_woken_and_takes_the_connection_as_its_own() {
        for wanted in [DriverPreference::Auto, DriverPreference::Epoll] {
            let intake = Arc::new(HandoffQueue::default());
            let taken = Arc::new(AtomicUsize::new(0));
            let (end, stop) = oneshot::channel::<()>();
            let (own, count) = (Arc::clone(&intake), Arc::clone(&taken));
            let worker = thread::spawn(move || {
                let mut driver = Driver::build(wanted).expect("a driver");
                let _opened = own.open();
                let work = own.run(|accepted| {
                    socket::attach(accepted.stream).expect("it goes onto this ring");
                    count.fetch_add(1, Ordering::SeqCst);
                });
                driver.block_on(select(pin!(work), stop));
            });
            for number in 1..=20 {
                let (mut client, mut next) = accepted();
                while let Err(back) = intake.try_push(next) {
                    next = back;
                }
                let sent = Instant::now();
                while taken.load(Ordering::SeqCst) < number {
                    assert!(sent.elapsed() < Duration::from_secs(2), "{wanted:?}: connection {number} waits");
                    thread::yield_now();
                }
                let closed = client.read(&mut [0]);
                assert!(matches!(closed, Ok(0)), "{wanted:?}: {closed:?}");
            }
            end.send(()).expect("it waits for more");
            worker.join().expect("the worker's thread");
            assert_eq!(intake.load(), 0);
            intake.try_push(accepted().1).expect_err("the worker is gone");
        }
    }
}
