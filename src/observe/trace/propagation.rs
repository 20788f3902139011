//! Finds the fields of a request that carry the context of a trace, and writes those that the proxy sends in their place
//! (docs/reference/tracing.md#propagation).

use super::context::{B3Fields, Parent};
use super::unrecorded::Unrecorded;
use crate::http::{Field, KnownField, RequestHead};

/// A way in which requests carry the context of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    TraceContext = 1,
    B3 = 2,
    B3Fields = 4,
    Jaeger = 8,
    Datadog = 16,
}

/// A set of formats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Formats(u8);

impl Formats {
    pub fn with(self, format: Format) -> Formats {
        Formats(self.0 | format as u8)
    }

    #[inline]
    fn has(self, format: Format) -> bool {
        self.0 & format as u8 != 0
    }
}

/// The meaning of a field. The order is that of [`FIXED_NAMES`], then the names of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContextField {
    TraceParent,
    TraceState,
    B3,
    B3TraceId,
    B3SpanId,
    B3ParentSpanId,
    B3Sampled,
    B3Flags,
    Jaeger,
    DatadogTraceId,
    DatadogParentId,
    DatadogPriority,
}

const FIXED_NAMES: [(ContextField, &str); 8] = [
    (ContextField::TraceParent, "traceparent"),
    (ContextField::TraceState, "tracestate"),
    (ContextField::B3, "b3"),
    (ContextField::B3TraceId, "X-B3-TraceId"),
    (ContextField::B3SpanId, "X-B3-SpanId"),
    (ContextField::B3ParentSpanId, "X-B3-ParentSpanId"),
    (ContextField::B3Sampled, "X-B3-Sampled"),
    (ContextField::B3Flags, "X-B3-Flags"),
];
const FIELDS: usize = 12;
/// Names of this length or longer have one bit in [`Propagation::lengths`].
const LENGTH_MAX: usize = 63;

/// The names of Datadog's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatadogNames {
    pub trace_id: String,
    pub parent_id: String,
    pub priority: String,
}

/// The fields that a configuration reads and writes.
#[derive(Debug)]
pub struct Propagation {
    /// The format of the configured backend, which counts first.
    native: Format,
    names: Vec<(ContextField, String)>,
    /// The lengths and the first letters that names have, as bits: nearly all other fields are told apart by them.
    lengths: u64,
    letters: u64,
    /// `None` if values of the backend's format have no fixed width.
    unrecorded: Option<Unrecorded>,
}

/// The ids that a request to a server carries.
#[derive(Debug, Clone, Copy)]
pub struct SentContext {
    pub trace_id: u128,
    pub span_id: u64,
    /// The parent of that span, 0 without one.
    pub parent_id: u64,
    pub is_sampled: bool,
    pub is_debug: bool,
}

/// The context in a received head.
#[derive(Debug, Default)]
pub struct Received {
    pub parent: Option<Parent>,
    /// The formats in which the client sent a context, whether it can be read or not.
    pub formats: Formats,
    /// The `tracestate` belongs to the parent's trace.
    keeps_state: bool,
}

impl Propagation {
    /// The fields of W3C Trace Context and B3, and those of the backend.
    ///
    /// `high` is the higher half of the ids of traces that are not recorded, 0 where ids have 64 bits.
    pub fn new(native: Format, jaeger_name: &str, datadog: &DatadogNames, high: u64) -> Propagation {
        let mut names: Vec<(ContextField, String)> =
            FIXED_NAMES.iter().map(|(field, name)| (*field, (*name).to_owned())).collect();
        match native {
            Format::Jaeger => names.push((ContextField::Jaeger, jaeger_name.to_owned())),
            Format::Datadog => names.extend([
                (ContextField::DatadogTraceId, datadog.trace_id.clone()),
                (ContextField::DatadogParentId, datadog.parent_id.clone()),
                (ContextField::DatadogPriority, datadog.priority.clone()),
            ]),
            Format::TraceContext | Format::B3 | Format::B3Fields => {}
        }
        let lengths = names.iter().fold(0, |bits, (_, name)| bits | length_bit(name.len()));
        let letters = names.iter().fold(0, |bits, (_, name)| bits | letter_bit(name.as_bytes()));
        let mut propagation = Propagation { native, names, lengths, letters, unrecorded: None };
        if matches!(native, Format::TraceContext | Format::B3 | Format::B3Fields) {
            // Any number whose digits stand nowhere else.
            let number = if high == 0x0123_4567_89ab_cdef { !high } else { 0x0123_4567_89ab_cdef };
            propagation.unrecorded = Some(Unrecorded::new(propagation.unrecorded_lines(high, number), hex64(number)));
        }
        propagation
    }

