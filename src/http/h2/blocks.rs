//! Header blocks: HEADERS and the CONTINUATION frames behind it begin a message or end it with trailers (RFC 9113 4.3, 8.1).

use super::connection::{Buffers, Connection, ErrorCode, Exceeded, Note, Opened, Role};
use super::fields::{HeadError, decode_request, decode_response, decode_trailers};
use super::frame::{self, FrameHeader};
use super::rule::Rule;
use super::settings::WINDOW_MAX;
use super::stream::StreamFailure;
use super::streams::StreamKey;
use crate::http::{BodyFraming, Field, KnownField, ResponseHead, Span, Violation};
use crate::limits;

impl Connection {
    pub(super) fn headers(&mut self, header: FrameHeader, payload: &[u8], buffers: &impl Buffers) {
        let fragment = match block_fragment(header, payload) {
            Ok(fragment) => fragment,
            Err(rule) => return self.fail(rule),
        };
        self.input.block_depends_on_itself = fragment.depends_on_itself;
        if header.has(frame::END_HEADERS) {
            return self.block(header.stream, header.flags, fragment.bytes, buffers);
        }
        self.input.block = Some((header.stream, header.flags));
        self.input.block_bytes.clear();
        self.input.block_bytes.extend_from_slice(fragment.bytes);
    }

    pub(super) fn continuation(&mut self, header: FrameHeader, payload: &[u8], buffers: &impl Buffers) {
        self.count(Exceeded::EmptyFrames);
        let Some((stream, flags)) = self.input.block.filter(|_| self.error.is_none()) else { return };
        if self.input.block_bytes.len() + payload.len() > limits::HEADER_BLOCK_BYTES_MAX {
            self.note(Note::Exceeded(Exceeded::HeaderBlock));
            return self.fail(Rule::BlockTooLong);
        }
        self.input.block_bytes.extend_from_slice(payload);
        if header.has(frame::END_HEADERS) {
            self.input.block = None;
            let mut block = std::mem::take(&mut self.input.block_bytes);
            self.block(stream, flags, &block, buffers);
            block.clear();
            if block.capacity() <= limits::POOLED_BUFFER_BYTES_MAX {
                self.input.block_bytes = block;
            }
        }
    }

    /// Handles a whole header block.
    fn block(&mut self, id: u32, flags: u8, block: &[u8], buffers: &impl Buffers) {
        let ends = flags & frame::END_STREAM != 0;
        if self.role == Role::Server {
            if id.is_multiple_of(2) {
                return self.fail(Rule::StreamIdentifier);
            }
            if id > self.last_peer_stream {
                return self.open_request(id, ends, block, buffers);
            }
        } else if self.is_idle(id) {
            return self.fail(Rule::IdleStream);
        }
        let Some(key) = self.streams.find(id) else {
            let is_forgiven = self.role != Role::Server || self.is_forgiven(id);
            self.count(Exceeded::ControlFrames);
            return match is_forgiven {
                true => self.drop_block(block),
                false if id < self.run_start => self.fail(Rule::StreamIdentifier),
                false => self.fail(Rule::ClosedStream),
            };
        };
        let Some(stream) = self.streams.get(key) else { return };
        if let Some(rule) = stream.ended_by_peer().filter(|_| self.role == Role::Server || stream.recv_ended) {
            return self.fail(rule);
        }
        if !stream.receives() {
            return self.drop_block(block);
        }
        if stream.has_head {
            self.receive_trailers(key, ends, block);
        } else {
            self.receive_response(key, ends, block, buffers);
        }
        if std::mem::take(&mut self.input.block_depends_on_itself) {
            self.break_stream(key, Rule::SelfDependency);
        }
    }

    /// Decodes a block whose fields are not needed: the decoder's table has to follow.
    fn drop_block(&mut self, block: &[u8]) {
        let mut dropped = Vec::new();
        if let Err(HeadError::Compression(_)) = decode_trailers(&mut self.decoder, block, &mut dropped) {
            self.fail(Rule::Compression);
        }
    }

    fn open_request(&mut self, id: u32, ends: bool, block: &[u8], buffers: &impl Buffers) {
        if id != self.last_peer_stream + 2 {
            self.run_start = id;
        }
        self.last_peer_stream = id;
        if self.is_beyond_goaway(id) {
            return self.drop_block(block);
        }
        let is_full = self.streams.len() >= self.local.streams_max as usize;
        let Some(key) = (!is_full).then(|| self.streams.insert(id)).flatten() else {
            self.drop_block(block);
            self.push_reset(id, ErrorCode::RefusedStream);
            return self.count(Exceeded::ProvokedResets);
        };
        let (recv_window, send_window) = (self.local.stream_window, self.peer.initial_window);
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.begin(id, recv_window, send_window);
        if stream.lines.capacity() == 0 {
            stream.lines = buffers.lend();
        }
        stream.lines.clear();
        let limits = &self.local.head;
        let decoded = decode_request(&mut self.decoder, block, ends, limits, &mut stream.request, &mut stream.lines);
        stream.has_head = true;
        stream.recv_ended = ends;
        match decoded {
            Ok(()) => {
                stream.extended_connect = stream.request.extended_connect;
                stream.expected = expected_length(stream.request.body, stream.extended_connect);
                self.flood.credit(Exceeded::ControlFrames, 2);
                if stream.extended_connect && !self.local.connect_protocol {
                    return self.drop_request(key, Violation::Connect, buffers);
                }
                if std::mem::take(&mut self.input.block_depends_on_itself) {
                    self.break_stream(key, Rule::SelfDependency);
                    return self.release(key, buffers);
                }
                self.opened.push_back(Opened::Request(key));
            }
            Err(HeadError::Rejected(rejected)) => {
                // A refused head may have grown to its bound, and its reply may have to wait for the client's window.
                buffers.give_back(std::mem::take(&mut stream.lines));
                self.opened.push_back(Opened::Rejected(key, rejected));
            }
            Err(HeadError::Malformed(violation)) => self.drop_request(key, violation, buffers),
            Err(HeadError::Compression(_)) => {
                self.fail(Rule::Compression);
                self.release(key, buffers);
            }
        }
    }

