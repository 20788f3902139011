//! Log lines on their way out: any thread hands them over, and one thread, which alone may block, writes them. A reader that stands still
//! or a full disk costs lines, which are counted, and nobody's time.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::limits::{self, Bound};

/// Room of a buffer that many lines are gathered in, and for the line that makes it full, so that buffers do not grow.
pub const BATCH_BYTES: usize = 128 * 1024;
const LINE_BYTES_USUAL: usize = 8 * 1024;
/// Written buffers that are kept for the next batches: fresh memory costs a page fault for every 4 KiB.
const SPARE_BUFFERS_MAX: usize = 8;

/// Told how many lines were lost, and for want of what: [`Bound::LogQueue`] or [`Bound::LogFile`].
type Lost = Arc<dyn Fn(Bound, u64) + Send + Sync>;

/// Buffers on their way back from the writer; looked at once per batch.
type FreeBuffers = Arc<Mutex<Vec<Vec<u8>>>>;

/// One log's queue and its writer.
#[derive(Clone)]
pub struct LogQueue {
    commands: Sender<Command>,
    /// Bytes handed over and not yet written.
    queued: Arc<AtomicUsize>,
    lost: Lost,
    spare: FreeBuffers,
}

enum Command {
    Lines(Vec<u8>),
    Reopen,
    Flush(Sender<()>),
}

/// Where lines end up; `reopen` follows a rotated file.
pub trait Destination: Send + 'static {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()>;
    fn reopen(&mut self) {}
}

impl Destination for io::Stdout {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut out = self.lock();
        out.write_all(lines)?;
        out.flush()
    }
}

impl LogQueue {
    /// Starts the writer, as a thread of that name.
    ///
    /// # Errors
    /// The system's, when no thread can be started.
    pub fn start(
        name: &str,
        destination: impl Destination,
        lost: impl Fn(Bound, u64) + Send + Sync + 'static,
    ) -> io::Result<LogQueue> {
        let (commands, orders) = channel();
        let queue = LogQueue { commands, queued: Arc::default(), lost: Arc::new(lost), spare: Arc::default() };
        let writer = Writer {
            destination,
            queued: Arc::clone(&queue.queued),
            lost: Arc::clone(&queue.lost),
            spare: Arc::clone(&queue.spare),
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(move || writer.run(&orders))?;
        Ok(queue)
    }

    /// Hands whole lines over; lost where more than [`limits::LOG_QUEUE_BYTES_MAX`] would wait.
    pub fn push(&self, lines: Vec<u8>) {
        let bytes = lines.len();
        if self.queued.fetch_add(bytes, Relaxed) + bytes > limits::LOG_QUEUE_BYTES_MAX {
            self.queued.fetch_sub(bytes, Relaxed);
            (self.lost)(Bound::LogQueue, count_of(&lines));
            return;
        }
        let _ = self.commands.send(Command::Lines(lines));
    }

    /// Hands over what was gathered in `batch`, and leaves an empty one.
    pub fn push_batch(&self, batch: &mut Vec<u8>) {
        if batch.is_empty() {
            return;
        }
        if batch.len() < BATCH_BYTES / 4 {
            // Few lines wait in a buffer of their size: the queue's bound counts what they say, not the room around it.
            self.push(batch.to_vec());
            batch.clear();
        } else {
            let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
            let empty = spare.unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES + LINE_BYTES_USUAL));
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
    spare: FreeBuffers,
}

impl<D: Destination> Writer<D> {
    fn run(mut self, orders: &Receiver<Command>) {
        while let Ok(order) = orders.recv() {
            match order {
                Command::Lines(lines) => self.write(lines),
                Command::Reopen => self.destination.reopen(),
                Command::Flush(done) => drop(done.send(())),
            }
        }
    }

    fn write(&mut self, mut lines: Vec<u8>) {
        // A full disk loses lines, never requests; the count says how many.
        if self.destination.write_lines(&lines).is_err() {
            (self.lost)(Bound::LogFile, count_of(&lines));
        }
        self.queued.fetch_sub(lines.len(), Relaxed);
        lines.clear();
        let is_batch = (BATCH_BYTES..=BATCH_BYTES + LINE_BYTES_USUAL).contains(&lines.capacity());
        if let Some(mut spare) = self.spare.lock().ok().filter(|spare| is_batch && spare.len() < SPARE_BUFFERS_MAX) {
            spare.push(lines);
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

    /// Writes a line only when the other end takes it.
    struct Slow(SyncSender<Vec<u8>>);

    impl Destination for Slow {
        fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
            self.0.send(lines.to_vec()).map_err(io::Error::other)
        }
    }

    #[test]
    fn a_destination_that_stands_still_costs_lines_and_nobodys_time() {
        let (taken, reader) = std::sync::mpsc::sync_channel(0);
        let lost: Arc<AtomicU64> = Arc::default();
        let count = Arc::clone(&lost);
        let queue = LogQueue::start("slow", Slow(taken), move |bound, lines| {
            assert_eq!(bound, Bound::LogQueue);
            count.fetch_add(lines, Relaxed);
        });
        let queue = queue.expect("a thread");
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        let room = limits::LOG_QUEUE_BYTES_MAX / line.len();
        for _ in 0..room + 5 {
            queue.push(line.clone());
        }
        assert_eq!(lost.load(Relaxed), 5, "beyond the bound each line is counted");
        for n in 0..room {
            assert_eq!(reader.recv().expect("a line"), line, "line {n}");
        }
        queue.flush(Duration::from_secs(10));
        assert!(reader.try_recv().is_err(), "what was lost does not come");
        queue.push(b"again\n".to_vec());
        assert_eq!(reader.recv().expect("there is room again"), b"again\n");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let (taken, reader) = std::sync::mpsc::sync_channel(0);
        drop(reader);
        let lost: Arc<Mutex<Vec<(Bound, u64)>>> = Arc::default();
        let told = Arc::clone(&lost);
        let queue = LogQueue::start("none", Slow(taken), move |bound, lines| told.lock().unwrap().push((bound, lines)));
        let queue = queue.expect("a thread");
        queue.push(b"one\ntwo\n".to_vec());
        queue.flush(Duration::from_secs(10));
        assert_eq!(*lost.lock().unwrap(), [(Bound::LogFile, 2)]);
    }
}
