//! Detects changes of the files of a location from their status.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::file_stamp::Stamp;
use super::location::RoutesLocation;

/// The status of every file of a location. If two of them are equal, the files need not be read again.
#[derive(Debug, Clone)]
pub(super) struct FileStamps {
    /// `None`: the file does not exist, or its status cannot be read.
    files: BTreeMap<PathBuf, Option<Stamp>>,
    /// When the status was read.
    pub taken: SystemTime,
}

impl PartialEq for FileStamps {
    fn eq(&self, other: &FileStamps) -> bool {
        self.files == other.files
    }
}

impl FileStamps {
    /// Reads the status of the location's files. A file that is gone, or a folder that cannot be read, is a state like any other.
    pub fn of(location: &RoutesLocation) -> FileStamps {
        let taken = SystemTime::now();
        let files = location.files().unwrap_or_else(|_| vec![location.path().to_owned()]);
        FileStamps { files: files.into_iter().map(|file| (file.clone(), Stamp::of(&file))).collect(), taken }
    }

    /// The files whose status differs from `before`: path, earlier status and status now. `None`: the file does not exist.
    pub fn differing<'a>(
        &'a self,
        before: &'a FileStamps,
    ) -> impl Iterator<Item = (&'a Path, Option<&'a Stamp>, Option<&'a Stamp>)> {
        let gone = before.files.keys().filter(|path| !self.files.contains_key(*path));
        let pairs = self.files.keys().chain(gone).map(|path| (path.as_path(), before.file(path), self.file(path)));
        pairs.filter(|(_, was, is)| was != is)
    }

    fn file(&self, path: &Path) -> Option<&Stamp> {
        self.files.get(path)?.as_ref()
    }
}

#[cfg(test)]
impl FileStamps {
    /// The status as ext4 shows it while a file is being truncated: the new size with the earlier times.
    pub fn with_times_of(mut self, before: &FileStamps) -> FileStamps {
        for (path, stamp) in &mut self.files {
            if let (Some(stamp), Some(before)) = (stamp, before.file(path)) {
                *stamp = stamp.with_times_of(before);
            }
        }
        self
    }
}
