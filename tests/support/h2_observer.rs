//! An observer of one side of an HTTP/2 connection: it sees what the side receives and sends, and panics if the output breaks a rule of
//! RFC 9113 (flow control, states of streams, uninterrupted header blocks, identifiers).

use std::collections::HashMap;

use super::h2_wire::{
    ACK, CONTINUATION, DATA, DEFAULT_WINDOW, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PAYLOAD_MAX, PING,
    PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frames_of,
};

const INITIAL_WINDOW_SIZE: u16 = 4;

/// What the output has done with a stream.
#[derive(Default)]
struct Sent {
    window: i64,
    has_ended: bool,
    is_reset: bool,
}

pub struct Observer {
    is_client: bool,
    /// Received bytes that are no whole frame yet.
    pending: Vec<u8>,
    has_preface: bool,
    is_broken: bool,
    window: i64,
    initial_window: i64,
    streams: HashMap<u32, Sent>,
    block: Option<(u32, bool)>,
    last_opened: u32,
    goaway: u32,
    settings_received: usize,
    settings_acknowledged: usize,
}

impl Observer {
    pub fn new(is_client: bool) -> Self {
        Observer {
            is_client,
            pending: Vec::new(),
            has_preface: false,
            is_broken: false,
            window: i64::from(DEFAULT_WINDOW),
            initial_window: i64::from(DEFAULT_WINDOW),
            streams: HashMap::new(),
            block: None,
            last_opened: 0,
            goaway: u32::MAX,
            settings_received: 0,
            settings_acknowledged: 0,
        }
    }

    /// Notes bytes that the side receives.
    pub fn received(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let preface = if self.is_client { 0 } else { PREFACE.len() };
        if !self.has_preface {
            if self.pending.len() < preface {
                return;
            }
            self.is_broken = !self.is_client && !self.pending.starts_with(PREFACE);
            self.pending.drain(..preface);
            self.has_preface = true;
        }
        let mut at = 0;
        while let Some(header) = self.pending.get(at..at + 9) {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            if self.is_broken || length > PAYLOAD_MAX {
                // The side has ended the connection.
                self.is_broken = true;
                return;
            }
            let Some(frame) = self.pending.get(at..at + 9 + length) else { break };
            let frame = frames_of(frame).pop().expect("one frame");
            at += 9 + length;
            self.frame_received(&frame);
        }
        self.pending.drain(..at);
    }

    fn frame_received(&mut self, frame: &Frame) {
        let id = frame.stream & 0x7fff_ffff;
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => {
                self.settings_received += 1;
                for setting in frame.payload.chunks_exact(6) {
                    let value = i64::from(u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]));
                    if u16::from_be_bytes([setting[0], setting[1]]) == INITIAL_WINDOW_SIZE {
                        let change = value - self.initial_window;
                        self.initial_window = value;
                        self.streams.values_mut().for_each(|stream| stream.window += change);
                    }
                }
            }
            WINDOW_UPDATE if id == 0 => self.window += i64::from(frame.number() & 0x7fff_ffff),
            WINDOW_UPDATE => self.stream(id).window += i64::from(frame.number() & 0x7fff_ffff),
            _ => {}
        }
    }

    fn stream(&mut self, id: u32) -> &mut Sent {
        let window = self.initial_window;
        self.streams.entry(id).or_insert_with(|| Sent { window, ..Sent::default() })
    }

    /// Checks output, and returns its frames.
    pub fn sent(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let frames = frames_of(bytes.strip_prefix(PREFACE).filter(|_| self.is_client).unwrap_or(bytes));
        frames.iter().for_each(|frame| self.frame_sent(frame));
        assert!(self.block.is_none(), "a header block is cut by the end of the output");
        assert!(
            self.settings_acknowledged <= self.settings_received,
            "SETTINGS that were not received are acknowledged"
        );
        frames
    }

    fn frame_sent(&mut self, frame: &Frame) {
        let Frame { kind, flags, stream: id, .. } = *frame;
        assert!(frame.payload.len() <= PAYLOAD_MAX && id < 1 << 31, "{frame:?}");
        match self.block {
            Some((stream, _)) => assert!(kind == CONTINUATION && id == stream, "{frame:?} within a header block"),
            None => assert_ne!(kind, CONTINUATION, "CONTINUATION without a header block"),
        }
        match kind {
            HEADERS => self.headers_sent(id, flags),
            CONTINUATION => {}
            DATA => {
                assert!(
                    frame.payload.is_empty() || self.window >= frame.payload.len() as i64,
                    "the connection's window"
                );
                self.window -= frame.payload.len() as i64;
                let sent = self.streams.get_mut(&id).expect("DATA on a stream without a head");
                assert!(!sent.has_ended && !sent.is_reset, "DATA on an ended stream: {id}");
                assert!(
                    frame.payload.is_empty() || sent.window >= frame.payload.len() as i64,
                    "the window of stream {id}"
                );
                sent.window -= frame.payload.len() as i64;
                sent.has_ended |= flags & END_STREAM != 0;
            }
            RST_STREAM => {
                let sent = self.stream(id);
                assert!(!sent.is_reset, "stream {id} is reset twice");
                sent.is_reset = true;
            }
            WINDOW_UPDATE => assert!((1..1 << 31).contains(&frame.number()), "{frame:?}"),
            GOAWAY => {
                assert!(frame.number() <= self.goaway, "the identifier of GOAWAY rises");
                self.goaway = frame.number();
            }
            SETTINGS => self.settings_acknowledged += usize::from(flags & ACK != 0),
            PING => assert_eq!(frame.payload.len(), 8),
            PRIORITY | PUSH_PROMISE => panic!("never sent: {frame:?}"),
            _ => panic!("unknown type: {frame:?}"),
        }
        if matches!(kind, HEADERS | CONTINUATION) {
            let is_last = flags & END_HEADERS != 0;
            let ends = self.block.map_or(flags & END_STREAM != 0, |(_, ends)| ends);
            self.block = if is_last { None } else { Some((id, ends)) };
            if is_last {
                self.stream(id).has_ended |= ends;
            }
        }
        let on_connection = matches!(kind, SETTINGS | PING | GOAWAY);
        assert!(if on_connection { id == 0 } else { id != 0 || kind == WINDOW_UPDATE }, "{frame:?}");
    }

    fn headers_sent(&mut self, id: u32, _flags: u8) {
        if self.is_client && self.streams.get(&id).is_none_or(|_| id > self.last_opened) {
            assert!(id % 2 == 1 && id > self.last_opened, "the identifier {id} after {}", self.last_opened);
            self.last_opened = id;
        }
        let sent = self.stream(id);
        assert!(!sent.has_ended && !sent.is_reset, "HEADERS on an ended stream: {id}");
    }
}
