//! The common log format with Traefik's additions (docs/reference/logs.md#clf).

use std::io::Write;

use super::format::{AccessLogFormat, HeaderMode, LogField};
use super::{AccessLogRecord, FieldList};
use crate::observe::go_json::push_hex;
use crate::observe::time_format::{Timestamp, push_number};

/// The last column is in milliseconds.
pub(super) const MILLI_NANOS: u64 = 1_000_000;

pub(super) fn append(format: &AccessLogFormat, record: &AccessLogRecord, out: &mut Vec<u8>) {
    push_client(format, record, out);
    out.extend_from_slice(b" [");
    push_time(format, record, out);
    out.extend_from_slice(b"] \"");
    push_text_or_dash(out, Some(record.method).filter(|_| format.keeps(LogField::RequestMethod)));
    out.push(b' ');
    push_text_or_dash(out, Some(record.target).filter(|_| format.keeps(LogField::RequestPath)));
    out.push(b' ');
    push_text_or_dash(out, Some(record.protocol.as_bytes()).filter(|_| format.keeps(LogField::RequestProtocol)));
    out.extend_from_slice(b"\" ");
    let origin = record.origin.as_ref();
    push_number_or_dash(out, origin.map(|o| o.status.into()).filter(|_| format.keeps(LogField::OriginStatus)));
    out.push(b' ');
    push_number_or_dash(out, origin.map(|o| o.size).filter(|_| format.keeps(LogField::OriginContentSize)));
    out.push(b' ');
    push_header(format, "Referer", record.request_fields, out);
    out.push(b' ');
    push_header(format, "User-Agent", record.request_fields, out);
    out.push(b' ');
    push_number_or_dash(out, Some(record.request_count).filter(|_| format.keeps(LogField::RequestCount)));
    out.push(b' ');
    let frontend = record.logged_frontend_name().map(str::as_bytes);
    push_quoted_or_dash(out, frontend.filter(|_| format.keeps(LogField::FrontendName)));
    out.push(b' ');
    push_quoted_or_dash(out, origin.map(|o| o.backend_url).filter(|_| format.keeps(LogField::BackendUrl)));
    out.push(b' ');
    // A dropped duration is written as `0ms`, not as a dash, so that the column keeps its unit.
    push_number(out, if format.keeps(LogField::Duration) { record.duration_nanos / MILLI_NANOS } else { 0 });
    out.extend_from_slice(b"ms\n");
}

fn push_client(format: &AccessLogFormat, record: &AccessLogRecord, out: &mut Vec<u8>) {
    match record.forwarded_for.filter(|list| !list.is_empty()) {
        _ if !format.keeps(LogField::ClientHost) => out.push(b'-'),
        Some(list) => push_escaped(out, list),
        None => {
            let _ = write!(out, "{}", record.client.ip());
        }
    }
    out.extend_from_slice(b" - ");
    push_text_or_dash(out, record.username.filter(|_| format.keeps(LogField::ClientUsername)));
}

fn push_time(format: &AccessLogFormat, record: &AccessLogRecord, out: &mut Vec<u8>) {
    push_start(format, record.start_unix_nanos, record.local_offset_secs, out);
}

/// Appends the start in UTC or in local time, whichever is kept.
pub(super) fn push_start(format: &AccessLogFormat, unix_nanos: u64, offset_secs: i32, out: &mut Vec<u8>) {
    let mut start = Timestamp::utc(unix_nanos);
    if format.keeps(LogField::StartUtc) {
        start.push_clf(out);
    } else if format.keeps(LogField::StartLocal) {
        start.offset_secs = offset_secs;
        start.push_clf(out);
    } else {
        out.push(b'-');
    }
}

fn push_header(format: &AccessLogFormat, name: &str, fields: FieldList, out: &mut Vec<u8>) {
    let value = match format.header(name.as_bytes()) {
        HeaderMode::Drop => None,
        HeaderMode::Keep => fields.first(name).filter(|value| !value.is_empty()),
        HeaderMode::Redact => fields.first(name).map(|_| &b"REDACTED"[..]),
    };
    out.push(b'"');
    push_text_or_dash(out, value);
    out.push(b'"');
}

pub(super) fn push_number_or_dash(out: &mut Vec<u8>, number: Option<u64>) {
    match number {
        Some(number) => push_number(out, number),
        None => out.push(b'-'),
    }
}

pub(super) fn push_text_or_dash(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) if !text.is_empty() => push_escaped(out, text),
        _ => out.push(b'-'),
    }
}

pub(super) fn push_quoted_or_dash(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) if !text.is_empty() => {
            out.push(b'"');
            push_escaped(out, text);
            out.push(b'"');
        }
        _ => out.push(b'-'),
    }
}

/// Appends a text. Bytes that could end a quoted text or a line, or control a terminal, become escapes such as `\x0a`.
fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut plain_from = 0;
    for (at, &byte) in text.iter().enumerate() {
        if matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[plain_from..at]);
        out.extend_from_slice(b"\\x");
        push_hex(out, byte);
        plain_from = at + 1;
    }
    out.extend_from_slice(&text[plain_from..]);
}
