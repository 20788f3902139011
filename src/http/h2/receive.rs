//! Receiving: cuts the bytes of a connection into frames, whatever pieces they arrive in. The payload of DATA goes to its stream piece by
//! piece; every other frame is handled whole.

use std::time::Duration;

use super::connection::{Buffers, Connection, Exceeded, PREFACE};
use super::frame::{self, FrameHeader, HEADER_BYTES};
use super::input::{DataState, State};
use super::rule::Rule;

impl Connection {
    /// Handles received bytes, all of them. After an error of the connection they are dropped.
    pub fn receive(&mut self, bytes: &[u8], now: Duration, buffers: &impl Buffers) {
        self.now = now;
        self.flood.advance(now);
        let mut rest = bytes;
        while !rest.is_empty() && self.error.is_none() && !self.has_ended {
            rest = match self.input.state {
                State::Preface(seen) => self.receive_preface(rest, seen),
                State::Header => self.receive_header(rest, buffers),
                State::Payload => self.receive_payload(rest, buffers),
                State::Data(data) => self.receive_data(rest, data, buffers),
            };
        }
    }

    /// Whether a header block, or a frame other than DATA, is incomplete: the caller limits the time for it.
    pub fn is_within_block(&self) -> bool {
        self.input.is_within_block()
    }

    /// Bytes that are held for frames and blocks that are incomplete.
    pub fn held_bytes(&self) -> usize {
        self.input.held_bytes()
    }

    fn receive_preface<'a>(&mut self, bytes: &'a [u8], seen: usize) -> &'a [u8] {
        let expected = PREFACE.get(seen..).unwrap_or_default();
        let count = expected.len().min(bytes.len());
        let (piece, rest) = bytes.split_at(count);
        if !expected.starts_with(piece) {
            self.fail(Rule::Preface);
            return &[];
        }
        self.input.state = if count == expected.len() { State::Header } else { State::Preface(seen + count) };
        rest
    }

    fn receive_header<'a>(&mut self, bytes: &'a [u8], buffers: &impl Buffers) -> &'a [u8] {
        if self.input.header_len == 0
            && let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>()
        {
            self.begin_frame(FrameHeader::parse(*header), buffers);
            return rest;
        }
        let at = self.input.header_len;
        let count = (HEADER_BYTES - at).min(bytes.len());
        let (piece, rest) = bytes.split_at(count);
        if let Some(place) = self.input.header.get_mut(at..at + count) {
            place.copy_from_slice(piece);
        }
        self.input.header_len += count;
        if self.input.header_len == HEADER_BYTES {
            self.input.header_len = 0;
            self.begin_frame(FrameHeader::parse(self.input.header), buffers);
        }
        rest
    }

    fn begin_frame(&mut self, header: FrameHeader, buffers: &impl Buffers) {
        if let Err(rule) = self.check_frame(header) {
            return self.fail(rule);
        }
        self.input.frame = header;
        if header.kind == frame::DATA {
            let key = self.begin_data(header);
            let data = DataState {
                key,
                needs_padding_length: header.has(frame::PADDED),
                payload_left: header.length,
                padding_left: 0,
            };
            self.input.state = State::Data(data);
            if header.length == 0 {
                self.finish_data(data);
            }
        } else if header.length == 0 {
            self.input.state = State::Header;
            self.handle(header, &[], buffers);
        } else {
            self.input.state = State::Payload;
        }
    }

    fn check_frame(&mut self, header: FrameHeader) -> Result<(), Rule> {
        if !std::mem::replace(&mut self.input.has_settings, true)
            && (header.kind != frame::SETTINGS || header.has(frame::ACK))
        {
            return Err(Rule::FirstFrame);
        }
        header.check()?;
        match (self.input.block, header.kind) {
            (Some((stream, _)), frame::CONTINUATION) if stream == header.stream => Ok(()),
            (Some(_), _) => Err(Rule::BlockInterrupted),
            (None, frame::CONTINUATION) => Err(Rule::NoBlock),
            (None, _) => Ok(()),
        }
    }

    fn receive_payload<'a>(&mut self, bytes: &'a [u8], buffers: &impl Buffers) -> &'a [u8] {
        let header = self.input.frame;
        if self.input.payload.is_empty()
            && let Some((payload, rest)) = bytes.split_at_checked(header.length)
        {
            self.input.state = State::Header;
            self.handle(header, payload, buffers);
            return rest;
        }
        if self.input.payload.capacity() == 0 {
            self.input.payload = buffers.lend();
        }
        let count = (header.length - self.input.payload.len()).min(bytes.len());
        let (piece, rest) = bytes.split_at(count);
        self.input.payload.extend_from_slice(piece);
        if self.input.payload.len() == header.length {
            self.input.state = State::Header;
            let payload = std::mem::take(&mut self.input.payload);
            self.handle(header, &payload, buffers);
            buffers.give_back(payload);
        }
        rest
    }

    fn receive_data<'a>(&mut self, bytes: &'a [u8], mut data: DataState, buffers: &impl Buffers) -> &'a [u8] {
        let mut rest = bytes;
        if data.needs_padding_length
            && let Some((padding, behind)) = rest.split_first()
        {
            data.needs_padding_length = false;
            data.padding_left = usize::from(*padding);
            let Some(left) = data.payload_left.checked_sub(1 + data.padding_left) else {
                self.fail(Rule::Padding);
                return &[];
            };
            data.payload_left = left;
            if left == 0 && !self.input.frame.has(frame::END_STREAM) {
                self.count(Exceeded::EmptyFrames);
            }
            rest = behind;
            self.drop_data(data.key, 1 + data.padding_left);
            data.key = data.key.and_then(|key| self.check_length(key, left));
        }
        let (payload, behind) = rest.split_at(data.payload_left.min(rest.len()));
        data.payload_left -= payload.len();
        data.key = self.take_payload(data.key, payload, buffers);
        let (padding, behind) = behind.split_at(data.padding_left.min(behind.len()));
        data.padding_left -= padding.len();
        self.input.state = State::Data(data);
        if data.payload_left == 0 && data.padding_left == 0 {
            self.finish_data(data);
        }
        behind
    }

    fn finish_data(&mut self, data: DataState) {
        self.input.state = State::Header;
        let header = self.input.frame;
        if header.length == 0 && (data.key.is_none() || !header.has(frame::END_STREAM)) {
            self.count(Exceeded::EmptyFrames);
        }
        if let Some(key) = data.key
            && header.has(frame::END_STREAM)
        {
            self.end_received(key);
        }
    }
}
