//! How all routes of a table stand to one request: which conditions of each are met. Explanations read this; requests themselves are looked up in
//! the index, with the same tests.

use std::fmt::{self, Write};

use super::matcher::{HeaderTest, MatchInput, Matcher, Prefix};
use super::path::PathBuffers;
use super::router::{RouteRequest, Router};
use super::template::Template;

/// A route, and the conditions of its rule tested with one request.
pub struct RouteTrace<'a, T> {
    pub value: &'a T,
    /// The route's position in the order of ranks.
    pub rank: usize,
    pub priority: i64,
    pub conditions: Vec<Condition<'a>>,
}

/// A condition of a rule, tested with one request.
pub struct Condition<'a> {
    matcher: &'a Matcher,
    pub is_met: bool,
}

impl<T> Router<T> {
    /// All routes in rank order, each with its conditions tested; `None` if the target cannot be read safely. Tests every route: not for
    /// requests. `flattened_host`: the name that the host's CNAME records lead to; empty for none.
    pub fn traces(&self, request: &RouteRequest<'_>, flattened_host: &[u8]) -> Option<Vec<RouteTrace<'_, T>>> {
        let (mut buffers, mut host) = (PathBuffers::default(), Vec::new());
        let input = self.input(request, flattened_host, &mut buffers, &mut host)?;
        let routes = self.routes.iter().enumerate().map(|(rank, route)| RouteTrace {
            value: &route.value,
            rank,
            priority: route.priority,
            conditions: route.matchers.iter().map(|matcher| Condition::new(matcher, &input)).collect(),
        });
        Some(routes.collect())
    }
}

impl<T> RouteTrace<'_, T> {
    /// Whether all conditions are met.
    pub fn matches(&self) -> bool {
        self.conditions.iter().all(|condition| condition.is_met)
    }

    /// The number of conditions that are not met.
    pub fn unmet(&self) -> usize {
        self.conditions.iter().filter(|condition| !condition.is_met).count()
    }
}

impl<'a> Condition<'a> {
    fn new(matcher: &'a Matcher, input: &MatchInput<'_>) -> Self {
        Condition { matcher, is_met: matcher.test(input).is_some() }
    }

    /// Whether the condition is on the host.
    pub fn is_on_host(&self) -> bool {
        matches!(self.matcher, Matcher::Host(_) | Matcher::HostRegexp(_))
    }

    /// The names of a `Host` condition; empty for other conditions.
    pub fn hosts(&self) -> &'a [String] {
        match self.matcher {
            Matcher::Host(names) => names,
            _ => &[],
        }
    }

    /// The difference: what the request has instead; only for a condition that is not met. `path` is the path that rules see.
    pub fn difference(&self, request: &RouteRequest<'_>) -> String {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self.matcher {
            Matcher::Host(_) | Matcher::HostRegexp(_) if request.host.is_empty() => {
                "the request has no host".to_owned()
            }
            Matcher::Host(_) | Matcher::HostRegexp(_) => format!("the host is {}", shown(request.host)),
            Matcher::Path(_) => format!("the path is {}", shown(path_of(request.target))),
            Matcher::PathPrefix(_) => format!("the path {} begins differently", shown(path_of(request.target))),
            Matcher::Method(_) => format!("the method is {}", shown(request.method)),
            Matcher::Headers(tests) => header_difference(tests, request),
            Matcher::Query(_) => match request.target.iter().position(|&byte| byte == b'?') {
                Some(at) => format!("the query is {}", shown(&request.target[at + 1..])),
                None => "the request has no query".to_owned(),
            },
        }
    }
}

fn path_of(target: &[u8]) -> &[u8] {
    target.split(|&byte| byte == b'?').next().filter(|path| !path.is_empty()).unwrap_or(b"/")
}

