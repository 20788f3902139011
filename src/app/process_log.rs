//! The process's own log: to standard output, or to a file that SIGUSR1 reopens. While the process starts, the thread that logs a line
//! writes it. Before requests are served a writer thread takes over, so that a reader that stalls blocks no other thread.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::journal::Journal;
use super::rotated_file::RotationSettings;
use super::{log_files, time_zone};
use crate::config::static_config::{LogLevel, StaticConfig};
use crate::observe::metrics::Metrics;
use crate::observe::process_log::{self, ProcessLogFormat};
use crate::observe::time_format::Timestamp;
use crate::worker::log_queue::{Destination, LogQueue};

/// How long the last lines of a log may take to be written when the process exits.
pub const LAST_LINES_MAX: Duration = Duration::from_secs(2);

/// The log of this process. Lines before [`start`] are discarded.
static LOG: LogOutput = LogOutput { early: Mutex::new(None), queue: OnceLock::new() };

struct LogOutput {
    /// The destination until [`Log::start_writer`]: the thread that logs a line writes it.
    early: Mutex<Option<Stream>>,
    queue: OnceLock<LogQueue>,
}

/// The settings of the log that lines outside its level filter need.
pub struct Log {
    json: bool,
    /// The configuration names no level: warnings are hidden by the default alone.
    is_level_default: bool,
    /// The log file, if it is opened only after the process has changed to its `user`.
    deferred_file: Option<String>,
    rotation: RotationSettings,
}

impl Log {
    /// Logs the last line of a process that cannot start, at level fatal, and gives exit code 1
    /// (docs/reference/logs.md#lines-outside-the-level).
    pub fn fatal(&self, text: &str) -> ExitCode {
        LOG.put(process_log::line(self.json, now(), "fatal", text).as_bytes());
        finish();
        ExitCode::FAILURE
    }

    /// Logs a warning that an operator has to see once even at the default level, error. A level that the configuration names applies.
    pub fn notice(&self, text: &str) {
        if self.is_level_default {
            LOG.put(process_log::line(self.json, now(), "warning", text).as_bytes());
        } else {
            tracing::warn!("{text}");
        }
    }

    /// Opens the deferred log file, if there is one, and logs there from now on. Called after the change to `user`: root would follow a
    /// link that the user made to another user's file, and the user could not reopen a file of root (SIGUSR1, a successor).
    pub fn open_as_user(&self) {
        let Some(path) = &self.deferred_file else { return };
        let (destination, problem) = open(path, self.rotation);
        if let Some(stream) = LOG.lock_early().as_mut() {
            stream.destination = destination;
        }
        if let Some(problem) = problem {
            tracing::error!("{problem}");
        }
    }

    /// Starts the writer thread, which writes all lines from now on. Lost lines are counted in `metrics`, and the log reports their number.
    ///
    /// # Errors
    /// The operating system's, if no thread can be started.
    pub fn start_writer(&self, metrics: Arc<Metrics>) -> io::Result<()> {
        let Some(stream) = LOG.lock_early().take() else { return Ok(()) };
        let unreported = Arc::clone(&stream.unreported);
        let queue = LogQueue::start("log", stream, move |bound, lines| {
            unreported.fetch_add(lines, Relaxed);
            metrics.exceeded(bound, lines);
        })?;
        let _ = LOG.queue.set(queue);
        Ok(())
    }
}

