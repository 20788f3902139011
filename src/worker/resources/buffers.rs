//! A worker's buffers and pipes, kept for the next message that needs one.

use crate::limits;
use crate::net::free_list::FreeList;
use crate::net::splice::PipePool;

/// A worker's spare buffers, and its pipes for bodies that need none.
pub struct BufferPool {
    spare: FreeList<Vec<u8>>,
    /// For bodies. Freshly allocated ones of this size would cost a page fault for every 4 KiB that passes.
    large: FreeList<Vec<u8>>,
    pub pipes: PipePool,
}

impl Default for BufferPool {
    fn default() -> Self {
        BufferPool {
            spare: FreeList::new(limits::POOLED_BUFFERS_MAX),
            large: FreeList::new(limits::COPY_BUFFERS_MAX),
            pipes: PipePool::default(),
        }
    }
}

impl BufferPool {
    /// An empty buffer with room for a head.
    pub fn lend(&self) -> Vec<u8> {
        self.spare.take().unwrap_or_else(|| Vec::with_capacity(limits::HEAD_BUFFER_BYTES))
    }

    /// An empty buffer with room for one turn of a long body.
    pub fn lend_large(&self) -> Vec<u8> {
        self.large.take().unwrap_or_else(|| Vec::with_capacity(limits::COPY_BUFFER_MAX_BYTES))
    }

    pub fn give_back_large(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == limits::COPY_BUFFER_MAX_BYTES {
            buffer.clear();
            self.large.put(buffer);
        }
    }

    /// Takes a buffer back; large ones and those above the pool's bound are freed.
    pub fn give_back(&self, mut buffer: Vec<u8>) {
        if (limits::HEAD_BUFFER_BYTES..=limits::POOLED_BUFFER_BYTES_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            self.spare.put(buffer);
        }
    }

    /// Lets those buffers and pipes go that nobody has needed since the last call; gives their number.
    pub fn trim(&self) -> usize {
        self.spare.trim() + self.large.trim() + self.pipes.trim()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_keeps_no_large_buffer() {
        let buffers = BufferPool::default();
        buffers.give_back(Vec::with_capacity(limits::POOLED_BUFFER_BYTES_MAX + 1));
        assert!(buffers.spare.is_empty());
        buffers.give_back(Vec::with_capacity(limits::HEAD_BUFFER_BYTES));
        assert!(!buffers.spare.is_empty());
    }
}
