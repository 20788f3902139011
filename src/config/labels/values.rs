//! Reads single values of a label set: texts, booleans, numbers, lists and maps by Go's rules (docs/reference/labels.md#labels).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use super::escape::unescape;
use crate::diagnostics::{Code, Diagnostic};

/// The labels of one segment, the container's own included, and the warnings about their values.
#[derive(Debug)]
pub struct Labels<'a> {
    /// Empty for a container without segments.
    pub segment: &'a str,
    map: &'a BTreeMap<String, String>,
    /// The container's labels as written, to name the right one in messages.
    written: &'a BTreeMap<String, String>,
    /// Messages about values that are ignored or replaced by the default.
    warnings: RefCell<Vec<Diagnostic>>,
    /// Messages about options of the provider that do not suit the container.
    remarks: RefCell<Vec<Diagnostic>>,
}

/// A label whose value cannot be used; its whole container is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidLabel {
    pub label: String,
    /// `None` for a label that holds secrets: log and API show this error.
    pub value: Option<String>,
    /// The problem, and what to write instead.
    pub advice: String,
}

impl<'a> Labels<'a> {
    /// The label set `map` of `segment`, which was split from `written`.
    pub fn new(segment: &'a str, map: &'a BTreeMap<String, String>, written: &'a BTreeMap<String, String>) -> Self {
        Labels { segment, map, written, warnings: RefCell::default(), remarks: RefCell::default() }
    }

    /// The labels of a container without segments.
    #[cfg_attr(reachability, expect(dead_code, reason = "tests read single labels with it"))]
    pub fn whole(map: &'a BTreeMap<String, String>) -> Self {
        Labels::new("", map, map)
    }

    /// The text as written, escapes included; `None` if the label is missing or empty.
    pub fn raw(&self, label: &str) -> Option<&'a str> {
        self.map.get(label).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether any label that starts with `prefix` has a value.
    pub fn any(&self, prefix: &str) -> bool {
        self.starting(prefix).any(|(_, value)| !value.is_empty())
    }

    /// All labels that start with `prefix`, with their values.
    pub fn starting(&self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let prefix = prefix.to_owned();
        let all = self.map.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(move |(name, _)| name.starts_with(&prefix))
    }

    /// The text with its escapes resolved; empty if the label is missing.
    pub fn text(&self, label: &str) -> Result<String, InvalidLabel> {
        self.raw(label).map_or(Ok(String::new()), |value| self.resolve(label, value))
    }

    /// A boolean as Go's `ParseBool` reads it; any other value is replaced by the default, with a warning.
    pub fn flag(&self, label: &str, default: bool) -> bool {
        let Some(value) = self.map.get(label) else { return default };
        parse_bool(value).unwrap_or_else(|| {
            self.warn(label, value, &format!("it is neither true nor false; {default} is used"));
            default
        })
    }

    /// A whole number; any other value is ignored, with a warning, and the default is returned.
    pub fn number(&self, label: &str, default: i64) -> i64 {
        let Some(value) = self.map.get(label) else { return default };
        value.parse().unwrap_or_else(|_| {
            self.warn(label, value, "ignored: it is no whole number");
            default
        })
    }

    /// Comma-separated texts with their escapes resolved; empty pieces are dropped.
    pub fn list(&self, label: &str) -> Result<Vec<String>, InvalidLabel> {
        let pieces = split_list(self.raw(label).unwrap_or_default());
        pieces.into_iter().map(|piece| self.resolve(label, piece)).collect()
    }

    /// Header fields written as `Name: value || Name: value`; names get their canonical form.
    pub fn header_map(&self, label: &str) -> Result<BTreeMap<String, String>, InvalidLabel> {
        let mut headers = BTreeMap::new();
        for entry in self.raw(label).into_iter().flat_map(|value| value.split("||")) {
            let Some((name, value)) = entry.split_once(':') else {
                self.warn(label, entry, "entry ignored: it has no colon; write Name: value");
                continue;
            };
            let name = name.trim();
            if name.is_empty() || !name.bytes().all(is_token) {
                let advice = format!("{name:?} is no header name; write Name: value");
                return Err(self.bad(label, entry, &advice));
            }
            headers.insert(canonical_header(name), self.resolve(label, value.trim())?);
        }
        Ok(headers)
    }

    /// Resolves the escapes of `value`, a piece of the label.
    pub fn resolve(&self, label: &str, value: &str) -> Result<String, InvalidLabel> {
        unescape(value).map_err(|invalid| self.bad(label, value, &invalid.to_string()))
    }

    /// Adds a warning about a value that is not used, unless there is the same one already.
    pub fn warn(&self, label: &str, value: &str, advice: &str) {
        let invalid = self.bad(label, value, advice);
        self.warn_plainly(Code::IgnoredLabel, &invalid.label, invalid.to_string());
    }

