//! The lines of TCP connections and UDP sessions (docs/reference/logs.md#connections). They have the columns and keys of a request's line,
//! as far as these mean something, and two more: the bytes that the client sent, and the reason of the end.

use std::net::SocketAddr;

use super::clf::{MILLI_NANOS, push_number_or_dash, push_quoted_or_dash, push_start, push_text_or_dash};
use super::format::{AccessLogFormat, LogField};
use super::json::{Line, push_address, push_ip, push_url};
use crate::observe::layer4::EndReason;
use crate::observe::time_format::{Timestamp, push_number};

/// The values of one line. All times are in nanoseconds.
#[derive(Clone, Copy)]
pub struct ConnectionRecord<'a> {
    /// When the connection was accepted, since 1970-01-01 00:00 UTC.
    pub start_unix_nanos: u64,
    /// Seconds that local time is ahead of UTC.
    pub local_offset_secs: i32,
    pub duration_nanos: u64,
    /// The peer of the connection, or the client that its PROXY protocol header names.
    pub client: SocketAddr,
    /// `TCP`, `TLS` for a connection whose TLS ended here, or `UDP`.
    pub protocol: &'a str,
    /// The server name that the client's TLS handshake named; empty if none.
    pub name: &'a [u8],
    /// The frontend's name, as the log shows it.
    pub frontend_name: &'a str,
    pub backend_name: &'a str,
    /// The server that was chosen last, if one was.
    pub server: Option<ConnectionServer<'a>>,
    /// Bytes that the client sent, and that it received.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub end: EndReason,
    /// The number among all lines, as for requests.
    pub request_count: u64,
    /// Servers that were tried before the last one.
    pub retry_attempts: u32,
}

/// The server of a connection.
#[derive(Clone, Copy)]
pub struct ConnectionServer<'a> {
    pub url: &'a [u8],
    /// `host:port`
    pub addr: &'a str,
}

impl AccessLogFormat {
    /// Appends the record's line, newline included. Returns false and appends nothing if the filters drop the record: a connection has no
    /// status, so filters by status alone drop it.
    pub fn append_connection(&self, record: &ConnectionRecord, out: &mut Vec<u8>) -> bool {
        if !self.passes(0, record.retry_attempts, record.duration_nanos) {
            return false;
        }
        if self.json {
            append_json(self, record, out);
        } else {
            append_clf(self, record, out);
        }
        true
    }
}

fn append_clf(format: &AccessLogFormat, record: &ConnectionRecord, out: &mut Vec<u8>) {
    match format.keeps(LogField::ClientHost) {
        true => push_ip(out, record.client.ip()),
        false => out.push(b'-'),
    }
    out.extend_from_slice(b" - - [");
    push_start(format, record.start_unix_nanos, record.local_offset_secs, out);
    out.extend_from_slice(b"] \"- ");
    push_text_or_dash(out, Some(record.name).filter(|_| format.keeps(LogField::RequestHost)));
    out.push(b' ');
    push_text_or_dash(out, Some(record.protocol.as_bytes()).filter(|_| format.keeps(LogField::RequestProtocol)));
    out.extend_from_slice(b"\" - ");
    push_number_or_dash(out, Some(record.bytes_out).filter(|_| format.keeps(LogField::DownstreamContentSize)));
    out.extend_from_slice(b" \"-\" \"-\" ");
    push_number_or_dash(out, Some(record.request_count).filter(|_| format.keeps(LogField::RequestCount)));
    out.push(b' ');
    push_quoted_or_dash(out, Some(record.frontend_name.as_bytes()).filter(|_| format.keeps(LogField::FrontendName)));
    out.push(b' ');
    push_quoted_or_dash(out, record.server.map(|server| server.url).filter(|_| format.keeps(LogField::BackendUrl)));
    out.push(b' ');
    push_number(out, if format.keeps(LogField::Duration) { record.duration_nanos / MILLI_NANOS } else { 0 });
    out.extend_from_slice(b"ms ");
    push_number_or_dash(out, Some(record.bytes_in).filter(|_| format.keeps(LogField::RequestContentSize)));
    out.push(b' ');
    push_text_or_dash(out, Some(record.end.name().as_bytes()).filter(|_| format.keeps(LogField::EndReason)));
    out.push(b'\n');
}