    fn unrecorded_lines(&self, high: u64, number: u64) -> Vec<u8> {
        let trace_id = u128::from(high) << 64 | u128::from(number);
        let sent = SentContext { trace_id, span_id: number, parent_id: 0, is_sampled: false, is_debug: false };
        let mut lines = Vec::new();
        self.write(self.formats(), &sent, &mut lines);
        lines
    }

    /// Replaces `out` by the lines of a new trace that is not recorded, and that has this number. False if only [`Propagation::write`] can
    /// make them.
    #[inline]
    pub fn write_unrecorded(&self, number: u64, out: &mut Vec<u8>) -> bool {
        let Some(unrecorded) = &self.unrecorded else { return false };
        unrecorded.write(hex64(number), out);
        true
    }

    /// The formats of a request whose client sent no context.
    pub fn formats(&self) -> Formats {
        Formats::default().with(Format::TraceContext).with(self.native)
    }

    /// Whether a head has a field of a trace's context.
    #[inline]
    pub fn is_in(&self, head: &RequestHead, bytes: &[u8]) -> bool {
        head.fields.iter().any(|field| self.meaning(field, bytes).is_some())
    }

    /// The meaning of a received field; the usual case, a name of another length, is decided first.
    #[inline]
    fn meaning(&self, field: &Field, bytes: &[u8]) -> Option<ContextField> {
        let length = (field.name.end - field.name.start) as usize;
        if self.lengths & length_bit(length) == 0 || field.known != KnownField::Other {
            return None;
        }
        let name = field.name.of(bytes);
        if self.letters & letter_bit(name) == 0 || field.hop { None } else { self.named(name) }
    }

