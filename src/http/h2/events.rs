//! The events that a connection reports to its task: new requests, results of reads, notes for the metrics.

use super::flood::Exceeded;
use super::rule::ErrorCode;
use super::streams::StreamKey;
use crate::http::RejectedRequest;

/// A request that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    Request(StreamKey),
    /// The head is no acceptable request: a reply with its status is to be sent.
    Rejected(StreamKey, RejectedRequest),
}

/// The result of [`Connection::read_data`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    Part,
    All,
    Refused,
}

/// The kind of a response's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    Interim,
    Final,
}

/// An event for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    ResetSent(ErrorCode),
    ResetReceived(ErrorCode),
    GoawaySent(ErrorCode),
    GoawayReceived(ErrorCode),
    Exceeded(Exceeded),
}
