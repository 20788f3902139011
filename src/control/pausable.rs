//! ACME rests while another process takes over, as two of them would write one file, and before the process ends.

use tokio::sync::watch;

/// The wiring's end.
pub struct PauseHandle {
    wish: watch::Sender<bool>,
    resting: watch::Receiver<bool>,
}

/// The end of the task that may have to rest.
pub struct PausableTask {
    wish: watch::Receiver<bool>,
    resting: watch::Sender<bool>,
}

pub fn pausable() -> (PauseHandle, PausableTask) {
    let (wish, wished) = watch::channel(false);
    let (rests, resting) = watch::channel(false);
    (PauseHandle { wish, resting }, PausableTask { wish: wished, resting: rests })
}

impl PauseHandle {
    pub fn pause(&self) {
        self.wish.send_replace(true);
    }

    /// The work has been broken off, has ended by itself or has never been.
    pub fn is_paused(&self) -> bool {
        *self.resting.borrow() || self.resting.has_changed().is_err()
    }

    pub fn resume(&self) {
        self.wish.send_replace(false);
    }
}

impl PausableTask {
    /// Runs `work` to its end; breaks it off to rest, and begins it anew afterwards.
    pub async fn run<F: Future<Output = ()>>(mut self, mut work: impl FnMut() -> F) {
        loop {
            if self.wish.wait_for(|rests| !rests).await.is_err() {
                return;
            }
            self.resting.send_replace(false);
            tokio::select! {
                () = work() => return,
                rests = self.wish.wait_for(|rests| *rests) => if rests.is_err() { return },
            }
            self.resting.send_replace(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn work_rests_when_told_to_and_begins_anew() {
        let (standby, duty) = pausable();
        let begun = Cell::new(0);
        let work = async || {
            begun.set(begun.get() + 1);
            if begun.get() < 2 {
                std::future::pending().await
            }
        };
        let told = async {
            tokio::task::yield_now().await;
            assert!(!standby.is_paused(), "it works");
            standby.pause();
            tokio::task::yield_now().await;
            assert_eq!((begun.get(), standby.is_paused()), (1, true));
            standby.resume();
        };
        tokio::join!(duty.run(work), told);
        assert_eq!((begun.get(), standby.is_paused()), (2, true), "nobody works any more");
    }
}