    fn named(&self, name: &[u8]) -> Option<ContextField> {
        self.names.iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(field, _)| *field)
    }

    /// Whether a name is that of a field which the proxy writes itself.
    pub fn is_context_name(&self, name: &[u8]) -> bool {
        self.named(name).is_some_and(|field| field != ContextField::TraceState)
    }

    /// Calls `visit` with each name that the proxy writes itself.
    pub fn written_names(&self) -> impl Iterator<Item = &[u8]> {
        let written = self.names.iter().filter(|(field, _)| *field != ContextField::TraceState);
        written.map(|(_, name)| name.as_bytes())
    }

    /// Reads the context of a head. The format of the backend counts first, then W3C Trace Context, then B3.
    pub fn read(&self, head: &RequestHead, bytes: &[u8]) -> Received {
        let mut values: [Option<&[u8]>; FIELDS] = [None; FIELDS];
        let mut has_two_parents = false;
        for field in &head.fields {
            let Some(meaning) = self.meaning(field, bytes) else { continue };
            let value = &mut values[meaning as usize];
            has_two_parents |= meaning == ContextField::TraceParent && value.is_some();
            *value = value.or(Some(field.value.of(bytes)));
        }
        let value = |field: ContextField| values[field as usize];
        let trace_context =
            value(ContextField::TraceParent).filter(|_| !has_two_parents).and_then(Parent::of_traceparent);
        let b3_fields = B3Fields {
            trace_id: value(ContextField::B3TraceId),
            span_id: value(ContextField::B3SpanId),
            parent_span_id: value(ContextField::B3ParentSpanId),
            sampled: value(ContextField::B3Sampled),
            flags: value(ContextField::B3Flags),
        };
        let has_b3_fields = b3_fields.trace_id.or(b3_fields.sampled).or(b3_fields.flags).is_some();
        let datadog = value(ContextField::DatadogTraceId).zip(value(ContextField::DatadogParentId));
        let read = [
            (Format::TraceContext, trace_context, value(ContextField::TraceParent).is_some()),
            (Format::B3, value(ContextField::B3).and_then(Parent::of_b3), value(ContextField::B3).is_some()),
            (Format::B3Fields, Parent::of_b3_fields(&b3_fields), has_b3_fields),
            (
                Format::Jaeger,
                value(ContextField::Jaeger).and_then(Parent::of_jaeger),
                value(ContextField::Jaeger).is_some(),
            ),
            (
                Format::Datadog,
                datadog.and_then(|(trace, span)| Parent::of_datadog(trace, span, value(ContextField::DatadogPriority))),
                datadog.is_some(),
            ),
        ];
        let formats =
            read.iter().filter(|(.., is_sent)| *is_sent).fold(self.formats(), |all, (format, ..)| all.with(*format));
        let native = read.iter().find(|(format, ..)| *format == self.native).and_then(|(_, parent, _)| *parent);
        let parent = native.or_else(|| read.iter().find_map(|(_, parent, _)| *parent));
        let keeps_state = trace_context.is_some_and(|state| parent.is_some_and(|p| p.trace_id == state.trace_id));
        Received { parent, formats, keeps_state }
    }

    /// Marks the fields that the proxy writes itself, so that the received ones are not forwarded, and a `tracestate` that belongs to no
    /// trace that goes on (W3C Trace Context 3.3).
    pub fn drop_received(&self, received: &Received, head: &mut RequestHead, bytes: &[u8]) {
        for field in &mut head.fields {
            let is_replaced = match self.meaning(field, bytes) {
                Some(ContextField::TraceState) => !received.keeps_state,
                Some(_) => true,
                None => false,
            };
            field.hop |= is_replaced;
        }
    }

    /// Appends the fields of a request to a server as lines, and an empty line.
    pub fn write(&self, formats: Formats, sent: &SentContext, out: &mut Vec<u8>) {
        self.each_sent(formats, sent, |name, value| {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        });
        out.extend_from_slice(b"\r\n");
    }

    /// Calls `visit` with names and values of the fields of a request to a server.
    pub fn each_sent(&self, formats: Formats, sent: &SentContext, mut visit: impl FnMut(&[u8], &[u8])) {
        if formats.has(Format::TraceContext) {
            visit(b"traceparent", &traceparent(sent.trace_id, sent.span_id, sent.is_sampled));
        }
        if formats.has(Format::B3) {
            visit(b"b3", b3(sent).as_bytes());
        }
        if formats.has(Format::B3Fields) {
            visit(b"X-B3-TraceId", b3_trace_id(sent.trace_id).as_bytes());
            visit(b"X-B3-SpanId", &hex64(sent.span_id));
            if sent.parent_id != 0 {
                visit(b"X-B3-ParentSpanId", &hex64(sent.parent_id));
            }
            match sent.is_debug {
                true => visit(b"X-B3-Flags", b"1"),
                false => visit(b"X-B3-Sampled", if sent.is_sampled { b"1" } else { b"0" }),
            }
        }
        let configured = |wanted: ContextField| {
            let found = self.names.iter().find(|(field, _)| *field == wanted);
            found.map_or(&b""[..], |(_, name)| name.as_bytes())
        };
        if formats.has(Format::Jaeger) {
            let flags = u8::from(sent.is_sampled) | (u8::from(sent.is_debug) << 1);
            let value = format!("{:x}:{:x}:{:x}:{flags:x}", sent.trace_id, sent.span_id, sent.parent_id);
            visit(configured(ContextField::Jaeger), value.as_bytes());
        }
        if formats.has(Format::Datadog) {
            let trace_id = (sent.trace_id as u64).to_string();
            visit(configured(ContextField::DatadogTraceId), trace_id.as_bytes());
            visit(configured(ContextField::DatadogParentId), sent.span_id.to_string().as_bytes());
            visit(configured(ContextField::DatadogPriority), if sent.is_sampled { b"1" } else { b"0" });
        }
    }
}

