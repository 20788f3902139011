//! A task that can be paused. ACME is paused during a hand-over, because two processes would write one `acme.json`, and before the process
//! exits.

use tokio::sync::watch;

/// Pauses and resumes a [`PausableTask`]; used by `app`.
pub struct PauseHandle {
    pause_requested: watch::Sender<bool>,
    paused: watch::Receiver<bool>,
}

/// Runs work until [`PauseHandle::pause`] cancels it.
pub struct PausableTask {
    pause_requested: watch::Receiver<bool>,
    paused: watch::Sender<bool>,
}

pub fn pausable() -> (PauseHandle, PausableTask) {
    let (request_sender, requests) = watch::channel(false);
    let (paused_sender, paused) = watch::channel(false);
    let task = PausableTask { pause_requested: requests, paused: paused_sender };
    (PauseHandle { pause_requested: request_sender, paused }, task)
}

impl PauseHandle {
    pub fn pause(&self) {
        self.pause_requested.send_replace(true);
    }

    /// Whether no work is running: cancelled by [`PauseHandle::pause`], finished, or the task was dropped.
    pub fn is_paused(&self) -> bool {
        *self.paused.borrow() || self.paused.has_changed().is_err()
    }

    pub fn resume(&self) {
        self.pause_requested.send_replace(false);
    }
}

impl PausableTask {
    /// Runs `work` until it finishes. A pause drops its future; `work` is called again at the resume.
    pub async fn run<F: Future<Output = ()>>(mut self, mut work: impl FnMut() -> F) {
        loop {
            if self.pause_requested.wait_for(|requested| !requested).await.is_err() {
                return;
            }
            self.paused.send_replace(false);
            tokio::select! {
                () = work() => return,
                requested = self.pause_requested.wait_for(|requested| *requested) => if requested.is_err() { return },
            }
            self.paused.send_replace(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn paused_work_is_cancelled_and_restarted_on_resume() {
        let (handle, task) = pausable();
        let started = Cell::new(0);
        let work = async || {
            started.set(started.get() + 1);
            if started.get() < 2 {
                std::future::pending().await
            }
        };
        let pause_and_resume = async {
            tokio::task::yield_now().await;
            assert!(!handle.is_paused(), "the work is running");
            handle.pause();
            tokio::task::yield_now().await;
            assert_eq!((started.get(), handle.is_paused()), (1, true));
            handle.resume();
        };
        tokio::join!(task.run(work), pause_and_resume);
        assert_eq!((started.get(), handle.is_paused()), (2, true), "the work has finished");
    }
}
