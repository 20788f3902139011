//! The JSON format: an object per line, its keys sorted (docs/reference/logs.md#json).

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::fields::push_canonical;
use super::format::{AccessLogFormat, HeaderMode, LogField};
use super::{AccessLogRecord, FieldList};
use crate::http::percent::{self, hex_byte};
use crate::http::phrase::status_phrase;
use crate::observe::go_json::push_escaped;
use crate::observe::time_format::{FormattedSecond, Timestamp, push_number, push_padded};
use crate::observe::trace::hex64;

pub(super) fn append(format: &AccessLogFormat, record: &AccessLogRecord, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut line = Line { format, out };
    line.backend(record);
    line.client(record);
    line.downstream(record);
    line.origin(record);
    line.request(record);
    let second = line.start(record);
    line.trace(record);
    line.headers(b"\"downstream_", record.response_fields, &[]);
    line.out.extend_from_slice(b"\"level\":\"info\",\"msg\":\"\",");
    if let Some(origin) = &record.origin {
        line.headers(b"\"origin_", origin.fields, &[]);
    }
    // Go's server removes these two from the header fields of a request; the host is in RequestAddr.
    line.headers(b"\"request_", record.request_fields, &["Host", "Transfer-Encoding"]);
    let end_nanos = record.start_unix_nanos.saturating_add(record.duration_nanos);
    out.extend_from_slice(b"\"time\":\"");
    second.or_of(Timestamp { unix_nanos: end_nanos, offset_secs: record.local_offset_secs }).push(out);
    out.extend_from_slice(b"\"}\n");
}

/// A line in progress: each member is appended if its field is kept.
pub(super) struct Line<'f, 'o> {
    pub format: &'f AccessLogFormat,
    pub out: &'o mut Vec<u8>,
}

impl Line<'_, '_> {
    fn backend(&mut self, record: &AccessLogRecord) {
        let Some(origin) = &record.origin else { return };
        self.text(LogField::BackendAddr, origin.backend_addr.as_bytes());
        self.text(LogField::BackendName, origin.backend_name.as_bytes());
        if self.key(LogField::BackendUrl) {
            push_url(self.out, origin.backend_url);
            self.out.push(b',');
        }
    }

    fn client(&mut self, record: &AccessLogRecord) {
        let (ip, port) = (record.client.ip(), record.client.port());
        self.quoted(LogField::ClientAddr, |out| push_address(out, record.client));
        match record.forwarded_for.filter(|list| !list.is_empty()) {
            Some(list) => self.text(LogField::ClientHost, list),
            None => self.quoted(LogField::ClientHost, |out| push_ip(out, ip)),
        }
        self.quoted(LogField::ClientPort, |out| push_number(out, port.into()));
        self.text(LogField::ClientUsername, record.username.filter(|name| !name.is_empty()).unwrap_or(b"-"));
    }

    fn downstream(&mut self, record: &AccessLogRecord) {
        self.number(LogField::DownstreamContentSize, record.size);
        self.number(LogField::DownstreamStatus, record.status.into());
        self.status_line(LogField::DownstreamStatusLine, record.status);
        self.number(LogField::Duration, record.duration_nanos);
        if let Some(name) = record.logged_frontend_name() {
            self.text(LogField::FrontendName, name.as_bytes());
        }
        let Some(origin) = &record.origin else { return };
        if record.size != origin.size && record.size != 0 && self.key(LogField::GzipRatio) {
            let _ = write!(self.out, "{},", origin.size as f64 / record.size as f64);
        }
    }

    fn origin(&mut self, record: &AccessLogRecord) {
        if let Some(origin) = &record.origin {
            self.number(LogField::OriginContentSize, origin.size);
            self.number(LogField::OriginDuration, origin.duration_nanos);
            self.number(LogField::OriginStatus, origin.status.into());
            self.status_line(LogField::OriginStatusLine, origin.status);
        }
        let origin_nanos = record.origin.as_ref().map_or(0, |origin| origin.duration_nanos);
        self.number(LogField::Overhead, record.duration_nanos.saturating_sub(origin_nanos));
    }

