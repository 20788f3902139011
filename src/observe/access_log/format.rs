//! The content of a line, compiled from the `[accessLog]` table (docs/reference/logs.md#access-log).

use std::collections::BTreeMap;

/// The `[accessLog]` table as plain values. Texts are as written; [`AccessLogFormat::new`] reports the invalid ones.
#[derive(Debug, Clone, Default)]
pub struct AccessLogSettings {
    /// Write JSON objects instead of the common log format.
    pub json: bool,
    /// Codes and ranges: `"200"`, `"300-302"`.
    pub status_codes: Vec<String>,
    pub retry_attempts: bool,
    /// 0 or negative: no such filter.
    pub min_duration_nanos: i64,
    pub fields_default_mode: String,
    pub fields: BTreeMap<String, String>,
    pub headers_default_mode: String,
    pub headers: BTreeMap<String, String>,
}

/// The fields of a line, in the order of a JSON line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogField {
    BackendAddr,
    BackendName,
    BackendUrl,
    ClientAddr,
    ClientHost,
    ClientPort,
    ClientUsername,
    DownstreamContentSize,
    DownstreamStatus,
    DownstreamStatusLine,
    Duration,
    EndReason,
    FrontendName,
    GzipRatio,
    OriginContentSize,
    OriginDuration,
    OriginStatus,
    OriginStatusLine,
    Overhead,
    RequestAddr,
    RequestContentSize,
    RequestCount,
    RequestHost,
    RequestId,
    RequestLine,
    RequestMethod,
    RequestPath,
    RequestPort,
    RequestProtocol,
    RetryAttempts,
    SpanId,
    StartLocal,
    StartUtc,
    TraceId,
}

/// The keys of a JSON line, in the order of [`LogField`].
const FIELD_KEYS: [&str; 34] = [
    "\"BackendAddr\":",
    "\"BackendName\":",
    "\"BackendURL\":",
    "\"ClientAddr\":",
    "\"ClientHost\":",
    "\"ClientPort\":",
    "\"ClientUsername\":",
    "\"DownstreamContentSize\":",
    "\"DownstreamStatus\":",
    "\"DownstreamStatusLine\":",
    "\"Duration\":",
    "\"EndReason\":",
    "\"FrontendName\":",
    "\"GzipRatio\":",
    "\"OriginContentSize\":",
    "\"OriginDuration\":",
    "\"OriginStatus\":",
    "\"OriginStatusLine\":",
    "\"Overhead\":",
    "\"RequestAddr\":",
    "\"RequestContentSize\":",
    "\"RequestCount\":",
    "\"RequestHost\":",
    "\"RequestId\":",
    "\"RequestLine\":",
    "\"RequestMethod\":",
    "\"RequestPath\":",
    "\"RequestPort\":",
    "\"RequestProtocol\":",
    "\"RetryAttempts\":",
    "\"SpanId\":",
    "\"StartLocal\":",
    "\"StartUTC\":",
    "\"TraceId\":",
];

/// A key and the opening quote of a text value, in a block of a fixed size. The block is copied whole and the excess is truncated,
/// which is faster than a copy of variable length; a JSON line has up to thirty keys.
#[derive(Clone, Copy)]
struct KeyBlock {
    bytes: [u8; 32],
    key_len: usize,
}

static KEY_BLOCKS: [KeyBlock; FIELD_KEYS.len()] = {
    let mut blocks = [KeyBlock { bytes: [0; 32], key_len: 0 }; FIELD_KEYS.len()];
    let mut field = 0;
    while field < FIELD_KEYS.len() {
        let key = FIELD_KEYS[field].as_bytes();
        let (block, _) = blocks[field].bytes.split_at_mut(key.len());
        block.copy_from_slice(key);
        blocks[field].bytes[key.len()] = b'"';
        blocks[field].key_len = key.len();
        field += 1;
    }
    blocks
};

impl LogField {
    /// Appends the name with its quotes and the colon.
    pub(super) fn push_key(self, out: &mut Vec<u8>) {
        self.push(out, 0);
    }

    /// Appends the name with its quotes, the colon and the opening quote of a text value.
    pub(super) fn push_key_and_quote(self, out: &mut Vec<u8>) {
        self.push(out, 1);
    }

