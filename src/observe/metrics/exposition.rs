//! Writes a page of metrics in one of the two formats that Prometheus reads: the text format 0.0.4, and the protobuf format, which alone can
//! hold native histograms (docs/reference/metrics.md#native-histograms).

use std::io::Write;

use super::histogram::{HistogramSum, SCHEMA};
use super::protobuf;

/// Label names and values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// The format of a page of metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Text,
    Protobuf,
}

/// The kind of a metric, with its number in the protobuf format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

impl Format {
    /// The format of a reply to a request with this Accept field: protobuf if the client prefers the type of Prometheus' messages to text.
    pub fn of(accept: Option<&[u8]>) -> Format {
        let accept = accept.and_then(|accept| std::str::from_utf8(accept).ok()).unwrap_or_default();
        let (mut protobuf, mut text) = (0.0, 0.0);
        for item in accept.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let (mut quality, mut is_family, mut is_delimited) = (1.0, false, false);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "proto" => is_family = value.trim().trim_matches('"') == "io.prometheus.client.MetricFamily",
                    "encoding" => is_delimited = value.trim() == "delimited",
                    _ => {}
                }
            }
            match media_type {
                "application/vnd.google.protobuf" if is_family && is_delimited => {
                    protobuf = f64::max(protobuf, quality)
                }
                "text/plain" | "text/*" => text = f64::max(text, quality),
                _ => {}
            }
        }
        if protobuf > 0.0 && protobuf >= text { Format::Protobuf } else { Format::Text }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// A page in the making.
pub(super) struct Exposition {
    format: Format,
    page: Vec<u8>,
    name: String,
    kind: MetricType,
    /// The message of the current metric, in the protobuf format.
    family: Vec<u8>,
}

impl Exposition {
    pub(super) fn new(format: Format) -> Self {
        Exposition {
            format,
            page: Vec::with_capacity(4096),
            name: String::new(),
            kind: MetricType::Gauge,
            family: Vec::new(),
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end_family();
        self.page
    }

    /// Begins a metric. Its lines follow.
    pub(super) fn head(&mut self, name: &str, kind: MetricType, help: &str) {
        self.end_family();
        name.clone_into(&mut self.name);
        match self.format {
            // Writing to a Vec cannot fail.
            Format::Text => drop(writeln!(self.page, "# HELP {name} {help}\n# TYPE {name} {}", kind.name())),
            Format::Protobuf => {
                protobuf::bytes(&mut self.family, 1, name.as_bytes());
                protobuf::bytes(&mut self.family, 2, help.as_bytes());
                protobuf::number(&mut self.family, 3, kind as u64);
            }
        }
        self.kind = kind;
    }

    /// Adds a value of the metric.
    pub(super) fn line(&mut self, labels: Labels<'_>, value: f64) {
        match self.format {
            Format::Text => self.text_line("", labels, None, value),
            Format::Protobuf => {
                let mut figure = Vec::with_capacity(9);
                protobuf::double(&mut figure, 1, value);
                let field = if self.kind == MetricType::Counter { 3 } else { 2 };
                self.metric(labels, field, &figure);
            }
        }
    }

    /// Adds a histogram of the metric, with the upper bounds of its buckets in seconds.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, sum: &HistogramSum, bounds: &[f64]) {
        match self.format {
            Format::Text => self.text_histogram(labels, sum, bounds),
            Format::Protobuf => {
                let message = histogram_message(sum, bounds);
                self.metric(labels, 7, &message);
            }
        }
    }

    fn text_histogram(&mut self, labels: Labels<'_>, sum: &HistogramSum, bounds: &[f64]) {
        let mut up_to = 0;
        for (bound, count) in bounds.iter().zip(&sum.buckets) {
            up_to += count;
            self.text_line("_bucket", labels, Some(&bound.to_string()), up_to as f64);
        }
        // A request recorded between the reads of count and buckets must not make a bucket larger than `+Inf`.
        let count = sum.count.max(up_to) as f64;
        self.text_line("_bucket", labels, Some("+Inf"), count);
        self.text_line("_sum", labels, None, sum.sum_nanos as f64 / 1e9);
        self.text_line("_count", labels, None, count);
    }

    fn text_line(&mut self, suffix: &str, labels: Labels<'_>, le: Option<&str>, value: f64) {
        let page = &mut self.page;
        let _ = write!(page, "{}{suffix}", self.name);
        let labels = labels.iter().copied().chain(le.map(|le| ("le", le)));
        let mut end = &b""[..];
        for (at, (name, value)) in labels.enumerate() {
            let _ = write!(page, "{}{name}=\"", if at == 0 { '{' } else { ',' });
            push_escaped(page, value);
            page.push(b'"');
            end = b"}";
        }
        page.extend_from_slice(end);
        let _ = writeln!(page, " {value}");
    }

