//! Frames of the connection, and frames that change a stream without carrying a part of its message.

use super::connection::{Buffers, Connection, ErrorCode, Exceeded, Note, Role};
use super::frame::{self, FrameHeader};
use super::rule::Rule;
use super::settings::WINDOW_MAX;
use super::stream::{Stream, StreamFailure};
use super::streams::StreamKey;

impl Connection {
    /// Handles a frame other than DATA.
    pub(super) fn handle(&mut self, header: FrameHeader, payload: &[u8], buffers: &impl Buffers) {
        match header.kind {
            frame::HEADERS => self.headers(header, payload, buffers),
            frame::CONTINUATION => self.continuation(header, payload, buffers),
            frame::PRIORITY => self.priority(header, payload),
            frame::RST_STREAM => self.reset_received(header.stream, ErrorCode::of(frame::number(payload))),
            frame::SETTINGS => self.settings(header, payload),
            frame::PUSH_PROMISE => self.fail(Rule::PushPromise),
            frame::PING => self.ping_received(header, payload),
            frame::GOAWAY => self.goaway(payload),
            frame::WINDOW_UPDATE => self.window_update(header.stream, frame::number(payload) & WINDOW_MAX),
            // Unknown types are ignored (RFC 9113 4.1).
            _ => self.count(Exceeded::ControlFrames),
        }
    }

