//! Writes local replies (docs/reference/entry-points.md#local-replies).

use super::{push_length, push_number};
use crate::http::edits::push_value;
use crate::http::head::Version;
use crate::http::known::KnownField;
use crate::http::phrase::status_phrase;
use crate::http::reply::Reply;

/// How a local reply is written to this client.
#[derive(Debug, Clone, Copy)]
pub struct ReplyPlan<'a> {
    pub version: Version,
    /// The connection may be used for another request, unless the reply's own `close` is set.
    pub keep_alive: bool,
    /// The reply is to a HEAD request: all fields, no body.
    pub head_request: bool,
    /// Date in IMF-fixdate form (RFC 9110 5.6.7).
    pub date: Option<&'a [u8]>,
}

/// Appends the whole reply, body included.
pub fn write_reply(out: &mut Vec<u8>, reply: &Reply, plan: &ReplyPlan<'_>) {
    if write_reply_head(out, reply, plan) {
        out.extend_from_slice(&reply.body);
    }
}

/// Appends the head of the reply, empty line included. Returns whether the body is to follow: not after a HEAD request, nor with a status
/// that has no content (1xx, 204, 304).
pub fn write_reply_head(out: &mut Vec<u8>, reply: &Reply, plan: &ReplyPlan<'_>) -> bool {
    push_status_line(out, plan.version, reply.status, status_phrase(reply.status).as_bytes());
    let close = reply.close || !plan.keep_alive;
    for (name, value) in &reply.fields {
        // Content-Length and Connection are written below.
        if KnownField::of(name.as_bytes()).belongs_to_connection() {
            continue;
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        push_value(out, value);
        out.extend_from_slice(b"\r\n");
    }
    let bodiless = matches!(reply.status, 100..200 | 204 | 304);
    if !bodiless {
        push_length(out, reply.body.len() as u64);
    }
    if let Some(date) = plan.date {
        super::push_line(out, b"Date: ", date);
    }
    push_connection(out, plan.version, !close);
    out.extend_from_slice(b"\r\n");
    !bodiless && !plan.head_request
}

/// Appends the interim response that asks a client to send its body (RFC 9110 10.1.1).
pub fn write_100_continue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Appends a Connection field if persistence differs from the default of the version. HTTP/2 has no such field (RFC 9113 8.2.2).
pub(super) fn push_connection(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    match (version, keep_alive) {
        (Version::Http2, _) => {}
        (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (Version::Http11, true) => {}
    }
}

pub(super) fn push_status_line(out: &mut Vec<u8>, version: Version, status: u16, reason: &[u8]) {
    out.extend_from_slice(version.as_str().as_bytes());
    out.push(b' ');
    push_number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}
