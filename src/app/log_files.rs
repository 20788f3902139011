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
    let started = match table.file_path.as_str() {
        "" => LogSink::start(format, time_zone::local_zone(), io::stdout(), metrics),
        path => {
            let file = ReopenedFile::open(Path::new(path))
                .map_err(|e| format!("accessLog.filePath {path} cannot be opened: {e}"))?;
            LogSink::start(format, time_zone::local_zone(), file, metrics)
        }
    };
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
