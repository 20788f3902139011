//! A file that could not be saved is saved later: until then what is in it exists in memory alone.

use std::time::Duration;

use tracing::{error, info};

use super::store::Store;

/// The first pause, and the longest: a disk that is full may have room again any minute, and trying costs next to nothing.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// When to save again. Time is counted from an origin that the caller chooses.
#[derive(Debug, Default)]
pub struct SaveRetry {
    /// The next try, and the pause that led to it; `None` while the file is what the memory says.
    next: Option<(Duration, Duration)>,
}

impl SaveRetry {
    /// Saves what could not be saved before, if it is time to; gives the pause until the next try is due, if one has to be made.
    pub fn retry_if_due(&mut self, store: &mut Store, now: Duration) -> Option<Duration> {
        if !store.is_unsaved() {
            // Saved with something newer, or never failed.
            self.next = None;
            return None;
        }
        let (due, pause) = *self.next.get_or_insert((now + FIRST, FIRST));
        if now < due {
            return Some(due - now);
        }
        match store.save() {
            Ok(_) => {
                info!("what could not be saved before is saved");
                self.next = None;
                None
            }
            Err(e) => {
                let pause = (pause * 2).min(LONGEST);
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

    /// A store whose folder can be taken away: then saving fails, as on a disk that is full.
    fn store(folder: &tempfile::TempDir) -> (std::path::PathBuf, Store) {
        let place = folder.path().join("acme");
        fs::create_dir(&place).expect("a folder");
        let store = Store::open(&place.join("acme.json")).expect("a new file");
        (place, store)
    }

    #[test]
    fn a_save_that_failed_is_made_up_for_with_growing_pauses() {
        let folder = tempfile::tempdir().expect("a folder");
        let (place, mut store) = store(&folder);
        let mut unsaved = SaveRetry::default();
        assert_eq!(unsaved.retry_if_due(&mut store, Duration::ZERO), None, "nothing is unsaved");
        fs::remove_dir_all(&place).expect("removed");
        store.put(&entry("a.example")).expect_err("there is no place for it");

        let mut now = Duration::from_secs(100);
        assert_eq!(unsaved.retry_if_due(&mut store, now), Some(FIRST));
        assert_eq!(unsaved.retry_if_due(&mut store, now + FIRST / 2), Some(FIRST / 2), "not before its time");
        let mut pause = FIRST;
        for _ in 0..10 {
            now += pause;
            let next = unsaved.retry_if_due(&mut store, now).expect("it still fails");
            assert_eq!(next, (pause * 2).min(LONGEST));
            pause = next;
        }
        fs::create_dir(&place).expect("a folder");
        assert_eq!(unsaved.retry_if_due(&mut store, now + pause), None, "saved");
        let again = Store::open(&place.join("acme.json")).expect("readable");
        assert_eq!(again.certificates(), [entry("a.example")]);
    }

    #[test]
    fn what_is_saved_with_something_newer_is_not_saved_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (place, mut store) = store(&folder);
        let mut unsaved = SaveRetry::default();
        fs::remove_dir_all(&place).expect("removed");
        store.put(&entry("a.example")).expect_err("there is no place for it");
        assert!(unsaved.retry_if_due(&mut store, Duration::ZERO).is_some());
        fs::create_dir(&place).expect("a folder");
        store.put(&entry("b.example")).expect("both are saved");
        assert_eq!(unsaved.retry_if_due(&mut store, Duration::from_secs(3600)), None);
        fs::remove_dir_all(&place).expect("removed");
        store.put(&entry("c.example")).expect_err("there is no place for it");
        assert_eq!(unsaved.retry_if_due(&mut store, Duration::from_secs(7200)), Some(FIRST), "the pauses begin anew");
    }
}
