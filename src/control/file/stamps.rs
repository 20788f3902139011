//! Noticing that files changed, from their status alone.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::Place;

/// The status of every file of a place. Two that are equal mean that nothing needs to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

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

impl Stamps {
    /// Looks at the files there are now; one that is gone, or a folder that cannot be read, is a state like any other.
    pub fn of(place: &Place) -> Stamps {
        let files = place.files().unwrap_or_else(|_| vec![place.path().to_owned()]);
        Stamps(files.into_iter().map(|file| (file.clone(), stamp(&file))).collect())
    }

    /// One of the files holds nothing at all.
    pub fn has_empty(&self) -> bool {
        self.0.iter().any(|(_, stamp)| stamp.is_some_and(|stamp| stamp.size == 0))
    }
}

fn stamp(file: &std::path::Path) -> Option<Stamp> {
    let status = std::fs::metadata(file).ok()?;
    Some(Stamp {
        device: status.dev(),
        inode: status.ino(),
        size: status.len(),
        modified_nanos: (status.mtime(), status.mtime_nsec()),
        changed_nanos: (status.ctime(), status.ctime_nsec()),
    })
}
