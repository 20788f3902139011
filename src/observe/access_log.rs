//! The access log: formats one record as one line (docs/reference/logs.md#access-log).
//!
//! A line is appended to the caller's buffer. A CLF line allocates nothing else; a JSON line also allocates the sorted lists of
//! its header fields. Two differences from Traefik, both on purpose: CLF lines have escapes such as `\x22` for quotes, backslashes,
//! control bytes and bytes outside ASCII, so that a client cannot forge a line, and the names of header fields in the
//! configuration match in any case.

mod clf;
mod connection;
mod fields;
mod format;
mod frontend;
mod json;

use std::net::SocketAddr;

pub use connection::{ConnectionRecord, ConnectionServer};
pub use fields::{FieldList, LOGGED_FIELDS_MAX};
pub use format::{AccessLogFormat, AccessLogSettings, LogField};
pub use frontend::FrontendFormat;

/// The values of one access log line. All times are in nanoseconds.
#[derive(Clone, Copy)]
pub struct AccessLogRecord<'a> {
    /// When the request's head was complete, since 1970-01-01 00:00 UTC.
    pub start_unix_nanos: u64,
    /// Seconds that local time is ahead of UTC.
    pub local_offset_secs: i32,
    /// From the complete request head to the end of the response.
    pub duration_nanos: u64,
    /// The peer of the connection, or the client that its PROXY protocol header names.
    pub client: SocketAddr,
    /// The client's X-Forwarded-For field, as sent. Unless it is empty, the log's `ClientHost` is this value instead of the peer's
    /// address, whether the client is trusted or not.
    pub forwarded_for: Option<&'a [u8]>,
    /// The user name that an authentication middleware accepted.
    pub username: Option<&'a [u8]>,
    /// The host that routed the request, port included, as sent; empty if the request named none.
    pub host: &'a [u8],
    pub method: &'a [u8],
    /// The request target, as sent.
    pub target: &'a [u8],
    /// `HTTP/1.0` or `HTTP/1.1`
    pub protocol: &'a str,
    /// The request's Content-Length; 0 for a chunked body and for a request without a body.
    pub request_size: u64,
    pub request_fields: FieldList<'a>,
    /// The id of the request, if its entry point gives requests one.
    pub request_id: Option<&'a [u8]>,
    /// The frontend's name, or the label of a local reply (docs/reference/logs.md#labels-of-local-replies); `None` without
    /// a label and a server.
    pub frontend_name: Option<&'a str>,
    /// The server chosen for the request, or the proxy itself for a labelled local reply; `None` without a label and a server.
    pub origin: Option<UpstreamRecord<'a>>,
    /// The status sent to the client; 499 if the client closed its connection before it had the whole response.
    pub status: u16,
    /// Bytes of the response body sent to the client.
    pub size: u64,
    pub response_fields: FieldList<'a>,
    /// The number of this request since the start of the process, counted from 1. Requests without a line are counted too.
    pub request_count: u64,
    /// Attempts after the first.
    pub retry_attempts: u32,
    /// The ids of the trace and of the entry point's span, if the request is recorded.
    pub trace: Option<(u128, u64)>,
}

/// The server chosen for a request, or the proxy itself for a labelled local reply.
#[derive(Clone, Copy)]
pub struct UpstreamRecord<'a> {
    /// The backend's name; `Traefik` for a labelled local reply.
    pub backend_name: &'a str,
    /// The server's URL; the request target for a labelled local reply.
    pub backend_url: &'a [u8],
    /// `host:port` of the server; empty for a labelled local reply.
    pub backend_addr: &'a str,
    pub status: u16,
    /// Bytes of the response body before compression.
    pub size: u64,
    pub duration_nanos: u64,
    pub fields: FieldList<'a>,
}

impl AccessLogFormat {
    /// Appends the record's line, newline included. Returns false and appends nothing if the filters drop the record.
    pub fn append(&self, record: &AccessLogRecord, out: &mut Vec<u8>) -> bool {
        if !self.passes(record.status, record.retry_attempts, record.duration_nanos) {
            return false;
        }
        if self.json {
            json::append(self, record, out);
        } else {
            clf::append(self, record, out);
        }
        true
    }
}

impl<'a> AccessLogRecord<'a> {
    /// The frontend's name as the log shows it: without a leading `frontend-`.
    fn logged_frontend_name(&self) -> Option<&'a str> {
        self.frontend_name.map(|name| name.strip_prefix("frontend-").unwrap_or(name))
    }
}
