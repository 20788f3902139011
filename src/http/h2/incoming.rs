//! The receiving side of the streams: heads, payload, trailers and failures are held until the handlers take them, and payload that was
//! taken gives the peer credit.

use super::connection::{Buffers, Connection, Data, Received, Role};
use super::frame::{self, FrameHeader};
use super::rule::Rule;
use super::settings::DEFAULT_WINDOW;
use super::stream::StreamFailure;
use super::streams::StreamKey;
use crate::http::{RequestHead, ResponseHead, Violation};

impl Connection {
    /// Charges the windows for a DATA frame. Returns the stream that gets its payload; `None` if the payload is dropped.
    pub(super) fn begin_data(&mut self, header: FrameHeader) -> Option<StreamKey> {
        if self.is_idle(header.stream) {
            self.fail(Rule::IdleStream);
            return None;
        }
        self.recv_window -= header.length as i64;
        if self.recv_window < 0 {
            self.fail(Rule::WindowExceeded);
            return None;
        }
        let Some(key) = self.streams.find(header.stream) else {
            if self.role == Role::Server && !self.is_forgiven(header.stream) {
                self.fail(Rule::ClosedStream);
            }
            return None;
        };
        let stream = self.streams.get_mut(key)?;
        if let Some(rule) = stream.ended_by_peer().filter(|_| self.role == Role::Server || stream.recv_ended) {
            self.fail(rule);
            return None;
        }
        if !stream.receives() {
            return None;
        }
        stream.recv_window -= header.length as i64;
        if stream.recv_window < 0 {
            self.break_stream(key, Rule::WindowExceeded);
            return None;
        }
        if !stream.has_head {
            self.malformed(key, Violation::Status);
            return None;
        }
        match header.has(frame::PADDED) {
            true => Some(key),
            false => self.check_length(key, header.length),
        }
    }

    /// Checks the payload of a DATA frame against the announced length, before any of it is stored: how much of it arrives with the header
    /// must make no difference.
    pub(super) fn check_length(&mut self, key: StreamKey, length: usize) -> Option<StreamKey> {
        let expected = self.streams.get(key)?.expected;
        if expected.is_some_and(|left| left < length as u64) {
            self.malformed(key, Violation::LengthMismatch);
            return None;
        }
        Some(key)
    }

    /// Stores payload for its stream; returns the stream for the next piece.
    pub(super) fn take_payload(
        &mut self,
        key: Option<StreamKey>,
        payload: &[u8],
        buffers: &impl Buffers,
    ) -> Option<StreamKey> {
        if payload.is_empty() {
            return key;
        }
        let stream = key.and_then(|key| self.streams.get_mut(key)).filter(|stream| stream.receives());
        let (Some(key), Some(stream)) = (key, stream) else {
            self.credit_connection(payload.len());
            return None;
        };
        if let Some(expected) = &mut stream.expected {
            *expected = expected.saturating_sub(payload.len() as u64);
        }
        if stream.body.capacity() == 0 {
            stream.body = buffers.lend();
        }
        stream.body.extend_from_slice(payload);
        self.unread += payload.len();
        self.woken.insert(key);
        Some(key)
    }

    /// Returns the credit for bytes of a DATA frame that no stream gets: padding.
    pub(super) fn drop_data(&mut self, key: Option<StreamKey>, bytes: usize) {
        self.credit_connection(bytes);
        if let Some(key) = key {
            self.credit_stream(key, bytes);
        }
    }