    /// Resets a request that is malformed, before a handler has it (RFC 9113 8.1.1).
    fn drop_request(&mut self, key: StreamKey, violation: Violation, buffers: &impl Buffers) {
        self.malformed(key, violation);
        self.release(key, buffers);
    }

    fn receive_response(&mut self, key: StreamKey, ends: bool, block: &[u8], buffers: &impl Buffers) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let mut arrived = std::mem::take(&mut stream.spare);
        arrived.lines.clear();
        if arrived.lines.capacity() == 0 {
            arrived.lines = buffers.lend();
        }
        let (head, lines) = (&mut arrived.head, &mut arrived.lines);
        match decode_response(&mut self.decoder, block, ends, stream.to_head, &self.local.head, head, lines) {
            Ok(()) => {}
            Err(HeadError::Compression(_)) => return self.fail(Rule::Compression),
            Err(HeadError::Malformed(violation)) => return self.malformed(key, violation),
            Err(HeadError::Rejected(_)) => return self.malformed(key, Violation::Status),
        }
        if arrived.head.status == 101 {
            // HTTP/2 has no such response (RFC 9113 8.6).
            return self.malformed(key, Violation::Status);
        }
        if stream.extended_connect && (200..300).contains(&arrived.head.status) {
            switch_protocols(&mut arrived.head, &mut arrived.lines);
        }
        let is_interim = (100..200).contains(&arrived.head.status) && arrived.head.status != 101;
        if is_interim {
            stream.interim_count += 1;
            if ends || stream.interim_count > limits::INFORMATIONAL_MAX {
                return self.malformed(key, Violation::InterimEnd);
            }
        } else {
            stream.has_head = true;
            stream.recv_ended = ends;
            stream.expected = expected_length(arrived.head.body, stream.extended_connect);
        }
        stream.responses.push_back(arrived);
        self.woken.insert(key);
    }

    fn receive_trailers(&mut self, key: StreamKey, ends: bool, block: &[u8]) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        match decode_trailers(&mut self.decoder, block, &mut stream.trailers) {
            Ok(()) if ends => self.end_received(key),
            Ok(()) => self.malformed(key, Violation::TrailersWithoutEnd),
            Err(HeadError::Compression(_)) => self.fail(Rule::Compression),
            Err(HeadError::Malformed(violation)) => self.malformed(key, violation),
            Err(HeadError::Rejected(_)) => self.malformed(key, Violation::Trailer),
        }
    }

    /// Resets a stream whose message breaks a rule of HTTP.
    pub(super) fn malformed(&mut self, key: StreamKey, violation: Violation) {
        self.reset_with(key, ErrorCode::ProtocolError, StreamFailure::Malformed(violation));
        if self.role == Role::Server {
            self.count(Exceeded::ProvokedResets);
        }
    }
}

/// Makes the response that opens a tunnel the one that HTTP/1.1 has for it: 101, with the protocol that the request asked for. A tunnel is
/// only asked for with this protocol.
fn switch_protocols(head: &mut ResponseHead, lines: &mut Vec<u8>) {
    (head.status, head.body) = (101, BodyFraming::None);
    lines.truncate(lines.len().saturating_sub(b"\r\n".len()));
    for (name, value, known) in
        [(&b"connection"[..], &b"Upgrade"[..], KnownField::Connection), (b"upgrade", b"websocket", KnownField::Upgrade)]
    {
        let mut push = |text: &[u8], end: &[u8]| {
            let start = lines.len();
            lines.extend_from_slice(text);
            let span = Span::new(start, lines.len());
            lines.extend_from_slice(end);
            span
        };
        let (name, value) = (push(name, b": "), push(value, b"\r\n"));
        head.fields.push(Field { name, value, known, hop: true });
    }
    lines.extend_from_slice(b"\r\n");
    head.len = lines.len();
}

/// The length of payload that the framing announces.
fn expected_length(body: BodyFraming, is_tunnel: bool) -> Option<u64> {
    match body {
        BodyFraming::Length(length) => Some(length),
        BodyFraming::None if !is_tunnel => Some(0),
        _ => None,
    }
}

/// The part of a header block in a HEADERS frame.
struct Fragment<'a> {
    bytes: &'a [u8],
    depends_on_itself: bool,
}

fn block_fragment(header: FrameHeader, payload: &[u8]) -> Result<Fragment<'_>, Rule> {
    let bytes = frame::without_padding(header, payload)?;
    if !header.has(frame::PRIORITY_FIELDS) {
        return Ok(Fragment { bytes, depends_on_itself: false });
    }
    // Padding that leaves no space for the priority exceeds its frame.
    let needed = 5 + usize::from(header.has(frame::PADDED));
    let missing = if payload.len() < needed { Rule::FrameLength } else { Rule::Padding };
    let (priority, bytes) = bytes.split_first_chunk::<5>().ok_or(missing)?;
    Ok(Fragment { bytes, depends_on_itself: frame::number(priority) & WINDOW_MAX == header.stream })
}
