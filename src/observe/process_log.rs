//! The format of the process log, in Traefik's two forms (docs/reference/logs.md#process-log).
//!
//! Common: `time="2026-11-23T15:42:15Z" level=info msg="…"`; JSON: `{"level":"info","msg":"…","time":"…"}`. Further fields of
//! an event follow as `name=value`, or as members. Traefik's coloured form for terminals does not exist.

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::go_json;
use super::time_format::Timestamp;

/// Formats events for `tracing_subscriber::fmt().event_format(..)`. Reads the clock once per line.
#[derive(Debug, Clone, Copy)]
pub struct ProcessLogFormat<C> {
    pub json: bool,
    pub clock: C,
}

/// Formats one line, newline included, for a message that no filter may drop; `level` is `fatal`, for example.
pub fn line(json: bool, timestamp: Timestamp, level: &str, message: &str) -> String {
    let entry = LogEntry { message: message.to_owned(), fields: Vec::new() };
    entry.line(json, timestamp, level)
}

impl<C, S, N> FormatEvent<S, N> for ProcessLogFormat<C>
where
    C: Fn() -> Timestamp,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut entry = LogEntry::default();
        event.record(&mut entry);
        writer.write_str(&entry.line(self.json, (self.clock)(), level_name(*event.metadata().level())))
    }
}

/// The name of a level in the log. Its finest level is debug, which trace events have as well.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// The content of an event: its message, and its other fields in order.
#[derive(Default)]
struct LogEntry {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

/// A field's value. A number or a boolean is written bare, a text in quotes where it needs them.
enum Value {
    Bare(String),
    Text(String),
}

impl Visit for LogEntry {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, Value::Text(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::Text(value.to_owned()));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Bare(value.to_string()));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::Bare(value.to_string()));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Bare(value.to_string()));
    }
}

impl LogEntry {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Bare(text) | Value::Text(text)) => self.message = text,
            (name, value) => self.fields.push((name, value)),
        }
    }

    fn line(&self, json: bool, timestamp: Timestamp, level: &str) -> String {
        let mut out = Vec::with_capacity(64 + self.message.len());
        if json {
            self.push_json(timestamp, level, &mut out);
        } else {
            self.push_common(timestamp, level, &mut out);
        }
        out.push(b'\n');
        String::from_utf8_lossy(&out).into_owned()
    }

    fn push_common(&self, timestamp: Timestamp, level: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"time=\"");
        timestamp.push_rfc3339(out);
        out.extend_from_slice(b"\" level=");
        out.extend_from_slice(level.as_bytes());
        out.extend_from_slice(b" msg=");
        push_quoted(&self.message, out);
        for (name, value) in &self.fields {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            match value {
                Value::Bare(text) => out.extend_from_slice(text.as_bytes()),
                Value::Text(text) if needs_no_quotes(text) => out.extend_from_slice(text.as_bytes()),
                Value::Text(text) => push_quoted(text, out),
            }
        }
    }

    fn push_json(&self, timestamp: Timestamp, level: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"level\":");
        go_json::push_string(out, level.as_bytes());
        out.extend_from_slice(b",\"msg\":");
        go_json::push_string(out, self.message.as_bytes());
        out.extend_from_slice(b",\"time\":\"");
        timestamp.push_rfc3339(out);
        out.push(b'"');
        for (name, value) in &self.fields {
            // A field of the event with the name of one of these three members must not repeat the member.
            let prefix = if matches!(*name, "level" | "msg" | "time") { "fields." } else { "" };
            out.push(b',');
            go_json::push_string(out, format!("{prefix}{name}").as_bytes());
            out.push(b':');
            match value {
                Value::Bare(text) => out.extend_from_slice(text.as_bytes()),
                Value::Text(text) => go_json::push_string(out, text.as_bytes()),
            }
        }
        out.push(b'}');
    }
}

/// Whether a text is written without quotes.
fn needs_no_quotes(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/@^+".contains(&b))
}

/// Appends a text in quotes, with escapes for all characters that could end the quotes or the line, or control a terminal.
fn push_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            other if other.is_control() => out.extend(other.escape_default().map(|c| c as u8)),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let clock = || Timestamp { unix_nanos: 1_795_448_537_000_000_000, offset_secs: 3600 };
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .event_format(ProcessLogFormat { json, clock })
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn common_form_quotes_and_escapes() {
        let lines = logged(false, || {
            tracing::info!("Server stopped");
            tracing::warn!(backend = "b 1", server = "10.0.0.1", tries = 3, up = false, "it said \"no\"\nlevel=info");
            tracing::trace!("fine");
        });
        let expected = "time=\"2026-11-23T16:42:17+01:00\" level=info msg=\"Server stopped\"\n\
            time=\"2026-11-23T16:42:17+01:00\" level=warning msg=\"it said \\\"no\\\"\\nlevel=info\" backend=\"b 1\" \
            server=10.0.0.1 tries=3 up=false\n\
            time=\"2026-11-23T16:42:17+01:00\" level=debug msg=\"fine\"\n";
        assert_eq!(lines, expected);
    }

    #[test]
    fn json_form_escapes_and_prefixes_reserved_names() {
        let lines = logged(true, || tracing::error!(time = 5, path = %"/a<b", "x {}", 1));
        let expected = "{\"level\":\"error\",\"msg\":\"x 1\",\"time\":\"2026-11-23T16:42:17+01:00\",\
            \"fields.time\":5,\"path\":\"/a\\u003cb\"}\n";
        assert_eq!(lines, expected);
    }

    #[test]
    fn fatal_line_is_formatted() {
        let fatal = line(false, Timestamp::utc(0), "fatal", "Error preparing server: no");
        assert_eq!(fatal, "time=\"1970-01-01T00:00:00Z\" level=fatal msg=\"Error preparing server: no\"\n");
    }
}
