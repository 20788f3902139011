//! The messages of the streams: what their handlers read and write.

use super::connection::{Buffers, Connection, Data, ErrorCode, Exceeded, Received, Role};
use super::frame::{self, FrameHeader, HEADER_BYTES, PAYLOAD_BYTES_MAX};
use super::pack;
use super::rule::Rule;
use super::settings::DEFAULT_WINDOW;
use super::stream::{Stream, StreamFailure};
use super::streams::StreamKey;
use crate::http::{RequestHead, ResponseHead, Violation};
use crate::limits;

/// Receiving.
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
            match expected.checked_sub(payload.len() as u64) {
                Some(left) => *expected = left,
                None => {
                    self.credit_connection(payload.len());
                    self.malformed(key, Violation::LengthMismatch);
                    return None;
                }
            }
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
    fn credit_connection(&mut self, bytes: usize) {
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

/// Sending.
impl Connection {
    /// A place for a new stream to the server; `None` if its limit is reached or it accepts no more streams.
    pub fn open(&mut self, is_head: bool) -> Option<StreamKey> {
        if self.free_streams() == 0 {
            return None;
        }
        // The identifier is assigned with the first frame: identifiers have to rise in the order in which they are sent.
        let key = self.streams.insert(0)?;
        let (recv_window, send_window) = (self.local.stream_window, self.peer.initial_window);
        let stream = self.streams.get_mut(key)?;
        stream.begin(0, recv_window, send_window);
        stream.to_head = is_head;
        Some(key)
    }

    /// Makes the stream a tunnel: its request is an extended CONNECT (RFC 8441). Returns false if the server does not support that.
    pub fn open_tunnel(&mut self, key: StreamKey) -> bool {
        let is_supported = self.peer.connect_protocol;
        if let Some(stream) = self.streams.get_mut(key).filter(|_| is_supported) {
            stream.extended_connect = true;
        }
        is_supported
    }

    /// How many streams may be opened now.
    pub fn free_streams(&self) -> usize {
        let accepts = self.goaway_received.is_none()
            && self.goaway_sent.is_none()
            && self.error.is_none()
            && !self.has_ended
            && self.next_stream < u32::MAX >> 1;
        let most = self.local.streams_max.min(self.peer.streams_max) as usize;
        if accepts { most.saturating_sub(self.streams.len()) } else { 0 }
    }

    fn sending(&mut self, key: StreamKey) -> Result<&mut Stream, StreamFailure> {
        let Some(stream) = self.streams.get_mut(key) else { return Err(StreamFailure::ConnectionLost) };
        match stream.failure {
            Some(failure) => Err(failure),
            None if stream.send_ended || stream.is_reset => Err(StreamFailure::Broken(ErrorCode::StreamClosed)),
            None => Ok(stream),
        }
    }

    /// Sends a head, written as lines of HTTP/1.1; informational ones too.
    ///
    /// # Errors
    /// The stream has failed, or the lines are no head.
    pub fn send_head(&mut self, key: StreamKey, lines: &[u8], end_stream: bool) -> Result<(), StreamFailure> {
        let stream = self.sending(key)?;
        let extended = stream.extended_connect;
        let id = if stream.id == 0 { self.next_stream } else { stream.id };
        let role = self.role;
        self.send_block(id, end_stream, |out| match role {
            Role::Server => {
                pack::encode_response(lines, extended, out);
                true
            }
            Role::Client { secure } => pack::encode_request(lines, secure, extended, out).is_ok(),
        })?;
        // The identifier is used only once the head is in the output: the next stream must not leave a gap.
        if id == self.next_stream && role != Role::Server {
            self.next_stream += 2;
            self.streams.set_id(key, id);
        }
        if let Some(stream) = self.streams.get_mut(key) {
            stream.id = id;
            stream.send_ended |= end_stream;
        }
        Ok(())
    }

    /// Sends trailers, which end the stream.
    ///
    /// # Errors
    /// The stream has failed.
    pub fn send_trailers(&mut self, key: StreamKey, lines: &[u8]) -> Result<(), StreamFailure> {
        let stream = self.sending(key)?;
        stream.send_ended = true;
        let id = stream.id;
        self.leave_queue(key);
        self.send_block(id, true, |out| {
            pack::encode_trailers(lines, out);
            true
        })
    }

    fn send_block(
        &mut self,
        id: u32,
        ends: bool,
        encode: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> Result<(), StreamFailure> {
        let frame_bytes_max = (self.peer.frame_bytes_max as usize).min(PAYLOAD_BYTES_MAX);
        let out = &mut self.output.bytes;
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        if self.owes_size_update {
            out.extend_from_slice(&pack::FIRST_BLOCK_PREFIX);
        }
        if !encode(out) {
            out.truncate(start);
            return Err(StreamFailure::Broken(ErrorCode::InternalError));
        }
        let flags = if ends { frame::END_STREAM } else { 0 };
        self.owes_size_update = false;
        frame::finish_block(out, start, frame_bytes_max, flags, id);
        Ok(())
    }

    /// Sends payload as far as the windows and the output have space, and the end of the stream with its last byte. Returns the number of
    /// bytes that were taken. If that is not all, the stream is woken when there is space again.
    ///
    /// # Errors
    /// The stream has failed.
    pub fn send_data(&mut self, key: StreamKey, payload: &[u8], end_stream: bool) -> Result<usize, StreamFailure> {
        let frame_bytes_max = (self.peer.frame_bytes_max as usize).min(PAYLOAD_BYTES_MAX);
        let stream = self.sending(key)?;
        let (id, window) = (stream.id, usize::try_from(stream.send_window).unwrap_or(0));
        if payload.is_empty() {
            if end_stream {
                stream.send_ended = true;
                self.output.data(id, payload, frame_bytes_max, frame::END_STREAM);
            }
            return Ok(0);
        }
        if window == 0 {
            stream.waits_for_window = true;
            self.leave_queue(key);
            return Ok(0);
        }
        let is_first = self.output.senders.front().is_none_or(|first| *first == key);
        // With others waiting, each sends one frame in its turn.
        let others = self.output.senders.len() > usize::from(is_first);
        let turn = if others { frame_bytes_max } else { usize::MAX };
        let taken = if is_first { payload.len().min(window).min(self.output.room()).min(turn) } else { 0 };
        if taken > 0 {
            let ends = end_stream && taken == payload.len();
            let piece = payload.get(..taken).unwrap_or_default();
            self.output.data(id, piece, frame_bytes_max, if ends { frame::END_STREAM } else { 0 });
            if let Some(stream) = self.streams.get_mut(key) {
                stream.send_window -= taken as i64;
                stream.send_ended |= ends;
            }
            // A receiver may return credit for stream and connection with every few KiB.
            let whole = if taken == payload.len() { 2 } else { 0 };
            self.flood.credit(Exceeded::ControlFrames, whole + (taken / limits::PAYLOAD_BYTES_PER_UPDATE) as u32);
            self.leave_queue(key);
        }
        if taken < payload.len() {
            self.wait_to_send(key, taken == window);
        }
        if is_first && others {
            self.wake_sender();
        }
        Ok(taken)
    }

    /// Notes that the stream has more to send: behind the other senders, or once the peer has raised its window.
    fn wait_to_send(&mut self, key: StreamKey, by_window: bool) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if by_window {
            stream.waits_for_window = true;
        } else if !std::mem::replace(&mut stream.is_queued, true) {
            self.output.senders.push_back(key);
            // Alone in the queue with space left: its turn is over, and the next one is its own.
            if self.output.senders.len() == 1 {
                self.wake_sender();
            }
        }
    }

    pub(super) fn leave_queue(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if std::mem::take(&mut stream.is_queued) {
            let was_first = self.output.senders.front() == Some(&key);
            self.output.senders.retain(|waiting| *waiting != key);
            if was_first {
                self.wake_sender();
            }
        }
    }

    /// Wakes the first of the senders if there is space for its payload.
    pub(super) fn wake_sender(&mut self) {
        if self.output.room() > 0
            && let Some(key) = self.output.senders.front()
        {
            self.woken.insert(*key);
        }
    }

    /// Resets a stream.
    pub fn reset(&mut self, key: StreamKey, code: ErrorCode) {
        self.reset_with(key, code, StreamFailure::Broken(code));
    }

    /// Frees the place of a stream whose handler has ended. A stream that is not complete is reset: with NO_ERROR if the client has the
    /// whole response, else with INTERNAL_ERROR; with CANCEL at a server.
    pub fn release(&mut self, key: StreamKey, buffers: &impl Buffers) {
        self.leave_queue(key);
        let Some(stream) = self.streams.get_mut(key) else { return };
        let unread = stream.body.len();
        let spare = std::mem::take(&mut stream.spare.lines);
        for buffer in [std::mem::take(&mut stream.body), std::mem::take(&mut stream.lines), spare] {
            if buffer.capacity() > 0 {
                buffers.give_back(buffer);
            }
        }
        stream.responses.drain(..).for_each(|arrived| buffers.give_back(arrived.lines));
        let (id, is_closed, has_sent) = (stream.id, stream.is_closed() || stream.id == 0, stream.send_ended);
        if unread > 0 {
            self.unread -= unread;
            self.credit_connection(unread);
        }
        if !is_closed {
            let code = match (self.role, has_sent) {
                (Role::Client { .. }, _) => ErrorCode::Cancel,
                (Role::Server, true) => ErrorCode::NoError,
                (Role::Server, false) => ErrorCode::InternalError,
            };
            self.push_reset(id, code);
        } else if self.role == Role::Server && has_sent {
            self.flood.credit(Exceeded::RapidReset, 1);
        }
        self.streams.remove(key);
        self.woken.remove(key);
    }
}