    fn push(self, out: &mut Vec<u8>, quote_len: usize) {
        let block = &KEY_BLOCKS[self as usize];
        let from = out.len();
        out.extend_from_slice(&block.bytes);
        out.truncate(from + block.key_len + quote_len);
    }
}

/// The field's name as in `fields.names`: its key without quotes and colon.
fn field_name(key: &str) -> &str {
    &key[1..key.len() - 2]
}

/// How a line shows a header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderMode {
    Keep,
    Drop,
    Redact,
}

/// The compiled `[accessLog]` table: which requests have a line, and which fields a line has.
#[derive(Debug, Clone)]
pub struct AccessLogFormat {
    pub(super) json: bool,
    status_ranges: Vec<(u16, u16)>,
    retry_attempts: bool,
    min_duration_nanos: u64,
    /// A bit for each [`LogField`], set if the field is kept.
    kept: u64,
    header_default: HeaderMode,
    headers: Vec<(Box<[u8]>, HeaderMode)>,
}

impl AccessLogFormat {
    /// Compiles the settings. Returns one warning for each value in them that is invalid and therefore ignored.
    pub fn new(settings: &AccessLogSettings) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let status_ranges =
            settings.status_codes.iter().filter_map(|text| ok_or_warn(status_range(text), &mut warnings));
        let status_ranges = status_ranges.collect();
        let kept = kept_fields(settings, &mut warnings);
        let header_default =
            parse_header_mode(&settings.headers_default_mode, HeaderMode::Keep, "defaultMode", &mut warnings);
        let headers = settings
            .headers
            .iter()
            .map(|(name, mode)| (name.as_bytes().into(), parse_header_mode(mode, header_default, name, &mut warnings)));
        let headers = headers.collect();
        let format = AccessLogFormat {
            json: settings.json,
            status_ranges,
            retry_attempts: settings.retry_attempts,
            min_duration_nanos: u64::try_from(settings.min_duration_nanos).unwrap_or(0),
            kept,
            header_default,
            headers,
        };
        (format, warnings)
    }

    /// Whether a request has a line: if any filter matches, or if there are no filters.
    pub fn passes(&self, status: u16, retry_attempts: u32, duration_nanos: u64) -> bool {
        let unfiltered = self.status_ranges.is_empty() && !self.retry_attempts && self.min_duration_nanos == 0;
        unfiltered
            || self.status_ranges.iter().any(|&(low, high)| (low..=high).contains(&status))
            || (self.retry_attempts && retry_attempts > 0)
            || (self.min_duration_nanos > 0 && duration_nanos > self.min_duration_nanos)
    }

    pub(super) fn keeps(&self, field: LogField) -> bool {
        self.kept & (1 << field as u32) != 0
    }

    pub(super) fn header(&self, name: &[u8]) -> HeaderMode {
        let named = self.headers.iter().find(|(configured, _)| configured.eq_ignore_ascii_case(name));
        named.map_or(self.header_default, |(_, mode)| *mode)
    }

    /// Whether a line may have fields of the response's head as the client got it.
    pub fn has_response_head(&self) -> bool {
        self.json && !self.drops_all_headers()
    }

    /// Whether no header field can appear in a line, so that the caller need not list them.
    pub(super) fn drops_all_headers(&self) -> bool {
        self.header_default == HeaderMode::Drop && self.headers.iter().all(|(_, mode)| *mode == HeaderMode::Drop)
    }
}

fn ok_or_warn<T>(result: Result<T, String>, warnings: &mut Vec<String>) -> Option<T> {
    result.map_err(|warning| warnings.push(warning)).ok()
}

fn status_range(text: &str) -> Result<(u16, u16), String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (low.trim().parse(), high.trim().parse()) {
        (Ok(low), Ok(high)) if low <= high => Ok((low, high)),
        _ => Err(format!(
            "accessLog.filters.statusCodes: {text:?} ignored: use a status code or a range, \"404\" or \"500-599\""
        )),
    }
}

