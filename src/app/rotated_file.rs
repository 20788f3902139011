//! A log file: opened for appending, opened again on SIGUSR1, and rotated by the process itself if the configuration says so
//! (docs/reference/logs.md#rotation).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::time_zone;
use crate::worker::log_queue::Destination;

/// When a file is rotated, and how many old files stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RotationSettings {
    /// A file that would become longer is rotated first.
    pub bytes_max: Option<u64>,
    /// Periods are counted from midnight of the local time zone.
    pub interval_secs: Option<u64>,
    pub files_kept: usize,
}

/// A log file. SIGUSR1 opens its path again: after a rotation by another program that is another file.
pub struct LogFile {
    path: PathBuf,
    file: File,
    rotation: RotationSettings,
    bytes: u64,
    /// The period of the file's lines.
    period: u64,
    /// Whether the last rotation failed; its failure has been logged.
    is_failing: bool,
}

impl LogFile {
    /// Opens the file and creates it, and its folder, if missing.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(path: &Path, rotation: RotationSettings) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let file = append_to(path)?;
        let mut log = LogFile { path: path.to_owned(), file, rotation, bytes: 0, period: 0, is_failing: false };
        log.look_at_file();
        Ok(log)
    }

    /// Notes length and period of the opened file, which may have lines already.
    fn look_at_file(&mut self) {
        let found = self.file.metadata();
        self.bytes = found.as_ref().map_or(0, fs::Metadata::len);
        let changed = found.and_then(|found| found.modified()).ok().filter(|_| self.bytes > 0);
        self.period = self.period_at(changed.unwrap_or_else(SystemTime::now));
    }

    fn period_at(&self, time: SystemTime) -> u64 {
        let secs = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let local = secs.saturating_add_signed(time_zone::offset_secs(secs).into());
        self.rotation.interval_secs.map_or(0, |interval| local / interval.max(1))
    }

    fn is_due(&self, more: usize) -> bool {
        let is_too_long = self.rotation.bytes_max.is_some_and(|max| self.bytes.saturating_add(more as u64) > max);
        let is_too_old = self.rotation.interval_secs.is_some() && self.period_at(SystemTime::now()) != self.period;
        self.bytes > 0 && (is_too_long || is_too_old)
    }

    /// Renames the file and opens a new one. If that fails, the file stays in use until the next period, or until it has grown by its
    /// maximum again.
    fn rotate(&mut self) {
        let rotated = if self.is_at_path() { self.rename_files() } else { Ok(()) };
        match rotated.and_then(|()| append_to(&self.path)) {
            Ok(file) => {
                self.file = file;
                self.is_failing = false;
                self.look_at_file();
            }
            Err(e) => {
                (self.bytes, self.period) = (0, self.period_at(SystemTime::now()));
                if !std::mem::replace(&mut self.is_failing, true) {
                    let path = self.path.display();
                    tracing::error!(
                        "the log {path} cannot be rotated: {e}; still writing to it: let the proxy's user write in its folder"
                    );
                }
            }
        }
    }

    /// Whether the path still leads to the opened file. Another process may have rotated it: the one before or after a hand-over.
    fn is_at_path(&self) -> bool {
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        let opened = self.file.metadata().map(identity);
        matches!((opened, fs::metadata(&self.path).map(identity)), (Ok(opened), Ok(found)) if opened == found)
    }

    /// Gives each old file the next number; the oldest goes.
    fn rename_files(&self) -> io::Result<()> {
        if self.rotation.files_kept == 0 {
            return fs::remove_file(&self.path);
        }
        for number in (1..self.rotation.files_kept).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Destination for LogFile {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_due(lines.len()) {
            self.rotate();
        }
        self.bytes = self.bytes.saturating_add(lines.len() as u64);
        Write::write_all(&mut self.file, lines)
    }

    fn reopen(&mut self) {
        // If the path cannot be opened, the old file stays in use: lines in the wrong file are better than lost lines.
        match append_to(&self.path) {
            Ok(fresh) => {
                self.file = fresh;
                self.look_at_file();
            }
            Err(e) => tracing::error!(
                "the log {} cannot be opened again: {e}; still writing to the old file: let the proxy's user write there",
                self.path.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    fn log(folder: &Path, rotation: RotationSettings) -> LogFile {
        LogFile::open(&folder.join("a.log"), rotation).expect("a file")
    }

    #[test]
    fn file_is_rotated_before_it_becomes_too_long_and_the_oldest_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let rotation = RotationSettings { bytes_max: Some(10), interval_secs: None, files_kept: 2 };
        let mut log = log(folder.path(), rotation);
        for line in ["first\n", "2nd\n", "third\n", "4th\n", "fifth\n", "a line longer than that\n", "7\n"] {
            log.write_lines(line.as_bytes()).expect("written");
        }
        let file = |name: &str| text(&folder.path().join(name));
        assert_eq!(
            (file("a.log"), file("a.log.1"), file("a.log.2")),
            ("7\n".into(), "a line longer than that\n".into(), "fifth\n".into())
        );
        assert!(!folder.path().join("a.log.3").exists());
    }

    #[test]
    fn file_of_an_earlier_period_is_rotated_at_the_first_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        fs::write(&path, "old\n").expect("written");
        let yesterday = SystemTime::now() - std::time::Duration::from_secs(24 * 3600);
        File::options().append(true).open(&path).and_then(|file| file.set_modified(yesterday)).expect("an old file");
        let rotation = RotationSettings { bytes_max: None, interval_secs: Some(24 * 3600), files_kept: 7 };
        let mut log = log(folder.path(), rotation);
        log.write_lines(b"new\n").expect("written");
        log.write_lines(b"more\n").expect("written");
        assert_eq!((text(&path), text(&folder.path().join("a.log.1"))), ("new\nmore\n".into(), "old\n".into()));
    }

    #[test]
    fn file_that_another_process_has_rotated_is_not_rotated_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let rotation = RotationSettings { bytes_max: Some(8), interval_secs: None, files_kept: 3 };
        let (mut one, mut other) = (log(folder.path(), rotation), log(folder.path(), rotation));
        one.write_lines(b"one 1\n").expect("written");
        other.write_lines(b"other 1\n").expect("written");
        one.write_lines(b"one 2\n").expect("written");
        other.write_lines(b"other 2\n").expect("written");
        let file = |name: &str| text(&folder.path().join(name));
        assert_eq!((file("a.log"), file("a.log.1")), ("one 2\nother 2\n".into(), "one 1\nother 1\n".into()));
        assert!(!folder.path().join("a.log.2").exists());
    }

    #[test]
    fn log_without_old_files_begins_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let rotation = RotationSettings { bytes_max: Some(3), interval_secs: None, files_kept: 0 };
        let mut log = log(folder.path(), rotation);
        log.write_lines(b"a\n").expect("written");
        log.write_lines(b"b\n").expect("written");
        assert_eq!(text(&folder.path().join("a.log")), "b\n");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
