//! A collector that keeps what it gets: OTLP as protobuf, decoded by the library of OpenTelemetry, and JSON of Zipkin.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::support::origin::find;
use crate::support::wait_for;

const SPANS_SECS_MAX: u64 = 30;

/// A request that the collector has got.
#[derive(Debug, Clone)]
pub struct Got {
    pub head: String,
    pub body: Vec<u8>,
}

pub struct Collector {
    pub port: u16,
    status: Arc<AtomicU16>,
    got: Arc<Mutex<Vec<Got>>>,
}

/// A span as OTLP carries it, as text.
#[derive(Debug, Clone)]
pub struct SeenSpan {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    /// 1 internal, 2 server, 3 client
    pub kind: i32,
    pub flags: u32,
    pub is_error: bool,
    pub nanos: u64,
    pub tags: BTreeMap<String, String>,
    pub resource: BTreeMap<String, String>,
}

impl Collector {
    pub fn start() -> Collector {
        Collector::on(0)
    }

    /// A collector on a port that was used before.
    pub fn on(port: u16) -> Collector {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let collector = Collector { port, status: Arc::new(AtomicU16::new(200)), got: Arc::default() };
        let (status, got) = (Arc::clone(&collector.status), Arc::clone(&collector.got));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (status, got) = (Arc::clone(&status), Arc::clone(&got));
                thread::spawn(move || take_all(stream, &status, &got));
            }
        });
        collector
    }

    /// Answers further requests with this status.
    pub fn answer(&self, status: u16) {
        self.status.store(status, SeqCst);
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().expect("unpoisoned").clone()
    }

    /// The spans so far, from OTLP.
    pub fn spans(&self) -> Vec<SeenSpan> {
        self.got().iter().flat_map(|got| spans_of(&got.body)).collect()
    }

    /// The spans of the request for this path: that of the entry point and all below it; none before the request has ended.
    pub fn request(&self, path: &str) -> Vec<SeenSpan> {
        let all = self.spans();
        let is_entry =
            |span: &&SeenSpan| span.kind == 2 && span.tags.get("url.path").is_some_and(|found| found == path);
        let mut found: Vec<SeenSpan> = all.iter().filter(is_entry).take(1).cloned().collect();
        let mut next = 0;
        while let Some(parent) = found.get(next).map(|span| (span.trace.clone(), span.id.clone())) {
            found.extend(all.iter().filter(|span| (&span.trace, &span.parent) == (&parent.0, &parent.1)).cloned());
            next += 1;
        }
        found
    }

    /// The spans of the request for this path, once there are `count`.
    pub fn trace(&self, path: &str, count: usize) -> Vec<SeenSpan> {
        wait_for(&format!("{count} spans of {path}"), Duration::from_secs(SPANS_SECS_MAX), || {
            let spans = self.request(path);
            if spans.len() == count { Ok(spans) } else { Err(format!("{spans:#?} of {:#?}", self.spans())) }
        })
    }

    /// The spans of a trace in Zipkin's JSON, once there are `count`.
    pub fn zipkin(&self, trace: &str, count: usize) -> Vec<serde_json::Value> {
        wait_for(&format!("{count} spans"), Duration::from_secs(SPANS_SECS_MAX), || {
            let all = self.got().into_iter().flat_map(|got| json_of(&got.body));
            let spans: Vec<serde_json::Value> = all.filter(|span| span["traceId"] == trace).collect();
            if spans.len() == count { Ok(spans) } else { Err(format!("{spans:#?}")) }
        })
    }
}

fn json_of(body: &[u8]) -> Vec<serde_json::Value> {
    serde_json::from_slice(body).expect("an array")
}

/// The span with this name; fails if there is none.
pub fn named<'a>(spans: &'a [SeenSpan], name: &str) -> &'a SeenSpan {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name} in {spans:#?}"))
}

fn spans_of(body: &[u8]) -> Vec<SeenSpan> {
    let request = ExportTraceServiceRequest::decode(body).expect("a message of OTLP");
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = texts(&of_resource.resource.unwrap_or_default().attributes);
        let all = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(all.map(|span| seen(span, &resource)));
    }
    spans
}

fn seen(span: Span, resource: &BTreeMap<String, String>) -> SeenSpan {
    SeenSpan {
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name,
        kind: span.kind,
        flags: span.flags,
        is_error: span.status.is_some_and(|status| status.code == 2),
        nanos: span.end_time_unix_nano.checked_sub(span.start_time_unix_nano).expect("an end after the start"),
        tags: texts(&span.attributes),
        resource: resource.clone(),
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.clone().and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is_true)) => is_true.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes the requests of one connection.
fn take_all(mut stream: TcpStream, status: &AtomicU16, got: &Mutex<Vec<Got>>) -> Option<()> {
    let mut pending = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = find(&pending, b"\r\n\r\n") {
                break end + 4;
            }
            read_more(&mut stream, &mut pending)?;
        };
        let head = String::from_utf8_lossy(&pending[..end]).into_owned();
        pending.drain(..end);
        let length = field(&head, "content-length")?.parse().ok()?;
        while pending.len() < length {
            read_more(&mut stream, &mut pending)?;
        }
        let body = plain(&head, pending.drain(..length).collect());
        let status = status.load(SeqCst);
        if status == 200 {
            got.lock().expect("unpoisoned").push(Got { head, body });
        }
        stream.write_all(format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n").as_bytes()).ok()?;
    }
}

/// The body without its compression.
fn plain(head: &str, body: Vec<u8>) -> Vec<u8> {
    if field(head, "content-encoding").as_deref() != Some("gzip") {
        return body;
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).expect("gzip");
    plain
}

/// The value of a field of a head.
pub fn field(head: &str, name: &str) -> Option<String> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

/// How many fields of a head have this name.
pub fn count(head: &str, name: &str) -> usize {
    head.lines().filter_map(|line| line.split_once(':')).filter(|(found, _)| found.eq_ignore_ascii_case(name)).count()
}

fn read_more(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 16 * 1024];
    let bytes = stream.read(&mut piece).ok().filter(|bytes| *bytes > 0)?;
    pending.extend_from_slice(&piece[..bytes]);
    Some(())
}
