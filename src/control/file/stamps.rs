//! Detects changes of the files of a location from their status.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::file_stamp::Stamp;
use super::location::{LoadError, RoutesLocation};

/// The status of every file of a location. If two of them are equal, the files need not be read again.
#[derive(Debug, Clone)]
pub(super) struct FileStamps {
    /// Sorted by path, which is the order in which the files are merged. `None`: the file does not exist, or its status cannot be read.
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// Why the folder's files cannot be listed; the folder itself then counts as the only file.
    pub unlisted: Option<LoadError>,
    /// When the status was read.
    pub taken: SystemTime,
}

impl PartialEq for FileStamps {
    fn eq(&self, other: &FileStamps) -> bool {
        self.files == other.files
    }
}

/// A file whose status differs: its path, its earlier status and its status now. `None`: the file does not exist.
type Difference<'a> = (&'a Path, Option<&'a Stamp>, Option<&'a Stamp>);

impl FileStamps {
    /// Reads the status of the location's files. A file that is gone, or a folder that cannot be read, is a state like any other.
    pub fn of(location: &RoutesLocation) -> FileStamps {
        let taken = SystemTime::now();
        let (files, unlisted) = match location.files() {
            Ok(files) => (files, None),
            Err(error) => (vec![location.path().to_owned()], Some(error)),
        };
        let with_stamp = |file: PathBuf| {
            let stamp = Stamp::of(&file);
            (file, stamp)
        };
        FileStamps { files: files.into_iter().map(with_stamp).collect(), unlisted, taken }
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// The files with their status, in the order in which they are merged.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, Option<&Stamp>)> {
        self.files.iter().map(|(path, stamp)| (path.as_path(), stamp.as_ref()))
    }

    /// The files whose status differs from `before`.
    pub fn differing<'a>(&'a self, before: &'a FileStamps) -> Vec<Difference<'a>> {
        let mut differing = Vec::new();
        let mut earlier = before.iter().peekable();
        for (path, is) in self.iter() {
            while let Some((gone, was)) = earlier.next_if(|(was, _)| *was < path) {
                differing.push((gone, was, None));
            }
            let was = earlier.next_if(|(was, _)| *was == path).and_then(|(_, was)| was);
            if was != is {
                differing.push((path, was, is));
            }
        }
        differing.extend(earlier.map(|(gone, was)| (gone, was, None)));
        // A file that did not exist before either.
        differing.retain(|(_, was, is)| was != is);
        differing
    }
}

#[cfg(test)]
impl FileStamps {
    /// The status as ext4 shows it while a file is being truncated: the new size with the earlier times.
    pub fn with_times_of(mut self, before: &FileStamps) -> FileStamps {
        let stamp_of = |path: &Path| before.iter().find(|(file, _)| *file == path).and_then(|(_, stamp)| stamp);
        for (path, stamp) in &mut self.files {
            if let (Some(stamp), Some(before)) = (stamp, stamp_of(path)) {
                *stamp = stamp.with_times_of(before);
            }
        }
        self
    }
}