fn header_difference(tests: &[(String, HeaderTest)], request: &RouteRequest<'_>) -> String {
    let unmet = tests.iter().find(|(name, test)| !test.accepts(name, request.headers));
    let Some((name, _)) = unmet else { return String::new() };
    let mut values: Vec<String> = Vec::new();
    request.headers.any(name, &mut |value| {
        values.push(String::from_utf8_lossy(value).into_owned());
        false
    });
    match values.is_empty() {
        true => format!("the request has no field {name} that counts"),
        false => format!("{name} is {}", values.join(" and ")),
    }
}

/// The condition as a rule writes it, in one of its forms: a `PathStrip` is shown as the `Path` that it also is.
impl fmt::Display for Condition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let templates = |templates: &[Template]| templates.iter().map(|t| t.text().to_owned()).collect::<Vec<_>>();
        let (name, arguments) = match self.matcher {
            Matcher::Host(names) => ("Host", names.clone()),
            Matcher::HostRegexp(patterns) => ("HostRegexp", templates(patterns)),
            Matcher::Path(paths) => ("Path", templates(paths)),
            Matcher::PathPrefix(prefixes) => ("PathPrefix", prefixes.iter().map(prefix_text).collect()),
            Matcher::Method(methods) => ("Method", methods.clone()),
            Matcher::Headers(tests) => {
                let is_pattern = tests.iter().any(|(_, test)| matches!(test, HeaderTest::Pattern(_)));
                (if is_pattern { "HeadersRegexp" } else { "Headers" }, tests.iter().map(header_text).collect())
            }
            Matcher::Query(tests) => ("Query", tests.iter().map(|(_, template)| template.text().to_owned()).collect()),
        };
        f.write_str(name)?;
        f.write_char(':')?;
        f.write_str(&arguments.join(","))
    }
}

fn prefix_text(prefix: &Prefix) -> String {
    match prefix {
        Prefix::Literal(literal) => literal.clone(),
        Prefix::Template(template) => template.text().to_owned(),
    }
}

fn header_text((name, test): &(String, HeaderTest)) -> String {
    match test {
        HeaderTest::Present => format!("{name},"),
        HeaderTest::Exactly(value) => format!("{name},{value}"),
        HeaderTest::Pattern(regex) => format!("{name},{}", regex.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Route, RouterOptions, Rule};
    use super::*;

    #[test]
    fn trace_names_each_condition_and_what_the_request_has_instead() {
        let rule = "Host:a.x,b.x;PathPrefix:/p;Method:GET;Headers:X-A,1;HeadersRegexp:X-B,^z;Query:k=v;HostRegexp:{h:.+}.x;Path:/p/{id}";
        let route = Route {
            rule: Rule::parse(rule).expect("a rule"),
            priority: 7,
            provider: "p".into(),
            name: "n".into(),
            value: 1,
        };
        let router = Router::build(vec![route], RouterOptions::default());
        let headers: [(&str, &[u8]); 1] = [("X-A", b"2")];
        let request = RouteRequest { method: b"PUT", host: b"c.y:8", target: b"/q?k=w", headers: &headers };
        let traces = router.traces(&request, b"").expect("a path that can be read");
        let [trace] = &*traces else { panic!("one route") };
        let lines: Vec<String> =
            trace.conditions.iter().map(|c| format!("{c} {} {}", c.is_met, c.difference(&request))).collect();
        assert_eq!(
            lines,
            [
                "Host:a.x,b.x false the host is c.y:8",
                "PathPrefix:/p false the path /q begins differently",
                "Method:GET false the method is PUT",
                "Headers:X-A,1 false X-A is 2",
                "HeadersRegexp:X-B,^z false the request has no field X-B that counts",
                "Query:k=v false the query is k=w",
                "HostRegexp:{h:.+}.x false the host is c.y:8",
                "Path:/p/{id} false the path is /q",
            ]
        );
        assert_eq!((trace.rank, trace.priority, trace.unmet(), trace.matches()), (0, 7, 8, false));
        let met = RouteRequest { host: b"a.x", ..request };
        let traces = router.traces(&met, b"").expect("a path that can be read");
        assert!(traces[0].conditions[0].is_met && traces[0].conditions[6].is_met);
        assert!(router.traces(&RouteRequest { target: b"/%zz", ..request }, b"").is_none());
    }
}