    /// Handles END_STREAM.
    pub(super) fn end_received(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.receives()) else { return };
        if stream.expected.is_some_and(|left| left > 0) {
            return self.malformed(key, Violation::LengthMismatch);
        }
        stream.recv_ended = true;
        self.woken.insert(key);
    }

    /// Moves the head of a request, and its lines, to the caller.
    pub fn take_request(&mut self, key: StreamKey, head: &mut RequestHead, bytes: &mut Vec<u8>) {
        if let Some(stream) = self.streams.get_mut(key) {
            std::mem::swap(head, &mut stream.request);
            std::mem::swap(bytes, &mut stream.lines);
        }
    }

    /// Moves the next head of the response to the caller, if it has arrived.
    ///
    /// # Errors
    /// The stream has failed.
    pub fn take_response(
        &mut self,
        key: StreamKey,
        head: &mut ResponseHead,
        bytes: &mut Vec<u8>,
    ) -> Result<Option<Received>, StreamFailure> {
        let Some(stream) = self.streams.get_mut(key) else { return Err(StreamFailure::ConnectionLost) };
        let Some(mut arrived) = stream.responses.pop_front() else {
            return stream.failure.map_or(Ok(None), Err);
        };
        std::mem::swap(head, &mut arrived.head);
        std::mem::swap(bytes, &mut arrived.lines);
        stream.spare = arrived;
        // A 101 is the response that opens a tunnel.
        Ok(Some(if head.status < 200 && head.status != 101 { Received::Interim } else { Received::Final }))
    }

    /// Hands the payload that has arrived to `take`, which returns whether it takes it, and gives the peer credit for it.
    ///
    /// # Errors
    /// The stream has failed; what arrived before has been handed over.
    pub fn read_data(
        &mut self,
        key: StreamKey,
        buffers: &impl Buffers,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<Data, StreamFailure> {
        let Some(stream) = self.streams.get_mut(key) else { return Err(StreamFailure::ConnectionLost) };
        let count = stream.body.len();
        if count > 0 {
            if !take(&stream.body) {
                return Ok(Data::Refused);
            }
            let mut body = std::mem::take(&mut stream.body);
            body.clear();
            buffers.give_back(body);
        }
        let result = match (stream.recv_ended, stream.failure) {
            (true, _) => Ok(Data::All),
            (false, Some(failure)) => Err(failure),
            (false, None) => Ok(Data::Part),
        };
        if count > 0 {
            self.unread -= count;
            self.credit_connection(count);
            self.credit_stream(key, count);
        }
        result
    }

    /// Whether the peer has sent anything that has not been read: a head, payload, the end of the message, or a failure.
    pub fn is_readable(&self, key: StreamKey) -> bool {
        self.streams.get(key).is_none_or(|stream| {
            !stream.body.is_empty() || !stream.responses.is_empty() || stream.recv_ended || stream.failure.is_some()
        })
    }

    pub fn has_data(&self, key: StreamKey) -> bool {
        self.unread_bytes(key) > 0
    }

    /// Bytes of payload that have arrived on the stream and have not been handed over.
    pub fn unread_bytes(&self, key: StreamKey) -> usize {
        self.streams.get(key).map_or(0, |stream| stream.body.len())
    }

    /// The same for all streams.
    pub fn unread_total(&self) -> usize {
        self.unread
    }

    /// Whether the response is complete and the client still sends its request.
    pub fn is_answered_early(&self, key: StreamKey) -> bool {
        self.streams.get(key).is_some_and(|stream| stream.send_ended && stream.receives() && !stream.extended_connect)
    }

    /// Bytes of payload that are still to be handed over; `None` if the peer has announced no length.
    pub fn remaining(&self, key: StreamKey) -> Option<u64> {
        let stream = self.streams.get(key)?;
        let left = if stream.recv_ended { Some(0) } else { stream.expected };
        left.map(|left| left + stream.body.len() as u64)
    }

    /// The trailer lines that may be forwarded.
    pub fn trailers(&self, key: StreamKey) -> &[u8] {
        self.streams.get(key).map_or(&[], |stream| &stream.trailers)
    }

    /// Drops the trailers whose name `keep` does not want.
    pub fn retain_trailers(&mut self, key: StreamKey, mut keep: impl FnMut(&[u8]) -> bool) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let mut kept = Vec::with_capacity(stream.trailers.len());
        for line in stream.trailers.split_inclusive(|byte| *byte == b'\n') {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            if keep(name) {
                kept.extend_from_slice(line);
            }
        }
        stream.trailers = kept;
    }

    pub fn failure(&self, key: StreamKey) -> Option<StreamFailure> {
        self.streams.get(key).map_or(Some(StreamFailure::ConnectionLost), |stream| stream.failure)
    }

    /// Gives the peer credit for the connection, in pieces of half the window.
    pub(super) fn credit_connection(&mut self, bytes: usize) {
        self.recv_credit = self.recv_credit.saturating_add(bytes as u32);
        if self.recv_credit >= self.recv_window_max / 2 {
            let credit = std::mem::take(&mut self.recv_credit);
            self.recv_window += i64::from(credit);
            self.output.control(|out| frame::push_number(out, frame::WINDOW_UPDATE, 0, credit));
        }
    }

    /// Gives the peer credit for the stream, in pieces of half the window.
    fn credit_stream(&mut self, key: StreamKey, bytes: usize) {
        let half = self.local.stream_window.min(DEFAULT_WINDOW) / 2;
        let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.receives()) else { return };
        stream.recv_credit = stream.recv_credit.saturating_add(bytes as u32);
        if stream.recv_credit >= half {
            let credit = std::mem::take(&mut stream.recv_credit);
            stream.recv_window += i64::from(credit);
            let id = stream.id;
            self.output.control(|out| frame::push_number(out, frame::WINDOW_UPDATE, id, credit));
        }
    }
}
