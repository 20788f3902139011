//! Noticing that files changed, from their status alone.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Place;

/// The status of every file of a place. Two that are equal mean that nothing needs to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

/// A file's identity and state; links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified_nanos: (i64, i64),
    /// Set by the kernel at every change of contents or status; unlike the time above no program can set it back.
    changed_nanos: (i64, i64),
}

impl Stamp {
    /// A file system may hold any number; one before 1970 is taken for 1970.
    fn changed(&self) -> SystemTime {
        let (secs, nanos) = self.changed_nanos;
        UNIX_EPOCH + Duration::new(secs.try_into().unwrap_or(0), nanos.try_into().unwrap_or(0))
    }
}

impl Stamps {
    /// Looks at the files there are now; one that is gone, or a folder that cannot be read, is a state like any other.
    pub fn of(place: &Place) -> Stamps {
        let files = place.files().unwrap_or_else(|_| vec![place.path().to_owned()]);
        Stamps(files.into_iter().map(|file| (file.clone(), stamp(&file))).collect())
    }

    /// A file is in the middle of a change: ext4 shows its new size, and the time of before, while it waits for the disk.
    pub fn is_half_changed(&self, before: &Stamps) -> bool {
        self.0.iter().any(|(path, stamp)| match (stamp, before.of_file(path)) {
            (Some(stamp), Some(before)) => {
                let is_same = (stamp.device, stamp.inode) == (before.device, before.inode);
                is_same && stamp.changed_nanos == before.changed_nanos && stamp.size != before.size
            }
            _ => false,
        })
    }

    /// The files that hold nothing at all and were not so `before`, each with the time at which it changed.
    pub fn emptied<'a>(&'a self, before: &'a Stamps) -> impl Iterator<Item = (&'a Path, SystemTime)> {
        self.0.iter().filter_map(move |(path, stamp)| {
            let stamp = stamp.filter(|stamp| stamp.size == 0)?;
            let was_empty = before.of_file(path).is_some_and(|before| before.size == 0);
            (!was_empty).then(|| (path.as_path(), stamp.changed()))
        })
    }

    /// A file that was there `before` is gone.
    pub fn has_lost(&self, before: &Stamps) -> bool {
        before.0.iter().any(|(path, stamp)| stamp.is_some() && self.of_file(path).is_none())
    }

    fn of_file(&self, path: &Path) -> Option<&Stamp> {
        self.0.get(path)?.as_ref()
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
    pub fn with_changes_of(mut self, before: &Stamps) -> Stamps {
        for (path, stamp) in &mut self.0 {
            if let (Some(stamp), Some(before)) = (stamp, before.of_file(path)) {
                stamp.changed_nanos = before.changed_nanos;
            }
        }
        self
    }
}
