//! The access log: one record in, one line out (docs/reference/logs.md#access-log).
//!
//! A line is appended to the caller's buffer; nothing else is allocated. Two differences from Traefik, both on purpose: quotes,
//! backslashes, control bytes and bytes outside ASCII are written as `\x22` in CLF lines, so that a client cannot forge a line,
//! and the names of header fields in the configuration match in any case.

mod clf;
mod fields;
mod format;
mod json;

use std::net::SocketAddr;

pub use fields::{FieldList, LOGGED_FIELDS_MAX};
pub use format::{AccessLogFormat, AccessLogSettings, LogField};

/// Everything one line can say about one request. All times are in nanoseconds.
#[derive(Clone, Copy)]
pub struct AccessLogRecord<'a> {
    /// When the request's head was complete, since 1970 UTC.
    pub start_unix_nanos: u64,
    /// What local time is ahead of UTC, in seconds.
    pub local_offset_secs: i32,
    /// From the head to the end of the response.
    pub duration_nanos: u64,
    /// The socket's peer (or the PROXY line's).
    pub client: SocketAddr,
    /// The client's own X-Forwarded-For, as sent; stands in for the peer's address when it is there, trusted or not.
    pub forwarded_for: Option<&'a [u8]>,
    /// The user name that an authentication step accepted.
    pub username: Option<&'a [u8]>,
    /// The host that routed the request, port included, as sent; empty if there was none.
    pub host: &'a [u8],
    pub method: &'a [u8],
    /// The request target, as sent.
    pub target: &'a [u8],
    /// `HTTP/1.1`
    pub protocol: &'a str,
    /// Bytes of the request's body that were read.
    pub request_size: u64,
    pub request_fields: FieldList<'a>,
    /// The frontend's name, or the label of a proxy-made answer (docs/reference/logs.md#labels-of-local-replies); `None` if no handler took the request.
    pub frontend_name: Option<&'a str>,
    /// Who produced the response; `None` if no handler did.
    pub origin: Option<UpstreamRecord<'a>>,
    /// The status sent to the client; 499 if the client went away first.
    pub status: u16,
    /// Bytes of the body sent to the client.
    pub size: u64,
    pub response_fields: FieldList<'a>,
    /// How many requests came before this one, this one included, filtered ones too.
    pub request_count: u64,
    /// Tries beyond the first.
    pub retry_attempts: u32,
}

/// The server, or the proxy's own handler, behind a response.
#[derive(Clone, Copy)]
pub struct UpstreamRecord<'a> {
    /// The backend's name; `Traefik` for an answer made by the proxy itself.
    pub backend_name: &'a str,
    /// The server's URL; the request target for an answer made by the proxy itself.
    pub backend_url: &'a [u8],
    /// `host:port` of the server, else empty.
    pub backend_addr: &'a str,
    pub status: u16,
    /// Bytes of the body before compression.
    pub size: u64,
    pub duration_nanos: u64,
    pub fields: FieldList<'a>,
}

impl AccessLogFormat {
    /// Appends the record's line, newline included. Returns false, and appends nothing, if the filters leave it out.
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
    /// The frontend's name as the log shows it.
    fn frontend_shown(&self) -> Option<&'a str> {
        self.frontend_name.map(|name| name.strip_prefix("frontend-").unwrap_or(name))
    }
}
