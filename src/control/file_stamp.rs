//! Detects that a file has changed, from its status (`stat`) alone.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file's identity and status; symbolic links are followed. If two stamps of a path are equal, the file need not be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified_nanos: (i64, i64),
    /// The kernel sets this time at every change of contents or status. Unlike `modified_nanos`, no program can set it back.
    changed_nanos: (i64, i64),
}

impl Stamp {
    /// Reads the status of `file`. `None` if there is no such file or its status cannot be read.
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

    /// Whether the file has no contents.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The kernel's time of the last change. A file system may hold any number: a time before 1970 counts as 1970.
    pub fn changed(&self) -> SystemTime {
        let (secs, nanos) = self.changed_nanos;
        UNIX_EPOCH + Duration::new(secs.try_into().unwrap_or(0), nanos.try_into().unwrap_or(0))
    }

    /// Whether the file is smaller than in the stamp `was`, with the same times. ext4 shows a file like this while it is being truncated
    /// and the kernel waits for the disk. Two changes within one tick of the file system's clock look the same.
    pub fn is_truncating(&self, was: &Stamp) -> bool {
        self.size < was.size && Stamp { size: was.size, ..*self } == *was
    }

    /// A stamp as ext4 shows it while a file is being truncated: the new size, with the times of `before`.
    #[cfg(test)]
    pub fn with_times_of(self, before: &Stamp) -> Stamp {
        Stamp { size: self.size, ..*before }
    }
}
