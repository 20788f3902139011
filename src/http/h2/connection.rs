//! An HTTP/2 connection without I/O, for both roles (RFC 9113): received bytes go in, bytes to be sent come out, and the streams' messages
//! are read and written in between. Time is an argument, and nothing here waits.

use std::collections::VecDeque;
use std::time::Duration;

pub use super::buffers::Buffers;
pub use super::events::{Data, Note, Opened, Received};
pub use super::flood::Exceeded;
use super::flood::Flood;
use super::frame;
use super::hpack;
use super::input::Input;
use super::output::Output;
use super::rule::Rule;
pub use super::rule::{ConnectionError, ErrorCode};
pub use super::settings::LocalSettings;
use super::settings::{DEFAULT_TABLE_BYTES, DEFAULT_WINDOW, PeerSettings};
use super::stream::Stream;
pub use super::stream::StreamFailure;
use super::streams::{KeySet, Streams};
pub use super::streams::{STREAMS_MAX, StreamKey};

/// The connection preface of a client (RFC 9113 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Notes that wait to be taken.
const NOTES_MAX: usize = 64;
/// The identifiers of streams that were reset here and are remembered: frames that the peer sent before it knew are no error.
const FORGIVEN_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client { secure: bool },
}

/// The state of a connection.
pub struct Connection {
    pub(super) role: Role,
    pub(super) local: LocalSettings,
    pub(super) peer: PeerSettings,
    pub(super) has_peer_settings: bool,
    pub(super) decoder: hpack::Decoder,
    /// No header block has been sent. The first one says that the encoder has no table (RFC 7541 4.2): a peer may allow a smaller one than
    /// the default, and has to be told that the encoder keeps to it.
    pub(super) owes_size_update: bool,
    pub(super) input: Input,
    pub(super) output: Output,
    pub(super) streams: Streams,
    /// Streams of the peer up to this identifier have been opened.
    pub(super) last_peer_stream: u32,
    /// All streams from this one to the last one have been opened: those that were skipped before it were never used.
    pub(super) run_start: u32,
    /// The identifier of the next stream that is opened here.
    pub(super) next_stream: u32,
    /// Bytes of payload that the peer may send on all streams together.
    pub(super) recv_window: i64,
    /// Bytes handed over or dropped, for which the peer has not got credit.
    pub(super) recv_credit: u32,
    /// The size of the receive window.
    pub(super) recv_window_max: u32,
    pub(super) unread: usize,
    pub(super) goaway_sent: Option<u32>,
    pub(super) goaway_received: Option<u32>,
    pub(super) error: Option<ConnectionError>,
    /// No bytes come any more.
    pub(super) has_ended: bool,
    pub(super) opened: VecDeque<Opened>,
    pub(super) woken: KeySet,
    notes: VecDeque<Note>,
    pub(super) flood: Flood,
    pub(super) now: Duration,
    forgiven: VecDeque<u32>,
    /// Identifiers up to this one have been forgotten.
    forgotten: u32,
}

impl Connection {
    /// A client's connection. Its output has the SETTINGS.
    pub fn server(local: LocalSettings) -> Self {
        Connection::new(Role::Server, local)
    }

    /// A connection to a server. Its output has the preface and the SETTINGS. `secure`: the connection uses TLS.
    pub fn client(local: LocalSettings, secure: bool) -> Self {
        Connection::new(Role::Client { secure }, local)
    }