#[inline]
fn length_bit(length: usize) -> u64 {
    1 << length.min(LENGTH_MAX)
}

/// The bit that stands for the first letter of a name, in any case.
#[inline]
fn letter_bit(name: &[u8]) -> u64 {
    1 << name.first().map_or(0, |letter| letter % 32)
}

/// The value of a `traceparent`.
#[inline]
fn traceparent(trace_id: u128, span_id: u64, is_sampled: bool) -> [u8; 55] {
    let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
    value[3..19].copy_from_slice(&hex64((trace_id >> 64) as u64));
    value[19..35].copy_from_slice(&hex64(trace_id as u64));
    value[36..52].copy_from_slice(&hex64(span_id));
    value[54] = b'0' + u8::from(is_sampled);
    value
}

/// The sixteen hexadecimal digits of a number, computed for all digits at once.
#[inline]
pub fn hex64(number: u64) -> [u8; 16] {
    // Each nibble gets a byte of its own; then 9 and below become digits, the others letters.
    let mut spread = u128::from(number);
    spread = (spread | (spread << 32)) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    spread = (spread | (spread << 16)) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    spread = (spread | (spread << 8)) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    spread = (spread | (spread << 4)) & 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f;
    const ONES: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;
    let letters = ((spread + 6 * ONES) >> 4) & ONES;
    (spread + u128::from(b'0') * ONES + u128::from(b'a' - b'0' - 10) * letters).to_be_bytes()
}

fn b3_trace_id(trace_id: u128) -> String {
    if trace_id >> 64 == 0 { format!("{trace_id:016x}") } else { format!("{trace_id:032x}") }
}

fn b3(sent: &SentContext) -> String {
    let state = match (sent.is_debug, sent.is_sampled) {
        (true, _) => 'd',
        (false, true) => '1',
        (false, false) => '0',
    };
    let ids = format!("{}-{:016x}-{state}", b3_trace_id(sent.trace_id), sent.span_id);
    if sent.parent_id == 0 { ids } else { format!("{ids}-{:016x}", sent.parent_id) }
}

#[cfg(test)]
mod tests {
    use super::super::context::Decision;
    use super::*;
    use crate::http::HeadLimits;
    use crate::http::h1::request_head::parse_request;

    const SENT: SentContext =
        SentContext { trace_id: 0xab << 64 | 1, span_id: 2, parent_id: 3, is_sampled: true, is_debug: false };

    fn datadog_names() -> DatadogNames {
        DatadogNames { trace_id: "dd-trace".into(), parent_id: "dd-parent".into(), priority: "dd-priority".into() }
    }

    fn propagation(native: Format) -> Propagation {
        Propagation::new(native, "uber-trace-id", &datadog_names(), 0xfeed)
    }

    fn parsed(fields: &str) -> (RequestHead, Vec<u8>) {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
        let mut head = RequestHead::default();
        parse_request(&text, &HeadLimits::REQUEST, &mut head).expect("a request");
        (head, text)
    }

    #[test]
    fn hex_digits_are_those_of_the_formatter() {
        for number in [0, 1, 9, 10, 0xf, 0x0123_4567_89ab_cdef, u64::MAX, 0x9999_aaaa_0000_ffff] {
            assert_eq!(hex64(number).to_vec(), format!("{number:016x}").into_bytes());
        }
    }

