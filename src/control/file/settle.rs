//! Waits until a change of files is complete. Files are written in steps: reading a file that has been emptied and not yet written would
//! remove all routes, and reading its first lines only would remove some. A busy disk can delay a writer between two steps for tens of
//! seconds, during which the file does not change.

use std::time::{Duration, SystemTime};

use super::super::file_stamp::Stamp;
use super::location::RoutesLocation;
use super::stamps::FileStamps;
use super::watches::{FileWatcher, LastWrite};

/// Events this close together are one change, because editors write a file in several steps. Also the interval at which the files' status
/// is polled while a change is being written.
pub(super) const SETTLE_PERIOD: Duration = Duration::from_millis(50);

/// How many rounds of [`SETTLE_PERIOD`] a writer that has a file open is waited for. In each round the files' status is read once.
const WRITING_ROUNDS_MAX: u32 = 1200;

/// How many rounds a file is waited for that the kernel is still truncating. The disk decides how long that takes, and the file is
/// certainly not complete.
const TRUNCATING_ROUNDS_MAX: u32 = 12_000;

/// How long after its last reported write an open file counts as being written.
const OPEN_FOR: Duration = Duration::from_secs(10);

/// [`OPEN_FOR`] for a file that was emptied.
const EMPTIED_FOR: Duration = Duration::from_secs(60);

/// The state of a change, in order from one that may be read at once to one that must not be read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum WriteState {
    /// A file has new contents, and no writer is known to have it open.
    Complete,
    /// A file was emptied and closed, or is gone. It may come back.
    Emptied,
    /// A file was emptied, and no event reports whether its writer has closed it.
    EmptiedUnknown,
    /// A writer has a file open.
    Writing,
    /// The kernel is truncating a file, and the disk has not finished that.
    Truncating,
}

impl WriteState {
    /// The number of successive rounds without a change after which the change is over, and the largest number of rounds in this state.
    fn rounds(self) -> (u32, u32) {
        match self {
            WriteState::Complete => (1, 20),
            WriteState::Emptied => (20, 60),
            WriteState::EmptiedUnknown => (200, 400),
            WriteState::Writing => (u32::MAX, WRITING_ROUNDS_MAX),
            WriteState::Truncating => (u32::MAX, TRUNCATING_ROUNDS_MAX),
        }
    }

    /// The state of the change from `before` to `stamps`: the highest state of the files that differ.
    fn of(
        location: &RoutesLocation,
        watcher: &Option<FileWatcher>,
        before: &FileStamps,
        stamps: &FileStamps,
    ) -> WriteState {
        let files = stamps.differing(before).into_iter().map(|(path, was, is)| {
            let last_write = watcher.as_ref().and_then(|watcher| watcher.last_write(location, path));
            WriteState::of_file(was, is, last_write, before.taken)
        });
        files.max().unwrap_or(WriteState::Complete)
    }

    /// The state of one file. `taken` is when the earlier status, `was`, was read.
    fn of_file(
        was: Option<&Stamp>,
        is: Option<&Stamp>,
        last_write: Option<LastWrite>,
        taken: SystemTime,
    ) -> WriteState {
        let Some(is) = is else { return WriteState::Emptied };
        let is_emptied = is.is_empty() && was.is_some_and(|was| !was.is_empty());
        let open_for = if is_emptied { EMPTIED_FOR } else { OPEN_FOR };
        match last_write {
            Some(LastWrite::Open(last)) if last.elapsed() < open_for => WriteState::Writing,
            Some(LastWrite::Closed(when)) if when >= is.changed() && when > taken => {
                if is_emptied {
                    WriteState::Emptied
                } else {
                    WriteState::Complete
                }
            }
            _ if is_emptied && was.is_some_and(|was| is.is_truncating(was)) => WriteState::Truncating,
            _ if is_emptied => WriteState::EmptiedUnknown,
            _ => WriteState::Complete,
        }
    }
}

