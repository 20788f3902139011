//! Conditions of one rule that exclude each other: no request meets both.

use super::diagnostic::never_matches;
use super::matcher::{Matcher, Prefix};
use super::template::{Kind, Template};
use crate::diagnostics::suggest::did_you_mean;
use crate::diagnostics::{Code, Diagnostic};

/// The methods of RFC 9110 section 9, PATCH (RFC 5789) and those of WebDAV (RFC 4918) and of caches.
const METHODS: [&str; 18] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "PURGE",
    "REPORT",
];

/// Why no request has this host; `None` for a usable name. `name` is in lower case.
pub(super) fn host_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.contains(':') {
        return Some("write a name without a port");
    }
    if name.contains('/') {
        return Some("write the name alone, and the path behind `;PathPrefix:`");
    }
    if name.contains('*') {
        return Some("a `*` is no pattern, write for example `HostRegexp:{sub:[^.]+}.example.com`");
    }
    name.contains([' ', '\t']).then_some("a name has no blank; separate names by `,` and matchers by `;`")
}

/// The diagnostic about a method that is probably misspelt. Any token is a method, so that others are not reported.
pub(super) fn method_problem(method: &str) -> Option<Diagnostic> {
    if METHODS.contains(&method) {
        return None;
    }
    let near = did_you_mean(method, METHODS)?;
    Some(Diagnostic::new(
        Code::NeverMatches,
        super::diagnostic::RULES,
        format!("Method `{method}` is none of HTTP: did you mean {near}?"),
    ))
}

/// The diagnostics about two conditions of a rule of which each request fails one.
pub(super) fn contradictions(matchers: &[Matcher]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (at, one) in matchers.iter().enumerate() {
        let texts = matchers[at + 1..].iter().filter_map(|other| exclude(one, other).or_else(|| exclude(other, one)));
        found.extend(texts.map(never_matches));
    }
    found
}

fn exclude(one: &Matcher, other: &Matcher) -> Option<String> {
    match (one, other) {
        (Matcher::Host(names), Matcher::Host(others)) if !names.iter().any(|name| others.contains(name)) => {
            let (one, other) = (names.join(","), others.join(","));
            Some(format!(
                "the rule never matches: a request has one host, not one of `{one}` and one of `{other}`; write `Host:{one},{other}` for either"
            ))
        }
        (Matcher::Host(names), Matcher::HostRegexp(templates))
            if !names.iter().any(|name| is_host(name, templates)) =>
        {
            let names = names.join(",");
            Some(format!("the rule never matches: Host `{names}` does not match its HostRegexp; use two frontends"))
        }
        (Matcher::Method(methods), Matcher::Method(others)) if !methods.iter().any(|m| others.contains(m)) => {
            let (one, other) = (methods.join(","), others.join(","));
            Some(format!(
                "the rule never matches: a request has one method, not `{one}` and `{other}`; write `Method:{one},{other}` for either"
            ))
        }
        (Matcher::Path(paths), Matcher::PathPrefix(prefixes)) => {
            let literals: Vec<&str> = paths.iter().filter_map(Template::literal).collect();
            let is_possible = |path: &&&str| prefixes.iter().any(|prefix| is_prefix(prefix, path));
            (literals.len() == paths.len() && !literals.iter().any(|path| is_possible(&path))).then(|| {
                let paths = literals.join(",");
                format!("the rule never matches: Path `{paths}` does not begin with its PathPrefix; use two frontends")
            })
        }
        (Matcher::Path(paths), Matcher::Path(others)) => {
            let (one, other): (Vec<&str>, Vec<&str>) = (
                paths.iter().filter_map(Template::literal).collect(),
                others.iter().filter_map(Template::literal).collect(),
            );
            let all_literal = one.len() == paths.len() && other.len() == others.len();
            (all_literal && !one.iter().any(|path| other.contains(path))).then(|| {
                let (one, other) = (one.join(","), other.join(","));
                format!("the rule never matches: a request has one path, not `{one}` and `{other}`; write `Path:{one},{other}` for either")
            })
        }
        _ => None,
    }
}

fn is_host(name: &str, templates: &[Template]) -> bool {
    templates.iter().any(|template| template.matches(Kind::Host, name.as_bytes()))
}

/// Whether a path, or the path with a slash at its end, may begin with a prefix.
fn is_prefix(prefix: &Prefix, path: &str) -> bool {
    match prefix {
        Prefix::Literal(literal) => path.starts_with(literal.as_str()) || literal.trim_end_matches('/') == path,
        Prefix::Template(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rule;

    fn warnings(rule: &str) -> String {
        let rule = Rule::parse(rule).expect("valid");
        rule.warnings().iter().map(|warning| warning.text.clone()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn conditions_that_exclude_each_other_are_reported() {
        for (rule, part) in [
            ("Host:a.test;Host:b.test", "write `Host:a.test,b.test` for either"),
            ("Host:a.test;HostRegexp:{s:[a-z]+}.b.test", "does not match its HostRegexp"),
            ("Method:GET;Method:POST", "write `Method:GET,POST` for either"),
            ("PathPrefix:/api;Path:/x", "does not begin with its PathPrefix"),
            ("Path:/a;Path:/b", "write `Path:/a,/b` for either"),
            ("Host:*.a.test", "HostRegexp:{sub:[^.]+}"),
            ("Host:a.test/x", "PathPrefix"),
            ("Host:a.test b.test", "no blank"),
            ("Method:GTE", "did you mean GET?"),
        ] {
            assert!(warnings(rule).contains(part), "{rule}: {}", warnings(rule));
        }
    }

    #[test]
    fn conditions_that_a_request_can_meet_together_are_not_reported() {
        for rule in [
            "Host:a.test,b.test;Host:b.test,c.test",
            "HostRegexp:{s:[a-z]+}.b.test;Host:x.b.test",
            "PathPrefix:/api;Path:/api/v1,/x",
            "PathPrefix:/a/;Path:/a",
            "Path:/{a};Path:/b",
            "Method:GET,POST;Method:POST",
            "Method:BREW",
        ] {
            assert_eq!(warnings(rule), "", "{rule}");
        }
    }
}