    #[test]
    fn each_format_reads_what_it_writes() {
        for format in [Format::TraceContext, Format::B3, Format::B3Fields, Format::Jaeger, Format::Datadog] {
            let propagation = propagation(format);
            let mut lines = Vec::new();
            propagation.write(Formats::default().with(format), &SENT, &mut lines);
            let lines = String::from_utf8(lines).expect("text");
            let (head, bytes) = parsed(lines.strip_suffix("\r\n").expect("an empty line"));
            assert!(propagation.is_in(&head, &bytes));
            let received = propagation.read(&head, &bytes);
            let parent = received.parent.expect("a parent");
            let expected = if format == Format::Datadog { 1 } else { SENT.trace_id };
            assert_eq!(
                (parent.trace_id, parent.span_id, parent.decision),
                (expected, 2, Decision::Sampled),
                "{format:?}"
            );
            assert_eq!(received.formats, propagation.formats().with(format));
        }
    }

    #[test]
    fn trace_that_is_not_recorded_has_the_lines_of_its_number() {
        for native in [Format::TraceContext, Format::B3, Format::B3Fields, Format::Jaeger, Format::Datadog] {
            for high in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
                let propagation = Propagation::new(native, "uber-trace-id", &datadog_names(), high);
                for number in [1, 0xabc, 0x0123_4567_89ab_cdef, u64::MAX] {
                    let mut lines = b"of another request".to_vec();
                    let has_fixed_width = propagation.write_unrecorded(number, &mut lines);
                    assert_eq!(has_fixed_width, !matches!(native, Format::Jaeger | Format::Datadog), "{native:?}");
                    if has_fixed_width {
                        let expected = propagation.unrecorded_lines(high, number);
                        assert_eq!(lines, expected, "{native:?}, {high:x}, {number:x}");
                    }
                }
            }
        }
    }

    #[test]
    fn format_of_the_backend_counts_before_trace_context() {
        let fields = "traceparent: 00-000000000000000000000000000000aa-00000000000000bb-00\r\nb3: 00000000000000cc-00000000000000dd-1\r\n";
        let (head, bytes) = parsed(fields);
        let trace_of = |native| propagation(native).read(&head, &bytes).parent.map(|parent| parent.trace_id);
        assert_eq!(trace_of(Format::TraceContext), Some(0xaa));
        assert_eq!(trace_of(Format::B3), Some(0xcc));
        assert_eq!(trace_of(Format::Jaeger), Some(0xaa));
    }

    #[test]
    fn state_goes_with_its_parent_only() {
        let propagation = propagation(Format::TraceContext);
        for (parent, is_kept) in
            [("00-000000000000000000000000000000aa-00000000000000bb-01", true), ("00-broken-01", false)]
        {
            let (mut head, bytes) = parsed(&format!("tracestate: a=1\r\nTraceParent: {parent}\r\nX-Other: 1\r\n"));
            let received = propagation.read(&head, &bytes);
            propagation.drop_received(&received, &mut head, &bytes);
            let dropped: Vec<bool> = head.fields.iter().map(|field| field.hop).collect();
            assert_eq!(dropped, [false, !is_kept, true, false], "{parent}");
        }
        let (head, bytes) = parsed(
            "traceparent: 00-000000000000000000000000000000aa-00000000000000bb-01\r\ntraceparent: 00-000000000000000000000000000000aa-00000000000000bb-01\r\n",
        );
        assert_eq!(propagation.read(&head, &bytes).parent, None, "two of them are none");
    }

    #[test]
    fn debug_trace_of_b3_needs_no_sampled_field() {
        let debug = SentContext { is_debug: true, parent_id: 0, trace_id: 0xab, ..SENT };
        let mut lines = Vec::new();
        propagation(Format::B3Fields).write(
            Formats::default().with(Format::B3Fields).with(Format::B3),
            &debug,
            &mut lines,
        );
        let expected = "b3: 00000000000000ab-0000000000000002-d\r\nX-B3-TraceId: 00000000000000ab\r\nX-B3-SpanId: 0000000000000002\r\nX-B3-Flags: 1\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&lines), expected);
    }
}
