//! The files of a location as they were read last, so that a change costs the changed files and not all of them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::file_stamp::Stamp;
use super::location::{LoadError, RoutesLocation};
use super::read::read_file;
use super::stamps::FileStamps;
use crate::config::text::{self, FileDocument, Merged, Warning};

/// A file that had changed less than this time before it was read is read again at the next change of any file: file systems store times
/// in steps of up to 2 s, so a second write may have left the same status.
const TRUSTED_AFTER: Duration = Duration::from_secs(2);

/// The parsed files by path.
#[derive(Default)]
pub(super) struct FileCache {
    files: HashMap<PathBuf, CachedFile>,
    /// The files that the last update has read or tried to read, each with its status before.
    read: Vec<(PathBuf, Option<Stamp>)>,
}

struct CachedFile {
    /// The status before the file was read; `None` if later contents may have the same one.
    stamp: Option<Stamp>,
    /// The path as messages show it.
    name: Box<str>,
    document: FileDocument,
    /// The warnings that `take_warnings` has not returned yet.
    warnings: Vec<Warning>,
}

impl FileCache {
    /// Reads the files that have changed since they were read, and drops those that are gone. `stamps` is the files' status before.
    ///
    /// # Errors
    /// A file or folder cannot be read, or a file is not valid. What was read of the other files stays.
    pub fn update(&mut self, location: &RoutesLocation, stamps: &FileStamps) -> Result<(), LoadError> {
        self.read.clear();
        if let Some(error) = &stamps.unlisted {
            self.read.extend(stamps.iter().map(|(path, stamp)| (path.to_owned(), stamp.copied())));
            return Err(error.clone());
        }
        for (path, stamp) in stamps.iter() {
            if stamp.is_some() && self.files.get(path).is_some_and(|file| file.stamp.as_ref() == stamp) {
                continue;
            }
            self.read.push((path.to_owned(), stamp.copied()));
            let (_, parsed) = read_file(location, path)?;
            let is_trusted = |stamp: &Stamp| stamp.changed() + TRUSTED_AFTER <= stamps.taken;
            let file = CachedFile {
                stamp: stamp.copied().filter(is_trusted),
                name: path.display().to_string().into(),
                document: parsed.value.into(),
                warnings: parsed.warnings,
            };
            self.files.insert(path.to_owned(), file);
        }
        if self.files.len() > stamps.len() {
            let present: HashSet<&Path> = stamps.iter().map(|(path, _)| path).collect();
            self.files.retain(|path, _| present.contains(path.as_path()));
        }
        Ok(())
    }

