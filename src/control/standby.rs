//! ACME rests while another process takes over: two of them would write one file.

use tokio::sync::watch;

/// The wiring's end.
pub struct Standby(watch::Sender<bool>);

/// The end of the task that may have to rest.
pub struct Duty(watch::Receiver<bool>);

pub fn standby() -> (Standby, Duty) {
    let (sender, receiver) = watch::channel(false);
    (Standby(sender), Duty(receiver))
}

impl Standby {
    pub fn let_go(&self) {
        self.0.send_replace(true);
    }

    pub fn resume(&self) {
        self.0.send_replace(false);
    }
}

impl Duty {
    /// Runs `work` to its end; breaks it off to rest, and begins it anew afterwards.
    pub async fn run<F: Future<Output = ()>>(mut self, mut work: impl FnMut() -> F) {
        loop {
            if self.0.wait_for(|rests| !rests).await.is_err() {
                return;
            }
            tokio::select! {
                () = work() => return,
                rests = self.0.wait_for(|rests| *rests) => if rests.is_err() { return },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn work_rests_when_told_to_and_begins_anew() {
        let (standby, duty) = standby();
        let begun = Cell::new(0);
        let work = async || {
            begun.set(begun.get() + 1);
            if begun.get() < 2 {
                std::future::pending().await
            }
        };
        let told = async {
            tokio::task::yield_now().await;
            standby.let_go();
            tokio::task::yield_now().await;
            assert_eq!(begun.get(), 1, "it rests");
            standby.resume();
        };
        tokio::join!(duty.run(work), told);
        assert_eq!(begun.get(), 2);
    }
}
