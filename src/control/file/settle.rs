//! When a change of files is over. Files are written in steps: one that was emptied and is about to be filled would clear all
//! routes, one that holds its first lines only would clear some. A busy disk can hold a writer between two steps for tens of
//! seconds, while the file looks at rest.

use std::time::{Duration, SystemTime};

use super::super::file_stamp::Stamp;
use super::stamps::FileStamps;
use super::watches::{FileWatcher, Writing};
use super::{RoutesLocation, SETTLE_PERIOD};

/// Somebody at work is waited for this many [`SETTLE_PERIOD`]s, the rounds in which the files are looked at.
const WORK_ROUNDS_MAX: u32 = 1200;

/// A file that the kernel itself is still emptying is waited for this many: the disk decides, and nobody means an empty file yet.
const EMPTYING_ROUNDS_MAX: u32 = 12_000;

/// A file that somebody has open counts as being written for this long after the last write that was told.
const OPEN_FOR: Duration = Duration::from_secs(10);

/// The same for a file that was emptied.
const EMPTIED_FOR: Duration = Duration::from_secs(60);

/// How a change looks, from what may be read at once to what should not be read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum WriteState {
    /// New contents, and nobody is known to be at work on them.
    Whole,
    /// A file was emptied and closed, or is gone: it may come back.
    Emptied,
    /// A file was emptied, and nothing tells whether its writer is done.
    Untold,
    /// Somebody is at work on a file.
    AtWork,
    /// A file is being emptied, and the disk is not done with it.
    Emptying,
}

impl WriteState {
    /// After how many rounds without a change it is over, and after how many of any kind.
    fn rounds(self) -> (u32, u32) {
        match self {
            WriteState::Whole => (1, 20),
            WriteState::Emptied => (20, 60),
            WriteState::Untold => (200, 400),
            WriteState::AtWork => (u32::MAX, WORK_ROUNDS_MAX),
            WriteState::Emptying => (u32::MAX, EMPTYING_ROUNDS_MAX),
        }
    }

    /// That of the change from `before` to `stamps`: the least restful of the files that differ.
    fn of(
        place: &RoutesLocation,
        watches: &Option<FileWatcher>,
        before: &FileStamps,
        stamps: &FileStamps,
    ) -> WriteState {
        let files = stamps.differing(before).map(|(path, was, is)| {
            let writing = watches.as_ref().and_then(|watches| watches.writing(place, path));
            WriteState::of_file(was, is, writing, before.taken)
        });
        files.max().unwrap_or(WriteState::Whole)
    }

    /// `looked`: when the file was as it `was`.
    fn of_file(was: Option<&Stamp>, is: Option<&Stamp>, writing: Option<Writing>, looked: SystemTime) -> WriteState {
        let Some(is) = is else { return WriteState::Emptied };
        let is_emptied = is.is_empty() && was.is_some_and(|was| !was.is_empty());
        let open_for = if is_emptied { EMPTIED_FOR } else { OPEN_FOR };
        match writing {
            Some(Writing::Open(last)) if last.elapsed() < open_for => WriteState::AtWork,
            Some(Writing::Closed(when)) if when >= is.changed() && when > looked => {
                if is_emptied {
                    WriteState::Emptied
                } else {
                    WriteState::Whole
                }
            }
            _ if is_emptied && was.is_some_and(|was| is.is_being_cut(was)) => WriteState::Emptying,
            _ if is_emptied => WriteState::Untold,
            _ => WriteState::Whole,
        }
    }
}