    /// Whether no message has begun on the stream.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        let is_client_stream = id % 2 == 1;
        match self.role {
            Role::Server => !is_client_stream || id > self.last_peer_stream,
            Role::Client { .. } => !is_client_stream || id >= self.next_stream,
        }
    }

    /// Priorities are not used (RFC 9113 5.3.2), but checked.
    fn priority(&mut self, header: FrameHeader, payload: &[u8]) {
        self.count(Exceeded::ControlFrames);
        let rule = match payload.len() {
            5 if frame::number(payload) & WINDOW_MAX == header.stream => Rule::SelfDependency,
            5 => return,
            _ => Rule::FrameLength,
        };
        match self.streams.find(header.stream) {
            Some(key) => self.break_stream(key, rule),
            None => self.fail(rule),
        }
    }

    fn reset_received(&mut self, id: u32, code: ErrorCode) {
        if self.is_idle(id) {
            return self.fail(Rule::IdleStream);
        }
        self.note(Note::ResetReceived(code));
        let is_client = self.role != Role::Server;
        let Some((key, stream)) = self.streams.find(id).and_then(|key| Some((key, self.streams.get_mut(key)?))) else {
            return self.count(Exceeded::ControlFrames);
        };
        let was_complete = stream.recv_ended && stream.send_ended;
        stream.is_reset = true;
        stream.failure.get_or_insert(match code {
            ErrorCode::RefusedStream if is_client => StreamFailure::Refused,
            code => StreamFailure::Reset(code),
        });
        self.woken.insert(key);
        self.leave_queue(key);
        if !is_client && !was_complete {
            self.count(Exceeded::RapidReset);
        }
    }

    fn settings(&mut self, header: FrameHeader, payload: &[u8]) {
        self.count(Exceeded::ControlFrames);
        if header.has(frame::ACK) {
            return;
        }
        let before = self.peer;
        if let Err(rule) = self.peer.apply(payload, self.role != Role::Server) {
            return self.fail(rule);
        }
        if !std::mem::replace(&mut self.has_peer_settings, true) {
            // A stream may wait for what the peer supports.
            self.woken = self.streams.keys();
        }
        let change = i64::from(self.peer.initial_window) - i64::from(before.initial_window);
        if change != 0 {
            self.change_windows(change);
        }
        self.output.control(|out| frame::push_header(out, 0, frame::SETTINGS, frame::ACK, 0));
    }

    /// Changes the windows of all streams (RFC 9113 6.9.2); they may become negative.
    fn change_windows(&mut self, change: i64) {
        for key in self.streams.keys() {
            let Some(stream) = self.streams.get_mut(key) else { continue };
            stream.send_window += change;
            if stream.send_window > i64::from(WINDOW_MAX) {
                return self.fail(Rule::WindowOverflow);
            }
            if stream.send_window > 0 && std::mem::take(&mut stream.waits_for_window) {
                self.woken.insert(key);
            }
        }
    }

    fn ping_received(&mut self, header: FrameHeader, payload: &[u8]) {
        self.count(Exceeded::ControlFrames);
        if header.has(frame::ACK) {
            return;
        }
        self.output.control(|out| {
            frame::push_header(out, payload.len(), frame::PING, frame::ACK, 0);
            out.extend_from_slice(payload);
        });
    }

    fn goaway(&mut self, payload: &[u8]) {
        let last = frame::number(payload) & WINDOW_MAX;
        self.count(Exceeded::ControlFrames);
        self.note(Note::GoawayReceived(ErrorCode::of(payload.get(4..).map_or(0, frame::number))));
        if self.goaway_received.replace(last).is_some_and(|before| before < last) {
            return self.fail(Rule::GoawayIdentifier);
        }
        if self.role != Role::Server {
            // A stream without an identifier has not sent its request.
            let is_refused = |stream: &Stream| stream.id > last || stream.id == 0;
            self.fail_streams(is_refused, StreamFailure::Refused);
            // For the server these streams have never been opened: a frame on one of them, also a reset, would be an error of the
            // connection.
            for key in self.streams.keys() {
                if let Some(stream) = self.streams.get_mut(key).filter(|stream| is_refused(stream)) {
                    stream.is_reset = true;
                }
            }
        }
    }

    fn window_update(&mut self, id: u32, increment: u32) {
        self.count(Exceeded::ControlFrames);
        if id != 0 && self.is_idle(id) {
            return self.fail(Rule::IdleStream);
        }
        if id == 0 {
            if increment == 0 {
                return self.fail(Rule::WindowIncrement);
            }
            self.output.window += i64::from(increment);
            if self.output.window > i64::from(WINDOW_MAX) {
                return self.fail(Rule::WindowOverflow);
            }
            return self.wake_sender();
        }
        // An update may cross with the end of its stream.
        let Some((key, stream)) = self.streams.find(id).and_then(|key| Some((key, self.streams.get_mut(key)?))) else {
            return;
        };
        if stream.is_reset {
            return;
        }
        if increment == 0 {
            return self.break_stream(key, Rule::WindowIncrement);
        }
        stream.send_window += i64::from(increment);
        if stream.send_window > i64::from(WINDOW_MAX) {
            return self.break_stream(key, Rule::WindowOverflow);
        }
        if stream.send_window > 0 && std::mem::take(&mut stream.waits_for_window) {
            self.woken.insert(key);
        }
    }

    /// Resets a stream because the peer has broken a rule of the framing layer.
    #[cold]
    pub(super) fn break_stream(&mut self, key: StreamKey, rule: Rule) {
        self.reset_with(key, rule.code(), StreamFailure::Broken(rule.code()));
        self.count(Exceeded::ProvokedResets);
    }

    /// Resets a stream, which fails for its handler.
    pub(super) fn reset_with(&mut self, key: StreamKey, code: ErrorCode, failure: StreamFailure) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.failure.get_or_insert(failure);
        self.woken.insert(key);
        if std::mem::replace(&mut stream.is_reset, true) || stream.id == 0 {
            return;
        }
        let id = stream.id;
        self.leave_queue(key);
        self.push_reset(id, code);
    }

    /// Sends RST_STREAM.
    pub(super) fn push_reset(&mut self, id: u32, code: ErrorCode) {
        if self.error.is_some() || self.has_ended {
            return;
        }
        self.note(Note::ResetSent(code));
        self.output.control(|out| frame::push_number(out, frame::RST_STREAM, id, code.number()));
        self.forgive(id);
    }
}
