//! What a connection is about to send, and the streams that wait for a place in it.

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
        std::mem::replace(&mut self.bytes, next)
    }

    /// Bytes of payload that may be appended now, as far as the connection is concerned.
    pub fn room(&self) -> usize {
        let space = limits::OUTPUT_BYTES_MAX.saturating_sub(self.bytes.len());
        space.min(usize::try_from(self.window).unwrap_or(0))
    }

    /// Appends payload as DATA frames of at most `frame_bytes_max`. The last one has `flags`.
    pub fn data(&mut self, stream: u32, payload: &[u8], frame_bytes_max: usize, flags: u8) {
        if payload.is_empty() {
            return frame::push_header(&mut self.bytes, 0, frame::DATA, flags, stream);
        }
        let mut left = payload.len();
        for piece in payload.chunks(frame_bytes_max) {
            left -= piece.len();
            let flags = if left == 0 { flags } else { 0 };
            frame::push_header(&mut self.bytes, piece.len(), frame::DATA, flags, stream);
            self.bytes.extend_from_slice(piece);
        }
        self.window -= payload.len() as i64;
    }
}
