//! The access log, and where logs are written to: standard streams, or files.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::rotated_file::{LogFile, RotationSettings};
use super::time_zone;
use crate::config::static_config::{AccessLog, LogRotation, StaticConfig};
use crate::observe::access_log::{AccessLogFormat, AccessLogSettings};
use crate::observe::metrics::Metrics;
use crate::worker::access_log::LogSink;
use crate::worker::log_queue::Destination;

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

/// Shorter intervals and files would rename files all the time; each rotation renames all old files.
const ROTATION_SECS_MIN: u64 = 60;
const ROTATION_BYTES_MIN: u64 = 64 * 1024;
const ROTATED_FILES_MAX: usize = 1000;

/// Files of frontends that are open at one time; the one that was written to longest ago is closed.
const FRONTEND_FILES_MAX: usize = 256;

/// The most links that are followed to a standard stream.
const LINKS_MAX: usize = 8;

/// Opens the destination of a log. A path that leads to standard output or standard error is written through its descriptor: the kernel
/// opens no socket (a service of systemd has one) and no stream of another user by its path. SIGUSR1 does not reopen it.
///
/// # Errors
/// The operating system's.
pub fn open(path: &str, rotation: RotationSettings) -> io::Result<Box<dyn Destination>> {
    match standard_stream(path) {
        Some(1) => Ok(Box::new(io::stdout())),
        Some(_) => Ok(Box::new(io::stderr())),
        None => Ok(Box::new(LogFile::open(Path::new(path), rotation)?)),
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

/// The files of the access log: the common one, and those of frontends, which are opened when they get their first line.
struct AccessLogFiles {
    common: Box<dyn Destination>,
    /// The file that was written to last comes last.
    files: Vec<(PathBuf, LogFile)>,
    rotation: RotationSettings,
    /// The paths that could not be opened; logged once for each.
    failed: BTreeSet<PathBuf>,
}

impl AccessLogFiles {
    fn file(&mut self, path: &Path) -> io::Result<&mut LogFile> {
        let file = match self.files.iter().position(|(known, _)| known == path) {
            Some(at) => self.files.remove(at),
            None => (path.to_owned(), self.open(path)?),
        };
        if self.files.len() >= FRONTEND_FILES_MAX {
            self.files.remove(0);
        }
        self.files.push(file);
        self.files.last_mut().map(|(_, file)| file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn open(&mut self, path: &Path) -> io::Result<LogFile> {
        let opened = LogFile::open(path, self.rotation);
        if let Err(e) = &opened
            && self.failed.len() < FRONTEND_FILES_MAX
            && self.failed.insert(path.to_owned())
        {
            let path = path.display();
            tracing::error!(
                "accessLog.filePath {path} of a frontend cannot be opened: {e}; its lines are lost: let the proxy's user write there"
            );
        }
        opened
    }
}

impl Destination for AccessLogFiles {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        self.common.write_lines(lines)
    }

    fn write_lines_to(&mut self, path: &Path, lines: &[u8]) -> io::Result<()> {
        self.file(path)?.write_lines(lines)
    }

    fn reopen(&mut self) {
        self.common.reopen();
        // Opened again by the next line.
        self.files.clear();
        self.failed.clear();
    }
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
    let settings = settings(table, json);
    let (format, warnings) = AccessLogFormat::new(&settings);
    warnings.iter().for_each(|warning| tracing::warn!("accessLog: {warning}"));
    let metrics = Arc::clone(metrics);
    let path = &table.file_path;
    let rotation = rotation(table.rotation.as_ref());
    let common = open(path, rotation).map_err(|e| format!("accessLog.filePath {path} cannot be opened: {e}"))?;
    let destination = AccessLogFiles { common, files: Vec::new(), rotation, failed: BTreeSet::new() };
    let started = LogSink::start(settings, format, time_zone::local_zone(), destination, metrics);
    started.map(Some).map_err(|e| format!("cannot start the access log: {e}"))
}

/// The rotation of a log.
pub fn rotation(table: Option<&LogRotation>) -> RotationSettings {
    let Some(table) = table else { return RotationSettings::default() };
    let secs = table.interval.positive().map(|interval| interval.as_secs().max(ROTATION_SECS_MIN));
    RotationSettings {
        bytes_max: u64::try_from(table.max_bytes)
            .ok()
            .filter(|&bytes| bytes > 0)
            .map(|bytes| bytes.max(ROTATION_BYTES_MIN)),
        interval_secs: secs,
        files_kept: usize::try_from(table.keep).unwrap_or(0).min(ROTATED_FILES_MAX),
    }
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