fn append_json(format: &AccessLogFormat, record: &ConnectionRecord, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut line = Line { format, out };
    if let Some(server) = record.server {
        line.text(LogField::BackendAddr, server.addr.as_bytes());
    }
    line.text(LogField::BackendName, record.backend_name.as_bytes());
    if let Some(server) = record.server
        && line.key(LogField::BackendUrl)
    {
        push_url(line.out, server.url);
        line.out.push(b',');
    }
    line.quoted(LogField::ClientAddr, |out| push_address(out, record.client));
    line.quoted(LogField::ClientHost, |out| push_ip(out, record.client.ip()));
    line.quoted(LogField::ClientPort, |out| push_number(out, record.client.port().into()));
    line.number(LogField::DownstreamContentSize, record.bytes_out);
    line.number(LogField::Duration, record.duration_nanos);
    line.text(LogField::EndReason, record.end.name().as_bytes());
    line.text(LogField::FrontendName, record.frontend_name.as_bytes());
    line.number(LogField::RequestContentSize, record.bytes_in);
    line.number(LogField::RequestCount, record.request_count);
    if !record.name.is_empty() {
        line.text(LogField::RequestHost, record.name);
    }
    line.text(LogField::RequestProtocol, record.protocol.as_bytes());
    line.number(LogField::RetryAttempts, record.retry_attempts.into());
    let second = line.start_at(record.start_unix_nanos, record.local_offset_secs);
    line.out.extend_from_slice(b"\"level\":\"info\",\"msg\":\"\",\"time\":\"");
    let end_nanos = record.start_unix_nanos.saturating_add(record.duration_nanos);
    second.or_of(Timestamp { unix_nanos: end_nanos, offset_secs: record.local_offset_secs }).push(line.out);
    line.out.extend_from_slice(b"\"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::access_log::AccessLogSettings;

    fn record() -> ConnectionRecord<'static> {
        ConnectionRecord {
            start_unix_nanos: 1_700_000_000_123_456_789,
            local_offset_secs: 0,
            duration_nanos: 12_345_678,
            client: "192.0.2.7:4711".parse().expect("an address"),
            protocol: "TCP",
            name: b"db.example.com",
            frontend_name: "db",
            backend_name: "backend-db",
            server: Some(ConnectionServer { url: b"tcp://10.0.0.5:5432", addr: "10.0.0.5:5432" }),
            bytes_in: 517,
            bytes_out: 4096,
            end: EndReason::ClientClosed,
            request_count: 7,
            retry_attempts: 1,
        }
    }

    fn line(settings: &AccessLogSettings, record: &ConnectionRecord) -> String {
        let mut out = Vec::new();
        AccessLogFormat::new(settings).0.append_connection(record, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn line_of_a_connection_has_name_server_bytes_and_reason_in_both_formats() {
        let clf = AccessLogSettings::default();
        assert_eq!(
            line(&clf, &record()),
            "192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] \"- db.example.com TCP\" - 4096 \"-\" \"-\" 7 \"db\" \
             \"tcp://10.0.0.5:5432\" 12ms 517 client_closed\n"
        );
        let json = AccessLogSettings { json: true, ..AccessLogSettings::default() };
        assert_eq!(
            line(&json, &record()),
            "{\"BackendAddr\":\"10.0.0.5:5432\",\"BackendName\":\"backend-db\",\"BackendURL\":{\"Scheme\":\"tcp\",\
             \"Opaque\":\"\",\"User\":null,\"Host\":\"10.0.0.5:5432\",\"Path\":\"\",\"RawPath\":\"\",\
             \"ForceQuery\":false,\"RawQuery\":\"\",\"Fragment\":\"\"},\"ClientAddr\":\"192.0.2.7:4711\",\
             \"ClientHost\":\"192.0.2.7\",\"ClientPort\":\"4711\",\"DownstreamContentSize\":4096,\
             \"Duration\":12345678,\"EndReason\":\"client_closed\",\"FrontendName\":\"db\",\
             \"RequestContentSize\":517,\"RequestCount\":7,\"RequestHost\":\"db.example.com\",\
             \"RequestProtocol\":\"TCP\",\"RetryAttempts\":1,\"StartLocal\":\"2023-11-14T22:13:20.123456789Z\",\
             \"StartUTC\":\"2023-11-14T22:13:20.123456789Z\",\"level\":\"info\",\"msg\":\"\",\
             \"time\":\"2023-11-14T22:13:20Z\"}\n"
        );
    }

    #[test]
    fn connection_without_name_and_server_has_dashes() {
        let refused = ConnectionRecord {
            name: b"",
            server: None,
            end: EndReason::NoServer,
            bytes_in: 0,
            bytes_out: 0,
            ..record()
        };
        let text = line(&AccessLogSettings::default(), &refused);
        assert!(text.ends_with("\"- - TCP\" - 0 \"-\" \"-\" 7 \"db\" - 12ms 0 no_server\n"), "{text}");
    }

    #[test]
    fn status_filter_drops_connections_and_other_filters_keep_them() {
        let by_status = AccessLogSettings { status_codes: vec!["200-599".into()], ..AccessLogSettings::default() };
        assert_eq!(line(&by_status, &record()), "");
        let by_duration = AccessLogSettings { min_duration_nanos: 1, ..by_status };
        assert!(line(&by_duration, &record()).contains("client_closed"));
    }
}