    fn request(&mut self, record: &AccessLogRecord) {
        let address = Some(record.host).filter(|host| !host.is_empty()).map(|host| (host, split_port(host)));
        if let Some((host, _)) = address {
            self.text(LogField::RequestAddr, host);
        }
        self.number(LogField::RequestContentSize, record.request_size);
        self.number(LogField::RequestCount, record.request_count);
        if let Some((_, (host, _))) = address {
            self.text(LogField::RequestHost, host);
        }
        if let Some(id) = record.request_id {
            self.text(LogField::RequestId, id);
        }
        self.request_line(record);
        self.text(LogField::RequestMethod, record.method);
        self.text(LogField::RequestPath, record.target);
        if let Some((_, (_, port))) = address {
            self.text(LogField::RequestPort, port);
        }
        self.text(LogField::RequestProtocol, record.protocol.as_bytes());
        self.number(LogField::RetryAttempts, record.retry_attempts.into());
        if let Some((_, span_id)) = record.trace {
            self.text(LogField::SpanId, &hex64(span_id));
        }
    }

    fn request_line(&mut self, record: &AccessLogRecord) {
        self.quoted(LogField::RequestLine, |out| {
            push_escaped(out, record.method);
            out.push(b' ');
            push_escaped(out, record.target);
            out.push(b' ');
            push_escaped(out, record.protocol.as_bytes());
        });
    }

    fn trace(&mut self, record: &AccessLogRecord) {
        if let Some((trace_id, _)) = record.trace {
            self.quoted(LogField::TraceId, |out| {
                out.extend_from_slice(&hex64((trace_id >> 64) as u64));
                out.extend_from_slice(&hex64(trace_id as u64));
            });
        }
    }

    /// Appends the start in local time and in UTC. Returns the formatted second of the start in local time.
    fn start(&mut self, record: &AccessLogRecord) -> FormattedSecond {
        self.start_at(record.start_unix_nanos, record.local_offset_secs)
    }

    pub(super) fn start_at(&mut self, unix_nanos: u64, offset_secs: i32) -> FormattedSecond {
        let utc = Timestamp::utc(unix_nanos);
        let local = Timestamp { offset_secs, ..utc }.second();
        self.quoted(LogField::StartLocal, |out| local.push_nanos(out));
        self.quoted(LogField::StartUtc, |out| local.or_of(utc).push_nanos(out));
        local
    }

    /// Appends the header fields that are kept. `prefix` begins with the opening quote of a key.
    fn headers<const N: usize>(&mut self, prefix: &[u8; N], fields: FieldList, except: &[&str]) {
        if matches!(fields, FieldList::None) || self.format.drops_all_headers() {
            return;
        }
        let sorted = fields.sorted();
        for (name, value) in sorted.iter() {
            let value = match self.format.header(name) {
                HeaderMode::Drop => continue,
                HeaderMode::Keep => value,
                HeaderMode::Redact => b"REDACTED",
            };
            if except.iter().any(|other| other.as_bytes().eq_ignore_ascii_case(name)) {
                continue;
            }
            self.out.extend_from_slice(prefix);
            push_canonical(self.out, name);
            self.out.extend_from_slice(b"\":\"");
            push_escaped(self.out, value);
            self.out.extend_from_slice(b"\",");
        }
    }

    /// Appends the key if the field is kept, and returns whether it is. A comma follows each value, because a line always ends with
    /// the member `time`.
    pub(super) fn key(&mut self, field: LogField) -> bool {
        let kept = self.format.keeps(field);
        if kept {
            field.push_key(self.out);
        }
        kept
    }

    pub(super) fn text(&mut self, field: LogField, text: &[u8]) {
        self.quoted(field, |out| push_escaped(out, text));
    }

