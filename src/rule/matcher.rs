//! The conditions of a rule, and the form of a request that they test (docs/reference/rules.md#matchers).

use std::borrow::Cow;

use regex::bytes::Regex;

use super::path::decode_query;
use super::pattern;
use super::template::{Kind, Slash, Template};
use crate::http::{RequestView, is_forwarding_field};

/// The header fields of a request, as rules test them.
pub trait Headers {
    /// True if `test` accepts the value of any field called `name` (in any letter case).
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// The fields as received: a request is routed before any middleware edits its head.
impl Headers for RequestView<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let fields = self.head.fields.iter();
        fields
            .filter(|field| field.name.of(self.bytes).eq_ignore_ascii_case(name.as_bytes()))
            .any(|field| test(field.value.of(self.bytes)))
    }
}

/// The fields received from a client that is not trusted. Rules do not see its forwarding fields (`X-Forwarded-*` and the like): a
/// client must not choose its route by a claimed origin.
pub struct UntrustedHeaders<'a>(pub RequestView<'a>);

impl Headers for UntrustedHeaders<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        !is_forwarding_field(name.as_bytes()) && self.0.any(name, test)
    }
}

/// The fields as pairs of name and value.
impl Headers for [(&str, &[u8])] {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.iter().filter(|field| field.0.eq_ignore_ascii_case(name)).any(|field| test(field.1))
    }
}

/// Implemented for arrays and vectors of pairs, so that a reference to one is a `&dyn Headers`.
impl<const N: usize> Headers for [(&str, &[u8]); N] {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.as_slice().any(name, test)
    }
}

impl Headers for Vec<(&str, &[u8])> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.as_slice().any(name, test)
    }
}

/// A request prepared for matching.
pub(crate) struct MatchInput<'a> {
    pub method: &'a [u8],
    /// The host for `Host`: see [`super::canonical_host`]. Empty if the request has none.
    pub canonical_host: &'a [u8],
    /// The name that the host's CNAME records lead to, for `Host` too; empty for none.
    pub flattened_host: &'a [u8],
    /// The host for `HostRegexp`: as received, up to the first colon, without a trailing dot.
    pub bare_host: &'a [u8],
    /// The path, percent-decoded.
    pub path: &'a [u8],
    /// The query with its `?`, not decoded.
    pub query: &'a [u8],
    pub headers: &'a dyn Headers,
    pub keep_trailing_slash: bool,
}

/// A condition of a rule.
#[derive(Debug, Clone)]
pub(crate) enum Matcher {
    /// Lower-cased names, one of which must be the request's host.
    Host(Vec<String>),
    HostRegexp(Vec<Template>),
    Path(Vec<Template>),
    PathPrefix(Vec<Prefix>),
    Method(Vec<String>),
    Headers(Vec<(String, HeaderTest)>),
    Query(Vec<(String, Template)>),
}

/// An argument of a `PathPrefix` condition.
#[derive(Debug, Clone)]
pub(crate) enum Prefix {
    Literal(String),
    Template(Template),
}

/// The test of a header field's value.
#[derive(Debug, Clone)]
pub(crate) enum HeaderTest {
    /// The field must exist; written as an empty value.
    Present,
    Exactly(String),
    Pattern(Regex),
}

impl Matcher {
    /// Returns `None` unless the request meets this condition. `Slash::Differs` means that the request is redirected if the rule matches.
    pub fn test(&self, request: &MatchInput<'_>) -> Option<Slash> {
        let matches = match self {
            Matcher::Path(templates) => {
                let keep = request.keep_trailing_slash;
                return templates.iter().find_map(|template| template.matches_path(request.path, keep));
            }
            Matcher::Host(names) => {
                let has = |host: &[u8]| !host.is_empty() && names.iter().any(|name| name.as_bytes() == host);
                has(request.canonical_host) || has(request.flattened_host)
            }
            Matcher::HostRegexp(templates) => templates.iter().any(|t| t.matches(Kind::Host, request.bare_host)),
            Matcher::PathPrefix(prefixes) => prefixes.iter().any(|prefix| prefix.matches(request.path)),
            Matcher::Method(methods) => methods.iter().any(|method| method.as_bytes() == request.method),
            Matcher::Headers(tests) => tests.iter().all(|(name, test)| test.accepts(name, request.headers)),
            Matcher::Query(tests) => tests.iter().all(|(key, template)| query_matches(key, template, request.query)),
        };
        matches.then_some(Slash::Same)
    }
}

impl Prefix {
    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Prefix::Literal(literal) => path.starts_with(literal.as_bytes()),
            Prefix::Template(template) => template.matches(Kind::Prefix, path),
        }
    }

    /// The literal text with which every matching path begins.
    pub fn head(&self) -> &[u8] {
        match self {
            Prefix::Literal(literal) => literal.as_bytes(),
            Prefix::Template(template) => template.head(),
        }
    }

    /// Whether no path can match, because the template is malformed.
    pub fn is_dead(&self) -> bool {
        matches!(self, Prefix::Template(template) if template.is_dead())
    }
}

