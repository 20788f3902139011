//! Writes one small file so that a crash at any moment leaves the old or the new document, also if the file cannot be replaced by a rename.
//!
//! Normally the new document is written to a temporary file in the same folder, which is synced and renamed over the file; then the folder
//! is synced. A file that is mounted into a container by itself cannot be renamed over (EBUSY), and its folder may be read-only or on
//! another file system. Then the file serves as its own journal:
//!
//! 1. append the new document, its length and its SHA-256 after the old document (never over it); fsync;
//! 2. overwrite the beginning with the new document (the journal begins after the ends of both documents); fsync;
//! 3. truncate the file to the length of the new document; fsync.
//!
//! A crash in step 1 leaves the old document followed by an incomplete journal, which [`load`] truncates. A crash in step 2 or 3 leaves a
//! complete journal, from which [`load`] repeats these steps. So at every moment the file alone holds the whole old or the whole new
//! document. (Another program that reads the file between such a crash and the next start would find the journal.) A full disk fails in
//! step 1, before the old document is changed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::limits::ACME_FILE_BYTES_MAX;

/// The first bytes of a journal; no JSON document begins with them.
const JOURNAL_HEAD: &str = "#ringway journal: the document below replaces the one above\n";

/// The permission bits of group and others, none of which may be set.
const OTHERS_MASK: u32 = 0o077;

/// The file operations of a save, as a trait so that tests can simulate a power failure between and within them. Each operation returns
/// after its change is durable.
pub trait FileOps {
    /// Reads the whole file; `None` if it does not exist.
    fn read(&mut self) -> io::Result<Option<Vec<u8>>>;
    /// Writes a new temporary file in the same folder, readable by the owner only.
    fn write_temporary(&mut self, content: &[u8]) -> io::Result<()>;
    /// Renames the temporary file over the file.
    fn rename_temporary(&mut self) -> io::Result<()>;
    /// Removes the temporary file if there is one; ignores errors.
    fn remove_temporary(&mut self);
    /// Writes `bytes` at `offset`, extending the file if necessary.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Truncates the file to `length` bytes.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// How a document was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// A new file was renamed over the old file.
    Replaced,
    /// The file was overwritten, with a journal in the file itself.
    InPlace,
}

/// Saves a document.
///
/// # Errors
/// The system's error if neither way works; the file then still holds the old document, or [`load`] restores it.
pub fn save(file: &mut impl FileOps, document: &[u8]) -> io::Result<Saved> {
    let replaced = file.write_temporary(document).and_then(|()| file.rename_temporary());
    match replaced {
        Ok(()) => Ok(Saved::Replaced),
        Err(e) => {
            file.remove_temporary();
            if !needs_in_place(&e) {
                return Err(e);
            }
            save_in_place(file, document)?;
            Ok(Saved::InPlace)
        }
    }
}

/// Reads the document, after finishing or undoing a save that a crash interrupted. `None` if the file is missing or empty.
///
/// # Errors
/// The system's error if the file cannot be read.
pub fn load(file: &mut impl FileOps) -> io::Result<Option<Vec<u8>>> {
    let Some(mut content) = file.read()? else { return Ok(None) };
    if let Some(document) = journaled_document(&content).map(<[u8]>::to_vec) {
        // An error is ignored: on a file system that has become read-only, the document can still be read from the journal.
        let _ = finish(file, &document);
        return Ok(Some(document));
    }
    if let Some(end) = interrupted_at(&content) {
        let _ = file.truncate(end as u64);
        content.truncate(end);
    }
    match content.iter().all(u8::is_ascii_whitespace) {
        true => Ok(None),
        false => Ok(Some(content)),
    }
}

/// Reads the document as [`load`] does, and leaves the file as it is.
///
/// # Errors
/// The system's error if the file cannot be read.
pub fn peek(file: &mut impl FileOps) -> io::Result<Option<Vec<u8>>> {
    let Some(mut content) = file.read()? else { return Ok(None) };
    if let Some(document) = journaled_document(&content) {
        return Ok(Some(document.to_vec()));
    }
    content.truncate(interrupted_at(&content).unwrap_or(content.len()));
    Ok((!content.iter().all(u8::is_ascii_whitespace)).then_some(content))
}

/// Saves through a journal in the file: steps 1 to 3 of the module's description.
fn save_in_place(file: &mut impl FileOps, document: &[u8]) -> io::Result<()> {
    let old = load(file)?.unwrap_or_default();
    // The journal begins after the longer of the two documents, so that step 2 cannot overwrite it.
    let start = old.len().max(document.len());
    let mut tail = vec![b'\n'; start - old.len()];
    tail.extend_from_slice(JOURNAL_HEAD.as_bytes());
    tail.extend_from_slice(document);
    tail.extend_from_slice(footer(document).as_bytes());
    if let Err(e) = file.write_at(old.len() as u64, &tail) {
        let _ = file.truncate(old.len() as u64);
        return Err(e);
    }
    finish(file, document)
}