/// Waits until the change since `before` is over. Gives the files' status then, and false if the change was not over after the largest
/// number of rounds.
pub(super) async fn wait_until_settled(
    location: &RoutesLocation,
    watcher: &Option<FileWatcher>,
    before: &FileStamps,
    mut stamps: FileStamps,
) -> (FileStamps, bool) {
    let (mut state, mut rounds, mut unchanged) = (WriteState::Complete, 0u32, 0u32);
    for _ in 0..TRUNCATING_ROUNDS_MAX {
        tokio::time::sleep(SETTLE_PERIOD).await;
        let now = FileStamps::of(location);
        unchanged = if now == stamps { unchanged + 1 } else { 0 };
        stamps = now;
        let state_now = WriteState::of(location, watcher, before, &stamps);
        // The time spent in one state says nothing about how long the next state takes, so each state has its own rounds.
        rounds = if state_now == state { rounds + 1 } else { 1 };
        state = state_now;
        let (unchanged_enough, rounds_max) = state.rounds();
        if unchanged >= unchanged_enough || (state < WriteState::Writing && rounds >= rounds_max) {
            return (stamps, true);
        }
        if rounds >= rounds_max {
            break;
        }
    }
    let waited = SETTLE_PERIOD * rounds;
    tracing::warn!("file provider: {location} is still being written after {waited:?}: reading it as it is");
    (stamps, false)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;
    use std::path::Path;

    use super::*;

    /// A folder of files with a watcher.
    struct WatchedFolder {
        folder: tempfile::TempDir,
        location: RoutesLocation,
        watcher: Option<FileWatcher>,
    }

    impl WatchedFolder {
        fn new() -> WatchedFolder {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let location = RoutesLocation::Directory(folder.path().to_owned());
            let (report, _) = tokio::sync::mpsc::unbounded_channel();
            let watcher = Some(FileWatcher::new(&location, report));
            WatchedFolder { folder, location, watcher }
        }

        fn write(&self, name: &str, text: &str) -> File {
            let mut file = File::create(self.folder.path().join(name)).expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            file
        }

        /// The files' status after 30 ms, which is longer than the file system's clock and the watcher's thread need.
        fn stamps(&self) -> FileStamps {
            std::thread::sleep(Duration::from_millis(30));
            FileStamps::of(&self.location)
        }

        fn state(&self, before: &FileStamps) -> WriteState {
            WriteState::of(&self.location, &self.watcher, before, &self.stamps())
        }

        /// Asserts that the state becomes the expected one within half of [`OPEN_FOR`], because events arrive late.
        fn assert_becomes(&self, before: &FileStamps, expected: WriteState) {
            let start = std::time::Instant::now();
            while self.state(before) != expected && start.elapsed() < OPEN_FOR / 2 {}
            assert_eq!(self.state(before), expected);
        }

        fn remove(&self, name: &str) {
            fs::remove_file(self.folder.path().join(name)).expect("removed");
        }
    }

    #[test]
    fn file_is_being_written_until_writer_closes_it() {
        let watched = WatchedFolder::new();
        drop((watched.write("a.toml", "long text"), watched.write("b.toml", "x")));
        let before = watched.stamps();
        assert_eq!(watched.state(&before), WriteState::Complete);
        let a = watched.write("a.toml", "new");
        watched.assert_becomes(&before, WriteState::Writing);
        // A file that is no routes file does not count, although it is still open.
        let other = watched.write("notes.txt", "x");
        drop(a);
        watched.assert_becomes(&before, WriteState::Complete);
        let before = watched.stamps();
        let _held = watched.write("c.toml", "never closed");
        watched.assert_becomes(&before, WriteState::Writing);
        let before = watched.stamps();
        drop(File::create(watched.folder.path().join("b.toml")));
        watched.assert_becomes(&before, WriteState::Emptied);
        // Another file replaces the one that is still open.
        let before = watched.stamps();
        watched.remove("c.toml");
        let path = |name| watched.folder.path().join(name);
        fs::hard_link(path("a.toml"), path("c.toml")).expect("linked");
        watched.assert_becomes(&before, WriteState::Complete);
        drop(other);
    }

    #[test]
    fn emptied_file_is_recognised_by_its_close_event() {
        let watched = WatchedFolder::new();
        drop(watched.write("a.toml", "x"));
        let before = watched.stamps();
        let path = watched.folder.path().join("a.toml");
        drop(File::create(&path).expect("emptied"));
        watched.assert_becomes(&before, WriteState::Emptied);
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("another mode");
        watched.assert_becomes(&before, WriteState::Emptied);
        assert_eq!(
            WriteState::of(&watched.location, &None, &before, &watched.stamps()),
            WriteState::EmptiedUnknown,
            "no events"
        );
        watched.remove("a.toml");
        watched.assert_becomes(&before, WriteState::Emptied);
        let begun = File::create(&path).expect("the next one");
        watched.assert_becomes(&before, WriteState::EmptiedUnknown);
        drop(begun);
        watched.assert_becomes(&before, WriteState::Emptied);
        drop(watched.write("b.toml", ""));
        let before = watched.stamps();
        drop(watched.write("b.toml", ""));
        watched.assert_becomes(&before, WriteState::Complete);
    }

    #[test]
    fn truncating_file_has_new_size_and_earlier_times() {
        let watched = WatchedFolder::new();
        drop(watched.write("a.toml", "long text"));
        let before = watched.stamps();
        drop(watched.write("a.toml", ""));
        let half = watched.stamps().with_times_of(&before);
        assert_eq!(WriteState::of(&watched.location, &None, &before, &half), WriteState::Truncating);
        // Two saves within one tick of a coarse file system clock: the close event after the first look distinguishes them.
        drop(watched.write("a.toml", "text"));
        watched.assert_becomes(&before, WriteState::Complete);
        let same_second = watched.stamps().with_times_of(&before);
        assert_eq!(WriteState::of(&watched.location, &watched.watcher, &before, &same_second), WriteState::Complete);
    }

    #[test]
    fn single_file_is_matched_by_its_file_name() {
        let location = RoutesLocation::File("routes.toml".into());
        assert_eq!(location.key(Path::new("/some/where/./routes.toml")), Some("routes.toml".into()));
        assert_eq!(location.key(Path::new("/some/where/draft")), None);
    }
}