/// The fields that the HTTP library of Traefik v1 removes from the header map: a rule on one of them never matches.
pub(crate) const FIELDS_NOT_IN_HEADERS: [&str; 3] = ["Host", "Transfer-Encoding", "Trailer"];

pub(crate) fn is_outside_headers(name: &str) -> bool {
    FIELDS_NOT_IN_HEADERS.iter().any(|outside| outside.eq_ignore_ascii_case(name))
}

impl HeaderTest {
    pub(super) fn accepts(&self, name: &str, headers: &dyn Headers) -> bool {
        if is_outside_headers(name) {
            return false;
        }
        match self {
            HeaderTest::Present => headers.any(name, &mut |_| true),
            HeaderTest::Exactly(wanted) => headers.any(name, &mut |value| value == wanted.as_bytes()),
            HeaderTest::Pattern(regex) => headers.any(name, &mut |value| regex.is_match(&pattern::as_text(value))),
        }
    }
}

/// Whether the query meets a condition. The first well-formed pair with this key decides; a pair that contains a semicolon is malformed.
fn query_matches(key: &str, template: &Template, query: &[u8]) -> bool {
    let query = query.strip_prefix(b"?").unwrap_or(query);
    for pair in query.split(|byte| *byte == b'&') {
        if pair.is_empty() || pair.contains(&b';') {
            continue;
        }
        let at = memchr::memchr(b'=', pair);
        let (name, value) = at.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else { continue };
        if *name == *key.as_bytes() {
            return template.matches_pair(key.as_bytes(), &value);
        }
    }
    template.matches(Kind::Query, b"")
}

fn decoded(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    decode_query(text, &mut out)?;
    Some(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input<'a>(query: &'a [u8], headers: &'a dyn Headers) -> MatchInput<'a> {
        MatchInput {
            method: b"GET",
            canonical_host: b"h",
            flattened_host: b"",
            bare_host: b"h",
            path: b"/",
            query,
            headers,
            keep_trailing_slash: false,
        }
    }

    fn query(rule: &str, query: &str) -> bool {
        let key = rule.split('=').next().unwrap_or_default();
        let matcher = Matcher::Query(vec![(key.to_owned(), Template::new(rule, Kind::Query).0)]);
        matcher.test(&input(query.as_bytes(), &[])).is_some()
    }

    #[test]
    fn query_with_repeated_key_is_decided_by_first_value() {
        assert!(query("a=1", "?a=1&a=2"));
        assert!(!query("a=1", "?a=2&a=1"));
        assert!(query("a=1", "?a=%zz&a=1"));
        assert!(query("a=1", "?%61=%31"));
        assert!(query("a=1 2", "?a=1+2"));
        assert!(!query("a=1", "?a=1;b=2"));
        assert!(query("a=", "?a"));
        assert!(!query("a=", "?b"));
        assert!(!query("a=*", "?a=1"));
        assert!(!query("a=1", ""));
    }

    #[test]
    fn headers_test_every_field_of_a_name_but_never_host() {
        let fields: [(&str, &[u8]); 3] = [("x-a", b"1"), ("X-A", b"2"), ("Host", b"h")];
        let accepts = |name: &str, test: HeaderTest| test.accepts(name, &fields);
        assert!(accepts("X-A", HeaderTest::Exactly("2".into())));
        assert!(!accepts("X-A", HeaderTest::Exactly("12".into())));
        assert!(accepts("X-A", HeaderTest::Present));
        assert!(!accepts("X-B", HeaderTest::Present));
        assert!(accepts("X-A", HeaderTest::Pattern(pattern::compile("[12]").expect("valid"))));
        assert!(!accepts("host", HeaderTest::Exactly("h".into())));
    }

    #[test]
    fn request_view_gives_all_fields_of_a_received_head() {
        use crate::http::{Edits, Field, RequestHead, Span};
        let bytes = b"X-A: one\r\nx-a: two";
        let field = |name: (usize, usize), value: (usize, usize)| Field {
            name: Span::new(name.0, name.1),
            value: Span::new(value.0, value.1),
            ..Field::default()
        };
        let head = RequestHead { fields: vec![field((0, 3), (5, 8)), field((10, 13), (15, 18))], ..Default::default() };
        let view = RequestView { head: &head, bytes, edits: &Edits::default() };
        assert!(view.any("x-A", &mut |value| value == b"two"));
        assert!(!view.any("x-b", &mut |_| true));
    }

    #[test]
    fn methods_are_compared_exactly() {
        let matcher = Matcher::Method(vec!["GET".into()]);
        let mut request = input(b"", &[]);
        assert!(matcher.test(&request).is_some());
        request.method = b"get";
        assert!(matcher.test(&request).is_none());
    }
}
