//! The output of a connection: the bytes that it is about to send, and the streams that wait for space in it.

use std::collections::VecDeque;

use super::frame;
use super::streams::StreamKey;
use crate::limits;

/// The output of a connection.
#[derive(Debug, Default)]
pub struct Output {
    pub bytes: Vec<u8>,
    /// Bytes of frames that the peer provoked: acknowledgements, resets, credit.
    control_bytes: usize,
    /// The stream of the last DATA frame in `bytes`, and where its header starts.
    last_data: Option<(u32, usize)>,
    /// Bytes of payload that the connection's window allows.
    pub window: i64,
    /// Streams that wait for the connection's window or for output to be sent, in the order in which they came.
    pub senders: VecDeque<StreamKey>,
}

impl Output {
    /// An empty output; `window` is the peer's window for the connection.
    pub fn new(window: u32) -> Self {
        Output { window: i64::from(window), ..Output::default() }
    }

    pub fn has_control_space(&self) -> bool {
        self.control_bytes < limits::CONTROL_OUTPUT_BYTES_MAX
    }

    /// Appends a frame that the peer provoked.
    pub fn control(&mut self, push: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        push(&mut self.bytes);
        self.control_bytes += self.bytes.len() - before;
    }

    /// Takes all output; `next` is filled from now on.
    pub fn take(&mut self, next: Vec<u8>) -> Vec<u8> {
        self.control_bytes = 0;
        self.last_data = None;
        std::mem::replace(&mut self.bytes, next)
    }

    /// Notes that a header block of the stream follows its DATA: a later end must not be part of a frame in front of the block.
    pub fn block_follows(&mut self, stream: u32) {
        if self.last_data.is_some_and(|(of, _)| of == stream) {
            self.last_data = None;
        }
    }

    /// Bytes of payload that may be appended now, as far as the connection is concerned.
    pub fn room(&self) -> usize {
        let space = limits::OUTPUT_BYTES_MAX.saturating_sub(self.bytes.len());
        space.min(usize::try_from(self.window).unwrap_or(0))
    }

    /// Appends payload as DATA frames of at most `frame_bytes_max`. The last one has `flags`.
    pub fn data(&mut self, stream: u32, payload: &[u8], frame_bytes_max: usize, flags: u8) {
        if payload.is_empty() {
            return self.end(stream, flags);
        }
        let mut left = payload.len();
        let with_headers = payload.len() + payload.len().div_ceil(frame_bytes_max) * frame::HEADER_BYTES;
        if with_headers > self.bytes.capacity() - self.bytes.len() {
            // At once, and to the size of the pool's large buffers.
            self.bytes.reserve_exact(limits::COPY_BUFFER_MAX_BYTES.saturating_sub(self.bytes.len()).max(with_headers));
        }
        for piece in payload.chunks(frame_bytes_max) {
            left -= piece.len();
            let flags = if left == 0 { flags } else { 0 };
            self.last_data = Some((stream, self.bytes.len()));
            frame::push_header(&mut self.bytes, piece.len(), frame::DATA, flags, stream);
            self.bytes.extend_from_slice(piece);
        }
        self.window -= payload.len() as i64;
    }

    /// Ends a stream without payload: its last DATA frame gets the flag if it has not been taken, which saves an empty frame.
    fn end(&mut self, stream: u32, flags: u8) {
        let last = self.last_data.filter(|(of, _)| *of == stream).and_then(|(_, at)| self.bytes.get_mut(at + 4));
        match last {
            Some(byte) => *byte |= flags,
            None => frame::push_header(&mut self.bytes, 0, frame::DATA, flags, stream),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_without_payload_is_part_of_the_last_data_frame() {
        let mut output = Output::new(1000);
        output.data(1, b"abcdef", 4, 0);
        output.data(3, b"x", 4, 0);
        output.data(3, b"", 4, frame::END_STREAM);
        output.data(1, b"", 4, frame::END_STREAM);
        let frames = |bytes: &[u8]| {
            let (mut seen, mut at) = (Vec::new(), 0);
            while let Some(header) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
                let header = frame::FrameHeader::parse(*header);
                at += frame::HEADER_BYTES + header.length;
                seen.push((header.stream, header.length, header.flags));
            }
            seen
        };
        let expected = [(1, 4, 0), (1, 2, 0), (3, 1, 1), (1, 0, 1)];
        assert_eq!(frames(&output.take(Vec::new())), expected, "another stream's frame came behind that of stream 1");
        output.data(7, b"z", 4, 0);
        output.block_follows(7);
        output.data(7, b"", 4, frame::END_STREAM);
        assert_eq!(frames(&output.take(Vec::new())), [(7, 1, 0), (7, 0, 1)], "a header block stands between them");
        output.data(5, b"y", 4, 0);
        let _ = output.take(Vec::new());
        output.data(5, b"", 4, frame::END_STREAM);
        assert_eq!(frames(&output.take(Vec::new())), [(5, 0, 1)], "the frame has been sent");
        assert_eq!(output.window, 1000 - 9);
    }
}