    /// Whether a file has changed while the last update was reading it: it may have been read half.
    pub fn is_torn(&self) -> bool {
        self.read.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    /// Merges the files in the order of `stamps` into one document.
    pub fn merge(&self, stamps: &FileStamps) -> Merged {
        let cached = stamps.iter().filter_map(|(path, _)| self.files.get(path));
        text::merge(cached.map(|file| (&*file.name, &file.document)))
    }

    /// The warnings about the files that were read since the last call, in the order of `stamps`.
    pub fn take_warnings(&mut self, stamps: &FileStamps) -> Vec<Warning> {
        stamps
            .iter()
            .filter_map(|(path, _)| Some(std::mem::take(&mut self.files.get_mut(path)?.warnings)))
            .flatten()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder of routes files, long after they were written.
    struct Folder {
        folder: tempfile::TempDir,
        location: RoutesLocation,
        cache: FileCache,
        stamps: FileStamps,
    }

    impl Folder {
        fn new(files: &[(&str, &str)]) -> Folder {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let location = RoutesLocation::Directory(folder.path().to_owned());
            let stamps = FileStamps::of(&location);
            let folder = Folder { folder, location, cache: FileCache::default(), stamps };
            files.iter().for_each(|(name, backend)| folder.write(name, &backend_text(backend)));
            folder
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            // A new file each time: a coarse clock may show the same times for two writes.
            let draft = self.path("draft");
            fs::write(&draft, text).expect("written");
            fs::rename(draft, self.path(name)).expect("renamed");
        }

        /// Updates the cache. Returns the names of the files that were read.
        fn update(&mut self) -> Result<Vec<String>, LoadError> {
            self.stamps = FileStamps::of(&self.location);
            self.stamps.taken += TRUSTED_AFTER + Duration::from_secs(1);
            let updated = self.cache.update(&self.location, &self.stamps);
            let name =
                |path: &Path| path.strip_prefix(self.folder.path()).expect("in the folder").display().to_string();
            updated.map(|()| self.cache.read.iter().map(|(path, _)| name(path)).collect())
        }

        fn backends(&self) -> Vec<String> {
            self.cache.merge(&self.stamps).dynamic.backends.into_keys().collect()
        }
    }

    fn backend_text(name: &str) -> String {
        format!("[backends.{name}.servers.s]\nurl = \"http://127.0.0.1:1\"\n")
    }

    #[test]
    fn changed_file_is_the_only_one_read_again() {
        let mut folder = Folder::new(&[("a.toml", "a"), ("b.toml", "b"), ("c.toml", "c")]);
        assert_eq!(folder.update().expect("good"), ["a.toml", "b.toml", "c.toml"]);
        assert_eq!(folder.update().expect("good"), [""; 0]);
        folder.write("b.toml", &backend_text("x"));
        assert_eq!(folder.update().expect("good"), ["b.toml"]);
        assert_eq!(folder.backends(), ["a", "c", "x"]);
        assert!(!folder.cache.is_torn());
        folder.write("b.toml", "");
        assert!(folder.cache.is_torn(), "changed since its status was read");
    }

    #[test]
    fn removed_file_loses_its_routes() {
        let mut folder = Folder::new(&[("a.toml", "a"), ("b.toml", "b")]);
        folder.update().expect("good");
        fs::remove_file(folder.path("a.toml")).expect("removed");
        assert_eq!(folder.update().expect("good"), [""; 0]);
        assert_eq!((folder.backends(), folder.cache.files.len()), (vec!["b".to_owned()], 1));
    }

    #[test]
    fn broken_file_is_the_only_one_read_again() {
        let mut folder = Folder::new(&[("a.toml", "a"), ("b.toml", "b"), ("c.toml", "c")]);
        folder.update().expect("good");
        folder.write("b.toml", "[backends.x\n");
        let error = folder.update().expect_err("broken").to_string();
        assert!(error.contains("b.toml:1"), "{error}");
        assert_eq!(folder.cache.read.len(), 1);
        assert_eq!(folder.backends(), ["a", "b", "c"], "the last good contents stay");
        folder.write("b.toml", &backend_text("mended"));
        assert_eq!(folder.update().expect("good"), ["b.toml"]);
        assert_eq!(folder.backends(), ["a", "c", "mended"]);
    }

    #[test]
    fn cached_files_give_the_same_as_a_first_read() {
        let mut folder = Folder::new(&[("a.toml", "a"), ("b.toml", "b"), ("c.toml", "same"), ("d.toml", "same")]);
        folder.update().expect("good");
        folder.write("b.toml", "[[tls]]\n[tls.certificate]\ncertFile = 'x'\nkeyFile = 'y'\n");
        fs::create_dir(folder.path("a")).expect("created");
        folder.write("a/first.toml", &backend_text("same"));
        fs::remove_file(folder.path("a.toml")).expect("removed");
        assert_eq!(folder.update().expect("good"), ["a/first.toml", "b.toml"]);
        let merged = folder.cache.merge(&folder.stamps);
        assert_eq!(merged, super::super::load(&folder.location).expect("good"));
        assert_eq!((merged.dynamic.backends.len(), merged.dynamic.tls.len(), merged.rejected.len()), (1, 1, 2));
    }

    #[test]
    fn file_that_was_young_when_read_is_read_again() {
        let mut folder = Folder::new(&[("a.toml", "a")]);
        let stamps = FileStamps::of(&folder.location);
        for _ in 0..2 {
            folder.cache.update(&folder.location, &stamps).expect("good");
            assert_eq!(folder.cache.read.len(), 1);
        }
        assert_eq!(folder.update().expect("good"), ["a.toml"]);
        assert_eq!(folder.update().expect("good"), [""; 0]);
    }

    #[test]
    fn warnings_of_a_file_are_given_once() {
        let mut folder = Folder::new(&[("a.toml", "a")]);
        folder.write("b.toml", "[backends.b]\nmaxcon = 1\n");
        folder.update().expect("good");
        let stamps = folder.stamps.clone();
        let warnings = folder.cache.take_warnings(&stamps);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        folder.update().expect("good");
        assert!(folder.cache.take_warnings(&stamps).is_empty());
    }

    #[test]
    fn folder_that_cannot_be_listed_keeps_its_files() {
        let mut folder = Folder::new(&[("a.toml", "a")]);
        folder.update().expect("good");
        folder.location = RoutesLocation::Directory(folder.path("missing"));
        let stamps = FileStamps::of(&folder.location);
        let error = folder.cache.update(&folder.location, &stamps).expect_err("missing").to_string();
        assert!(error.contains("missing cannot be read"), "{error}");
        assert!(!folder.cache.is_torn());
        assert_eq!(folder.cache.files.len(), 1);
    }
}
