//! Writing one small file so that no crash can break it, also where it cannot be replaced.
//!
//! Normally: write a temporary file beside it, fsync, rename over it, fsync the folder. A file that is mounted into a
//! container by itself cannot be renamed over (EBUSY), and its folder may be read-only or another file system. Then
//! the file is its own journal:
//!
//! 1. behind the old document (never over it) append the new document, its length and its SHA-256; fsync;
//! 2. overwrite the beginning with the new document (the journal starts behind both documents' ends); fsync;
//! 3. cut the file to the new document's length; fsync.
//!
//! A crash in step 1 leaves the old document followed by an incomplete journal, which is cut off. A crash in step 2
//! or 3 leaves a complete journal, from which the steps are repeated. So at every moment the file alone holds the old
//! document or the new one, whole. (Only between such a crash and our next start would another reader stumble over
//! the journal.) A full disk fails in step 1, before anything of the old document is touched.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::limits::ACME_FILE_BYTES_MAX;

/// First bytes of a journal; no JSON document starts like this.
const JOURNAL_HEAD: &str = "#ringway journal: the document below replaces the one above\n";

/// Permission bits that nobody but the owner may have.
const OTHERS_MASK: u32 = 0o077;

/// The steps that saving is made of, so that tests can cut the power between and within them. Each returns after
/// the change is durable.
pub trait FileOps {
    /// The whole file, `None` when there is none.
    fn read(&mut self) -> io::Result<Option<Vec<u8>>>;
    /// Writes a new temporary file beside it, readable by the owner alone.
    fn write_temporary(&mut self, content: &[u8]) -> io::Result<()>;
    /// Puts the temporary file in the file's place.
    fn rename_temporary(&mut self) -> io::Result<()>;
    /// Removes the temporary file if there is one; failure does not matter.
    fn remove_temporary(&mut self);
    /// Overwrites or extends the file from `offset`.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file to `length` bytes.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// How a document was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// By renaming a new file over the old.
    Replaced,
    /// Through the journal inside the file.
    InPlace,
}

/// Saves a document.
///
/// # Errors
/// When neither way works; the old document is then still the file's content, or comes back with [`load`].
pub fn save(disk: &mut impl FileOps, document: &[u8]) -> io::Result<Saved> {
    let replaced = disk.write_temporary(document).and_then(|()| disk.rename_temporary());
    match replaced {
        Ok(()) => Ok(Saved::Replaced),
        Err(e) => {
            disk.remove_temporary();
            if !needs_in_place(&e) {
                return Err(e);
            }
            save_in_place(disk, document)?;
            Ok(Saved::InPlace)
        }
    }
}

/// Reads the document, finishing or undoing a save that a crash interrupted. `None`: no file, or an empty one.
///
/// # Errors
/// When the file cannot be read.
pub fn load(disk: &mut impl FileOps) -> io::Result<Option<Vec<u8>>> {
    let Some(mut content) = disk.read()? else { return Ok(None) };
    if let Some(document) = journal(&content).map(<[u8]>::to_vec) {
        // Best effort: on a file system that became read-only the journal is as good a source as ever.
        let _ = finish(disk, &document);
        return Ok(Some(document));
    }
    if let Some(end) = interrupted_at(&content) {
        let _ = disk.truncate(end as u64);
        content.truncate(end);
    }
    match content.iter().all(u8::is_ascii_whitespace) {
        true => Ok(None),
        false => Ok(Some(content)),
    }
}

fn save_in_place(disk: &mut impl FileOps, document: &[u8]) -> io::Result<()> {
    let old = load(disk)?.unwrap_or_default();
    // Behind the longer of the two, so that step 2 cannot touch it.
    let start = old.len().max(document.len());
    let mut tail = vec![b'\n'; start - old.len()];
    tail.extend_from_slice(JOURNAL_HEAD.as_bytes());
    tail.extend_from_slice(document);
    tail.extend_from_slice(footer(document).as_bytes());
    if let Err(e) = disk.write_at(old.len() as u64, &tail) {
        let _ = disk.truncate(old.len() as u64);
        return Err(e);
    }
    finish(disk, document)
}

