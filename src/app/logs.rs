//! The process's own log and the access log: to standard output, or to files that SIGUSR1 reopens.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::fixed::{AccessLog, Fixed, LogLevel};
use crate::observe::access_log::{AccessLogFormat, AccessLogSettings};
use crate::observe::app_log::{self, AppLog};
use crate::observe::clock_text::Moment;
use crate::observe::metrics::Metrics;
use crate::worker::access_log::{Destination, LogSink};

/// The process's log, as far as lines outside of its filter need it.
pub struct Log {
    json: bool,
    writer: LogWriter,
    /// The configuration names no level: it is the default that hides warnings.
    is_level_default: bool,
}

impl Log {
    /// The last line of a process that cannot start: level fatal on the log's own stream, exit code 1 (static.md 1.7).
    pub fn fatal(&self, text: &str) -> ExitCode {
        let _ = io::stdout().write_all(app_log::line(self.json, now(), "fatal", text).as_bytes());
        ExitCode::FAILURE
    }

    /// A warning that an operator has to see once even at the default level, error. Who sets a level gets that level.
    pub fn notice(&self, text: &str) {
        if !self.is_level_default {
            tracing::warn!("{text}");
            return;
        }
        let line = app_log::line(self.json, now(), "warning", text);
        let _ = self.writer.make_writer().write_all(line.as_bytes());
    }
}

/// Starts logging at the configured level. A log file that cannot be opened falls back to standard output, and says so.
pub fn start(fixed: &Fixed) -> Log {
    let table = fixed.traefik_log.clone().unwrap_or_default();
    let json = table.format == "json";
    let path = if table.file_path.is_empty() { &fixed.traefik_logs_file } else { &table.file_path };
    let (writer, problem) = match path.as_str() {
        "" => (LogWriter::Stdout, None),
        path => match ReopenedFile::open(Path::new(path)) {
            Ok(file) => (LogWriter::File(Arc::new(Mutex::new(file))), None),
            Err(e) => (
                LogWriter::Stdout,
                Some(format!("traefikLog.filePath {path} cannot be opened ({e}): logging to standard output")),
            ),
        },
    };
    let level = match fixed.level() {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Fatal | LogLevel::Panic => LevelFilter::OFF,
    };
    let format = AppLog { json, clock: now };
    // A second start in one process (tests) keeps the first log.
    let _ = tracing::subscriber::set_global_default(
        tracing_subscriber::fmt().event_format(format).with_writer(writer.clone()).with_max_level(level).finish(),
    );
    if let Some(problem) = problem {
        tracing::error!("{problem}");
    }
    Log { json, writer, is_level_default: fixed.log_level.is_empty() && !fixed.debug }
}

fn now() -> Moment {
    Moment::utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64))
}

/// Where log lines go.
#[derive(Clone)]
enum LogWriter {
    Stdout,
    File(Arc<Mutex<ReopenedFile>>),
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Box<dyn Write + 'a>;

    fn make_writer(&'a self) -> Self::Writer {
        match self {
            LogWriter::Stdout => Box::new(io::stdout().lock()),
            LogWriter::File(file) => Box::new(FileGuard(file)),
        }
    }
}

struct FileGuard<'a>(&'a Mutex<ReopenedFile>);

impl Write for FileGuard<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).current()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file opened for appending; opened anew when what lies at its path is no longer the file that is open (rotation).
pub struct ReopenedFile {
    path: PathBuf,
    file: File,
}

impl ReopenedFile {
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        Ok(ReopenedFile { path: path.to_owned(), file: OpenOptions::new().create(true).append(true).open(path)? })
    }

    fn current(&mut self) -> io::Result<&mut File> {
        if super::stop::take_reopen_of_log() {
            self.reopen_now();
        }
        Ok(&mut self.file)
    }

    fn reopen_now(&mut self) {
        // A file that cannot be opened again leaves the old one in use: lines are better in the wrong place than nowhere.
        if let Ok(fresh) = OpenOptions::new().create(true).append(true).open(&self.path) {
            self.file = fresh;
        }
    }
}

impl Destination for ReopenedFile {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        Write::write_all(&mut self.file, lines)
    }

    fn reopen(&mut self) {
        self.reopen_now();
    }
}

/// The access log, if one is configured. An unknown format is a warning and no log (static.md 1.8).
///
/// # Errors
/// A file that cannot be opened.
pub fn access_log(fixed: &Fixed, metrics: &Arc<Metrics>) -> Result<Option<LogSink>, String> {
    let Some(table) = &fixed.access_log else { return Ok(None) };
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
        "" => LogSink::start(format, io::stdout(), metrics),
        path => {
            let file = ReopenedFile::open(Path::new(path))
                .map_err(|e| format!("accessLog.filePath {path} cannot be opened: {e}"))?;
            LogSink::start(format, file, metrics)
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
