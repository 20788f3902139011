//! Access log lines: formatted into a worker's buffer, which goes to the log's writer when it is full, and at the latest after
//! `FLUSH_EVERY`.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::log_queue::{BATCH_BYTES, Destination, LogQueue};
use crate::observe::access_log::{AccessLogFormat, AccessLogSettings, FrontendFormat};
use crate::observe::local_time::{LocalOffset, LocalZone};
use crate::observe::metrics::Metrics;

/// A worker's buffer goes to the writer when it holds [`BATCH_BYTES`], and at the latest after this time. Waking the writer costs more than
/// writing a line: one wake-up should serve a hundred lines.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// Files of frontends whose lines a worker collects before it hands them over.
const FILE_BUFFERS_MAX: usize = 64;

/// The part of the access log that all workers share.
#[derive(Clone)]
pub struct LogSink {
    pub format: Arc<AccessLogFormat>,
    /// The options of the log, for those of frontends.
    pub settings: Arc<AccessLogSettings>,
    pub queue: LogQueue,
    zone: LocalZone,
    count: Arc<AtomicU64>,
}

impl LogSink {
    /// Starts the writer thread. Lost lines are counted in `metrics`.
    ///
    /// # Errors
    /// The system's, if the thread cannot be started.
    pub fn start(
        settings: AccessLogSettings,
        format: AccessLogFormat,
        zone: LocalZone,
        destination: impl Destination,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<LogSink> {
        let lost = move |bound, lines| metrics.exceeded(bound, lines);
        let queue = LogQueue::start("access-log", destination, lost)?;
        Ok(LogSink { format: Arc::new(format), settings: Arc::new(settings), queue, zone, count: Arc::default() })
    }
}

/// Lines for one file.
type FileLines = (Arc<Path>, Vec<u8>);

/// A worker's side of the log.
pub struct WorkerLog {
    sink: LogSink,
    local_offset: LocalOffset,
    has_response_head: bool,
    buffer: Rc<RefCell<Vec<u8>>>,
    /// Lines for files of frontends.
    file_buffers: Rc<RefCell<Vec<FileLines>>>,
    is_scheduled: Rc<Cell<bool>>,
}

impl WorkerLog {
    pub fn new(sink: LogSink) -> Self {
        let local_offset = LocalOffset::new(sink.zone.clone());
        let has_response_head = sink.format.has_response_head();
        WorkerLog {
            sink,
            local_offset,
            has_response_head,
            buffer: Rc::default(),
            file_buffers: Rc::default(),
            is_scheduled: Rc::default(),
        }
    }

    /// Calls `append` to add a line, with the format, the buffer and the request's number.
    pub fn write(&self, append: impl FnOnce(&AccessLogFormat, &mut Vec<u8>, u64)) {
        let count = self.sink.count.fetch_add(1, Relaxed) + 1;
        let mut buffer = self.buffer.borrow_mut();
        append(&self.sink.format, &mut buffer, count);
        if buffer.len() >= BATCH_BYTES {
            self.sink.queue.push_batch(&mut buffer);
        } else if !buffer.is_empty() {
            self.schedule_flush();
        }
    }

    /// As [`write`](Self::write), for a frontend with a log of its own.
    pub fn write_own(&self, own: &FrontendFormat, append: impl FnOnce(&AccessLogFormat, &mut Vec<u8>, u64)) {
        let count = self.sink.count.fetch_add(1, Relaxed) + 1;
        let Some(format) = &own.format else { return };
        let mut line = Vec::new();
        append(format, &mut line, count);
        let Some(file) = &own.file else { return self.add_line(&line) };
        let mut buffers = self.file_buffers.borrow_mut();
        let known = buffers.iter().position(|(path, _)| path == file);
        match known.map(|at| &mut buffers[at].1) {
            Some(buffer) if buffer.len() + line.len() <= BATCH_BYTES => buffer.extend_from_slice(&line),
            Some(buffer) => self.sink.queue.push_to(file, std::mem::replace(buffer, line)),
            None => {
                // More files than that share their turns: the lines of all are handed over.
                if buffers.len() >= FILE_BUFFERS_MAX {
                    buffers.drain(..).for_each(|(path, lines)| self.sink.queue.push_to(&path, lines));
                }
                buffers.push((Arc::clone(file), line));
            }
        }
        self.schedule_flush();
    }

    /// Adds a line to the common log.
    fn add_line(&self, line: &[u8]) {
        let mut buffer = self.buffer.borrow_mut();
        buffer.extend_from_slice(line);
        if buffer.len() >= BATCH_BYTES {
            self.sink.queue.push_batch(&mut buffer);
        } else {
            self.schedule_flush();
        }
    }

    /// The options of the log, for those of frontends.
    pub fn settings(&self) -> &AccessLogSettings {
        &self.sink.settings
    }

    fn schedule_flush(&self) {
        if self.is_scheduled.replace(true) {
            return;
        }
        let (buffer, files) = (Rc::clone(&self.buffer), Rc::clone(&self.file_buffers));
        let (queue, scheduled) = (self.sink.queue.clone(), Rc::clone(&self.is_scheduled));
        monoio::spawn(async move {
            monoio::time::sleep(FLUSH_EVERY).await;
            scheduled.set(false);
            queue.push_batch(&mut buffer.borrow_mut());
            for (path, lines) in files.borrow_mut().drain(..) {
                queue.push_to(&path, lines);
            }
        });
    }

    /// Stores the head of a response as it is sent, if a line may show fields of it. `may_be_own`: frontends have logs of their own, which may
    /// show more than the common one.
    pub fn keep_head(&self, head: &[u8], may_be_own: bool, kept: &mut Vec<u8>) {
        if self.has_response_head || may_be_own {
            kept.clear();
            kept.extend_from_slice(head);
        }
    }

    /// Seconds that local time is ahead of UTC at a time.
    pub fn local_offset_secs(&self, unix_nanos: u64) -> i32 {
        self.local_offset.at(unix_nanos / 1_000_000_000)
    }
}
