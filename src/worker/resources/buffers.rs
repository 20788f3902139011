//! The buffer pool: a worker's free buffers and pipes.

use crate::limits;
use crate::net::free_list::FreeList;
use crate::net::splice::PipePool;

/// A worker's free buffers, and its pipes for bodies that are moved without a buffer.
pub struct BufferPool {
    small: FreeList<Vec<u8>>,
    /// Buffers for bodies. A newly allocated buffer of this size would cost a page fault for every 4 KiB that is written to it.
    large: FreeList<Vec<u8>>,
    pub pipes: PipePool,
}

impl Default for BufferPool {
    fn default() -> Self {
        BufferPool {
            small: FreeList::new(limits::POOLED_BUFFERS_MAX),
            large: FreeList::new(limits::COPY_BUFFERS_MAX),
            pipes: PipePool::default(),
        }
    }
}

impl BufferPool {
    /// An empty buffer with the capacity for an ordinary head.
    pub fn lend(&self) -> Vec<u8> {
        self.small.take().unwrap_or_else(|| Vec::with_capacity(limits::HEAD_BUFFER_BYTES))
    }

    /// An empty buffer of `COPY_BUFFER_MAX_BYTES`, for one read of a long body.
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
            self.small.put(buffer);
        }
    }

    /// Frees the buffers and pipes that have not been needed since the last call; returns their number.
    pub fn trim(&self) -> usize {
        self.small.trim() + self.large.trim() + self.pipes.trim()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oversized_buffer_is_not_pooled() {
        let pool = BufferPool::default();
        pool.give_back(Vec::with_capacity(limits::POOLED_BUFFER_BYTES_MAX + 1));
        assert!(pool.small.is_empty());
        pool.give_back(Vec::with_capacity(limits::HEAD_BUFFER_BYTES));
        assert!(!pool.small.is_empty());
    }
}