fn kept_fields(settings: &AccessLogSettings, warnings: &mut Vec<String>) -> u64 {
    let default = parse_field_mode(&settings.fields_default_mode, true, "defaultMode", warnings);
    let mut kept = if default { u64::MAX } else { 0 };
    for (name, mode) in &settings.fields {
        let Some(index) = FIELD_KEYS.iter().position(|key| field_name(key) == name) else {
            warnings.push(format!(
                "accessLog.fields.names: unknown field {name:?} ignored: names match in exact case only"
            ));
            continue;
        };
        if parse_field_mode(mode, default, name, warnings) {
            kept |= 1 << index;
        } else {
            kept &= !(1 << index);
        }
    }
    kept
}

fn parse_field_mode(mode: &str, default: bool, name: &str, warnings: &mut Vec<String>) -> bool {
    match mode {
        "keep" => true,
        "drop" => false,
        "" => default,
        _ => {
            warnings.push(format!("accessLog.fields: mode {mode:?} of {name} ignored: use \"keep\" or \"drop\""));
            default
        }
    }
}

fn parse_header_mode(mode: &str, default: HeaderMode, name: &str, warnings: &mut Vec<String>) -> HeaderMode {
    match mode {
        "keep" => HeaderMode::Keep,
        "drop" => HeaderMode::Drop,
        "redact" => HeaderMode::Redact,
        "" => default,
        _ => {
            warnings.push(format!(
                "accessLog.fields.headers: mode {mode:?} of {name} ignored: use \"keep\", \"drop\" or \"redact\""
            ));
            default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_kept_if_any_filter_matches_or_none_is_set() {
        let format = |settings: AccessLogSettings| AccessLogFormat::new(&settings).0;
        assert!(format(AccessLogSettings::default()).passes(200, 0, 0));
        let codes = format(AccessLogSettings {
            status_codes: vec!["200".into(), "300-302".into()],
            ..AccessLogSettings::default()
        });
        for (status, kept) in [(200, true), (201, false), (299, false), (300, true), (302, true), (303, false)] {
            assert_eq!(codes.passes(status, 3, u64::MAX), kept, "{status}");
        }
        let mixed = format(AccessLogSettings {
            status_codes: vec!["500-599".into()],
            retry_attempts: true,
            min_duration_nanos: 10,
            ..AccessLogSettings::default()
        });
        assert!(!mixed.passes(200, 0, 10), "a duration equal to the limit is not above it");
        assert!(mixed.passes(200, 0, 11) && mixed.passes(200, 1, 0) && mixed.passes(502, 0, 0));
    }

    #[test]
    fn invalid_settings_are_ignored_with_a_warning() {
        let (format, warnings) = AccessLogFormat::new(&AccessLogSettings {
            status_codes: vec!["4xx".into(), "599-500".into()],
            fields_default_mode: "drop".into(),
            fields: [("ClientHost", "keep"), ("Hostname", "keep"), ("Duration", "maybe")].map(owned).into(),
            headers_default_mode: "drop".into(),
            headers: [("authorization", "redact"), ("Accept", "redacted")].map(owned).into(),
            ..AccessLogSettings::default()
        });
        assert!(format.keeps(LogField::ClientHost));
        assert!(!format.keeps(LogField::Duration) && !format.keeps(LogField::StartUtc));
        assert_eq!(format.header(b"Authorization"), HeaderMode::Redact);
        assert_eq!(format.header(b"Accept"), HeaderMode::Drop);
        assert!(!format.drops_all_headers());
        let expected = ["4xx", "599-500", "Hostname", "maybe", "redacted"];
        assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
        for text in expected {
            assert!(warnings.iter().any(|w| w.contains(text)), "{text} is not in {warnings:?}");
        }
    }

    #[test]
    fn field_keys_are_sorted_and_match_the_enum() {
        assert!(FIELD_KEYS.iter().map(|key| field_name(key)).is_sorted());
        let mut out = Vec::new();
        LogField::BackendUrl.push_key(&mut out);
        LogField::DownstreamContentSize.push_key_and_quote(&mut out);
        LogField::StartUtc.push_key(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), "\"BackendURL\":\"DownstreamContentSize\":\"\"StartUTC\":");
        assert_eq!(LogField::TraceId as usize + 1, FIELD_KEYS.len());
    }

    fn owned((name, mode): (&str, &str)) -> (String, String) {
        (name.to_owned(), mode.to_owned())
    }
}
