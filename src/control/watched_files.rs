//! The files that a configuration refers to: certificates, keys, users. They are read through here, so that a change of one is noticed
//! and read again without a change of routes: a renewed certificate is in use seconds later.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::file_stamp::Stamp;

/// How often the files' status is looked at. A change counts once two looks have found the same.
pub const EVERY: Duration = Duration::from_secs(5);

/// A file that never rests is read as it stands after so many looks: ten minutes.
const LOOKS_MAX: u32 = 120;

/// All files that were read since [`FollowedFiles::forget`]; a clone is the same list.
#[derive(Clone, Default)]
pub struct WatchedFiles(Arc<Mutex<Followed>>);

#[derive(Default)]
struct Followed {
    files: BTreeMap<String, WatchedFile>,
    /// Looks since something has changed.
    looks: u32,
}

/// A file's state before it was read, and at the last look. `None`: not there.
struct WatchedFile {
    read: Option<Stamp>,
    looked: Option<Stamp>,
}

impl WatchedFiles {
    /// Reads a file and follows it from now on, also one that is not there.
    ///
    /// # Errors
    /// The system's.
    pub fn read(&self, path: &str) -> io::Result<String> {
        // Taken before: a write in between shows up as a difference.
        let stamp = Stamp::of(Path::new(path));
        self.with(|followed| {
            // What the first reader found counts until all read again: one of them may have an older text than the next.
            followed.files.entry(path.to_owned()).or_insert(WatchedFile { read: stamp, looked: stamp });
        });
        std::fs::read_to_string(path)
    }

    /// Follows none of them any more, before all that are still wanted are read again.
    pub fn clear(&self) {
        self.with(|followed| *followed = Followed::default());
    }

    /// Names the files that cannot be looked at any more, now that the process has become another user: they are not followed.
    pub fn unwatch_unreadable(&self) -> Vec<String> {
        self.with(|followed| {
            let is_lost = |(path, seen): &(&String, &mut WatchedFile)| {
                seen.read.is_some() && Stamp::of(Path::new(path)).is_none()
            };
            let lost = followed.files.iter_mut().filter(is_lost);
            lost.map(|(path, seen)| {
                (seen.read, seen.looked) = (None, None);
                path.clone()
            })
            .collect()
        })
    }

    /// Tells when one of them is not as it was read and nobody is at work on it, until nobody listens any more.
    pub async fn watch(self, changed: UnboundedSender<()>) {
        loop {
            tokio::select! {
                () = changed.closed() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            // Away from this thread: a disk far away may take its time.
            let followed = self.clone();
            if tokio::task::spawn_blocking(move || followed.have_changed()).await.unwrap_or(false) {
                let _ = changed.send(());
            }
        }
    }

    /// One of them is not as it was read, and has not changed since the last look.
    fn have_changed(&self) -> bool {
        // Whoever reads meanwhile does not wait for a slow disk.
        let paths: Vec<String> = self.with(|followed| followed.files.keys().cloned().collect());
        let looked: Vec<_> = paths.into_iter().map(|path| (Stamp::of(Path::new(&path)), path)).collect();
        self.with(|followed| {
            let (mut is_changed, mut is_at_rest) = (false, false);
            for (now, path) in looked {
                let Some(seen) = followed.files.get_mut(&path) else { continue };
                if now != seen.read {
                    let is_being_cut = now.zip(seen.read).is_some_and(|(now, read)| now.is_being_cut(&read));
                    is_changed = true;
                    is_at_rest |= now == seen.looked && !is_being_cut;
                }
                seen.looked = now;
            }
            followed.looks = if is_changed { followed.looks + 1 } else { 0 };
            is_at_rest || followed.looks >= LOOKS_MAX
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Followed) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_change_counts_when_it_has_come_to_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let followed = WatchedFiles::default();
        fs::write(path("users"), "a").expect("written");
        assert_eq!(followed.read(&path("users")).expect("read"), "a");
        assert!(followed.read(&path("later")).is_err());
        assert!(!followed.have_changed());
        fs::write(path("users"), "ab").expect("written");
        assert!(!followed.have_changed(), "somebody may still be writing");
        fs::write(path("users"), "abc").expect("written");
        assert!(!followed.have_changed(), "and was");
        assert!(followed.have_changed());
        followed.clear();
        assert!(!followed.have_changed(), "nobody wants them any more");
        let _ = (followed.read(&path("users")), followed.read(&path("later")));
        fs::write(path("later"), "there").expect("written");
        assert!(!followed.have_changed());
        fs::write(path("users"), "abcd").expect("written");
        assert!(followed.have_changed(), "one that rests does not wait for the others");
    }

    #[test]
    fn a_second_reader_does_not_hide_a_change_from_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("both").display().to_string();
        let followed = WatchedFiles::default();
        fs::write(&file, "old").expect("written");
        assert_eq!(followed.read(&file).expect("read"), "old");
        fs::write(&file, "newer").expect("written");
        assert_eq!(followed.read(&file).expect("read"), "newer");
        assert!(!followed.have_changed());
        assert!(followed.have_changed());
    }

    #[test]
    fn what_cannot_be_looked_at_any_more_is_named_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let followed = WatchedFiles::default();
        for name in ["kept", "lost"] {
            fs::write(path(name), name).expect("written");
            let _ = followed.read(&path(name));
        }
        fs::remove_file(path("lost")).expect("removed");
        assert_eq!(followed.unwatch_unreadable(), [path("lost")]);
        assert!((0..3).all(|_| !followed.have_changed()));
    }

    #[test]
    fn a_file_that_never_rests_is_read_in_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("busy").display().to_string();
        let followed = WatchedFiles::default();
        let _ = followed.read(&file);
        let write = |n: u32| fs::write(&file, "x".repeat(n as usize)).expect("written");
        let looks = (1..).find(|&n| {
            write(n);
            followed.have_changed()
        });
        assert_eq!(looks, Some(LOOKS_MAX));
    }

    #[test]
    fn a_file_that_is_being_emptied_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cut");
        let followed = WatchedFiles::default();
        fs::write(&file, "").expect("written");
        fs::write(&file, "users").expect("written");
        let full = Stamp::of(&file).expect("there");
        let _ = followed.read(&file.display().to_string());
        // What it was read as, seen from a file that has become empty at the same times.
        fs::write(&file, "").expect("written");
        let now = Stamp::of(&file).expect("there");
        followed.with(|all| all.files.values_mut().for_each(|seen| seen.read = Some(full.with_times_of(&now))));
        assert!(now.is_empty());
        assert!((1..LOOKS_MAX).all(|_| !followed.have_changed()));
        assert!(followed.have_changed(), "ten minutes later");
    }
}