/// Steps 2 and 3 of a save through the journal.
fn finish(file: &mut impl FileOps, document: &[u8]) -> io::Result<()> {
    file.write_at(0, document)?;
    file.truncate(document.len() as u64)
}

/// The end of a journal. The length is always the same, so that the footer can be found from the end of the file.
fn footer(document: &[u8]) -> String {
    let digest: String = digest(&SHA256, document).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("\n#ringway journal end {:016x} {digest}\n", document.len())
}

/// The document of the journal at the end of the file, if the journal is complete.
fn journaled_document(content: &[u8]) -> Option<&[u8]> {
    let footer_length = footer(&[]).len();
    let (body, found_footer) = content.split_at_checked(content.len().checked_sub(footer_length)?)?;
    let length = std::str::from_utf8(found_footer.get(22..38)?).ok()?;
    let length = usize::try_from(u64::from_str_radix(length, 16).ok()?).ok()?;
    let (before, document) = body.split_at_checked(body.len().checked_sub(length)?)?;
    let is_complete = before.ends_with(JOURNAL_HEAD.as_bytes()) && footer(document).as_bytes() == found_footer;
    is_complete.then_some(document)
}

/// The end of the old document, if an incomplete journal follows: the beginning of [`JOURNAL_HEAD`], or the zeros that a file system shows
/// for appended bytes that never reached the disk. `None` if anything else follows: Ringway has not written that text and must keep it.
fn interrupted_at(content: &[u8]) -> Option<usize> {
    if content.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let mut documents = serde_json::Deserializer::from_slice(content).into_iter::<serde::de::IgnoredAny>();
    documents.next()?.ok()?;
    let end = documents.byte_offset();
    let rest = content[end..].trim_ascii_start();
    let written = &rest[..memchr::memchr(0, rest).unwrap_or(rest.len()).min(JOURNAL_HEAD.len())];
    (!rest.is_empty() && JOURNAL_HEAD.as_bytes().starts_with(written)).then_some(end)
}

/// Whether a rename failed because of a mount point, another file system, or a folder in which this process may not write.
fn needs_in_place(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ResourceBusy
            | io::ErrorKind::CrossesDevices
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// [`FileOps`] on a file of the operating system.
#[derive(Debug)]
pub struct OsFile {
    path: PathBuf,
    temporary: PathBuf,
    /// The locked file, once [`OsFile::lock`] has succeeded: the lock ends when the file is closed.
    locked: Option<File>,
    /// The temporary file, locked before it replaces the file.
    replacement: Option<File>,
}

impl OsFile {
    /// Follows symbolic links, so that a save replaces the file and not the link.
    pub fn new(path: &Path) -> OsFile {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".ringway-new");
        OsFile { temporary: path.with_file_name(name), path, locked: None, replacement: None }
    }

    /// Checks that only the owner has permissions on the file, and that the path is a regular file of at most [`ACME_FILE_BYTES_MAX`].
    ///
    /// # Errors
    /// A sentence for the log; for permissions, Traefik's message.
    pub fn check_permissions(&self) -> Result<(), String> {
        match fs::metadata(&self.path) {
            Ok(status) if status.permissions().mode() & OTHERS_MASK != 0 => Err(format!(
                "permissions {:o} for {} are too open, please use 600",
                status.permissions().mode() & 0o777,
                self.path.display()
            )),
            Ok(status) if !status.is_file() => Err(format!("{} is not a file", self.path.display())),
            Ok(status) if status.len() > ACME_FILE_BYTES_MAX => {
                Err(format!("{} is larger than {ACME_FILE_BYTES_MAX} bytes", self.path.display()))
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(format!("{}: {e}", self.path.display())),
            _ => Ok(()),
        }
    }

    /// Locks the file for this process (flock), creating an empty one with mode 600 if there is none. Returns false if another process has
    /// locked the file. On a file system without locks there is none, and no error.
    ///
    /// # Errors
    /// The system's error if the file cannot be opened.
    pub fn lock(&mut self) -> io::Result<bool> {
        for _ in 0..LOCK_TRIES {
            let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path);
            // A file that may only be read can still be served from; the first save has the system's reason.
            let file = match opened {
                Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                    File::open(&self.path)?
                }
                opened => opened?,
            };
            if !try_lock(&file)? {
                return Ok(false);
            }
            let (mine, current) = (file.metadata()?, fs::metadata(&self.path)?);
            // The process that had the lock before may have replaced the file between opening and locking.
            if (mine.dev(), mine.ino()) == (current.dev(), current.ino()) {
                self.locked = Some(file);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Copies the file to a file with `.bak` behind its name, with mode 600.
    ///
    /// # Errors
    /// The system's error; an incomplete copy is removed.
    pub fn back_up(&self) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".bak");
        let copy = self.path.with_file_name(name);
        let copied = fs::read(&self.path).and_then(|content| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&copy)?;
            file.write_all(&content)?;
            file.sync_all()
        });
        if copied.is_err() {
            let _ = fs::remove_file(&copy);
        }
        copied
    }

    /// The file's state now; `None` if there is no file.
    pub fn stamp(&self) -> Option<FileStamp> {
        let status = fs::metadata(&self.path).ok()?;
        let modified = (status.mtime(), status.mtime_nsec());
        Some(FileStamp { inode: status.ino(), bytes: status.len(), modified })
    }

    fn sync_folder(&self) -> io::Result<()> {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }
}

