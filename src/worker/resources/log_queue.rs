//! The queue of a log: any thread pushes lines, and one writer thread, the only one that may block, writes them. A destination that is
//! stalled or full loses lines, which are counted, and delays no other thread.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::limits::{self, Bound};

/// A batch of lines is handed over when it holds `BATCH_BYTES`. Its buffer has `LINE_BYTES_USUAL` more, for the line that makes it full, so
/// that buffers do not grow.
pub const BATCH_BYTES: usize = 128 * 1024;
const LINE_BYTES_USUAL: usize = 8 * 1024;
/// Written buffers that are kept for the next batches: newly allocated memory costs a page fault for every 4 KiB.
const FREE_BUFFERS_MAX: usize = 8;

/// Called with the number of lines lost, and the bound that was exceeded: [`Bound::LogQueue`] or [`Bound::LogFile`].
type Lost = Arc<dyn Fn(Bound, u64) + Send + Sync>;

/// Buffers that the writer returns for reuse; locked once per batch.
type FreeBuffers = Arc<Mutex<Vec<Vec<u8>>>>;

/// The queue of one log, and its writer.
#[derive(Clone)]
pub struct LogQueue {
    commands: Sender<Command>,
    /// Bytes handed over and not yet written.
    queued: Arc<AtomicUsize>,
    lost: Lost,
    free: FreeBuffers,
}

enum Command {
    Lines(Vec<u8>),
    LinesTo(Arc<Path>, Vec<u8>),
    Reopen,
    Flush(Sender<()>),
}

/// The destination of the lines; `reopen` follows a rotated file.
pub trait Destination: Send + 'static {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()>;
    /// Writes lines to another file than the destination's own.
    fn write_lines_to(&mut self, _path: &Path, _lines: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn reopen(&mut self) {}
}

impl Destination for io::Stdout {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut out = self.lock();
        out.write_all(lines)?;
        out.flush()
    }
}

impl Destination for io::Stderr {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        self.lock().write_all(lines)
    }
}

impl Destination for Box<dyn Destination> {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        (**self).write_lines(lines)
    }

    fn write_lines_to(&mut self, path: &Path, lines: &[u8]) -> io::Result<()> {
        (**self).write_lines_to(path, lines)
    }

    fn reopen(&mut self) {
        (**self).reopen();
    }
}

impl LogQueue {
    /// Starts the writer as a thread called `name`.
    ///
    /// # Errors
    /// The system's, if the thread cannot be started.
    pub fn start(
        name: &str,
        destination: impl Destination,
        lost: impl Fn(Bound, u64) + Send + Sync + 'static,
    ) -> io::Result<LogQueue> {
        let (commands, commands_in) = channel();
        let queue = LogQueue { commands, queued: Arc::default(), lost: Arc::new(lost), free: Arc::default() };
        let writer = Writer {
            destination,
            queued: Arc::clone(&queue.queued),
            lost: Arc::clone(&queue.lost),
            free: Arc::clone(&queue.free),
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(move || writer.run(&commands_in))?;
        Ok(queue)
    }

    /// Hands whole lines to the writer. The lines are lost if more than [`limits::LOG_QUEUE_BYTES_MAX`] would wait.
    pub fn push(&self, lines: Vec<u8>) {
        if self.has_space_for(&lines) {
            let _ = self.commands.send(Command::Lines(lines));
        }
    }

    /// As [`push`](Self::push), for another file than the destination's own.
    pub fn push_to(&self, path: &Arc<Path>, lines: Vec<u8>) {
        if !lines.is_empty() && self.has_space_for(&lines) {
            let _ = self.commands.send(Command::LinesTo(Arc::clone(path), lines));
        }
    }

    /// Whether the lines fit into the queue; counts them as queued or as lost.
    fn has_space_for(&self, lines: &[u8]) -> bool {
        let bytes = lines.len();
        let has_space = self.queued.fetch_add(bytes, Relaxed) + bytes <= limits::LOG_QUEUE_BYTES_MAX;
        if !has_space {
            self.queued.fetch_sub(bytes, Relaxed);
            (self.lost)(Bound::LogQueue, count_of(lines));
        }
        has_space
    }

    /// Hands the lines in `batch` to the writer, and leaves an empty buffer.
    pub fn push_batch(&self, batch: &mut Vec<u8>) {
        if batch.is_empty() {
            return;
        }
        if batch.len() < BATCH_BYTES / 4 {
            // Few lines are copied into a buffer of their size: the queue's bound counts bytes of lines, not the capacity of buffers.
            self.push(batch.to_vec());
            batch.clear();
        } else {
            let free = self.free.lock().ok().and_then(|mut free| free.pop());
            let empty = free.unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES + LINE_BYTES_USUAL));
            self.push(std::mem::replace(batch, empty));
        }
    }

    /// Follows a rotated file (SIGUSR1), after the lines handed over so far.
    pub fn reopen(&self) {
        let _ = self.commands.send(Command::Reopen);
    }

    /// Waits until all lines handed over so far are written; bounded by `limit`.
    pub fn flush(&self, limit: Duration) {
        let (done, waiting) = channel();
        if self.commands.send(Command::Flush(done)).is_ok() {
            let _ = waiting.recv_timeout(limit);
        }
    }
}

