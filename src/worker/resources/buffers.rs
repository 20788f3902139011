//! A worker's buffers and pipes, kept for the next message that needs one.

use crate::limits;
use crate::net::free_list::FreeList;
use crate::net::splice::PipePool;

/// A worker's spare buffers, and its pipes for bodies that need none.
pub struct BufferPool {
    /// For bytes that arrive. Few of them grow: a larger one would read more of a body behind a head than the head's copy is worth.
    incoming: FreeList<Vec<u8>>,
    /// For messages on their way out, as long as the heads and small bodies that pass.
    outgoing: FreeList<Vec<u8>>,
    /// For bodies. Freshly allocated ones of this size would cost a page fault for every 4 KiB that passes.
    large: FreeList<Vec<u8>>,
    pub pipes: PipePool,
}

impl Default for BufferPool {
    fn default() -> Self {
        BufferPool {
            incoming: FreeList::new(limits::POOLED_BUFFERS_MAX),
            outgoing: FreeList::new(limits::POOLED_BUFFERS_MAX),
            large: FreeList::new(limits::COPY_BUFFERS_MAX),
            pipes: PipePool::default(),
        }
    }
}

impl BufferPool {
    /// An empty buffer for bytes that arrive, with room for a head.
    #[inline]
    pub fn lend(&self) -> Vec<u8> {
        self.incoming.take().unwrap_or_else(|| Vec::with_capacity(limits::HEAD_BUFFER_BYTES))
    }

    /// An empty buffer for a message on its way out.
    #[inline]
    pub fn lend_outgoing(&self) -> Vec<u8> {
        self.outgoing.take().unwrap_or_else(|| Vec::with_capacity(limits::HEAD_BUFFER_BYTES))
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

    /// Takes a buffer of [`lend`](Self::lend) or [`lend_large`](Self::lend_large) back; other buffers above the pool's bound are freed.
    pub fn give_back(&self, buffer: Vec<u8>) {
        match buffer.capacity() {
            limits::COPY_BUFFER_MAX_BYTES => self.give_back_large(buffer),
            _ => keep(&self.incoming, buffer),
        }
    }

    /// Takes a buffer of [`lend_outgoing`](Self::lend_outgoing) back; buffers above the pool's bound are freed.
    pub fn give_back_outgoing(&self, buffer: Vec<u8>) {
        keep(&self.outgoing, buffer);
    }

    /// Frees the buffers and pipes that no message has needed since the last call; gives their number.
    pub fn trim(&self) -> usize {
        self.incoming.trim() + self.outgoing.trim() + self.large.trim() + self.pipes.trim()
    }
}

fn keep(list: &FreeList<Vec<u8>>, mut buffer: Vec<u8>) {
    if (limits::HEAD_BUFFER_BYTES..=limits::POOLED_BUFFER_BYTES_MAX).contains(&buffer.capacity()) {
        buffer.clear();
        list.put(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_keeps_no_large_buffer() {
        let buffers = BufferPool::default();
        buffers.give_back(Vec::with_capacity(limits::POOLED_BUFFER_BYTES_MAX + 1));
        assert!(buffers.incoming.is_empty());
        buffers.give_back(Vec::with_capacity(limits::HEAD_BUFFER_BYTES));
        assert!(!buffers.incoming.is_empty());
    }
}
