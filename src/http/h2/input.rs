//! The state of cutting received bytes into frames.

use super::buffers::Buffers;
use super::frame::{FrameHeader, HEADER_BYTES};
use super::streams::StreamKey;

/// The frame that is being received.
#[derive(Debug)]
pub struct Input {
    pub(super) state: State,
    pub(super) header: [u8; HEADER_BYTES],
    pub(super) header_len: usize,
    pub(super) frame: FrameHeader,
    /// The payload of a frame that did not arrive in one piece.
    pub(super) payload: Vec<u8>,
    /// The header block in progress: its stream and the flags of its first frame.
    pub(super) block: Option<(u32, u8)>,
    pub(super) block_bytes: Vec<u8>,
    pub(super) block_depends_on_itself: bool,
    pub(super) has_settings: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// So many bytes of the preface have arrived.
    Preface(usize),
    Header,
    Payload,
    Data(DataState),
}

/// The DATA frame that is being received.
#[derive(Debug, Clone, Copy)]
pub(super) struct DataState {
    /// `None` if the payload is dropped.
    pub(super) key: Option<StreamKey>,
    /// The length of the padding comes next.
    pub(super) needs_padding_length: bool,
    pub(super) payload_left: usize,
    pub(super) padding_left: usize,
}

impl Input {
    pub fn new(is_server: bool) -> Self {
        Input {
            state: if is_server { State::Preface(0) } else { State::Header },
            header: [0; HEADER_BYTES],
            header_len: 0,
            frame: FrameHeader::default(),
            payload: Vec::new(),
            block: None,
            block_bytes: Vec::new(),
            block_depends_on_itself: false,
            has_settings: false,
        }
    }

    /// Whether a header block, or a frame other than DATA, is incomplete.
    pub fn is_within_block(&self) -> bool {
        self.block.is_some() || matches!(self.state, State::Payload) || self.header_len > 0
    }

    /// Bytes that are held for frames and blocks that are incomplete.
    pub fn held_bytes(&self) -> usize {
        self.payload.capacity() + self.block_bytes.capacity()
    }

    /// Drops the rest of a DATA frame whose stream is released: the next stream in its place must not get it.
    pub fn forget(&mut self, key: StreamKey) {
        if let State::Data(data) = &mut self.state
            && data.key == Some(key)
        {
            data.key = None;
        }
    }

    pub fn trim(&mut self, buffers: &impl Buffers) {
        if self.payload.is_empty() && self.payload.capacity() > 0 {
            buffers.give_back(std::mem::take(&mut self.payload));
        }
        if self.block.is_none() {
            self.block_bytes = Vec::new();
        }
    }
}
