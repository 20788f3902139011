//! Watches the files that the configuration refers to: certificates, keys and users. All of them are read through [`WatchedFiles`], so
//! that a changed file is detected and read again although the routes have not changed: a renewed certificate is in use seconds later.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::file_stamp::Stamp;

/// The time between two polls of the files' status. A change counts once two polls have found the same status.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// A file that keeps changing is read as it is after this number of polls: ten minutes.
const POLLS_MAX: u32 = 120;

/// All files that were read since [`WatchedFiles::clear`]. Clones share one list.
#[derive(Clone, Default)]
pub struct WatchedFiles(Arc<Mutex<WatchList>>);

#[derive(Default)]
struct WatchList {
    files: BTreeMap<String, WatchedFile>,
    /// The number of polls in a row that have found a changed file.
    polls_with_change: u32,
}

/// A file's stamp just before the file was read, and at the last poll. `None`: the file did not exist.
struct WatchedFile {
    at_read: Option<Stamp>,
    at_poll: Option<Stamp>,
}

impl WatchedFiles {
    /// Reads a file and watches the path from now on, also if no such file exists.
    ///
    /// # Errors
    /// The error of the system.
    pub fn read(&self, path: &str) -> io::Result<String> {
        // The stamp is taken before the read: a write between the two counts as a change.
        let stamp = Stamp::of(Path::new(path));
        self.with(|list| {
            // The stamp of the first read is kept until `clear`: its reader may have an older text than later readers.
            list.files.entry(path.to_owned()).or_insert(WatchedFile { at_read: stamp, at_poll: stamp });
        });
        // Comments in files of users, and texts between certificates, may have any encoding.
        std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Stops watching all files. Called before all files that are still in use are read again.
    pub fn clear(&self) {
        self.with(|list| *list = WatchList::default());
    }

    /// Stops watching the files whose status this process, now running as another user, cannot read any more. Returns their paths.
    pub fn unwatch_unreadable(&self) -> Vec<String> {
        self.with(|list| {
            let is_unreadable = |(path, file): &(&String, &mut WatchedFile)| {
                file.at_read.is_some() && Stamp::of(Path::new(path)).is_none()
            };
            let unreadable = list.files.iter_mut().filter(is_unreadable);
            unreadable
                .map(|(path, file)| {
                    // Without a stamp the file counts as unchanged for as long as it cannot be read.
                    (file.at_read, file.at_poll) = (None, None);
                    path.clone()
                })
                .collect()
        })
    }

    /// Sends on `changed` whenever the files have to be read again (see `need_reload`). Returns when the receiver is dropped.
    pub async fn watch(self, changed: UnboundedSender<()>) {
        loop {
            tokio::select! {
                () = changed.closed() => return,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
            // Polled on a blocking thread: a network file system may be slow.
            let files = self.clone();
            if tokio::task::spawn_blocking(move || files.need_reload()).await.unwrap_or(false) {
                let _ = changed.send(());
            }
        }
    }

    /// Polls all files. Whether one differs from what was read and has not changed since the last poll, or files have differed for
    /// [`POLLS_MAX`] polls in a row.
    fn need_reload(&self) -> bool {
        // The status is read without the lock, so that a concurrent `read` does not wait for a slow disk.
        let paths: Vec<String> = self.with(|list| list.files.keys().cloned().collect());
        let stamps: Vec<_> = paths.into_iter().map(|path| (Stamp::of(Path::new(&path)), path)).collect();
        self.with(|list| {
            let (mut is_changed, mut is_settled) = (false, false);
            for (now, path) in stamps {
                let Some(file) = list.files.get_mut(&path) else { continue };
                if now != file.at_read {
                    let is_truncating = now.zip(file.at_read).is_some_and(|(now, read)| now.is_truncating(&read));
                    is_changed = true;
                    is_settled |= now == file.at_poll && !is_truncating;
                }
                file.at_poll = now;
            }
            list.polls_with_change = if is_changed { list.polls_with_change + 1 } else { 0 };
            is_settled || list.polls_with_change >= POLLS_MAX
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut WatchList) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn change_counts_once_two_polls_agree() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let watched = WatchedFiles::default();
        fs::write(path("users"), "a").expect("written");
        assert_eq!(watched.read(&path("users")).expect("read"), "a");
        assert!(watched.read(&path("later")).is_err());
        assert!(!watched.need_reload());
        fs::write(path("users"), "ab").expect("written");
        assert!(!watched.need_reload(), "a writer may not be done");
        fs::write(path("users"), "abc").expect("written");
        assert!(!watched.need_reload(), "the file has changed since the last poll");
        assert!(watched.need_reload());
        watched.clear();
        assert!(!watched.need_reload(), "no file is watched any more");
        let _ = (watched.read(&path("users")), watched.read(&path("later")));
        fs::write(path("later"), "there").expect("written");
        assert!(!watched.need_reload());
        fs::write(path("users"), "abcd").expect("written");
        assert!(watched.need_reload(), "a settled file does not wait for the others");
    }

    #[test]
    fn second_read_does_not_hide_change_from_first_reader() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("both").display().to_string();
        let watched = WatchedFiles::default();
        fs::write(&file, "old").expect("written");
        assert_eq!(watched.read(&file).expect("read"), "old");
        fs::write(&file, "newer").expect("written");
        assert_eq!(watched.read(&file).expect("read"), "newer");
        assert!(!watched.need_reload());
        assert!(watched.need_reload());
    }

    #[test]
    fn unreadable_file_is_named_and_no_longer_watched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let watched = WatchedFiles::default();
        for name in ["kept", "lost"] {
            fs::write(path(name), name).expect("written");
            let _ = watched.read(&path(name));
        }
        fs::remove_file(path("lost")).expect("removed");
        assert_eq!(watched.unwatch_unreadable(), [path("lost")]);
        assert!((0..3).all(|_| !watched.need_reload()));
    }

    #[test]
    fn file_that_keeps_changing_is_read_after_polls_max() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("busy").display().to_string();
        let watched = WatchedFiles::default();
        let _ = watched.read(&file);
        let write = |n: u32| fs::write(&file, "x".repeat(n as usize)).expect("written");
        let polls = (1..).find(|&n| {
            write(n);
            watched.need_reload()
        });
        assert_eq!(polls, Some(POLLS_MAX));
    }

    #[test]
    fn file_being_truncated_is_not_read_before_polls_max() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cut");
        let watched = WatchedFiles::default();
        fs::write(&file, "").expect("written");
        fs::write(&file, "users").expect("written");
        let full = Stamp::of(&file).expect("there");
        let _ = watched.read(&file.display().to_string());
        // The stamp at the read gets the times of the empty file, as if the truncation had not changed the times yet.
        fs::write(&file, "").expect("written");
        let now = Stamp::of(&file).expect("there");
        watched.with(|list| list.files.values_mut().for_each(|file| file.at_read = Some(full.with_times_of(&now))));
        assert!(now.is_empty());
        assert!((1..POLLS_MAX).all(|_| !watched.need_reload()));
        assert!(watched.need_reload(), "ten minutes later");
    }
}
