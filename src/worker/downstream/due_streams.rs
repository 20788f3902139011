//! The streams of a connection whose handlers have to be polled. Each handler has a waker of its own, which marks its stream and wakes the
//! connection's task; threads of the verification pool wake handlers too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

use crate::http::h2::connection::STREAMS_MAX;

const WORD_BITS: usize = u64::BITS as usize;
/// Words of the set: a bit for each stream.
pub const WORDS: usize = STREAMS_MAX.div_ceil(WORD_BITS);

/// A set of streams.
#[derive(Default)]
pub struct DueStreams {
    words: [AtomicU64; WORDS],
    /// The connection's task.
    pub task: AtomicWaker,
}

impl DueStreams {
    /// Marks a stream. Returns false if it was marked before.
    pub fn mark(&self, index: usize) -> bool {
        let bit = 1 << (index % WORD_BITS);
        self.words.get(index / WORD_BITS).is_some_and(|word| word.fetch_or(bit, AcqRel) & bit == 0)
    }

    /// Takes the marked streams of one word out.
    pub fn take(&self, word: usize) -> impl Iterator<Item = usize> + use<> {
        let mut bits = self.words.get(word).map_or(0, |bits| bits.swap(0, AcqRel));
        std::iter::from_fn(move || {
            let bit = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            (bit < WORD_BITS).then_some(word * WORD_BITS + bit)
        })
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| word.load(std::sync::atomic::Ordering::Acquire) == 0)
    }

    /// A waker for the handler of one stream.
    pub fn waker(self: &Arc<Self>, index: usize) -> Waker {
        Waker::from(Arc::new(StreamWaker { due: Arc::clone(self), index }))
    }
}

struct StreamWaker {
    due: Arc<DueStreams>,
    index: usize,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.due.mark(self.index) {
            self.due.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_streams_are_taken_once_in_order() {
        let due = Arc::new(DueStreams::default());
        for index in [3, 0, 63, 64, 127] {
            due.waker(index).wake();
        }
        assert!(!due.mark(3), "marked already");
        assert!(!due.mark(STREAMS_MAX), "no such stream");
        assert_eq!(due.take(0).collect::<Vec<_>>(), [0, 3, 63]);
        assert_eq!(due.take(1).collect::<Vec<_>>(), [64, 127]);
        assert!(due.is_empty() && due.take(0).next().is_none());
    }
}
