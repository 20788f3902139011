//! The sending side of the streams: heads, payload in fair turns, trailers and resets, and the beginning and end of each stream.

use super::connection::{Buffers, Connection, ErrorCode, Exceeded, Role};
use super::frame::{self, HEADER_BYTES, PAYLOAD_BYTES_MAX};
use super::pack;
use super::stream::{Stream, StreamFailure};
use super::streams::StreamKey;
use crate::limits;

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
        let is_supported = self.peer_allows_connect_protocol();
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
        self.output.block_follows(id);
        let out = &mut self.output.bytes;
        frame::finish_block(out, start, frame_bytes_max, flags, id);
        Ok(())
    }

    /// Bytes of payload that [`send_data`](Self::send_data) takes of the stream now. If there is no space, the stream waits for its turn,
    /// and is woken when it comes.
    ///
    /// # Errors
    /// The stream has failed.
    pub fn data_space(&mut self, key: StreamKey) -> Result<usize, StreamFailure> {
        let stream = self.sending(key)?;
        let window = usize::try_from(stream.send_window).unwrap_or(0);
        if window == 0 {
            stream.waits_for_window = true;
            self.leave_queue(key);
            return Ok(0);
        }
        let space = self.turn_of(key).min(window);
        if space == 0 {
            self.wait_to_send(key, false);
        }
        Ok(space)
    }

    /// Ends the waiting for a turn: the stream has no payload after all.
    pub fn give_up_turn(&mut self, key: StreamKey) {
        self.leave_queue(key);
    }

    /// Bytes of payload that the stream may append to the output as far as the other streams and the connection are concerned. With others
    /// waiting, each sends one frame in its turn.
    #[inline]
    fn turn_of(&self, key: StreamKey) -> usize {
        let first = self.output.senders.front();
        if first.is_some_and(|first| *first != key) {
            return 0;
        }
        let others = self.output.senders.len() > usize::from(first.is_some());
        self.output.room().min(if others { self.frame_bytes_max() } else { usize::MAX })
    }

    #[inline]
    fn frame_bytes_max(&self) -> usize {
        (self.peer.frame_bytes_max as usize).min(PAYLOAD_BYTES_MAX)
    }

    /// Sends payload as far as the windows and the output have space, and the end of the stream with its last byte. Returns the number of
    /// bytes that were taken. If that is not all, the stream is woken when there is space again.
    ///
    /// # Errors
    /// The stream has failed.
    pub fn send_data(&mut self, key: StreamKey, payload: &[u8], end_stream: bool) -> Result<usize, StreamFailure> {
        let frame_bytes_max = self.frame_bytes_max();
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
        let taken = payload.len().min(window).min(self.turn_of(key));
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
            self.wake_sender();
        }
        if taken < payload.len() {
            self.wait_to_send(key, taken == window);
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
        self.input.forget(key);
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
