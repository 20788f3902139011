//! Spreads connections evenly over the workers. If there are few connections, the kernel's hash (SO_REUSEPORT) gives one of four workers
//! twice as many as another. So a worker that accepts a connection while another has clearly fewer passes the socket to that worker and
//! wakes its ring.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::task::AtomicWaker;

use crate::limits;

/// A worker has clearly fewer connections than another if the difference is more than one and a sixteenth of its connections together. A
/// smaller difference is not worth waking another thread.
const SLACK_DIVISOR: usize = 16;

/// An accepted connection that is not attached to a ring.
#[derive(Debug)]
pub struct AcceptedConnection {
    pub entry: usize,
    pub stream: TcpStream,
    pub address: SocketAddr,
}

/// The queue of connections that other workers pass to this worker, and the count of its connections, which other workers read.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct HandoffQueue {
    served: AtomicUsize,
    in_transit: AtomicUsize,
    /// `None` while the worker does not run.
    waiting: Mutex<Option<VecDeque<AcceptedConnection>>>,
    waker: AtomicWaker,
}

/// The state of a worker that other threads read. Aligned so that no two workers write to one cache line.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct WorkerStatus {
    /// Active requests, tunnels included.
    pub active: AtomicUsize,
    /// HTTP/2 connections of clients.
    pub multiplexed: AtomicUsize,
    /// Heartbeats: bytes that the worker's ring has carried.
    pub beats: AtomicU64,
    /// Counts the worker's connections, and holds those that other workers pass to it.
    pub(in crate::worker) handoff_queue: HandoffQueue,
}

impl WorkerStatus {
    /// Whether the worker's thread has started and has not ended.
    pub fn is_running(&self) -> bool {
        self.handoff_queue.is_open()
    }
}

/// Keeps a worker's hand-off queue open; on drop the queue closes and takes no more connections.
pub struct OpenGuard<'a>(&'a HandoffQueue);

impl HandoffQueue {
    /// Counts a connection that the worker serves from now on.
    pub fn begin(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// Uncounts a connection that has ended.
    pub fn end(&self) {
        self.served.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections of the worker, those in transit to it included.
    pub fn load(&self) -> usize {
        // In this order: a connection that arrives meanwhile is counted twice rather than not at all.
        self.in_transit() + self.served.load(Ordering::Relaxed)
    }

    pub fn in_transit(&self) -> usize {
        self.in_transit.load(Ordering::Acquire)
    }

    pub fn open(&self) -> OpenGuard<'_> {
        *self.queue() = Some(VecDeque::new());
        OpenGuard(self)
    }

    /// Whether the worker runs.
    pub fn is_open(&self) -> bool {
        self.queue().is_some()
    }

    /// Passes a connection to the worker, and wakes its ring.
    ///
    /// # Errors
    /// The connection itself, if the worker does not run or its queue holds `HANDOFF_QUEUE_MAX` connections.
    pub fn try_push(&self, accepted: AcceptedConnection) -> Result<(), AcceptedConnection> {
        let mut queue = self.queue();
        let Some(waiting) = queue.as_mut().filter(|waiting| waiting.len() < limits::HANDOFF_QUEUE_MAX) else {
            return Err(accepted);
        };
        self.in_transit.fetch_add(1, Ordering::Relaxed);
        waiting.push_back(accepted);
        drop(queue);
        self.waker.wake();
        Ok(())
    }

    /// Passes each connection that arrives to `adopt`, which starts its task; never returns.
    pub async fn run(&self, adopt: impl Fn(AcceptedConnection)) {
        loop {
            let accepted = poll_fn(|cx| {
                // Before the queue is read: a connection that arrives after the read wakes this task.
                self.waker.register(cx.waker());
                self.queue().as_mut().and_then(VecDeque::pop_front).map_or(Poll::Pending, Poll::Ready)
            });
            adopt(accepted.await);
            self.in_transit.fetch_sub(1, Ordering::Release);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Option<VecDeque<AcceptedConnection>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenGuard<'_> {
    fn drop(&mut self) {
        // Connections that still wait are closed together with the queue.
        let left = self.0.queue().take().map_or(0, |waiting| waiting.len());
        self.0.in_transit.fetch_sub(left, Ordering::Release);
    }
}

/// The queue of the worker that should serve a connection accepted by worker `own`; `None` if `own` should.
pub fn less_loaded(own: usize, all: &[WorkerStatus]) -> Option<&HandoffQueue> {
    let loads = all.iter().map(|status| (status.handoff_queue.load(), &status.handoff_queue));
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
    fn connection_moves_only_on_clear_difference() {
        for (load, own, moves) in
            [(0, 1, false), (0, 2, true), (15, 16, false), (15, 17, true), (160, 171, false), (160, 172, true)]
        {
            assert_eq!(is_clearly_fewer(load, own), moves, "{own} here, {load} there");
        }
        let status: Vec<WorkerStatus> = (0..3).map(|_| WorkerStatus::default()).collect();
        assert!(less_loaded(0, &status).is_none());
        (0..2).for_each(|_| status[0].handoff_queue.begin());
        status[1].handoff_queue.begin();
        assert!(std::ptr::eq(less_loaded(0, &status).expect("the idle one"), &raw const status[2].handoff_queue));
        assert!(less_loaded(1, &status).is_none(), "one is no clear difference");
    }

    #[test]
    fn full_or_closed_queue_returns_the_connection() {
        let queue = HandoffQueue::default();
        let (_client, one) = accepted();
        let one = queue.try_push(one).expect_err("not open yet");
        let opened = queue.open();
        queue.try_push(one).expect("open");
        let mut clients = Vec::new();
        for _ in 1..limits::HANDOFF_QUEUE_MAX {
            let (client, next) = accepted();
            clients.push(client);
            queue.try_push(next).expect("the queue is not full");
        }
        let (_client, last) = accepted();
        let last = queue.try_push(last).expect_err("full");
        assert_eq!((queue.in_transit(), queue.load()), (limits::HANDOFF_QUEUE_MAX, limits::HANDOFF_QUEUE_MAX));
        drop(opened);
        queue.try_push(last).expect_err("closed");
        assert_eq!(queue.load(), 0);
    }

    #[test]
    fn worker_whose_thread_panics_is_not_running() {
        let status = Arc::new(WorkerStatus::default());
        assert!(!status.is_running(), "not started yet");
        let (own, seen) = (Arc::clone(&status), Arc::clone(&status));
        let worker = thread::spawn(move || {
            let _opened = own.handoff_queue.open();
            assert!(seen.is_running());
            panic!("on purpose");
        });
        let message = worker.join().expect_err("it panics").downcast::<&str>().expect("a literal");
        assert_eq!(*message, "on purpose");
        assert!(!status.is_running());
    }

    #[test]
    fn sleeping_ring_is_woken_and_adopts_connection() {
        for wanted in [DriverPreference::Auto, DriverPreference::Epoll] {
            let queue = Arc::new(HandoffQueue::default());
            let taken = Arc::new(AtomicUsize::new(0));
            let (end, stop) = oneshot::channel::<()>();
            let (own, count) = (Arc::clone(&queue), Arc::clone(&taken));
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
                while let Err(back) = queue.try_push(next) {
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
            assert_eq!(queue.load(), 0);
            queue.try_push(accepted().1).expect_err("the worker is gone");
        }
    }
}