/// Waits for the end of a change of what was as `before`. Gives the files' status then, and false if there was no end to wait for.
pub(super) async fn wait_until_settled(
    place: &RoutesLocation,
    watches: &Option<FileWatcher>,
    before: &FileStamps,
    mut stamps: FileStamps,
) -> (FileStamps, bool) {
    let (mut rest, mut rounds, mut quiet) = (WriteState::Whole, 0u32, 0u32);
    for _ in 0..EMPTYING_ROUNDS_MAX {
        tokio::time::sleep(SETTLE_PERIOD).await;
        let now = FileStamps::of(place);
        quiet = if now == stamps { quiet + 1 } else { 0 };
        stamps = now;
        let rest_now = WriteState::of(place, watches, before, &stamps);
        // What was waited for so far says nothing about how long the next step takes.
        rounds = if rest_now == rest { rounds + 1 } else { 1 };
        rest = rest_now;
        let (enough, most) = rest.rounds();
        if quiet >= enough || (rest < WriteState::AtWork && rounds >= most) {
            return (stamps, true);
        }
        if rounds >= most {
            break;
        }
    }
    let waited = SETTLE_PERIOD * rounds;
    tracing::warn!("file provider: {place} is still being written after {waited:?}: it is read as it stands");
    (stamps, false)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;
    use std::path::Path;

    use super::*;

    /// A folder of files under watch.
    struct Stage {
        folder: tempfile::TempDir,
        place: RoutesLocation,
        watches: Option<FileWatcher>,
    }

    impl Stage {
        fn new() -> Stage {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let place = RoutesLocation::Directory(folder.path().to_owned());
            let (report, _) = tokio::sync::mpsc::unbounded_channel();
            let watches = Some(FileWatcher::new(&place, report));
            Stage { folder, place, watches }
        }

        fn write(&self, name: &str, text: &str) -> File {
            let mut file = File::create(self.folder.path().join(name)).expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            file
        }

        /// The status as it is, after longer than a file system's clock and the events' thread need.
        fn look(&self) -> FileStamps {
            std::thread::sleep(Duration::from_millis(30));
            FileStamps::of(&self.place)
        }

        fn rest(&self, before: &FileStamps) -> WriteState {
            WriteState::of(&self.place, &self.watches, before, &self.look())
        }

        /// Events come when they come.
        fn assert_becomes(&self, before: &FileStamps, expected: WriteState) {
            let start = std::time::Instant::now();
            while self.rest(before) != expected && start.elapsed() < OPEN_FOR / 2 {}
            assert_eq!(self.rest(before), expected);
        }

        fn remove(&self, name: &str) {
            fs::remove_file(self.folder.path().join(name)).expect("removed");
        }
    }

    #[test]
    fn a_writer_is_at_work_until_it_closes() {
        let stage = Stage::new();
        drop((stage.write("a.toml", "long text"), stage.write("b.toml", "x")));
        let before = stage.look();
        assert_eq!(stage.rest(&before), WriteState::Whole);
        let a = stage.write("a.toml", "new");
        stage.assert_becomes(&before, WriteState::AtWork);
        // Not the writer's affair: it has not touched that one.
        let other = stage.write("notes.txt", "x");
        drop(a);
        stage.assert_becomes(&before, WriteState::Whole);
        let before = stage.look();
        let _held = stage.write("c.toml", "held open for ever");
        stage.assert_becomes(&before, WriteState::AtWork);
        let before = stage.look();
        drop(File::create(stage.folder.path().join("b.toml")));
        stage.assert_becomes(&before, WriteState::Emptied);
        // Another file takes the name of the one that is held open.
        let before = stage.look();
        stage.remove("c.toml");
        let path = |name| stage.folder.path().join(name);
        fs::hard_link(path("a.toml"), path("c.toml")).expect("linked");
        stage.assert_becomes(&before, WriteState::Whole);
        drop(other);
    }

    #[test]
    fn an_emptied_file_is_told_by_its_close_and_a_new_one_of_its_name_is_not() {
        let stage = Stage::new();
        drop(stage.write("a.toml", "x"));
        let before = stage.look();
        let path = stage.folder.path().join("a.toml");
        drop(File::create(&path).expect("emptied"));
        stage.assert_becomes(&before, WriteState::Emptied);
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("another mode");
        stage.assert_becomes(&before, WriteState::Emptied);
        assert_eq!(WriteState::of(&stage.place, &None, &before, &stage.look()), WriteState::Untold, "no events");
        stage.remove("a.toml");
        stage.assert_becomes(&before, WriteState::Emptied);
        let begun = File::create(&path).expect("the next one");
        stage.assert_becomes(&before, WriteState::Untold);
        drop(begun);
        stage.assert_becomes(&before, WriteState::Emptied);
        drop(stage.write("b.toml", ""));
        let before = stage.look();
        drop(stage.write("b.toml", ""));
        stage.assert_becomes(&before, WriteState::Whole);
    }

    #[test]
    fn a_file_that_is_being_emptied_shows_its_size_before_its_time() {
        let stage = Stage::new();
        drop(stage.write("a.toml", "long text"));
        let before = stage.look();
        drop(stage.write("a.toml", ""));
        let half = stage.look().with_times_of(&before);
        assert_eq!(WriteState::of(&stage.place, &None, &before, &half), WriteState::Emptying);
        // Two saves within one step of a coarse clock: the close behind the first look tells them apart.
        drop(stage.write("a.toml", "text"));
        stage.assert_becomes(&before, WriteState::Whole);
        let same_second = stage.look().with_times_of(&before);
        assert_eq!(WriteState::of(&stage.place, &stage.watches, &before, &same_second), WriteState::Whole);
    }

    #[test]
    fn a_single_file_is_known_by_its_own_name() {
        let place = RoutesLocation::File("routes.toml".into());
        assert_eq!(place.key(Path::new("/some/where/./routes.toml")), Some("routes.toml".into()));
        assert_eq!(place.key(Path::new("/some/where/draft")), None);
    }
}