struct Writer<D> {
    destination: D,
    queued: Arc<AtomicUsize>,
    lost: Lost,
    free: FreeBuffers,
}

impl<D: Destination> Writer<D> {
    fn run(mut self, commands_in: &Receiver<Command>) {
        while let Ok(command) = commands_in.recv() {
            match command {
                Command::Lines(lines) => self.write(None, lines),
                Command::LinesTo(path, lines) => self.write(Some(&path), lines),
                Command::Reopen => self.destination.reopen(),
                Command::Flush(done) => drop(done.send(())),
            }
        }
    }

    fn write(&mut self, path: Option<&Path>, mut lines: Vec<u8>) {
        let written = match path {
            None => self.destination.write_lines(&lines),
            Some(path) => self.destination.write_lines_to(path, &lines),
        };
        // A full disk loses lines, which are counted, and never requests.
        if written.is_err() {
            (self.lost)(Bound::LogFile, count_of(&lines));
        }
        self.queued.fetch_sub(lines.len(), Relaxed);
        lines.clear();
        let is_batch = (BATCH_BYTES..=BATCH_BYTES + LINE_BYTES_USUAL).contains(&lines.capacity());
        if let Some(mut free) = self.free.lock().ok().filter(|free| is_batch && free.len() < FREE_BUFFERS_MAX) {
            free.push(lines);
        }
    }
}

fn count_of(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc::SyncSender;

    use super::*;

    /// A destination that writes a line only when the test receives it.
    struct Slow(SyncSender<Vec<u8>>);

    impl Destination for Slow {
        fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
            self.0.send(lines.to_vec()).map_err(io::Error::other)
        }
    }

    #[test]
    fn stalled_destination_loses_lines_and_blocks_no_thread() {
        let (taken, reader) = std::sync::mpsc::sync_channel(0);
        let lost: Arc<AtomicU64> = Arc::default();
        let count = Arc::clone(&lost);
        let queue = LogQueue::start("slow", Slow(taken), move |bound, lines| {
            assert_eq!(bound, Bound::LogQueue);
            count.fetch_add(lines, Relaxed);
        });
        let queue = queue.expect("a thread");
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        let fitting = limits::LOG_QUEUE_BYTES_MAX / line.len();
        for _ in 0..fitting + 5 {
            queue.push(line.clone());
        }
        assert_eq!(lost.load(Relaxed), 5, "beyond the bound each line is counted");
        for n in 0..fitting {
            assert_eq!(reader.recv().expect("a line"), line, "line {n}");
        }
        queue.flush(Duration::from_secs(10));
        assert!(reader.try_recv().is_err(), "lost lines are not written");
        queue.push(b"again\n".to_vec());
        assert_eq!(reader.recv().expect("the queue has space again"), b"again\n");
    }

    #[test]
    fn failed_write_counts_lost_lines() {
        let (taken, reader) = std::sync::mpsc::sync_channel(0);
        drop(reader);
        let lost: Arc<Mutex<Vec<(Bound, u64)>>> = Arc::default();
        let counted = Arc::clone(&lost);
        let queue =
            LogQueue::start("none", Slow(taken), move |bound, lines| counted.lock().unwrap().push((bound, lines)));
        let queue = queue.expect("a thread");
        queue.push(b"one\ntwo\n".to_vec());
        queue.flush(Duration::from_secs(10));
        assert_eq!(*lost.lock().unwrap(), [(Bound::LogFile, 2)]);
    }
}
