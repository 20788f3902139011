//! Noticing that the files of a place changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::file_stamp::Stamp;
use super::RoutesLocation;

/// The status of every file of a place. Two that are equal mean that nothing needs to be read again.
#[derive(Debug, Clone)]
pub(super) struct FileStamps {
    files: BTreeMap<PathBuf, Option<Stamp>>,
    /// When it was looked at.
    pub taken: SystemTime,
}

impl PartialEq for FileStamps {
    fn eq(&self, other: &FileStamps) -> bool {
        self.files == other.files
    }
}

impl FileStamps {
    /// Looks at the files there are now; one that is gone, or a folder that cannot be read, is a state like any other.
    pub fn of(place: &RoutesLocation) -> FileStamps {
        let taken = SystemTime::now();
        let files = place.files().unwrap_or_else(|_| vec![place.path().to_owned()]);
        FileStamps { files: files.into_iter().map(|file| (file.clone(), Stamp::of(&file))).collect(), taken }
    }

    /// The files that are not as `before`: their paths, what they were and what they are. `None`: not there.
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
    /// As ext4 shows a file while it is being emptied: the new size, and the times of before.
    pub fn with_times_of(mut self, before: &FileStamps) -> FileStamps {
        for (path, stamp) in &mut self.files {
            if let (Some(stamp), Some(before)) = (stamp, before.file(path)) {
                *stamp = stamp.with_times_of(before);
            }
        }
        self
    }
}