    fn new(role: Role, local: LocalSettings) -> Self {
        let is_server = role == Role::Server;
        let mut output = Output::new(DEFAULT_WINDOW);
        if !is_server {
            output.bytes.extend_from_slice(PREFACE);
        }
        local.push(&mut output.bytes, is_server);
        let window = local.connection_window.max(DEFAULT_WINDOW);
        Connection {
            role,
            local,
            peer: PeerSettings::default(),
            has_peer_settings: false,
            decoder: hpack::Decoder::new(DEFAULT_TABLE_BYTES as usize),
            owes_size_update: true,
            input: Input::new(is_server),
            output,
            streams: Streams::default(),
            last_peer_stream: 0,
            run_start: 0,
            next_stream: 1,
            recv_window: i64::from(window),
            recv_credit: 0,
            recv_window_max: window,
            unread: 0,
            goaway_sent: None,
            goaway_received: None,
            error: None,
            has_ended: false,
            opened: VecDeque::new(),
            woken: KeySet::default(),
            notes: VecDeque::new(),
            flood: Flood::default(),
            now: Duration::ZERO,
            forgiven: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Notes that no bytes come any more: every stream fails.
    pub fn receive_end(&mut self) {
        self.has_ended = true;
        self.fail_streams(|_| true, StreamFailure::ConnectionLost);
    }

    /// Whether bytes should be read: not while too much output waits that the peer has provoked, nor after the connection's end.
    pub fn wants_input(&self) -> bool {
        self.output.has_control_space() && self.error.is_none() && !self.has_ended
    }

    pub fn has_output(&self) -> bool {
        !self.output.bytes.is_empty()
    }

    /// Takes all output. The empty buffer `next` is filled from now on.
    pub fn take_output(&mut self, next: Vec<u8>) -> Vec<u8> {
        let output = self.output.take(next);
        self.wake_sender();
        output
    }

    pub fn error(&self) -> Option<&ConnectionError> {
        self.error.as_ref()
    }

    /// Whether nothing is to be done but to send the last output. A client's GOAWAY alone does not end its connection: the client closes it,
    /// and may send PING until then (RFC 9113 6.8).
    pub fn is_finished(&self) -> bool {
        let ends = self.has_ended
            || self.goaway_sent.is_some_and(|last| last < u32::MAX >> 1)
            || (self.goaway_received.is_some() && self.role != Role::Server);
        self.error.is_some() || (ends && self.streams.len() == 0)
    }

    pub fn next_opened(&mut self) -> Option<Opened> {
        self.opened.pop_front()
    }

    /// The next stream that has changed: its handler has to be polled.
    pub fn next_woken(&mut self) -> Option<StreamKey> {
        self.woken.pop()
    }

    pub fn next_note(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }

    pub fn has_peer_settings(&self) -> bool {
        self.has_peer_settings
    }

    pub fn peer_allows_connect_protocol(&self) -> bool {
        self.peer.connect_protocol
    }

    /// Announces that the connection will end: a GOAWAY that refuses no stream.
    pub fn announce_shutdown(&mut self) {
        if self.goaway_sent.is_none() && self.error.is_none() {
            self.push_goaway(u32::MAX >> 1, ErrorCode::NoError);
        }
    }

    /// Ends the connection with its last stream: later ones are not served, and their clients know it. A client with streams under way sends no
    /// GOAWAY, which servers on the Python package h2 take for the end of all streams.
    pub fn shut_down(&mut self) {
        if self.role != Role::Server && self.streams.len() > 0 {
            self.goaway_sent.get_or_insert(0);
            return;
        }
        if self.error.is_none() && self.goaway_sent.is_none_or(|last| last > self.last_peer_stream) {
            self.push_goaway(self.last_peer_stream, ErrorCode::NoError);
        }
    }

    /// Sends GOAWAY. The identifiers in it never rise (RFC 9113 6.8).
    fn push_goaway(&mut self, last: u32, code: ErrorCode) {
        let last = last.min(self.goaway_sent.unwrap_or(last));
        self.goaway_sent = Some(last);
        self.note(Note::GoawaySent(code));
        let out = &mut self.output.bytes;
        frame::push_header(out, 8, frame::GOAWAY, 0, 0);
        out.extend_from_slice(&last.to_be_bytes());
        out.extend_from_slice(&code.number().to_be_bytes());
    }

    /// Raises the connection's receive window.
    pub fn grow_window(&mut self, bytes: u32) {
        self.recv_window_max = self.recv_window_max.saturating_add(bytes);
        self.recv_window += i64::from(bytes);
        frame::push_number(&mut self.output.bytes, frame::WINDOW_UPDATE, 0, bytes);
    }

    /// Streams that have not been released.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Gives the memory back that an idle connection does not need. Does nothing while a stream is open.
    pub fn trim(&mut self, buffers: &impl Buffers) {
        if self.streams.len() > 0 {
            return;
        }
        self.streams.trim();
        self.opened.shrink_to_fit();
        self.notes.shrink_to_fit();
        self.output.senders.shrink_to_fit();
        self.input.trim(buffers);
        if self.output.bytes.is_empty() && self.output.bytes.capacity() > 0 {
            buffers.give_back(std::mem::take(&mut self.output.bytes));
        }
        self.decoder.trim();
    }

    pub(super) fn note(&mut self, note: Note) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push_back(note);
        }
    }

    /// Ends the connection because of what the peer has done.
    #[cold]
    pub(super) fn fail(&mut self, rule: Rule) {
        if self.error.is_some() {
            return;
        }
        let error = ConnectionError::from(rule);
        self.push_goaway(self.last_peer_stream, error.code);
        self.error = Some(error);
        self.fail_streams(|_| true, StreamFailure::ConnectionLost);
    }

    /// Ends the connection because a bucket is full.
    #[cold]
    pub(super) fn fail_flood(&mut self, exceeded: Exceeded) {
        if self.error.is_none() {
            // Not subject to the bound of the other notes: there is at most one.
            self.notes.push_back(Note::Exceeded(exceeded));
            self.fail(Rule::Flood);
        }
    }

    /// Counts a frame that costs more than it brings.
    pub(super) fn count(&mut self, kind: Exceeded) {
        if let Err(exceeded) = self.flood.count(kind) {
            self.fail_flood(exceeded);
        }
    }

    pub(super) fn fail_streams(&mut self, concerns: impl Fn(&Stream) -> bool, failure: StreamFailure) {
        for key in self.streams.keys() {
            let Some(stream) = self.streams.get_mut(key).filter(|stream| concerns(stream)) else { continue };
            stream.failure.get_or_insert(failure);
            self.woken.insert(key);
        }
    }

    /// Remembers a stream that was reset here.
    pub(super) fn forgive(&mut self, id: u32) {
        if self.forgiven.len() >= FORGIVEN_MAX
            && let Some(oldest) = self.forgiven.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest);
        }
        self.forgiven.push_back(id);
    }

    /// Whether frames on a closed stream may have been sent before the peer knew that it is closed.
    pub(super) fn is_forgiven(&self, id: u32) -> bool {
        self.is_beyond_goaway(id) || id <= self.forgotten || self.forgiven.contains(&id)
    }

    /// Whether the peer learns from our GOAWAY that the stream is not served.
    pub(super) fn is_beyond_goaway(&self, id: u32) -> bool {
        self.goaway_sent.is_some_and(|last| id > last)
    }
}