/// The number, length and time of a file, which tell two versions of it apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

/// Attempts to lock a file that is being replaced meanwhile.
const LOCK_TRIES: usize = 10;

/// Locks a file without waiting; false if another process has locked it.
fn try_lock(file: &File) -> io::Result<bool> {
    use rustix::io::Errno;
    match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) | Err(Errno::NOSYS | Errno::NOTSUP | Errno::NOLCK | Errno::INVAL | Errno::IO) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

impl FileOps for OsFile {
    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(&self.path) {
            Ok(content) => Ok(Some(content)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn write_temporary(&mut self, content: &[u8]) -> io::Result<()> {
        self.remove_temporary();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.temporary)?;
        // The new file gets the owner of the old file. If that is not permitted, the error makes `save` write in place.
        if let Ok(old) = fs::metadata(&self.path) {
            let new = file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
        }
        file.write_all(content)?;
        file.sync_all()?;
        if self.locked.is_some() {
            // The new file is locked before it has the name: no process finds it unlocked.
            try_lock(&file)?;
            self.replacement = Some(file);
        }
        Ok(())
    }

    fn rename_temporary(&mut self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)?;
        if let Some(file) = self.replacement.take() {
            self.locked = Some(file);
        }
        self.sync_folder()
    }

    fn remove_temporary(&mut self) {
        self.replacement = None;
        let _ = fs::remove_file(&self.temporary);
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        file.write_all_at(bytes, offset)?;
        file.sync_all()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(length)?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in memory. The power fails after `budget` units: one per written byte, one per rename or truncation.
    #[derive(Default)]
    struct FailingFile {
        file: Option<Vec<u8>>,
        temporary: Option<Vec<u8>>,
        /// Whether a rename fails with EBUSY.
        busy: bool,
        /// `None`: the power does not fail.
        budget: Option<usize>,
    }

    impl FailingFile {
        fn with(file: &[u8], busy: bool) -> FailingFile {
            FailingFile { file: Some(file.to_vec()), busy, ..FailingFile::default() }
        }

        /// Takes `wanted` units from the budget. If they exceed it, the power fails and the error is the number of units left.
        fn spend(&mut self, wanted: usize) -> Result<(), usize> {
            let Some(left) = &mut self.budget else { return Ok(()) };
            if *left < wanted {
                return Err(std::mem::take(left));
            }
            *left -= wanted;
            Ok(())
        }
    }

    fn power_failure() -> io::Error {
        io::Error::other("power is gone")
    }

    impl FileOps for FailingFile {
        fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
            Ok(self.file.clone())
        }
        fn write_temporary(&mut self, content: &[u8]) -> io::Result<()> {
            let cut = self.spend(content.len());
            let happened = cut.map_or_else(|n| n, |()| content.len());
            self.temporary = Some(content[..happened].to_vec());
            cut.map_err(|_| power_failure())
        }
        fn rename_temporary(&mut self) -> io::Result<()> {
            if self.busy {
                return Err(io::Error::from(io::ErrorKind::ResourceBusy));
            }
            self.spend(1).map_err(|_| power_failure())?;
            self.file = self.temporary.take();
            Ok(())
        }
        fn remove_temporary(&mut self) {
            if self.budget != Some(0) {
                self.temporary = None;
            }
        }
        fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            let cut = self.spend(bytes.len());
            let happened = cut.map_or_else(|n| n, |()| bytes.len());
            let file = self.file.get_or_insert_default();
            let (from, to) = (offset as usize, offset as usize + happened);
            file.resize(file.len().max(to), 0);
            file[from..to].copy_from_slice(&bytes[..happened]);
            cut.map_err(|_| power_failure())
        }
        fn truncate(&mut self, length: u64) -> io::Result<()> {
            self.spend(1).map_err(|_| power_failure())?;
            self.file.get_or_insert_default().truncate(length as usize);
            Ok(())
        }
    }

    const SHORT: &[u8] = br#"{"Account": null, "Certificates": [1, 2]}"#;
    const LONG: &[u8] =
        br##"{"Account": {"Email": "#ringway journal end"}, "Certificates": [1, 2, 3, 4, 5, 6, 7, 8]}"##;

    /// Saves `new` over `old` with a power failure after every possible number of units, and with a second failure during the repair.
    /// Returns the number of failures until a save succeeded.
    fn fail_everywhere(old: &[u8], new: &[u8], busy: bool) -> usize {
        let mut failures = 0;
        loop {
            let mut disk = FailingFile { budget: Some(failures), ..FailingFile::with(old, busy) };
            let done = save(&mut disk, new).is_ok();
            let broken = disk.file.clone();
            for second_failure in (0..300).step_by(7).chain([1, 2, usize::MAX]) {
                let mut disk =
                    FailingFile { budget: Some(second_failure), file: broken.clone(), busy, ..FailingFile::default() };
                let found = load(&mut disk).unwrap().unwrap();
                // Line ends between the document and the journal may remain; they have no meaning in JSON.
                let found = found.trim_ascii_end().to_vec();
                assert!(
                    found == old || found == new,
                    "failure {failures}/{second_failure}: {}",
                    String::from_utf8_lossy(&found)
                );
                assert!(!done || found == new);
                disk.budget = None;
                let again = load(&mut disk).unwrap().unwrap();
                assert_eq!(
                    again.trim_ascii_end(),
                    found,
                    "failure {failures}/{second_failure}: repaired to another document"
                );
                let file = disk.file.unwrap();
                assert_eq!(file.trim_ascii_end(), found, "failure {failures}/{second_failure}: not repaired");
            }
            if done {
                return failures;
            }
            failures += 1;
        }
    }

    #[test]
    fn crash_during_save_in_place_leaves_old_or_new_document() {
        for (old, new) in [(SHORT, LONG), (LONG, SHORT), (LONG, LONG)] {
            // The document is written twice, to the journal and to its place, and the power fails after each byte.
            assert!(fail_everywhere(old, new, true) > 2 * new.len());
        }
    }

    #[test]
    fn crash_during_replacement_leaves_old_or_new_document() {
        assert_eq!(fail_everywhere(SHORT, LONG, false), LONG.len() + 1);
    }

    #[test]
    fn appended_zeros_are_truncated() {
        let mut file = SHORT.to_vec();
        file.extend_from_slice(&[0; 100]);
        let mut disk = FailingFile::with(&file, true);
        assert_eq!(load(&mut disk).unwrap().unwrap(), SHORT);
        assert_eq!(disk.file.unwrap(), SHORT);
    }

    #[test]
    fn foreign_text_after_the_document_is_kept() {
        let file = [SHORT, b"\n{\"second\": 1}"].concat();
        let mut disk = FailingFile::with(&file, true);
        assert_eq!(load(&mut disk).unwrap().unwrap(), file);
    }

    #[test]
    fn empty_file_holds_no_document() {
        assert_eq!(load(&mut FailingFile::with(b" \n", true)).unwrap(), None);
        assert_eq!(load(&mut FailingFile::default()).unwrap(), None);
        let mut disk = FailingFile::with(b"", true);
        assert_eq!(save(&mut disk, SHORT).unwrap(), Saved::InPlace);
        assert_eq!(disk.file.unwrap(), SHORT);
    }

    #[test]
    fn os_file_is_replaced_with_mode_600() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme.json");
        let mut disk = OsFile::new(&path);
        assert!(disk.check_permissions().is_ok());
        assert_eq!(save(&mut disk, SHORT).unwrap(), Saved::Replaced);
        assert_eq!(save(&mut disk, LONG).unwrap(), Saved::Replaced);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(&mut disk).unwrap().unwrap(), LONG);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        save_in_place(&mut disk, SHORT).unwrap();
        assert_eq!(fs::read(&path).unwrap(), SHORT);
    }

    #[test]
    fn too_open_permissions_are_rejected_with_traefiks_message() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme.json");
        fs::write(&path, SHORT).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let message = OsFile::new(&path).check_permissions().unwrap_err();
        assert!(message.starts_with("permissions 644 for ") && message.ends_with(" are too open, please use 600"));
    }
}
