//! Noticing that a file changed, from its status alone.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file's identity and state; links are followed. Two that are equal mean that nothing needs to be read again.
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
    /// `None`: there is none, or it cannot be looked at.
    pub fn of(file: &Path) -> Option<Stamp> {
        let status = std::fs::metadata(file).ok()?;
        Some(Stamp {
            device: status.dev(),
            inode: status.ino(),
            size: status.len(),
            modified_nanos: (status.mtime(), status.mtime_nsec()),
            changed_nanos: (status.ctime(), status.ctime_nsec()),
        })
    }

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

    /// As ext4 shows a file while it is being emptied: the new size, and the times of before.
    #[cfg(test)]
    pub fn with_times_of(self, before: &Stamp) -> Stamp {
        Stamp { size: self.size, ..*before }
    }
}
