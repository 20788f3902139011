//! Runs slow checks (bcrypt takes 50 to 300 ms) on a few threads of their own, so that no ring waits for them
//! (docs/reference/drivers.md#blocking-work).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};

use futures_channel::oneshot;

use crate::limits;

type Job = Box<dyn FnOnce() + Send>;

/// The threads, shared by all workers.
#[derive(Clone)]
pub struct VerifyPool {
    queue: Sender<Job>,
    waiting: Arc<AtomicUsize>,
}

impl VerifyPool {
    /// Starts the threads. They end with the process.
    ///
    /// # Errors
    /// The system's, if a thread cannot be started.
    pub fn start() -> std::io::Result<VerifyPool> {
        let (queue, jobs) = channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        for n in 0..limits::VERIFY_THREADS {
            let jobs = Arc::clone(&jobs);
            std::thread::Builder::new().name(format!("verify-{n}")).spawn(move || {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match job {
                        // The panic hook logs a panic; its request gets no verdict, and the thread continues with the next job.
                        Ok(job) => drop(std::panic::catch_unwind(AssertUnwindSafe(job))),
                        Err(_) => return,
                    }
                }
            })?;
        }
        Ok(VerifyPool { queue, waiting: Arc::default() })
    }

    /// Runs `check` on one of the threads and returns its verdict.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn run<T: Send + 'static>(&self, check: impl FnOnce() -> T + Send + 'static) -> Result<T, VerifyError> {
        let slot = QueueSlot::taken(&self.waiting);
        if slot.ahead >= limits::VERIFY_QUEUE_MAX {
            return Err(VerifyError::QueueFull);
        }
        let (sender, verdict) = oneshot::channel();
        let job: Job = Box::new(move || drop(sender.send(check())));
        self.queue.send(job).map_err(|_| VerifyError::Failed)?;
        verdict.await.map_err(|_| VerifyError::Failed)
    }
}

/// Why a check gave no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyError {
    /// `VERIFY_QUEUE_MAX` checks wait already.
    QueueFull,
    /// The check panicked.
    Failed,
}

/// A slot in the queue, returned on drop: also if the request is dropped before the verdict.
struct QueueSlot<'a> {
    waiting: &'a AtomicUsize,
    ahead: usize,
}

impl<'a> QueueSlot<'a> {
    fn taken(waiting: &'a AtomicUsize) -> Self {
        QueueSlot { waiting, ahead: waiting.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for QueueSlot<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_returns_its_verdict_to_the_ring() {
        let pool = VerifyPool::start().expect("threads");
        let mut driver =
            crate::net::driver::Driver::build(crate::net::driver::DriverPreference::Auto).expect("a driver");
        assert_eq!(driver.block_on(pool.run(|| 6 * 7)), Ok(42));
        assert_eq!(pool.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn check_with_full_queue_fails_at_once() {
        let pool = VerifyPool::start().expect("threads");
        pool.waiting.store(limits::VERIFY_QUEUE_MAX, Ordering::Relaxed);
        let mut driver =
            crate::net::driver::Driver::build(crate::net::driver::DriverPreference::Auto).expect("a driver");
        assert_eq!(driver.block_on(pool.run(|| true)), Err(VerifyError::QueueFull));
        assert_eq!(pool.waiting.load(Ordering::Relaxed), limits::VERIFY_QUEUE_MAX);
    }

    #[test]
    fn panic_in_check_fails_its_own_request_only() {
        let pool = VerifyPool::start().expect("threads");
        let mut driver =
            crate::net::driver::Driver::build(crate::net::driver::DriverPreference::Auto).expect("a driver");
        for _ in 0..=limits::VERIFY_THREADS {
            assert_eq!(driver.block_on(pool.run(|| -> bool { panic!("on purpose") })), Err(VerifyError::Failed));
        }
        assert_eq!(driver.block_on(pool.run(|| true)), Ok(true));
    }
}
