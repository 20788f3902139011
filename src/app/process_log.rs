//! The process's own log: to standard output, or to a file that SIGUSR1 reopens. While the process starts its lines are written where they
//! are made; once requests are served a thread of their own writes them, so that a reader that stands still stops nobody else.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::log_files::ReopenedFile;
use crate::config::static_config::{LogLevel, StaticConfig};
use crate::observe::metrics::Metrics;
use crate::observe::process_log::{self, ProcessLogFormat};
use crate::observe::time_format::Timestamp;
use crate::worker::log_queue::{Destination, LogQueue};

/// How long the last lines of a log may take when the process ends.
pub const LAST_LINES_MAX: Duration = Duration::from_secs(2);

/// The one log of this process. Standard output, until it says otherwise.
static LOG: LogOutput = LogOutput { early: Mutex::new(None), queue: OnceLock::new() };

struct LogOutput {
    /// Written to by whoever has a line, as long as there is no queue.
    early: Mutex<Option<Stream>>,
    queue: OnceLock<LogQueue>,
}

/// The log, as far as lines outside of its filter need it.
pub struct Log {
    json: bool,
    /// The configuration names no level: it is the default that hides warnings.
    is_level_default: bool,
    /// A file that is opened once the process is its `user`.
    deferred_file: Option<String>,
}

impl Log {
    /// The last line of a process that cannot start: level fatal on the log's own stream, exit code 1 (docs/reference/logs.md#lines-outside-the-level, docs/reference/command-line.md#signals-and-exit-codes).
    pub fn fatal(&self, text: &str) -> ExitCode {
        LOG.put(process_log::line(self.json, now(), "fatal", text).as_bytes());
        finish();
        ExitCode::FAILURE
    }

    /// A warning that an operator has to see once even at the default level, error. Who sets a level gets that level.
    pub fn notice(&self, text: &str) {
        if self.is_level_default {
            LOG.put(process_log::line(self.json, now(), "warning", text).as_bytes());
        } else {
            tracing::warn!("{text}");
        }
    }

    /// Goes on in the file that waited for this, if there is one: root would follow a link that the user made to a file of somebody else,
    /// and the user could not open root's file again (SIGUSR1, a successor).
    pub fn open_as_user(&self) {
        let Some(path) = &self.deferred_file else { return };
        let (destination, problem) = open(path);
        if let Some(stream) = LOG.lock_early().as_mut() {
            stream.destination = destination;
        }
        if let Some(problem) = problem {
            tracing::error!("{problem}");
        }
    }

    /// From here on a thread writes the lines; those that are lost are counted in `metrics`, and the log says how many.
    ///
    /// # Errors
    /// The system's, when no thread can be started.
    pub fn start_writer(&self, metrics: Arc<Metrics>) -> io::Result<()> {
        let Some(stream) = LOG.lock_early().take() else { return Ok(()) };
        let untold = Arc::clone(&stream.unreported);
        let queue = LogQueue::start("log", stream, move |bound, lines| {
            untold.fetch_add(lines, Relaxed);
            metrics.exceeded(bound, lines);
        })?;
        let _ = LOG.queue.set(queue);
        Ok(())
    }
}

/// Starts logging at the configured level. A log file that cannot be opened falls back to standard output, and says so; with a `user` the
/// lines go there too until [`Log::open_as_user`].
pub fn start(fixed: &StaticConfig) -> Log {
    let table = fixed.traefik_log.clone().unwrap_or_default();
    let json = table.format == "json";
    let path = if table.file_path.is_empty() { &fixed.traefik_logs_file } else { &table.file_path };
    let later = Some(path.clone()).filter(|path| !path.is_empty() && !fixed.user.is_empty());
    let (destination, problem) = if later.is_some() { open("") } else { open(path) };
    *LOG.lock_early() = Some(Stream { destination, json, unreported: Arc::default() });
    let level = match fixed.level() {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Fatal | LogLevel::Panic => LevelFilter::OFF,
    };
    let format = ProcessLogFormat { json, clock: now };
    // A second start in one process (tests) keeps the first log.
    let _ = tracing::subscriber::set_global_default(
        tracing_subscriber::fmt().event_format(format).with_writer(Lines).with_max_level(level).finish(),
    );
    if let Some(problem) = problem {
        tracing::error!("{problem}");
    }
    Log { json, is_level_default: fixed.log_level.is_empty() && !fixed.debug, deferred_file: later }
}

/// The file at `path`, or standard output if that is empty or cannot be opened, and then the sentence that says so.
fn open(path: &str) -> (Box<dyn Destination>, Option<String>) {
    if path.is_empty() {
        return (Box::new(io::stdout()), None);
    }
    match ReopenedFile::open(Path::new(path)) {
        Ok(file) => (Box::new(file), None),
        Err(e) => (
            Box::new(io::stdout()),
            Some(format!("traefikLog.filePath {path} cannot be opened ({e}): logging to standard output")),
        ),
    }
}

/// Follows a rotated file.
pub fn reopen() {
    if let Some(queue) = LOG.queue.get() {
        queue.reopen();
    }
}

/// Waits until what was logged so far is written, before the process ends; no longer than [`LAST_LINES_MAX`].
pub fn finish() {
    if let Some(queue) = LOG.queue.get() {
        queue.flush(LAST_LINES_MAX);
    }
}

fn now() -> Timestamp {
    Timestamp::utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64))
}

impl LogOutput {
    fn put(&self, line: &[u8]) {
        match self.queue.get() {
            Some(queue) => queue.push(line.to_vec()),
            // There is nobody to be told that the log cannot be written.
            None => drop(self.lock_early().as_mut().map(|stream| stream.write_lines(line))),
        }
    }

    fn lock_early(&self) -> std::sync::MutexGuard<'_, Option<Stream>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the log goes. What is written after lines were lost begins with their number.
struct Stream {
    destination: Box<dyn Destination>,
    json: bool,
    /// Lines that were lost, and of which the log has not told yet.
    unreported: Arc<AtomicU64>,
}

impl Destination for Stream {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let lost = self.unreported.swap(0, Relaxed);
        if lost > 0 {
            let text = format!("{lost} line(s) of this log were lost: it was not read, or its disk was full");
            let told = self.destination.write_lines(process_log::line(self.json, now(), "warning", &text).as_bytes());
            if told.is_err() {
                self.unreported.fetch_add(lost, Relaxed);
                return told;
            }
        }
        self.destination.write_lines(lines)
    }

    fn reopen(&mut self) {
        self.destination.reopen();
    }
}

/// One line for each event.
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

    /// Fails as often as it says, then keeps what it gets.
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
    fn lost_lines_are_told_once_there_is_room() {
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
