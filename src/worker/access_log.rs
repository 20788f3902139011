//! Access log lines on their way out: formatted into a worker's buffer, handed to one writer thread, which alone may block.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::limits::{self, Bound};
use crate::observe::access_log::AccessLogFormat;
use crate::observe::metrics::Metrics;

/// A worker's buffer goes out when it holds this much, and at the latest after `FLUSH_EVERY`. Waking the writer costs more than
/// writing a line does: that is for a hundred of them.
const BATCH_BYTES: usize = 128 * 1024;
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Room for the line that fills a batch, so that buffers do not grow.
const LINE_BYTES_USUAL: usize = 8 * 1024;
/// Written buffers that are kept for the next batches: fresh memory costs a page fault for every 4 KiB.
const SPARE_BUFFERS_MAX: usize = 8;

/// What all workers share of the log.
#[derive(Clone)]
pub struct LogSink {
    pub format: Arc<AccessLogFormat>,
    lines: Sender<Command>,
    queued: Arc<AtomicUsize>,
    /// Where lost lines are counted.
    metrics: Arc<Metrics>,
    count: Arc<AtomicU64>,
    spare: Spare,
}

/// Buffers on their way back from the writer; looked at once per batch.
type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

enum Command {
    Lines(Vec<u8>),
    Reopen,
    Flush(Sender<()>),
}

/// Where lines end up; `reopen` follows a rotated file.
pub trait Destination: Send + 'static {
    fn write_lines(&mut self, lines: &[u8]) -> std::io::Result<()>;
    fn reopen(&mut self) {}
}

impl Destination for std::io::Stdout {
    fn write_lines(&mut self, lines: &[u8]) -> std::io::Result<()> {
        let mut out = self.lock();
        Write::write_all(&mut out, lines)?;
        Write::flush(&mut out)
    }
}

impl LogSink {
    /// Starts the writer thread.
    ///
    /// # Errors
    /// The system's, when no thread can be started.
    pub fn start(
        format: AccessLogFormat,
        destination: impl Destination,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<LogSink> {
        let (lines, commands) = channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let sink = LogSink {
            format: Arc::new(format),
            lines,
            queued: Arc::clone(&queued),
            metrics: Arc::clone(&metrics),
            count: Arc::default(),
            spare: Arc::default(),
        };
        let spare = Arc::clone(&sink.spare);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || drain(&commands, destination, &queued, &metrics, &spare))?;
        Ok(sink)
    }

    /// Follows a rotated file (SIGUSR1).
    pub fn reopen(&self) {
        let _ = self.lines.send(Command::Reopen);
    }

    /// Waits until all lines handed over so far are written; bounded by `limit`.
    pub fn flush(&self, limit: Duration) {
        let (done, waiting) = channel();
        if self.lines.send(Command::Flush(done)).is_ok() {
            let _ = waiting.recv_timeout(limit);
        }
    }

    /// Hands the lines in `buffer` over and leaves an empty one.
    fn hand_over(&self, buffer: &mut Vec<u8>) {
        let lines = if buffer.len() < BATCH_BYTES / 4 {
            // Few lines wait in a buffer of their size: the queue's bound counts what they say, not the room around it.
            let lines = buffer.to_vec();
            buffer.clear();
            lines
        } else {
            let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
            let empty = spare.unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES + LINE_BYTES_USUAL));
            std::mem::replace(buffer, empty)
        };
        let bytes = lines.len();
        if self.queued.fetch_add(bytes, Relaxed) + bytes > limits::LOG_QUEUE_BYTES_MAX {
            self.queued.fetch_sub(bytes, Relaxed);
            self.metrics.exceeded(Bound::LogQueue, count_of(&lines));
            return;
        }
        let _ = self.lines.send(Command::Lines(lines));
    }
}

fn drain(
    commands: &Receiver<Command>,
    mut destination: impl Destination,
    queued: &AtomicUsize,
    metrics: &Metrics,
    spare: &Spare,
) {
    while let Ok(command) = commands.recv() {
        match command {
            Command::Lines(mut lines) => {
                // A full disk loses lines, never requests; the count says how many.
                if destination.write_lines(&lines).is_err() {
                    metrics.exceeded(Bound::LogFile, count_of(&lines));
                }
                queued.fetch_sub(lines.len(), Relaxed);
                lines.clear();
                if let Ok(mut spare) = spare.lock()
                    && spare.len() < SPARE_BUFFERS_MAX
                    && (BATCH_BYTES..=BATCH_BYTES + LINE_BYTES_USUAL).contains(&lines.capacity())
                {
                    spare.push(lines);
                }
            }
            Command::Reopen => destination.reopen(),
            Command::Flush(done) => drop(done.send(())),
        }
    }
}

fn count_of(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// One worker's side of the log.
pub struct WorkerLog {
    sink: LogSink,
    buffer: Rc<RefCell<Vec<u8>>>,
    is_scheduled: Rc<Cell<bool>>,
}

impl WorkerLog {
    pub fn new(sink: LogSink) -> Self {
        WorkerLog { sink, buffer: Rc::default(), is_scheduled: Rc::default() }
    }

    /// Lets `append` add a line; it gets the format, the buffer and the request's number.
    pub fn write(&self, append: impl FnOnce(&AccessLogFormat, &mut Vec<u8>, u64)) {
        let count = self.sink.count.fetch_add(1, Relaxed) + 1;
        let mut buffer = self.buffer.borrow_mut();
        append(&self.sink.format, &mut buffer, count);
        if buffer.len() >= BATCH_BYTES {
            self.sink.hand_over(&mut buffer);
        } else if !buffer.is_empty() && !self.is_scheduled.replace(true) {
            let (sink, buffer, scheduled) = (self.sink.clone(), Rc::clone(&self.buffer), Rc::clone(&self.is_scheduled));
            monoio::spawn(async move {
                monoio::time::sleep(FLUSH_EVERY).await;
                scheduled.set(false);
                let mut lines = buffer.borrow_mut();
                if !lines.is_empty() {
                    sink.hand_over(&mut lines);
                }
            });
        }
    }

    /// Hands over what is buffered, at the end of the worker.
    pub fn flush(&self) {
        let mut lines = self.buffer.borrow_mut();
        if !lines.is_empty() {
            self.sink.hand_over(&mut lines);
        }
    }
}
