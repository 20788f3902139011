//! Spans as JSON of Zipkin's second API.

use std::net::IpAddr;

use hyper::body::Bytes;
use serde_json::{Map, Value as Json, json};

use super::about::About;
use crate::observe::trace::{self, Attribute, Span, SpanKind, Trace, Value};

/// The array that carries traces.
pub fn body(traces: &[Trace], about: &About) -> Bytes {
    let spans = traces.iter().flat_map(|trace| trace.spans.iter().map(|span| span_of(trace, span, about)));
    Json::Array(spans.collect()).to_string().into()
}

fn span_of(trace: &Trace, span: &Span, about: &About) -> Json {
    let attributes = trace::attributes(&trace.request, span, &about.service_name);
    let long_id = trace.id >> 64 != 0;
    let trace_id = if long_id { format!("{:032x}", trace.id) } else { format!("{:016x}", trace.id) };
    let start = span.start_unix_nanos / 1000;
    let mut json = json!({
        "traceId": trace_id,
        "id": format!("{:016x}", span.id),
        "name": about.names.of(&trace.request, span),
        "timestamp": start,
        "duration": (span.end_unix_nanos / 1000).saturating_sub(start).max(1),
        "localEndpoint": { "serviceName": about.service_name },
        "tags": tags(&attributes, span, about),
    });
    let Some(object) = json.as_object_mut() else { return json };
    let mut insert = |name: &str, value: Json| object.insert(name.to_owned(), value);
    if span.parent_id != 0 {
        insert("parentId", format!("{:016x}", span.parent_id).into());
    }
    match trace::kind(span) {
        SpanKind::Server => insert("kind", "SERVER".into()),
        SpanKind::Client => insert("kind", "CLIENT".into()),
        SpanKind::Internal => None,
    };
    if span.is_shared {
        insert("shared", true.into());
    }
    if trace.is_debug {
        insert("debug", true.into());
    }
    if let Some(endpoint) = remote_endpoint(trace, span, &attributes) {
        insert("remoteEndpoint", endpoint);
    }
    json
}

/// The tags, which are texts. The tag `error` says why, if that is known.
fn tags(attributes: &[Attribute], span: &Span, about: &About) -> Map<String, Json> {
    let text = |(name, value): &Attribute| {
        let text = match value {
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::True => span.failure.clone().filter(|_| *name == "error").unwrap_or_else(|| "true".to_owned()),
        };
        ((*name).to_owned(), Json::from(text))
    };
    let own = about.tag.iter().map(|(name, value)| (name.clone(), Json::from(value.as_str())));
    attributes.iter().map(text).chain(own).collect()
}

/// The other side of the span: the client, or the server if its address is in its URL.
fn remote_endpoint(trace: &Trace, span: &Span, attributes: &[Attribute]) -> Option<Json> {
    let (address, port) = match trace::kind(span) {
        SpanKind::Server => (trace.request.client.as_str(), i64::from(trace.request.client_port)),
        SpanKind::Client => {
            let find = |wanted: &str| attributes.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
            match (find("server.address"), find("server.port")) {
                (Some(Value::Text(address)), Some(Value::Number(port))) => (address.as_str(), *port),
                _ => return None,
            }
        }
        SpanKind::Internal => return None,
    };
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => Some(json!({ "ipv4": address.to_string(), "port": port })),
        Ok(IpAddr::V6(address)) => Some(json!({ "ipv6": address.to_string(), "port": port })),
        Err(_) => Some(json!({ "serviceName": address, "port": port })),
    }
}
