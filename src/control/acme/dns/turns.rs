//! Turns for providers whose names hold one value: challenges of one name follow each other, with a pause for the caches of resolvers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::Instant;

/// The turns of all names.
pub struct Turns {
    /// The pause between two turns of a name; `None` if there are no turns.
    pause: Option<Duration>,
    /// The end of each name's last turn.
    names: Mutex<HashMap<String, Arc<AsyncMutex<Option<Instant>>>>>,
}

/// The turn of one challenge, which ends when the value is dropped.
pub struct Turn {
    held: Option<OwnedMutexGuard<Option<Instant>>>,
    turns: Arc<Turns>,
}

impl Turns {
    /// Turns with this pause, or none.
    pub fn new(pause: Option<Duration>) -> Arc<Turns> {
        Arc::new(Turns { pause, names: Mutex::default() })
    }

    /// Waits for the turn of `name`.
    pub async fn turn(self: &Arc<Turns>, name: String) -> Turn {
        let turns = Arc::clone(self);
        let Some(pause) = self.pause else { return Turn { held: None, turns } };
        let own = Arc::clone(self.names.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default());
        let held = own.lock_owned().await;
        if let Some(end) = *held {
            tokio::time::sleep_until(end + pause).await;
        }
        Turn { held: Some(held), turns }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(mut held) = self.held.take() else { return };
        *held = Some(Instant::now());
        drop(held);
        // Names whose pause is over are forgotten.
        let pause = self.turns.pause.unwrap_or_default();
        let mut names = self.turns.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, name| match name.try_lock() {
            Ok(end) => Arc::strong_count(name) > 1 || end.is_some_and(|end| end.elapsed() < pause),
            Err(_) => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn challenges_of_one_name_follow_each_other_after_the_pause() {
        let pause = Duration::from_millis(400);
        let turns = Turns::new(Some(pause));
        let start = Instant::now();
        let first = turns.turn("a.".to_owned()).await;
        let second = async {
            let turn = turns.turn("a.".to_owned()).await;
            drop(turn);
            start.elapsed()
        };
        let other = async {
            drop(turns.turn("b.".to_owned()).await);
            start.elapsed()
        };
        let end_of_first = async {
            tokio::time::sleep(pause).await;
            drop(first);
        };
        let (second, other, ()) = tokio::join!(second, other, end_of_first);
        assert!(second >= 2 * pause && other < pause, "{second:?}, {other:?}");
        tokio::time::sleep(pause * 2).await;
        drop(turns.turn("c.".to_owned()).await);
        let names: Vec<String> = turns.names.lock().unwrap().keys().cloned().collect();
        assert_eq!(names, ["c."]);
    }

    #[tokio::test]
    async fn without_a_pause_nothing_waits() {
        let turns = Turns::new(None);
        let _first = turns.turn("a.".to_owned()).await;
        let second = tokio::time::timeout(Duration::from_secs(1), turns.turn("a.".to_owned())).await;
        assert!(second.is_ok());
    }
}