    /// Appends a text value if the field is kept; `push` writes the text, escaped where necessary.
    pub(super) fn quoted(&mut self, field: LogField, push: impl FnOnce(&mut Vec<u8>)) {
        if self.format.keeps(field) {
            field.push_key_and_quote(self.out);
            push(self.out);
            self.out.extend_from_slice(b"\",");
        }
    }

    pub(super) fn number(&mut self, field: LogField, number: u64) {
        if self.key(field) {
            push_number(self.out, number);
            self.out.push(b',');
        }
    }

    fn status_line(&mut self, field: LogField, status: u16) {
        self.quoted(field, |out| {
            push_padded(out, status.into(), 3);
            out.push(b' ');
            out.extend_from_slice(status_phrase(status).as_bytes());
        });
    }
}

pub(super) fn push_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            push_ip(out, IpAddr::V4(*v4.ip()));
            out.push(b':');
            push_number(out, v4.port().into());
        }
        SocketAddr::V6(_) => drop(write!(out, "{address}")),
    }
}

/// Appends an IP address. IPv4 is formatted by hand: `write!` would take longer than all other fields of the client.
pub(super) fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                push_number(out, octet.into());
            }
        }
        IpAddr::V6(_) => drop(write!(out, "{ip}")),
    }
}

/// Host and port of a Host field. Without a port, the whole text is the host, and the port is `-`.
fn split_port(address: &[u8]) -> (&[u8], &[u8]) {
    let without_port: (&[u8], &[u8]) = (address, b"-");
    let Some(colon) = memchr::memrchr(b':', address) else { return without_port };
    let (host, port) = (&address[..colon], &address[colon + 1..]);
    match host {
        [b'[', inner @ .., b']'] => (inner, port),
        _ if host.contains(&b':') => without_port,
        _ => (host, port),
    }
}

/// Appends a URL as a JSON object of its parts, as Go's encoder does. A text that begins with `/` is a request target.
pub(super) fn push_url(out: &mut Vec<u8>, url: &[u8]) {
    let (scheme, rest) = match memchr::memmem::find(url, b"://") {
        Some(at) if !url.starts_with(b"/") => (&url[..at], &url[at + 3..]),
        _ => (&b""[..], url),
    };
    let host_len = if scheme.is_empty() { 0 } else { memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len()) };
    let (host, rest) = rest.split_at(host_len);
    let (path, query) = match memchr::memchr(b'?', rest) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    // The path is copied only if it has percent escapes: normally that of a request target, for a local reply.
    let decoded = percent::decoded(path);
    let raw_path = if is_default_encoding(path) { &b""[..] } else { path };
    let parts: [(&[u8], &[u8]); 5] = [
        (b"{\"Scheme\":\"", scheme),
        (b"\",\"Opaque\":\"\",\"User\":null,\"Host\":\"", host),
        (b"\",\"Path\":\"", &decoded),
        (b"\",\"RawPath\":\"", raw_path),
        (
            if query == Some(b"") {
                b"\",\"ForceQuery\":true,\"RawQuery\":\""
            } else {
                b"\",\"ForceQuery\":false,\"RawQuery\":\""
            },
            query.unwrap_or(b""),
        ),
    ];
    for (key, value) in parts {
        out.extend_from_slice(key);
        push_escaped(out, value);
    }
    out.extend_from_slice(b"\",\"Fragment\":\"\"}");
}

/// Whether Go would encode the decoded path to these bytes; Go sets `RawPath` only if not.
fn is_default_encoding(path: &[u8]) -> bool {
    let mut at = 0;
    while at < path.len() {
        let byte = path[at];
        at += 1;
        if byte != b'%' {
            if !is_plain_in_path(byte) {
                return false;
            }
            continue;
        }
        let Some(digits) = path.get(at..at + 2) else { return false };
        let upper = digits.iter().all(|d| d.is_ascii_digit() || (b'A'..=b'F').contains(d));
        if !upper || hex_byte(digits).is_none_or(is_plain_in_path) {
            return false;
        }
        at += 2;
    }
    true
}

fn is_plain_in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte)
}
