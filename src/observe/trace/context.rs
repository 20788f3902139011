//! The context of a trace as requests carry it: reads the values of W3C Trace Context, B3, Jaeger and Datadog
//! (docs/reference/tracing.md#propagation).

/// The trace that a request belongs to, as its sender says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parent {
    /// 0 if the sender decided about sampling and named no trace.
    pub trace_id: u128,
    /// The sender's span; 0 without a trace.
    pub span_id: u64,
    /// The parent of the sender's span, which B3 names; 0 if it is unknown.
    pub grandparent_id: u64,
    pub decision: Decision,
    /// B3: the trace is recorded whatever samplers say.
    pub is_debug: bool,
}

/// The sender's decision about sampling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Decision {
    Sampled,
    NotSampled,
    /// The sender leaves the decision to others.
    #[default]
    Deferred,
}

/// Digits of a trace id, and of a span id, in hexadecimal.
const TRACE_DIGITS: usize = 32;
const SPAN_DIGITS: usize = 16;
/// Length of a `traceparent` of version 00.
const TRACEPARENT_BYTES: usize = 55;

impl Parent {
    /// Reads a `traceparent` (W3C Trace Context 3.2). Fields of later versions are read as far as version 00 goes.
    pub fn of_traceparent(value: &[u8]) -> Option<Parent> {
        let value = value.trim_ascii();
        let (text, rest) = value.split_at_checked(TRACEPARENT_BYTES)?;
        if !text.is_ascii() || text.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut parts = text.split(|&byte| byte == b'-');
        let version = hex(parts.next()?, 2, 2)?;
        let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || version == 0xff || !(rest.is_empty() || version > 0 && rest.starts_with(b"-")) {
            return None;
        }
        let trace_id = hex(trace, TRACE_DIGITS, TRACE_DIGITS)?;
        let span_id = hex(span, SPAN_DIGITS, SPAN_DIGITS)? as u64;
        let is_sampled = hex(flags, 2, 2)? & 1 == 1;
        (trace_id != 0 && span_id != 0).then_some(Parent {
            trace_id,
            span_id,
            decision: Decision::of(is_sampled),
            ..Parent::default()
        })
    }

    /// Reads the single field of B3: `{trace}-{span}[-{state}[-{parent}]]`, or the state alone.
    pub fn of_b3(value: &[u8]) -> Option<Parent> {
        let mut parts = value.trim_ascii().split(|&byte| byte == b'-');
        let first = parts.next()?;
        let Some(span) = parts.next() else {
            let (decision, is_debug) = b3_state(first)?;
            return Some(Parent { decision, is_debug, ..Parent::default() });
        };
        let (state, grandparent) = (parts.next(), parts.next());
        let (decision, is_debug) = state.map_or(Some((Decision::Deferred, false)), b3_state)?;
        let grandparent_id = grandparent.map_or(Some(0), |id| hex(id, SPAN_DIGITS, SPAN_DIGITS))? as u64;
        let parent = Parent::of_ids(hex(first, SPAN_DIGITS, TRACE_DIGITS)?, hex(span, SPAN_DIGITS, SPAN_DIGITS)?)?;
        parts.next().is_none().then_some(Parent { decision, is_debug, grandparent_id, ..parent })
    }

    /// Reads the fields of B3 with one value each.
    pub fn of_b3_fields(fields: &B3Fields<'_>) -> Option<Parent> {
        let is_debug = fields.flags.is_some_and(|flags| flags.trim_ascii() == b"1");
        let decision = match fields.sampled.map(<[u8]>::trim_ascii) {
            _ if is_debug => Decision::Sampled,
            Some(b"1" | b"true") => Decision::Sampled,
            Some(b"0" | b"false") => Decision::NotSampled,
            _ => Decision::Deferred,
        };
        let span = |value: Option<&[u8]>| hex(value?.trim_ascii(), SPAN_DIGITS, SPAN_DIGITS);
        let ids =
            fields.trace_id.and_then(|id| hex(id.trim_ascii(), SPAN_DIGITS, TRACE_DIGITS)).zip(span(fields.span_id));
        let named = ids.and_then(|(trace, span)| Parent::of_ids(trace, span));
        if named.is_none() && decision == Decision::Deferred {
            return None;
        }
        let grandparent_id = span(fields.parent_span_id).unwrap_or(0) as u64;
        Some(Parent { decision, is_debug, grandparent_id, ..named.unwrap_or_default() })
    }

    /// Reads Jaeger's field: `{trace}:{span}:{parent}:{flags}`, in hexadecimal without leading zeros.
    pub fn of_jaeger(value: &[u8]) -> Option<Parent> {
        let text = std::str::from_utf8(value.trim_ascii()).ok()?.replace("%3A", ":").replace("%3a", ":");
        let mut parts = text.split(':').map(str::as_bytes);
        let (trace, span) = (hex(parts.next()?, 1, TRACE_DIGITS)?, hex(parts.next()?, 1, SPAN_DIGITS)?);
        let grandparent_id = hex(parts.next()?, 1, SPAN_DIGITS)? as u64;
        let flags = hex(parts.next()?, 1, 2)?;
        if parts.next().is_some() {
            return None;
        }
        let (decision, is_debug) = (Decision::of(flags & 3 != 0), flags & 2 != 0);
        Some(Parent { decision, is_debug, grandparent_id, ..Parent::of_ids(trace, span)? })
    }

