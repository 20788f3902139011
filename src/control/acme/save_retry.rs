//! Retries a failed save of `acme.json`: until a save succeeds, the new certificates and the account exist in memory only.

use std::time::Duration;

use tracing::{error, info};

use super::store::Store;

/// The pause before the first retry. It is short because a full disk may have space again at any time, and an attempt is cheap.
const PAUSE_FIRST: Duration = Duration::from_secs(10);
/// The maximum pause; each further failure doubles the pause up to this.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// The schedule of retries. Times are durations since an origin that the caller chooses.
#[derive(Debug, Default)]
pub struct SaveRetry {
    /// The time of the next attempt, and the pause before it; `None` if no attempt is planned.
    next: Option<(Duration, Duration)>,
}

impl SaveRetry {
    /// Saves the store if its last save failed and a retry is due at `now`. Returns the time until the next attempt, or `None` if nothing
    /// is unsaved.
    pub fn retry_if_due(&mut self, store: &mut Store, now: Duration) -> Option<Duration> {
        if !store.is_unsaved() {
            // No save has failed, or a later save has succeeded.
            self.next = None;
            return None;
        }
        let (due, pause) = *self.next.get_or_insert((now + PAUSE_FIRST, PAUSE_FIRST));
        if now < due {
            return Some(due - now);
        }
        match store.save() {
            Ok(_) => {
                info!("acme.json saved");
                self.next = None;
                None
            }
            Err(e) => {
                let pause = (pause * 2).min(PAUSE_MAX);
                error!("{e}; next try in {} s", pause.as_secs());
                self.next = Some((now + pause, pause));
                Some(pause)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::store::Stored;
    use super::*;

    fn entry(main: &str) -> Stored {
        Stored { main: main.into(), sans: Vec::new(), certificate: b"cert".to_vec(), key: b"key".to_vec() }
    }

    /// A store in a folder that a test can remove, so that a save fails as on a full disk.
    fn store(folder: &tempfile::TempDir) -> (std::path::PathBuf, Store) {
        let path = folder.path().join("acme");
        fs::create_dir(&path).expect("a folder");
        let store = Store::open(&path.join("acme.json")).expect("a new file");
        (path, store)
    }

    #[test]
    fn failed_save_is_retried_with_growing_pauses() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, mut store) = store(&folder);
        let mut retry = SaveRetry::default();
        assert_eq!(retry.retry_if_due(&mut store, Duration::ZERO), None, "nothing is unsaved");
        fs::remove_dir_all(&path).expect("removed");
        store.put(&entry("a.example")).expect_err("the folder is removed");

        let mut now = Duration::from_secs(100);
        assert_eq!(retry.retry_if_due(&mut store, now), Some(PAUSE_FIRST));
        assert_eq!(
            retry.retry_if_due(&mut store, now + PAUSE_FIRST / 2),
            Some(PAUSE_FIRST / 2),
            "the retry is not due yet"
        );
        let mut pause = PAUSE_FIRST;
        for _ in 0..10 {
            now += pause;
            let next = retry.retry_if_due(&mut store, now).expect("the save still fails");
            assert_eq!(next, (pause * 2).min(PAUSE_MAX));
            pause = next;
        }
        fs::create_dir(&path).expect("a folder");
        assert_eq!(retry.retry_if_due(&mut store, now + pause), None, "saved");
        drop(store);
        let again = Store::open(&path.join("acme.json")).expect("readable");
        assert_eq!(again.certificates(), [entry("a.example")]);
    }

    #[test]
    fn later_successful_save_ends_the_retries() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, mut store) = store(&folder);
        let mut retry = SaveRetry::default();
        fs::remove_dir_all(&path).expect("removed");
        store.put(&entry("a.example")).expect_err("the folder is removed");
        assert!(retry.retry_if_due(&mut store, Duration::ZERO).is_some());
        fs::create_dir(&path).expect("a folder");
        store.put(&entry("b.example")).expect("both are saved");
        assert_eq!(retry.retry_if_due(&mut store, Duration::from_secs(3600)), None);
        fs::remove_dir_all(&path).expect("removed");
        store.put(&entry("c.example")).expect_err("the folder is removed");
        assert_eq!(
            retry.retry_if_due(&mut store, Duration::from_secs(7200)),
            Some(PAUSE_FIRST),
            "the pauses begin again"
        );
    }
}
