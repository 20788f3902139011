//! Spans as messages of OTLP.

use hyper::body::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyKind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;

use super::about::About;
use crate::observe::trace::{self, SpanKind, Trace, Value};

/// Bits of a span's flags: the trace is sampled; the next bit says whether the parent is of another process; it is.
const SAMPLED: u32 = 1;
const KNOWS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// The message that carries traces.
pub fn body(traces: &[Trace], about: &About) -> Bytes {
    let spans = traces.iter().flat_map(|trace| trace.spans.iter().map(|span| span_of(trace, span, about))).collect();
    let scope = InstrumentationScope { name: "ringway".into(), version: about.version.into(), ..Default::default() };
    let attributes = vec![text("service.name", &about.service_name), text("host.name", &about.host_name)];
    let resource_spans = ResourceSpans {
        resource: Some(Resource { attributes, ..Default::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }],
        ..Default::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec().into()
}

/// The number of spans that the collector says it has rejected.
pub fn rejected_spans(response: &[u8]) -> u64 {
    let response = ExportTraceServiceResponse::decode(response).unwrap_or_default();
    response.partial_success.and_then(|partial| u64::try_from(partial.rejected_spans).ok()).unwrap_or(0)
}

fn span_of(trace: &Trace, span: &trace::Span, about: &About) -> Span {
    let kind = match trace::kind(span) {
        SpanKind::Server => span::SpanKind::Server,
        SpanKind::Client => span::SpanKind::Client,
        SpanKind::Internal => span::SpanKind::Internal,
    };
    let is_first = trace.spans.first().is_some_and(|first| std::ptr::eq(first, span));
    let is_remote = is_first && span.parent_id != 0;
    let mut attributes: Vec<KeyValue> = trace::attributes(&trace.request, span, &about.service_name)
        .into_iter()
        .map(|(name, value)| match value {
            Value::Text(value) => text(name, &value),
            Value::Number(number) => attribute(name, AnyKind::IntValue(number)),
            Value::True => attribute(name, AnyKind::BoolValue(true)),
        })
        .collect();
    attributes.extend(about.tag.iter().map(|(name, value)| text(name, value)));
    Span {
        trace_id: trace.id.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: if span.parent_id == 0 { Vec::new() } else { span.parent_id.to_be_bytes().to_vec() },
        flags: SAMPLED | KNOWS_REMOTE | if is_remote { IS_REMOTE } else { 0 },
        name: about.names.of(&trace.request, span),
        kind: kind.into(),
        start_time_unix_nano: span.start_unix_nanos,
        end_time_unix_nano: span.end_unix_nanos,
        attributes,
        status: trace::is_error(span)
            .then(|| Status { message: span.failure.clone().unwrap_or_default(), code: StatusCode::Error.into() }),
        ..Default::default()
    }
}

fn text(name: &str, value: &str) -> KeyValue {
    attribute(name, AnyKind::StringValue(value.to_owned()))
}

fn attribute(name: &str, value: AnyKind) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}