    /// Adds a Metric message with its labels; `field` is the number of the field that holds its value.
    fn metric(&mut self, labels: Labels<'_>, field: u32, value: &[u8]) {
        let mut metric = Vec::with_capacity(64 + value.len());
        for (name, value) in labels {
            let mut pair = Vec::with_capacity(4 + name.len() + value.len());
            protobuf::bytes(&mut pair, 1, name.as_bytes());
            protobuf::bytes(&mut pair, 2, value.as_bytes());
            protobuf::bytes(&mut metric, 1, &pair);
        }
        protobuf::bytes(&mut metric, field, value);
        protobuf::bytes(&mut self.family, 4, &metric);
    }

    fn end_family(&mut self) {
        if !self.family.is_empty() {
            protobuf::varint(&mut self.page, self.family.len() as u64);
            self.page.append(&mut self.family);
        }
    }
}

/// A Histogram message: the buckets of the text format, and the exponential ones beside them.
fn histogram_message(sum: &HistogramSum, bounds: &[f64]) -> Vec<u8> {
    let mut message = Vec::new();
    // Prometheus refuses a native histogram whose buckets do not add up to its count.
    let exponential: u64 = sum.exponential.iter().map(|(_, count)| count).sum();
    let count = if exponential > 0 { exponential } else { sum.count };
    protobuf::number(&mut message, 1, count);
    protobuf::double(&mut message, 2, sum.sum_nanos as f64 / 1e9);
    let mut up_to = 0;
    for (bound, bucket) in bounds.iter().zip(&sum.buckets) {
        up_to = count.min(up_to + bucket);
        let mut bucket = Vec::with_capacity(16);
        protobuf::number(&mut bucket, 1, up_to);
        protobuf::double(&mut bucket, 2, *bound);
        protobuf::bytes(&mut message, 3, &bucket);
    }
    if exponential > 0 {
        protobuf::signed(&mut message, 5, i64::from(SCHEMA));
        // As in the Go client; no duration is as short.
        protobuf::double(&mut message, 6, (-128f64).exp2());
        spans(&mut message, &sum.exponential);
    }
    message
}

/// Adds the spans of successive buckets, and the differences of their counts.
fn spans(message: &mut Vec<u8>, exponential: &[(i32, u64)]) {
    let (mut next, mut before, mut deltas) = (0, 0, Vec::new());
    for run in exponential.chunk_by(|(index, _), (following, _)| *following == index + 1) {
        let Some((first, _)) = run.first() else { continue };
        let mut span = Vec::with_capacity(8);
        protobuf::signed(&mut span, 1, i64::from(first - next));
        protobuf::number(&mut span, 2, run.len() as u64);
        protobuf::bytes(message, 12, &span);
        next = first + run.len() as i32;
        for (_, count) in run {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            protobuf::zigzag(&mut deltas, count - before);
            before = count;
        }
    }
    protobuf::bytes(message, 13, &deltas);
}

impl MetricType {
    fn name(self) -> &'static str {
        match self {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
        }
    }
}

/// Adds a label's value with its escapes: names come from containers and files, and may hold any character.
fn push_escaped(page: &mut Vec<u8>, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'\\' => page.extend_from_slice(b"\\\\"),
            b'"' => page.extend_from_slice(b"\\\""),
            b'\n' => page.extend_from_slice(b"\\n"),
            other => page.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protobuf_is_written_for_scrapers_that_prefer_it() {
        let prometheus = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
            application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::of(Some(prometheus.as_bytes())), Format::Protobuf);
        for text in [
            "",
            "*/*",
            "text/plain",
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/vnd.google.protobuf",
            "application/vnd.google.protobuf;proto=other.Message;encoding=delimited",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.2,text/plain",
        ] {
            assert_eq!(Format::of(Some(text.as_bytes())), Format::Text, "{text}");
        }
        assert_eq!(Format::of(Some(b"\xff")), Format::Text);
        assert_eq!(Format::of(None), Format::Text);
    }

    #[test]
    fn spans_skip_empty_buckets_and_deltas_follow_each_other() {
        let mut message = Vec::new();
        spans(&mut message, &[(-2, 5), (-1, 7), (3, 1)]);
        // Span {offset: -2, length: 2}, span {offset: 3, length: 1}, deltas 5, 2, -6.
        assert_eq!(message, [0x62, 4, 8, 3, 16, 2, 0x62, 4, 8, 6, 16, 1, 0x6a, 3, 10, 4, 11]);
    }
}