    /// Adds a warning that is not about the value of a label, unless there is the same one already.
    pub fn warn_plainly(&self, code: Code, label: &str, text: String) {
        let warning = Diagnostic::new(code, label, text);
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// Adds a message that no part of the configuration depends on, or about an option of the provider.
    pub fn remark(&self, code: Code, label: &str, text: String) {
        self.remarks.borrow_mut().push(Diagnostic::new(code, label, text));
    }

    /// The remarks so far, each a whole sentence.
    pub fn take_remarks(&self) -> Vec<Diagnostic> {
        self.remarks.take()
    }

    /// The error for a value that cannot be used. It names the label as the container has it.
    pub fn bad(&self, label: &str, value: &str, advice: &str) -> InvalidLabel {
        let value = (!is_secret(label)).then(|| value.to_owned());
        InvalidLabel { label: self.name_as_written(label), value, advice: advice.to_owned() }
    }

    /// The warnings so far, each a whole sentence.
    pub fn into_warnings(self) -> Vec<Diagnostic> {
        self.warnings.into_inner()
    }

    pub fn name_as_written(&self, label: &str) -> String {
        let in_segment = label.strip_prefix("traefik.").map(|rest| format!("traefik.{}.{rest}", self.segment));
        match in_segment {
            Some(name) if self.written.contains_key(&name) => name,
            _ => label.to_owned(),
        }
    }
}

/// The pieces of a comma-separated list, trimmed, without empty ones.
pub fn split_list(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

/// Go's `strconv.ParseBool`.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// The name with upper case at the start and after each hyphen, lower case elsewhere (Go's `CanonicalHeaderKey`).
pub fn canonical_header(name: &str) -> String {
    let mut start = true;
    let canonical = |c: char| {
        let cased = if start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        start = c == '-';
        cased
    };
    name.chars().map(canonical).collect()
}

/// Whether the byte is a character of a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl InvalidLabel {
    /// The kind of the place that has the value: a label, or an option of the provider.
    pub fn kind(&self) -> &'static str {
        if self.label.starts_with("docker.") { "option" } else { "label" }
    }
}

impl fmt::Display for InvalidLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} {} has the value `{value}`: {}", self.kind(), self.label, self.advice),
            None => write!(f, "{} {} has a value that cannot be used: {}", self.kind(), self.label, self.advice),
        }
    }
}

/// Whether the label may hold passwords, their hashes or keys.
fn is_secret(label: &str) -> bool {
    const SECRET: &[&str] =
        &[".auth.basic", ".auth.digest", ".auth.forward.tls.", ".headers.customRequestHeaders", ".healthcheck.headers"];
    SECRET.iter().any(|part| label.contains(part))
}

impl std::error::Error for InvalidLabel {}

impl From<InvalidLabel> for Diagnostic {
    fn from(invalid: InvalidLabel) -> Self {
        let text = format!("{invalid}; container rejected: correct the {}", invalid.kind());
        Diagnostic::new(Code::InvalidLabel, invalid.label, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn errors_do_not_repeat_values_of_secret_labels() {
        let quoted = "\"admin:$apr1$salt$hash\"";
        for (label, is_secret) in [
            ("traefik.frontend.auth.basic.users", true),
            ("traefik.frontend.auth.basic", true),
            ("traefik.frontend.auth.digest.users", true),
            ("traefik.frontend.auth.forward.tls.key", true),
            ("traefik.frontend.headers.customRequestHeaders", true),
            ("traefik.frontend.rule", false),
        ] {
            let map = map(&[(label, quoted)]);
            let message = Labels::new("", &map, &map).text(label).expect_err("a quote").to_string();
            assert!(message.contains(label) && message.contains("quote"), "{message}");
            assert_eq!(message.contains("$apr1$"), !is_secret, "{message}");
        }
    }

    #[test]
    fn wrong_value_gives_default_and_warning_as_written() {
        let written = map(&[("traefik.web.weight", "heavy"), ("traefik.web.port", "80")]);
        let split = super::super::segments::split(&written);
        let labels = Labels::new("web", &split["web"], &written);
        assert_eq!(labels.number("traefik.weight", 1), 1);
        assert_eq!(labels.number("traefik.port", 0), 80);
        assert!(labels.flag("traefik.missing", true));
        let warnings = labels.into_warnings();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].text.contains("`heavy`") && warnings[0].key == "traefik.web.weight", "{warnings:?}");
    }

    #[test]
    fn header_map_splits_at_first_colon_and_canonicalizes_names() {
        let all = map(&[("h", "x-FOO: a:b || bad || Y.z:"), ("empty", ": x"), ("blank", "a b: x")]);
        let labels = Labels::whole(&all);
        assert_eq!(labels.header_map("h").unwrap(), map(&[("X-Foo", "a:b"), ("Y.z", "")]));
        assert!(labels.header_map("empty").unwrap_err().to_string().contains("no header name"));
        assert!(labels.header_map("blank").is_err());
        assert_eq!(labels.into_warnings().len(), 1);
    }

    #[test]
    fn list_is_split_before_escapes_are_resolved() {
        let all = map(&[("l", " a\\u002cb ,, c ")]);
        assert_eq!(Labels::whole(&all).list("l").unwrap(), ["a,b", "c"]);
    }
}
