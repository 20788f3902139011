//! Noticing that files changed, from their status alone.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Place;

/// The status of every file of a place. Two that are equal mean that nothing needs to be read again.
#[derive(Debug, Clone)]
pub(super) struct Stamps {
    files: BTreeMap<PathBuf, Option<Stamp>>,
    /// When it was looked at.
    pub taken: SystemTime,
}

impl PartialEq for Stamps {
    fn eq(&self, other: &Stamps) -> bool {
        self.files == other.files
    }
}

/// A file's identity and state; links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified_nanos: (i64, i64),
    /// Set by the kernel at every change of contents or status; unlike the time above no program can set it back.
    changed_nanos: (i64, i64),
}

impl Stamp {
    /// It holds nothing at all.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// When the kernel says that it changed. A file system may hold any number; one before 1970 is taken for 1970.
    pub fn changed(&self) -> SystemTime {
        let (secs, nanos) = self.changed_nanos;
        UNIX_EPOCH + Duration::new(secs.try_into().unwrap_or(0), nanos.try_into().unwrap_or(0))
    }

    /// It is smaller than it `was`, at the same time: so ext4 shows a file that is being emptied while it waits for the disk. Two
    /// changes within one step of the file system's clock look the same.
    pub fn is_being_cut(&self, was: &Stamp) -> bool {
        self.size < was.size && Stamp { size: was.size, ..*self } == *was
    }
}

impl Stamps {
    /// Looks at the files there are now; one that is gone, or a folder that cannot be read, is a state like any other.
    pub fn of(place: &Place) -> Stamps {
        let taken = SystemTime::now();
        let files = place.files().unwrap_or_else(|_| vec![place.path().to_owned()]);
        Stamps { files: files.into_iter().map(|file| (file.clone(), stamp(&file))).collect(), taken }
    }

    /// The files that are not as `before`: their paths, what they were and what they are. `None`: not there.
    pub fn differing<'a>(
        &'a self,
        before: &'a Stamps,
    ) -> impl Iterator<Item = (&'a Path, Option<&'a Stamp>, Option<&'a Stamp>)> {
        let gone = before.files.keys().filter(|path| !self.files.contains_key(*path));
        let pairs = self.files.keys().chain(gone).map(|path| (path.as_path(), before.file(path), self.file(path)));
        pairs.filter(|(_, was, is)| was != is)
    }

    fn file(&self, path: &Path) -> Option<&Stamp> {
        self.files.get(path)?.as_ref()
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let status = std::fs::metadata(file).ok()?;
    Some(Stamp {
        device: status.dev(),
        inode: status.ino(),
        size: status.len(),
        modified_nanos: (status.mtime(), status.mtime_nsec()),
        changed_nanos: (status.ctime(), status.ctime_nsec()),
    })
}

#[cfg(test)]
impl Stamps {
    /// As ext4 shows a file while it is being emptied: the new size, and the times of before.
    pub fn with_times_of(mut self, before: &Stamps) -> Stamps {
        for (path, stamp) in &mut self.files {
            if let (Some(stamp), Some(before)) = (stamp, before.file(path)) {
                *stamp = Stamp { size: stamp.size, ..*before };
            }
        }
        self
    }
}