fn finish(disk: &mut impl FileOps, document: &[u8]) -> io::Result<()> {
    disk.write_at(0, document)?;
    disk.truncate(document.len() as u64)
}

/// Always of the same length, so that it can be found from the end of the file.
fn footer(document: &[u8]) -> String {
    let sum: String = digest(&SHA256, document).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("\n#ringway journal end {:016x} {sum}\n", document.len())
}

/// The document of a complete journal at the end of the file.
fn journal(content: &[u8]) -> Option<&[u8]> {
    let footer_length = footer(&[]).len();
    let (body, found) = content.split_at_checked(content.len().checked_sub(footer_length)?)?;
    let length = std::str::from_utf8(found.get(22..38)?).ok()?;
    let length = usize::try_from(u64::from_str_radix(length, 16).ok()?).ok()?;
    let (before, document) = body.split_at_checked(body.len().checked_sub(length)?)?;
    let whole = before.ends_with(JOURNAL_HEAD.as_bytes()) && footer(document).as_bytes() == found;
    whole.then_some(document)
}

/// Where the old document ends, if an incomplete journal follows it: the beginning of its marker, or the zeros that a file system shows
/// for appended bytes that never reached the disk. Anything else was not written by us, and nothing is cut off.
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

/// A mount point, another file system, or a folder in which we may not write.
fn needs_in_place(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ResourceBusy
            | io::ErrorKind::CrossesDevices
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// The file on a real disk.
#[derive(Debug)]
pub struct OsFile {
    path: PathBuf,
    temporary: PathBuf,
}

impl OsFile {
    /// Follows symbolic links, so that saving replaces the file and not the link to it.
    pub fn new(path: &Path) -> OsFile {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".ringway-new");
        OsFile { temporary: path.with_file_name(name), path }
    }

    /// Refuses a file that others than its owner may read or write, in Traefik's words.
    ///
    /// # Errors
    /// The sentence for the log.
    pub fn check_permissions(&self) -> Result<(), String> {
        match fs::metadata(&self.path) {
            Ok(found) if found.permissions().mode() & OTHERS_MASK != 0 => Err(format!(
                "permissions {:o} for {} are too open, please use 600",
                found.permissions().mode() & 0o777,
                self.path.display()
            )),
            Ok(found) if !found.is_file() => Err(format!("{} is not a file", self.path.display())),
            Ok(found) if found.len() > ACME_FILE_BYTES_MAX => {
                Err(format!("{} is larger than {ACME_FILE_BYTES_MAX} bytes", self.path.display()))
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(format!("{}: {e}", self.path.display())),
            _ => Ok(()),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
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
        // The new file belongs to whom the old one belonged; where that is not allowed the file is written in place.
        if let Ok(old) = fs::metadata(&self.path) {
            let new = file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
        }
        file.write_all(content)?;
        file.sync_all()
    }

    fn rename_temporary(&mut self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)?;
        self.sync_folder()
    }

    fn remove_temporary(&mut self) {
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

    /// A disk in memory whose power fails after a number of bytes or steps.
    #[derive(Default)]
    struct Failing {
        file: Option<Vec<u8>>,
        temporary: Option<Vec<u8>>,
        busy: bool,
        budget: Option<usize>,
    }

    impl Failing {
        fn over(file: &[u8], busy: bool) -> Failing {
            Failing { file: Some(file.to_vec()), busy, ..Failing::default() }
        }

        /// How many of `wanted` units still happen; an error once the power is gone.
        fn spend(&mut self, wanted: usize) -> Result<(), usize> {
            let Some(left) = &mut self.budget else { return Ok(()) };
            if *left < wanted {
                return Err(std::mem::take(left));
            }
            *left -= wanted;
            Ok(())
        }
    }

    fn dead() -> io::Error {
        io::Error::other("power is gone")
    }

    impl FileOps for Failing {
        fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
            Ok(self.file.clone())
        }
        fn write_temporary(&mut self, content: &[u8]) -> io::Result<()> {
            let cut = self.spend(content.len());
            let happened = cut.map_or_else(|n| n, |()| content.len());
            self.temporary = Some(content[..happened].to_vec());
            cut.map_err(|_| dead())
        }
        fn rename_temporary(&mut self) -> io::Result<()> {
            if self.busy {
                return Err(io::Error::from(io::ErrorKind::ResourceBusy));
            }
            self.spend(1).map_err(|_| dead())?;
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
            cut.map_err(|_| dead())
        }
        fn truncate(&mut self, length: u64) -> io::Result<()> {
            self.spend(1).map_err(|_| dead())?;
            self.file.get_or_insert_default().truncate(length as usize);
            Ok(())
        }
    }

    const SHORT: &[u8] = br#"{"Account": null, "Certificates": [1, 2]}"#;
    const LONG: &[u8] =
        br##"{"Account": {"Email": "#ringway journal end"}, "Certificates": [1, 2, 3, 4, 5, 6, 7, 8]}"##;

    /// Cuts the power after every possible number of bytes, and while repairing too; returns how many cuts there were.
    fn cut_everywhere(old: &[u8], new: &[u8], busy: bool) -> usize {
        let mut cuts = 0;
        loop {
            let mut disk = Failing { budget: Some(cuts), ..Failing::over(old, busy) };
            let done = save(&mut disk, new).is_ok();
            let broken = disk.file.clone();
            for second_cut in (0..300).step_by(7).chain([1, 2, usize::MAX]) {
                let mut disk = Failing { budget: Some(second_cut), file: broken.clone(), busy, ..Failing::default() };
                let found = load(&mut disk).unwrap().unwrap();
                // Line ends between document and journal may stay, they mean nothing.
                let found = found.trim_ascii_end().to_vec();
                assert!(found == old || found == new, "cut {cuts}/{second_cut}: {}", String::from_utf8_lossy(&found));
                assert!(!done || found == new);
                disk.budget = None;
                let again = load(&mut disk).unwrap().unwrap();
                assert_eq!(again.trim_ascii_end(), found, "cut {cuts}/{second_cut}: repaired to another");
                let file = disk.file.unwrap();
                assert_eq!(file.trim_ascii_end(), found, "cut {cuts}/{second_cut}: not repaired");
            }
            if done {
                return cuts;
            }
            cuts += 1;
        }
    }

    #[test]
    fn a_crash_at_any_byte_of_saving_in_place_leaves_old_or_new() {
        for (old, new) in [(SHORT, LONG), (LONG, SHORT), (LONG, LONG)] {
            // Every byte of the journal and of the document is one cut, so there are more than both together.
            assert!(cut_everywhere(old, new, true) > 2 * new.len());
        }
    }

    #[test]
    fn a_crash_at_any_byte_of_replacing_leaves_old_or_new() {
        assert_eq!(cut_everywhere(SHORT, LONG, false), LONG.len() + 1);
    }

    #[test]
    fn appended_bytes_that_came_out_as_zeros_are_cut_off() {
        let mut file = SHORT.to_vec();
        file.extend_from_slice(&[0; 100]);
        let mut disk = Failing::over(&file, true);
        assert_eq!(load(&mut disk).unwrap().unwrap(), SHORT);
        assert_eq!(disk.file.unwrap(), SHORT);
    }

    #[test]
    fn foreign_text_behind_the_document_is_not_touched() {
        let file = [SHORT, b"\n{\"second\": 1}"].concat();
        let mut disk = Failing::over(&file, true);
        assert_eq!(load(&mut disk).unwrap().unwrap(), file);
    }

    #[test]
    fn an_empty_file_is_no_document() {
        assert_eq!(load(&mut Failing::over(b" \n", true)).unwrap(), None);
        assert_eq!(load(&mut Failing::default()).unwrap(), None);
        let mut disk = Failing::over(b"", true);
        assert_eq!(save(&mut disk, SHORT).unwrap(), Saved::InPlace);
        assert_eq!(disk.file.unwrap(), SHORT);
    }

    #[test]
    fn on_a_real_disk_the_file_is_replaced_with_mode_600() {
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
    fn too_open_permissions_are_refused_in_traefiks_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme.json");
        fs::write(&path, SHORT).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let message = OsFile::new(&path).check_permissions().unwrap_err();
        assert!(message.starts_with("permissions 644 for ") && message.ends_with(" are too open, please use 600"));
    }
}
