//! The read buffer of a connection: bytes received and not yet consumed.

use std::io;

use crate::limits;
use crate::net::ReadHalf;
use crate::worker::resources::buffers::BufferPool;

/// Received bytes in order. Consuming bytes only moves a mark; an empty buffer goes back to the pool.
#[derive(Default)]
pub struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
}

impl ReadBuffer {
    /// The bytes that have arrived and have not been consumed.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    pub fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Takes all pending bytes out, in the buffer that they arrived in. They are moved to its front if bytes before them were consumed.
    pub fn take(&mut self) -> Vec<u8> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        std::mem::take(&mut self.bytes)
    }

    /// Takes the first `len` pending bytes out as a buffer of their own; the bytes behind them stay. If there are none, as behind most
    /// heads, the buffer is moved and not copied.
    pub fn detach(&mut self, len: usize, buffers: &BufferPool) -> Vec<u8> {
        let end = self.start + len;
        let mut rest = Vec::new();
        if end < self.bytes.len() {
            rest = buffers.lend();
            rest.extend_from_slice(&self.bytes[end..]);
        }
        let mut head = std::mem::replace(&mut self.bytes, rest);
        head.truncate(end);
        head.drain(..self.start);
        self.start = 0;
        head
    }

    /// Reads once; returns 0 at the end of the stream. The buffer grows if a message does not fit. A read that is cancelled loses the
    /// pending bytes and leaves an empty buffer.
    pub async fn fill<R: ReadHalf>(&mut self, reader: &mut R, buffers: &BufferPool) -> io::Result<usize> {
        let mut bytes = self.take();
        if !reader.is_reading_ahead() {
            if bytes.capacity() == 0 {
                bytes = buffers.lend();
            }
            if bytes.capacity() == bytes.len() {
                // A long head must not allow pipelined bytes behind it of the same length.
                bytes.reserve_exact(bytes.len().min(limits::PIPELINED_BYTES_MAX));
            }
        }
        let (result, bytes) = reader.read(bytes).await;
        self.bytes = bytes;
        result
    }

    /// Makes the next reads long ones. The buffer must be empty.
    pub fn lend_large(&mut self, buffers: &BufferPool) {
        debug_assert!(self.is_empty());
        if self.bytes.capacity() < limits::COPY_BUFFER_MAX_BYTES {
            self.release(buffers);
            self.bytes = buffers.lend_large();
        }
    }

    /// Puts bytes back that were read past the end of a body. The buffer must be empty.
    pub fn unread(&mut self, bytes: &[u8], buffers: &BufferPool) {
        debug_assert!(self.is_empty());
        self.bytes = buffers.lend();
        self.bytes.extend_from_slice(bytes);
        self.start = 0;
    }

    /// Drops all pending bytes and gives the buffer back to the pool.
    pub fn discard(&mut self, buffers: &BufferPool) {
        self.bytes.clear();
        self.start = 0;
        self.release(buffers);
    }

    /// Gives the buffer back to the pool if it is empty, so that an idle connection holds none.
    pub fn release(&mut self, buffers: &BufferPool) {
        if self.is_empty() && self.bytes.capacity() > 0 {
            buffers.give_back(std::mem::take(&mut self.bytes));
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: &[u8]) -> ReadBuffer {
        ReadBuffer { bytes: bytes.to_vec(), start: 0 }
    }

    #[test]
    fn detaching_whole_buffer_moves_it() {
        let buffers = BufferPool::default();
        let mut buffer = buffer(b"head");
        let address = buffer.pending().as_ptr();
        let head = buffer.detach(4, &buffers);
        assert_eq!((head.as_slice(), head.as_ptr()), (&b"head"[..], address));
        assert!(buffer.is_empty());
    }

    #[test]
    fn bytes_behind_detached_head_stay_pending() {
        let buffers = BufferPool::default();
        let mut buffer = buffer(b"..headbody");
        buffer.consume(2);
        assert_eq!(buffer.detach(4, &buffers), b"head");
        assert_eq!(buffer.pending(), b"body");
        buffer.consume(1);
        assert_eq!(buffer.take(), b"ody");
        assert!(buffer.is_empty());
    }

    #[test]
    fn cancelled_read_leaves_empty_buffer() {
        struct Never;
        impl ReadHalf for Never {
            async fn read(&mut self, _buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
                std::future::pending().await
            }
            async fn readable(&mut self) -> io::Result<()> {
                Ok(())
            }
            fn is_reusable(&mut self) -> bool {
                true
            }
            fn is_closed_by_peer(&mut self) -> bool {
                false
            }
            fn abort(&mut self) {}
        }
        let buffers = BufferPool::default();
        let mut buffer = buffer(b"interim rest");
        buffer.consume(8);
        let polled = futures_util::FutureExt::now_or_never(buffer.fill(&mut Never, &buffers));
        assert!(polled.is_none());
        assert!(buffer.is_empty() && buffer.pending().is_empty());
        buffer.discard(&buffers);
        assert!(buffer.is_empty());
    }

    /// A sender that fills each read completely.
    struct Flood;

    impl ReadHalf for Flood {
        async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
            let free_bytes = buffer.capacity() - buffer.len();
            buffer.resize(buffer.capacity(), b'x');
            (Ok(free_bytes), buffer)
        }
        async fn readable(&mut self) -> io::Result<()> {
            Ok(())
        }
        fn is_reusable(&mut self) -> bool {
            false
        }
        fn is_closed_by_peer(&mut self) -> bool {
            false
        }
        fn abort(&mut self) {}
    }

    #[test]
    fn pipelined_bytes_behind_long_head_are_bounded() {
        let (buffers, mut buffer) = (BufferPool::default(), ReadBuffer::default());
        while buffer.pending().len() < limits::REQUEST_HEAD_BYTES_MAX {
            let read = futures_util::FutureExt::now_or_never(buffer.fill(&mut Flood, &buffers)).expect("no wait");
            let read = read.expect("a flood");
            assert!((1..=limits::PIPELINED_BYTES_MAX).contains(&read), "{read} behind {}", buffer.pending().len());
        }
    }
}
