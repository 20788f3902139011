//! Reading one value of a label set: texts, switches, numbers, lists and maps with Go's rules (docs/reference/labels.md#labels).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use super::escape::unescape;

/// The labels of one segment (already filled up with the container's), and what was found wrong with them.
#[derive(Debug)]
pub struct Labels<'a> {
    /// Empty for a container without segments.
    pub segment: &'a str,
    map: &'a BTreeMap<String, String>,
    /// The container's labels as written, to name the right one in messages.
    written: &'a BTreeMap<String, String>,
    /// Values that were replaced by the default.
    complaints: RefCell<Vec<String>>,
}

/// A value that cannot be used: the whole container is left out because of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidLabel {
    pub label: String,
    /// `None` of one that holds secrets: the sentence goes to the log and to the API.
    pub value: Option<String>,
    /// What is wrong and what to write instead.
    pub advice: String,
}

impl<'a> Labels<'a> {
    /// The label set `map` of `segment`, which was split from `written`.
    pub fn new(segment: &'a str, map: &'a BTreeMap<String, String>, written: &'a BTreeMap<String, String>) -> Self {
        Labels { segment, map, written, complaints: RefCell::default() }
    }

    /// The labels of a container without segments.
    pub fn whole(map: &'a BTreeMap<String, String>) -> Self {
        Labels::new("", map, map)
    }

    /// The text as written, escapes included; `None` when missing or empty.
    pub fn raw(&self, label: &str) -> Option<&'a str> {
        self.map.get(label).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether any label that starts so has a value.
    pub fn any(&self, prefix: &str) -> bool {
        self.starting(prefix).any(|(_, value)| !value.is_empty())
    }

    /// All labels that start so, with their values.
    pub fn starting(&self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let prefix = prefix.to_owned();
        let all = self.map.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(move |(name, _)| name.starts_with(&prefix))
    }

    /// The text with its escapes resolved; empty when missing.
    pub fn text(&self, label: &str) -> Result<String, InvalidLabel> {
        self.raw(label).map_or(Ok(String::new()), |value| self.resolve(label, value))
    }

    /// A switch as Go's `ParseBool` reads it; anything else is the default, with a complaint.
    pub fn flag(&self, label: &str, default: bool) -> bool {
        let Some(value) = self.map.get(label) else { return default };
        parse_bool(value).unwrap_or_else(|| {
            self.complain(label, value, &format!("it is neither true nor false; {default} is used"));
            default
        })
    }

    /// A whole number; anything else is the default, with a complaint.
    pub fn number(&self, label: &str, default: i64) -> i64 {
        let Some(value) = self.map.get(label) else { return default };
        value.parse().unwrap_or_else(|_| {
            self.complain(label, value, "it is no whole number; it is ignored");
            default
        })
    }

    /// Comma-separated texts with their escapes resolved; empty pieces are dropped.
    pub fn list(&self, label: &str) -> Result<Vec<String>, InvalidLabel> {
        let pieces = split_list(self.raw(label).unwrap_or_default());
        pieces.into_iter().map(|piece| self.resolve(label, piece)).collect()
    }

    /// `Name: value || Name: value`, names in canonical header form.
    pub fn header_map(&self, label: &str) -> Result<BTreeMap<String, String>, InvalidLabel> {
        let mut headers = BTreeMap::new();
        for entry in self.raw(label).into_iter().flat_map(|value| value.split("||")) {
            let Some((name, value)) = entry.split_once(':') else {
                self.complain(label, entry, "the entry has no colon and is skipped; write Name: value");
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

    /// Notes a value that is not used.
    pub fn complain(&self, label: &str, value: &str, advice: &str) {
        let text = self.bad(label, value, advice).to_string();
        let mut complaints = self.complaints.borrow_mut();
        if !complaints.contains(&text) {
            complaints.push(text);
        }
    }

    /// The error for a value that cannot be used, naming the label as the container has it.
    pub fn bad(&self, label: &str, value: &str, advice: &str) -> InvalidLabel {
        let value = (!is_secret(label)).then(|| value.to_owned());
        InvalidLabel { label: self.name_as_written(label), value, advice: advice.to_owned() }
    }

    /// The complaints so far, each a whole sentence.
    pub fn into_complaints(self) -> Vec<String> {
        self.complaints.into_inner()
    }

    fn name_as_written(&self, label: &str) -> String {
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

/// Upper case at the start and after each hyphen, lower case elsewhere (Go's `CanonicalHeaderKey`).
pub fn canonical_header(name: &str) -> String {
    let mut start = true;
    let canonical = |c: char| {
        let cased = if start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        start = c == '-';
        cased
    };
    name.chars().map(canonical).collect()
}

/// A character of a token, RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl fmt::Display for InvalidLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "label {} has the value `{value}`: {}", self.label, self.advice),
            None => write!(f, "label {} has a value that cannot be used: {}", self.label, self.advice),
        }
    }
}

/// Holds passwords, their hashes or keys.
fn is_secret(label: &str) -> bool {
    const SECRET: &[&str] =
        &[".auth.basic", ".auth.digest", ".auth.forward.tls.", ".headers.customRequestHeaders", ".healthcheck.headers"];
    SECRET.iter().any(|part| label.contains(part))
}

impl std::error::Error for InvalidLabel {}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn a_value_that_holds_secrets_is_not_repeated() {
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
            let told = Labels::new("", &map, &map).text(label).expect_err("a quote").to_string();
            assert!(told.contains(label) && told.contains("quote"), "{told}");
            assert_eq!(told.contains("$apr1$"), !is_secret, "{told}");
        }
    }

    #[test]
    fn wrong_values_fall_back_and_are_named_as_written() {
        let written = map(&[("traefik.web.weight", "heavy"), ("traefik.web.port", "80")]);
        let split = super::super::segments::split(&written);
        let labels = Labels::new("web", &split["web"], &written);
        assert_eq!(labels.number("traefik.weight", 1), 1);
        assert_eq!(labels.number("traefik.port", 0), 80);
        assert!(labels.flag("traefik.missing", true));
        let complaints = labels.into_complaints();
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].contains("traefik.web.weight") && complaints[0].contains("`heavy`"), "{complaints:?}");
    }

    #[test]
    fn header_maps_take_the_first_colon_and_canonical_names() {
        let all = map(&[("h", "x-FOO: a:b || bad || Y.z:"), ("empty", ": x"), ("blank", "a b: x")]);
        let labels = Labels::whole(&all);
        assert_eq!(labels.header_map("h").unwrap(), map(&[("X-Foo", "a:b"), ("Y.z", "")]));
        assert!(labels.header_map("empty").unwrap_err().to_string().contains("no header name"));
        assert!(labels.header_map("blank").is_err());
        assert_eq!(labels.into_complaints().len(), 1);
    }

    #[test]
    fn lists_are_split_before_escapes_are_resolved() {
        let all = map(&[("l", " a\\u002cb ,, c ")]);
        assert_eq!(Labels::whole(&all).list("l").unwrap(), ["a,b", "c"]);
    }
}
