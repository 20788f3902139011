//! The access log, and the files that logs are written to; SIGUSR1 reopens them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::time_zone;
use crate::config::static_config::{AccessLog, StaticConfig};
use crate::observe::access_log::{AccessLogFormat, AccessLogSettings};
use crate::observe::metrics::Metrics;
use crate::worker::access_log::LogSink;
use crate::worker::log_queue::Destination;

/// A log file, opened for appending. SIGUSR1 opens its path again: after a rotation that is another file.
pub struct ReopenedFile {
    path: PathBuf,
    file: File,
}

impl ReopenedFile {
    /// Opens the file and creates it, and its folder, if missing.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        Ok(ReopenedFile { path: path.to_owned(), file: OpenOptions::new().create(true).append(true).open(path)? })
    }
}

impl Destination for ReopenedFile {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        Write::write_all(&mut self.file, lines)
    }

    fn reopen(&mut self) {
        // If the path cannot be opened, the old file stays in use: lines in the wrong file are better than lost lines.
        match OpenOptions::new().create(true).append(true).open(&self.path) {
            Ok(fresh) => self.file = fresh,
            Err(e) => tracing::error!(
                "the log {} cannot be opened again: {e}; still writing to the old file: let the proxy's user write there",
                self.path.display()
            ),
        }
    }
}

/// Names of this process's standard streams, each with its descriptor.
const STANDARD_STREAMS: [(&str, u8); 8] = [
    ("/dev/stdout", 1),
    ("/dev/fd/1", 1),
    ("/proc/self/fd/1", 1),
    ("/proc/thread-self/fd/1", 1),
    ("/dev/stderr", 2),
    ("/dev/fd/2", 2),
    ("/proc/self/fd/2", 2),
    ("/proc/thread-self/fd/2", 2),
];

/// The most links that are followed to a standard stream.
const LINKS_MAX: usize = 8;

/// Opens the destination of a log. A path that leads to standard output or standard error is written through its descriptor: the kernel
/// opens no socket (a service of systemd has one) and no stream of another user by its path. SIGUSR1 does not reopen it.
///
/// # Errors
/// The operating system's.
pub fn open(path: &str) -> io::Result<Box<dyn Destination>> {
    match standard_stream(path) {
        Some(1) => Ok(Box::new(io::stdout())),
        Some(_) => Ok(Box::new(io::stderr())),
        None => Ok(Box::new(ReopenedFile::open(Path::new(path))?)),
    }
}

/// The descriptor of the standard stream that a path leads to. An empty path is standard output.
fn standard_stream(path: &str) -> Option<u8> {
    if path.is_empty() {
        return Some(1);
    }
    let mut path = PathBuf::from(path);
    for _ in 0..LINKS_MAX {
        if let Some((_, descriptor)) = STANDARD_STREAMS.iter().find(|(name, _)| path == Path::new(name)) {
            return Some(*descriptor);
        }
        let target = std::fs::read_link(&path).ok()?;
        path = path.parent()?.join(target);
    }
    None
}

/// Starts the access log, if it is configured. With an unknown format there is a warning and no access log
/// (docs/reference/static-configuration.md#errors).
///
/// # Errors
/// The file cannot be opened, or the writer thread cannot be started.
pub fn access_log(config: &StaticConfig, metrics: &Arc<Metrics>) -> Result<Option<LogSink>, String> {
    let Some(table) = &config.access_log else { return Ok(None) };
    let json = match table.format.as_str() {
        "" | "common" => false,
        "json" => true,
        other => {
            tracing::warn!("accessLog.format {other:?} is neither common nor json: there is no access log");
            return Ok(None);
        }
    };
    let (format, warnings) = AccessLogFormat::new(&settings(table, json));
    warnings.iter().for_each(|warning| tracing::warn!("accessLog: {warning}"));
    let metrics = Arc::clone(metrics);
    let path = &table.file_path;
    let destination = open(path).map_err(|e| format!("accessLog.filePath {path} cannot be opened: {e}"))?;
    let started = LogSink::start(format, time_zone::local_zone(), destination, metrics);
    started.map(Some).map_err(|e| format!("cannot start the access log: {e}"))
}

fn settings(table: &AccessLog, json: bool) -> AccessLogSettings {
    let filters = table.filters.clone().unwrap_or_default();
    let fields = table.fields.clone().unwrap_or_default();
    let headers = fields.headers.clone().unwrap_or_default();
    AccessLogSettings {
        json,
        status_codes: filters.status_codes,
        retry_attempts: filters.retry_attempts,
        min_duration_nanos: filters.min_duration.0,
        fields_default_mode: fields.default_mode,
        fields: fields.names,
        headers_default_mode: headers.default_mode,
        headers: headers.names,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_links_to_standard_streams_are_recognised() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = |name: &str, target: &str| {
            let path = folder.path().join(name);
            std::os::unix::fs::symlink(target, &path).expect("a link");
            path.display().to_string()
        };
        let (out, error) = (link("out", "/dev/stdout"), link("error", "/proc/self/fd/2"));
        let second = link("second", "out");
        let (round, plain) = (link("round", "round"), link("plain", "/dev/null"));
        for (path, descriptor) in [
            ("", Some(1)),
            ("/dev/stdout", Some(1)),
            ("/dev//fd/1", Some(1)),
            ("/proc/self/fd/2", Some(2)),
            (&out, Some(1)),
            (&second, Some(1)),
            (&error, Some(2)),
            (&round, None),
            (&plain, None),
            ("/nowhere/access.log", None),
            ("access.log", None),
        ] {
            assert_eq!(standard_stream(path), descriptor, "{path}");
        }
    }
}
