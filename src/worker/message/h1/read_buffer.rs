//! Bytes received and not yet consumed, and the buffers they live in.

use std::io;

use crate::limits;
use crate::net::ReadHalf;
use crate::worker::resources::buffers::BufferPool;

/// Received bytes in order. Consuming only moves a mark; the buffer is given back when it is empty.
#[derive(Default)]
pub struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
}

impl ReadBuffer {
    /// What has arrived and not been consumed.
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

    /// Takes all pending bytes out, in the buffer they arrived in where that costs nothing.
    pub fn take(&mut self) -> Vec<u8> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        std::mem::take(&mut self.bytes)
    }

    /// Takes the first `len` bytes out as a buffer of their own; whatever follows them stays. A head without a body behind it, the
    /// usual case, moves without being copied.
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

    /// Reads once; 0 at the end of the stream. The buffer grows when a message does not fit.
    /// A read that is given up takes the pending bytes with it and leaves an empty inbox.
    pub async fn fill<R: ReadHalf>(&mut self, reader: &mut R, buffers: &BufferPool) -> io::Result<usize> {
        let mut bytes = self.take();
        if !reader.is_reading_ahead() {
            if bytes.capacity() == 0 {
                bytes = buffers.lend();
            }
            if bytes.capacity() == bytes.len() {
                // What comes behind a long head is not to be as long as that.
                bytes.reserve_exact(bytes.len().min(limits::PIPELINED_BYTES_MAX));
            }
        }
        let (result, bytes) = reader.read(bytes).await;
        self.bytes = bytes;
        result
    }

    /// Keeps bytes that were read past the end of a body, in front of nothing else.
    pub fn unread(&mut self, bytes: &[u8], buffers: &BufferPool) {
        debug_assert!(self.is_empty());
        self.bytes = buffers.lend();
        self.bytes.extend_from_slice(bytes);
        self.start = 0;
    }

    /// Forgets everything pending and gives the buffer back.
    pub fn discard(&mut self, buffers: &BufferPool) {
        self.bytes.clear();
        self.start = 0;
        self.release(buffers);
    }

    /// Gives an empty buffer back, so that an idle connection holds none.
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

    fn inbox(bytes: &[u8]) -> ReadBuffer {
        ReadBuffer { bytes: bytes.to_vec(), start: 0 }
    }

    #[test]
    fn detaching_a_whole_buffer_moves_it() {
        let buffers = BufferPool::default();
        let mut inbox = inbox(b"head");
        let address = inbox.pending().as_ptr();
        let head = inbox.detach(4, &buffers);
        assert_eq!((head.as_slice(), head.as_ptr()), (&b"head"[..], address));
        assert!(inbox.is_empty());
    }

    #[test]
    fn what_follows_a_head_stays() {
        let buffers = BufferPool::default();
        let mut inbox = inbox(b"..headbody");
        inbox.consume(2);
        assert_eq!(inbox.detach(4, &buffers), b"head");
        assert_eq!(inbox.pending(), b"body");
        inbox.consume(1);
        assert_eq!(inbox.take(), b"ody");
        assert!(inbox.is_empty());
    }

    #[test]
    fn a_read_that_is_given_up_leaves_an_empty_inbox() {
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
        let mut inbox = inbox(b"interim rest");
        inbox.consume(8);
        let polled = futures_util::FutureExt::now_or_never(inbox.fill(&mut Never, &buffers));
        assert!(polled.is_none());
        assert!(inbox.is_empty() && inbox.pending().is_empty());
        inbox.discard(&buffers);
        assert!(inbox.is_empty());
    }

    /// Whoever waits for no answer fills whatever room a read has.
    struct Flood;

    impl ReadHalf for Flood {
        async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
            let room = buffer.capacity() - buffer.len();
            buffer.resize(buffer.capacity(), b'x');
            (Ok(room), buffer)
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
    fn little_comes_behind_a_head_however_long_it_is() {
        let (buffers, mut inbox) = (BufferPool::default(), ReadBuffer::default());
        while inbox.pending().len() < limits::REQUEST_HEAD_BYTES_MAX {
            let read = futures_util::FutureExt::now_or_never(inbox.fill(&mut Flood, &buffers)).expect("no wait");
            let read = read.expect("a flood");
            assert!((1..=limits::PIPELINED_BYTES_MAX).contains(&read), "{read} behind {}", inbox.pending().len());
        }
    }
}