/// Starts logging at the configured level. If the log file cannot be opened, the log goes to standard output and says so. With a `user` it
/// goes to standard output until [`Log::open_as_user`].
pub fn start(config: &StaticConfig) -> Log {
    let zone_problem = time_zone::find();
    let table = config.traefik_log.clone().unwrap_or_default();
    let path = if table.file_path.is_empty() { &config.traefik_logs_file } else { &table.file_path };
    let deferred_file = Some(path.clone()).filter(|path| !path.is_empty() && !config.user.is_empty());
    let rotation = log_files::rotation(table.rotation.as_ref());
    // Who asked for JSON lines reads them from the journal too.
    let journal = if path.is_empty() && table.format != "json" { Journal::of_this_process() } else { None };
    let json = table.format == "json" || journal.is_some();
    let (destination, problem) = match journal {
        Some(journal) => (Box::new(journal) as Box<dyn Destination>, None),
        None if deferred_file.is_some() => open("", rotation),
        None => open(path, rotation),
    };
    *LOG.lock_early() = Some(Stream { destination, json, unreported: Arc::default() });
    let level = match config.level() {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Fatal | LogLevel::Panic => LevelFilter::OFF,
    };
    let format = ProcessLogFormat { json, clock: now };
    // If logging is started twice in one process (tests), the first log stays.
    let _ = tracing::subscriber::set_global_default(
        tracing_subscriber::fmt().event_format(format).with_writer(Lines).with_max_level(level).finish(),
    );
    if let Some(problem) = problem {
        tracing::error!("{problem}");
    }
    let log = Log { json, is_level_default: config.log_level.is_empty() && !config.debug, deferred_file, rotation };
    if let Some(problem) = zone_problem {
        log.notice(&problem);
    }
    log
}

/// Opens the file at `path`. If `path` is empty or cannot be opened, gives standard output; in the second case also a message for the log.
fn open(path: &str, rotation: RotationSettings) -> (Box<dyn Destination>, Option<String>) {
    match log_files::open(path, rotation) {
        Ok(destination) => (destination, None),
        Err(e) => (
            Box::new(io::stdout()),
            Some(format!("traefikLog.filePath {path} cannot be opened ({e}): logging to standard output")),
        ),
    }
}

/// Opens the log file again, after a rotation.
pub fn reopen() {
    if let Some(queue) = LOG.queue.get() {
        queue.reopen();
    }
}

/// Waits until the lines logged so far are written, for at most [`LAST_LINES_MAX`]. Called before the process exits.
pub fn finish() {
    if let Some(queue) = LOG.queue.get() {
        queue.flush(LAST_LINES_MAX);
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { unix_nanos: since.as_nanos() as u64, offset_secs: time_zone::offset_secs(since.as_secs()) }
}

impl LogOutput {
    fn put(&self, line: &[u8]) {
        match self.queue.get() {
            Some(queue) => queue.push(line.to_vec()),
            // A failed write is ignored: there is no other place to report it.
            None => drop(self.lock_early().as_mut().map(|stream| stream.write_lines(line))),
        }
    }

    fn lock_early(&self) -> std::sync::MutexGuard<'_, Option<Stream>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log's destination. The first write after lines were lost begins with a line that reports their number.
struct Stream {
    destination: Box<dyn Destination>,
    json: bool,
    /// The number of lost lines that the log has not reported yet.
    unreported: Arc<AtomicU64>,
}

impl Destination for Stream {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let lost = self.unreported.swap(0, Relaxed);
        if lost > 0 {
            let text = format!("{lost} line(s) of this log were lost: it was not read, or its disk was full");
            let reported =
                self.destination.write_lines(process_log::line(self.json, now(), "warning", &text).as_bytes());
            if reported.is_err() {
                self.unreported.fetch_add(lost, Relaxed);
                return reported;
            }
        }
        self.destination.write_lines(lines)
    }

    fn reopen(&mut self) {
        self.destination.reopen();
    }
}

/// The writer that `tracing` gets: each write is one whole line.
struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        Lines
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LOG.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A destination that fails `failures` times, then keeps the lines.
    struct Disk {
        failures: u32,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Destination for Disk {
        fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
            if self.failures > 0 {
                self.failures -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.lock().unwrap().extend_from_slice(lines);
            Ok(())
        }
    }

    #[test]
    fn lost_lines_are_reported_once_writing_succeeds() {
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        let disk = Disk { failures: 1, written: Arc::clone(&written) };
        let mut stream = Stream { destination: Box::new(disk), json: false, unreported: Arc::new(7.into()) };
        assert!(stream.write_lines(b"one\n").is_err(), "not even the number can be written");
        stream.write_lines(b"two\n").unwrap();
        stream.write_lines(b"three\n").unwrap();
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("level=warning msg=\"7 line(s) of this log were lost"), "{text}");
        assert_eq!(&lines[1..], ["two", "three"]);
    }
}
