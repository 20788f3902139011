//! Counts what happens on HTTP/2 connections: connections, frames that end streams and connections, and bounds that were exceeded.

use super::message::h2::link::Link;
use super::resources::dial::Dial;
use super::worker::Worker;
use crate::http::h2::connection::{ErrorCode, Exceeded, Note};
use crate::limits::Bound;
use crate::observe::metrics::{Direction, Side, WorkerMetrics};

/// Counts a connection as open until it is dropped.
pub struct CountedConnection<'a> {
    metrics: WorkerMetrics<'a>,
    side: Side,
}

impl<D: Dial> Worker<D> {
    /// Counts an HTTP/2 connection with a client or a server.
    pub(super) fn count_http2_connection(&self, side: Side) -> CountedConnection<'_> {
        let metrics = self.metrics();
        metrics.http2_connection_opened(side);
        CountedConnection { metrics, side }
    }

    /// Counts what has happened on the connection since the last call.
    pub(super) fn count_notes(&self, link: &Link, side: Side) {
        while let Some(note) = link.with(|connection| connection.next_note()) {
            let metrics = self.metrics();
            match note {
                Note::ResetSent(code) => metrics.http2_reset(side, Direction::Sent, index(code)),
                Note::ResetReceived(code) => metrics.http2_reset(side, Direction::Received, index(code)),
                Note::GoawaySent(code) => metrics.http2_goaway(side, Direction::Sent, index(code)),
                Note::GoawayReceived(code) => metrics.http2_goaway(side, Direction::Received, index(code)),
                Note::Exceeded(exceeded) => self.exceeded(bound(exceeded)),
            }
        }
    }
}

impl Drop for CountedConnection<'_> {
    fn drop(&mut self) {
        self.metrics.http2_connection_closed(self.side);
    }
}

fn index(code: ErrorCode) -> usize {
    usize::try_from(code.number()).unwrap_or(usize::MAX)
}

fn bound(exceeded: Exceeded) -> Bound {
    match exceeded {
        Exceeded::RapidReset => Bound::Http2RapidReset,
        Exceeded::ProvokedResets => Bound::Http2ProvokedResets,
        Exceeded::ControlFrames => Bound::Http2ControlFrames,
        Exceeded::EmptyFrames => Bound::Http2EmptyFrames,
        Exceeded::HeaderBlock => Bound::Http2HeaderBlock,
    }
}