    /// Reads Datadog's fields, which are decimal.
    pub fn of_datadog(trace: &[u8], span: &[u8], priority: Option<&[u8]>) -> Option<Parent> {
        let number = |value: &[u8]| std::str::from_utf8(value.trim_ascii()).ok()?.parse::<u64>().ok();
        let parent = Parent::of_ids(number(trace)?.into(), number(span)?.into())?;
        let priority = priority.and_then(|value| std::str::from_utf8(value.trim_ascii()).ok()?.parse::<i64>().ok());
        Some(Parent { decision: priority.map_or(Decision::Deferred, |level| Decision::of(level > 0)), ..parent })
    }

    /// A parent with these ids; `None` if one of them is zero, which no format allows.
    fn of_ids(trace_id: u128, span_id: u128) -> Option<Parent> {
        let span_id = span_id as u64;
        (trace_id != 0 && span_id != 0).then_some(Parent { trace_id, span_id, ..Parent::default() })
    }
}

impl Decision {
    fn of(is_sampled: bool) -> Decision {
        if is_sampled { Decision::Sampled } else { Decision::NotSampled }
    }
}

/// The values of the B3 fields of one request.
#[derive(Debug, Clone, Copy, Default)]
pub struct B3Fields<'a> {
    pub trace_id: Option<&'a [u8]>,
    pub span_id: Option<&'a [u8]>,
    pub parent_span_id: Option<&'a [u8]>,
    pub sampled: Option<&'a [u8]>,
    pub flags: Option<&'a [u8]>,
}

fn b3_state(state: &[u8]) -> Option<(Decision, bool)> {
    match state {
        b"1" | b"true" => Some((Decision::Sampled, false)),
        b"0" | b"false" => Some((Decision::NotSampled, false)),
        b"d" => Some((Decision::Sampled, true)),
        _ => None,
    }
}

/// The number of `least` to `most` hexadecimal digits.
fn hex(digits: &[u8], least: usize, most: usize) -> Option<u128> {
    if !(least..=most).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0u128, |number, &byte| {
        let digit = char::from(byte).to_digit(16)?;
        Some((number << 4) | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

    fn parent(decision: Decision) -> Option<Parent> {
        Some(Parent { trace_id: TRACE, span_id: SPAN, decision, ..Parent::default() })
    }

    #[test]
    fn traceparent_of_version_zero_and_later_ones_is_read() {
        let read = |text: &str| Parent::of_traceparent(text.as_bytes());
        assert_eq!(read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), parent(Decision::Sampled));
        assert_eq!(read(" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02 "), parent(Decision::NotSampled));
        assert_eq!(
            read("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later"),
            parent(Decision::Sampled)
        );
    }

    #[test]
    fn broken_traceparent_is_no_parent() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.later",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47\u{e9}-00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Parent::of_traceparent(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn single_b3_field_is_read_in_all_its_forms() {
        let read = |text: &str| Parent::of_b3(text.as_bytes());
        let ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        assert_eq!(read(ids), parent(Decision::Deferred));
        assert_eq!(read(&format!("{ids}-0")), parent(Decision::NotSampled));
        let debug = read(&format!("{ids}-d-05e3ac9a4f6e3b90")).expect("a parent");
        assert!(debug.is_debug && debug.decision == Decision::Sampled && debug.grandparent_id == 0x05e3_ac9a_4f6e_3b90);
        assert_eq!(read("0").map(|parent| (parent.trace_id, parent.decision)), Some((0, Decision::NotSampled)));
        assert_eq!(read("a3ce929d0e0e4736-00f067aa0ba902b7-1").map(|p| p.trace_id), Some(0xa3ce_929d_0e0e_4736));
        for broken in ["", "x", "2", "4bf9-00f067aa0ba902b7-1", &format!("{ids}-x"), &format!("{ids}-1-2-3"), "0-0"] {
            assert_eq!(read(broken), None, "{broken}");
        }
    }

    #[test]
    fn b3_fields_with_a_decision_alone_name_no_trace() {
        let denied = B3Fields { sampled: Some(b"0"), ..B3Fields::default() };
        let read = Parent::of_b3_fields(&denied).expect("a decision");
        assert_eq!((read.trace_id, read.decision), (0, Decision::NotSampled));
        let full = B3Fields {
            trace_id: Some(b"4bf92f3577b34da6a3ce929d0e0e4736"),
            span_id: Some(b"00f067aa0ba902b7"),
            flags: Some(b"1"),
            ..B3Fields::default()
        };
        let read = Parent::of_b3_fields(&full).expect("a parent");
        assert!(read.is_debug && read.trace_id == TRACE && read.span_id == SPAN);
        assert_eq!(Parent::of_b3_fields(&B3Fields { trace_id: Some(b"1"), ..B3Fields::default() }), None);
    }

    #[test]
    fn fields_of_jaeger_and_datadog_are_read() {
        let jaeger = Parent::of_jaeger(b"4bf92f3577b34da6a3ce929d0e0e4736%3Af067aa0ba902b7%3A0%3A1");
        assert_eq!(jaeger, parent(Decision::Sampled));
        assert_eq!(Parent::of_jaeger(b"1:2:0:0").map(|p| p.decision), Some(Decision::NotSampled));
        for broken in ["1:2:0", "1:2:0:1:1", "0:2:0:1", "1:2:x:1", "1:2:0:100"] {
            assert_eq!(Parent::of_jaeger(broken.as_bytes()), None, "{broken}");
        }
        let datadog = Parent::of_datadog(b"77", b"18446744073709551615", Some(b"-1")).expect("a parent");
        assert_eq!((datadog.trace_id, datadog.span_id, datadog.decision), (77, u64::MAX, Decision::NotSampled));
        assert_eq!(Parent::of_datadog(b"77", b"18446744073709551616", None), None);
    }
}
