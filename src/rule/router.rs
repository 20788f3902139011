//! The table of routes of an entry point. The route of a request is the first one that matches in the order of ranks: priority, then
//! provider, then name (docs/reference/rules.md#order).

use std::cmp::Reverse;

use super::host::{before_colon, canonical_host, fold, fold_char};
use super::index::{Index, Keys};
use super::matcher::{Headers, MatchInput, Matcher};
use super::modifier::Modifiers;
use super::parse::Rule;
use super::path;
use super::prefilter;
use super::redirect;
use super::scratch::Scratch;
use super::template::Slash;

/// The rule of a frontend with its priority, and the value that stands for the frontend.
#[derive(Debug, Clone)]
pub struct Route<T> {
    pub rule: Rule,
    /// Replaced by the length of the rule's texts if it is zero or less, unless it is [`PRIORITY_LAST`].
    pub priority: i64,
    pub provider: String,
    pub name: String,
    pub value: T,
}

/// How the router of an entry point interprets paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterOptions {
    /// If true, a path that differs from a `Path` rule only by its trailing slash does not match. If false, it is redirected.
    pub keep_trailing_slash: bool,
    /// If true, dot segments are resolved before matching, and a target with ambiguous ones gets 400
    /// (docs/reference/security-promises.md#path-traversal). If false, paths are only percent-decoded, as in Traefik v1.
    pub sanitize_path: bool,
}

impl Default for RouterOptions {
    fn default() -> Self {
        RouterOptions { keep_trailing_slash: false, sanitize_path: true }
    }
}

/// The parts of a request that rules can match.
#[derive(Clone, Copy)]
pub struct RouteRequest<'a> {
    pub method: &'a [u8],
    /// The host as received, with its port; empty if there is none.
    pub host: &'a [u8],
    /// The raw target in origin form, or `*`. If the target was in absolute form without a path, it is empty or only a query here.
    pub target: &'a [u8],
    pub headers: &'a dyn Headers,
}

/// The result of routing a request.
#[derive(Debug)]
pub enum RouteOutcome<'a, T> {
    /// The route of the request. Its modifiers must be applied to the target even if they are empty.
    Found { value: &'a T, modifiers: &'a Modifiers },
    /// 301 to this relative location, without any middleware of the frontend.
    Redirect { location: Vec<u8> },
    /// 404: no route matches.
    NotFound,
    /// 400: the target has a malformed escape or ambiguous dot segments.
    Refused,
}

/// All routes of one entry point.
#[derive(Debug)]
pub struct Router<T> {
    /// The routes in rank order: the rank of a route is its position here.
    pub(super) routes: Vec<Ranked<T>>,
    index: Index,
    options: RouterOptions,
}

/// A route of the table.
#[derive(Debug)]
pub(super) struct Ranked<T> {
    pub matchers: Vec<Matcher>,
    modifiers: Modifiers,
    /// The priority by which the route was ranked.
    pub priority: i64,
    pub value: T,
}

/// The priority of a route that comes after all others, whatever their rules.
pub const PRIORITY_LAST: i64 = i64::MIN;

/// The priority of a route: the configured one, or that of its rule.
fn priority<T>(route: &Route<T>) -> i64 {
    match route.priority {
        configured if configured > 0 || configured == PRIORITY_LAST => configured,
        _ => route.rule.default_priority(),
    }
}

/// The rank of a route: the route with the least value comes first.
pub(super) fn rank_of<T>(route: &Route<T>) -> (Reverse<i64>, &str, &str) {
    (Reverse(priority(route)), &route.provider, &route.name)
}

impl<T> Router<T> {
    /// Sorts the routes by priority, highest first, then by provider and name, and indexes them. Routes equal in all three keep their
    /// order.
    pub fn build(mut routes: Vec<Route<T>>, options: RouterOptions) -> Router<T> {
        routes.sort_by(|a, b| rank_of(a).cmp(&rank_of(b)));
        let ranked = routes.into_iter().map(|route| {
            let priority = priority(&route);
            let Rule { matchers, mut modifiers, .. } = route.rule;
            modifiers.sanitize = options.sanitize_path;
            Ranked { matchers, modifiers, priority, value: route.value }
        });
        let routes: Vec<Ranked<T>> = ranked.collect();
        let conditions: Vec<&[Matcher]> = routes.iter().map(|route| &*route.matchers).collect();
        let index = Index::build(&conditions);
        Router { routes, index, options }
    }

    /// Finds the first route in rank order all of whose conditions hold.
    #[cfg_attr(reachability, expect(dead_code, reason = "tests and benches route without CNAME records"))]
    pub fn route(&self, request: &RouteRequest<'_>, scratch: &mut Scratch) -> RouteOutcome<'_, T> {
        self.route_flattened(request, b"", scratch)
    }

    /// As [`route`](Self::route), for a host whose CNAME records lead to `flattened_host`, in lower case: a `Host` condition holds for that
    /// name too (docs/reference/rules.md#cname-flattening). Empty means that there is none.
    pub fn route_flattened(
        &self,
        request: &RouteRequest<'_>,
        flattened_host: &[u8],
        scratch: &mut Scratch,
    ) -> RouteOutcome<'_, T> {
        let Scratch { path: buffers, host, folded, reversed, subject, candidates, .. } = scratch;
        let Some(input) = self.input(request, flattened_host, buffers, host) else {
            return RouteOutcome::Refused;
        };
        if self.index.has_host_patterns() {
            fold(input.bare_host, fold_char, folded);
            reversed.clear();
            reversed.extend(folded.iter().rev());
        }
        if self.index.has_filters() {
            prefilter::subject(input.bare_host, input.path, subject);
        }
        let keys = Keys { host: input.canonical_host, flattened_host, folded, reversed, path: input.path, subject };
        self.index.candidates(&keys, candidates);
        while let Some(rank) = self.index.next(candidates) {
            if let Some(outcome) = self.routes[rank as usize].test(&input) {
                return outcome;
            }
        }
        RouteOutcome::NotFound
    }

    /// The request as the conditions of all routes test it; `None` if its target cannot be read safely.
    #[inline]
    pub(super) fn input<'r>(
        &self,
        request: &RouteRequest<'r>,
        flattened_host: &'r [u8],
        buffers: &'r mut path::PathBuffers,
        host: &'r mut Vec<u8>,
    ) -> Option<MatchInput<'r>> {
        let view = path::read(request.target, self.options.sanitize_path, buffers).ok()?;
        Some(MatchInput {
            method: request.method,
            canonical_host: canonical_host(request.host, host),
            flattened_host,
            bare_host: before_colon(request.host),
            path: view.path,
            query: view.query,
            headers: request.headers,
            keep_trailing_slash: self.options.keep_trailing_slash,
        })
    }

    /// The values of all routes in rank order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.routes.iter().map(|route| &route.value)
    }

    #[cfg_attr(reachability, expect(dead_code, reason = "tests and benches count routes with it"))]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    #[cfg_attr(reachability, expect(dead_code, reason = "tests and benches count routes with it"))]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

impl<T> Ranked<T> {
    /// The outcome of a request, or `None` if a condition of the route does not hold.
    fn test(&self, input: &MatchInput<'_>) -> Option<RouteOutcome<'_, T>> {
        let mut slash = Slash::Same;
        for matcher in &self.matchers {
            if matcher.test(input)? == Slash::Differs {
                slash = Slash::Differs;
            }
        }
        Some(match slash {
            Slash::Same => RouteOutcome::Found { value: &self.value, modifiers: &self.modifiers },
            Slash::Differs => RouteOutcome::Redirect { location: redirect::location(input.path, input.query) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NO_HEADERS: [(&str, &[u8]); 0] = [];

    fn router(options: RouterOptions, rules: &[&str]) -> Router<usize> {
        let routes = rules.iter().enumerate().map(|(value, rule)| Route {
            rule: Rule::parse(rule).expect(rule),
            priority: 0,
            provider: "p".to_owned(),
            name: format!("f{value:04}"),
            value,
        });
        Router::build(routes.collect(), options)
    }

    fn v1(keep_trailing_slash: bool) -> RouterOptions {
        RouterOptions { keep_trailing_slash, sanitize_path: false }
    }

    /// The value of the route that a GET request gets, or another outcome as text.
    fn routed<T: std::fmt::Display>(router: &Router<T>, host: &str, target: &str) -> String {
        let facts =
            RouteRequest { method: b"GET", host: host.as_bytes(), target: target.as_bytes(), headers: &NO_HEADERS };
        show(router.route(&facts, &mut Scratch::default()))
    }

    fn show<T: std::fmt::Display>(outcome: RouteOutcome<'_, T>) -> String {
        match outcome {
            RouteOutcome::Found { value, .. } => value.to_string(),
            RouteOutcome::Redirect { location } => format!("-> {}", String::from_utf8_lossy(&location)),
            RouteOutcome::NotFound => "404".to_owned(),
            RouteOutcome::Refused => "400".to_owned(),
        }
    }

    #[test]
    fn host_conditions_hold_for_the_flattened_host_too() {
        let rules = ["Host:cdn.test", "Host:www.test;PathPrefix:/a", "HostRegexp:{any:cdn}.test", "PathPrefix:/"];
        let router = router(v1(false), &rules);
        let routed = |host: &str, flattened: &str, target: &str| {
            let (host, target) = (host.as_bytes(), target.as_bytes());
            let request = RouteRequest { method: b"GET", host, target, headers: &NO_HEADERS };
            show(router.route_flattened(&request, flattened.as_bytes(), &mut Scratch::default()))
        };
        assert_eq!(routed("shop.test", "", "/"), "3");
        assert_eq!(routed("shop.test", "cdn.test", "/"), "0");
        assert_eq!(routed("shop.test", "www.test", "/"), "3");
        assert_eq!(routed("shop.test", "www.test", "/a"), "1");
        assert_eq!(routed("www.test", "cdn.test", "/a"), "1", "the longer rule first, by the own host");
        assert_eq!(routed("www.test", "cdn.test", "/"), "0");
        assert_eq!(routed("cdn.test", "cdn.test", "/"), "2", "the longer rule first");
        assert_eq!(routed("shop.test", "x.test", "/"), "3", "patterns see the own host alone");
    }

    #[test]
    fn rank_is_priority_then_provider_then_name() {
        let route = |rule: &str, priority, provider: &str, name: &str| Route {
            rule: Rule::parse(rule).expect(rule),
            priority,
            provider: provider.to_owned(),
            name: name.to_owned(),
            value: format!("{provider}/{name}"),
        };
        let routes = vec![
            route("Host:a", 0, "file", "short"),
            route("Host:a;PathPrefix:/x", 0, "file", "long"),
            route("PathPrefix:/x/low", 1, "file", "low"),
            route("Host:same", 0, "docker", "frontend-9"),
            route("Host:same", 0, "docker", "frontend-10"),
            route("Host:same", 0, "a", "z"),
            route("Host:a;PathPrefix:/x/very/long", PRIORITY_LAST, "a", "last"),
        ];
        let router = Router::build(routes, RouterOptions::default());
        assert_eq!(routed(&router, "a", "/"), "file/short");
        assert_eq!(routed(&router, "a", "/x/low"), "file/long");
        assert_eq!(routed(&router, "b", "/x/low"), "file/low");
        assert_eq!(routed(&router, "same", "/"), "a/z");
        assert_eq!(routed(&router, "a", "/x/very/long"), "file/long", "PRIORITY_LAST comes after all others");
        let order: Vec<_> = router.values().filter(|value| value.contains("frontend")).collect();
        assert_eq!(order, ["docker/frontend-10", "docker/frontend-9"]);
    }

    #[test]
    fn protected_prefix_cannot_be_bypassed() {
        let table = router(RouterOptions::default(), &["PathPrefix:/admin", "PathPrefix:/public", "PathPrefix:/"]);
        for (target, expected) in [
            ("/admin/x", "0"),
            ("/public/../admin/x", "0"),
            ("/public/%2e%2e/admin", "0"),
            ("//admin", "0"),
            ("/%61dmin", "0"),
            ("/./admin", "0"),
            ("/public%2f..%2fadmin", "400"),
            ("/public/..%5cadmin", "400"),
            ("/public/a%2fb", "1"),
            ("/%zz", "400"),
            ("/public?x=/../%zz", "1"),
        ] {
            assert_eq!(routed(&table, "h", target), expected, "{target}");
        }
    }

    #[test]
    fn unsanitised_paths_are_only_percent_decoded() {
        let table = router(v1(false), &["PathPrefix:/admin", "PathPrefix:/"]);
        assert_eq!(routed(&table, "h", "/public/../admin"), "1");
        assert_eq!(routed(&table, "h", "/%61dmin"), "0");
        assert_eq!(routed(&table, "h", "/%zz"), "400");
    }

    #[test]
    fn trailing_slash_is_redirected_unless_kept() {
        let table = router(v1(false), &["Path:/foo,/bar/", "Path:/{x:.*};Method:POST"]);
        assert_eq!(routed(&table, "h", "/foo/?q=a%20b"), "-> /foo?q=a%20b");
        assert_eq!(routed(&table, "h", "/bar"), "-> /bar/");
        assert_eq!(routed(&table, "h", "/foo"), "0");
        // The second route's template also matches but its method does not: its redirect must not leak.
        assert_eq!(routed(&table, "h", "/z/"), "404");
        assert_eq!(routed(&router(v1(true), &["Path:/foo,/bar/"]), "h", "/bar"), "404");
        assert_eq!(routed(&router(v1(false), &["Path:/{x:.*}"]), "h", "//evil.com/"), "-> /evil.com");
    }

    #[test]
    fn non_ascii_host_matches_pattern_that_folds_to_it() {
        let table = router(v1(false), &["HostRegexp:{x}.bistro", "HostRegexp:{x:.*}.kiosk"]);
        assert_eq!(routed(&table, "a.bi\u{17f}tro", "/"), "0");
        assert_eq!(routed(&table, "a.\u{212a}iosk", "/"), "1");
        assert_eq!(routed(&table, "A.BISTRO:81", "/"), "0");
    }

    #[test]
    fn host_with_many_routes_is_indexed_by_path() {
        let rules: Vec<String> = (0..50).map(|n| format!("Host:h;PathPrefix:/p{n:02}/")).collect();
        let mut rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        rules.push("Host:h");
        let table = router(RouterOptions::default(), &rules);
        assert_eq!(routed(&table, "h", "/p17/x"), "17");
        assert_eq!(routed(&table, "h", "/p17"), "50");
        assert_eq!(routed(&table, "g", "/p17/x"), "404");
    }

    /// The result that the index must not change: a test of every route in rank order.
    fn scan<'a, T>(router: &'a Router<T>, facts: &RouteRequest<'_>) -> RouteOutcome<'a, T> {
        let (mut buffers, mut host) = (path::PathBuffers::default(), Vec::new());
        let Some(request) = router.input(facts, b"", &mut buffers, &mut host) else {
            return RouteOutcome::Refused;
        };
        router.routes.iter().find_map(|route| route.test(&request)).unwrap_or(RouteOutcome::NotFound)
    }

    /// The rule with a given number, and the host and target of a request that it matches.
    type Form = (fn(usize) -> String, fn(usize) -> (String, String));

    /// There are enough routes of each form for a prefilter; the end of a host is not the end of the text that a prefilter searches.
    #[test]
    fn anchored_pattern_matches_alike_in_many_routes() {
        let forms: [Form; 4] = [
            (|n| format!("HostRegexp:{{h:^(www\\.)?shop{n}\\.x$}}"), |n| (format!("www.shop{n}.x"), "/".to_owned())),
            (|n| format!("HostRegexp:{{h:shop{n}\\.x\\z}}"), |n| (format!("shop{n}.x"), "/".to_owned())),
            (|n| format!("Path:/u{n}/{{id:[0-9]+$}}"), |n| ("any".to_owned(), format!("/u{n}/7"))),
            (|n| format!("PathPrefix:/u{n}{{id:(/|$)}}"), |n| ("any".to_owned(), format!("/u{n}"))),
        ];
        for (rule, request) in forms {
            let route = |n: usize| Route {
                rule: Rule::parse(&rule(n)).expect("a valid rule"),
                priority: 0,
                provider: "p".to_owned(),
                name: n.to_string(),
                value: n.to_string(),
            };
            let router = Router::build((0..40).map(route).collect(), RouterOptions::default());
            let mut scratch = Scratch::default();
            for n in 0..40 {
                let (host, target) = request(n);
                let facts = RouteRequest {
                    method: b"GET",
                    host: host.as_bytes(),
                    target: target.as_bytes(),
                    headers: &NO_HEADERS,
                };
                let found = show(router.route(&facts, &mut scratch));
                assert_eq!(found, show(scan(&router, &facts)), "{}", rule(n));
                assert!(found.contains(&n.to_string()), "{}: {found}", rule(n));
            }
        }
    }

    fn piece() -> impl Strategy<Value = String> {
        let host = prop::sample::select(vec!["a.x", "b.x", "c.y", "x", "A.X"]);
        let pattern = prop::sample::select(vec![
            "{s}.x",
            "{s:[a-z]+}.y",
            "{s:.*}",
            "a.{s}",
            "{s:(a|b)\\.x}",
            "{s:a|b}.{t}",
            "{s:b|c.y}",
            "a.x",
            "{bad",
            "{s:a.x?}",
            "{s:.*x$}",
            "{s:^a\\.x$}",
            "{s:^(a|b)}.x",
            "{s:[a-c]\\.[xy]\\z}",
        ]);
        let path = prop::sample::select(vec![
            "/",
            "/a",
            "/a/",
            "/a/b",
            "/{v}",
            "/a/{v:[a-z]}",
            "/ab",
            "",
            "a",
            "/{v}/b",
            "/{bad",
            "/a{v}/",
            "/{v:[a-z]+$}",
            "/{v:[ab]$}/",
        ]);
        prop_oneof![
            3 => prop::collection::vec(host, 1..3).prop_map(|args| format!("Host:{}", args.join(","))),
            2 => prop::collection::vec(pattern, 1..3).prop_map(|args| format!("HostRegexp:{}", args.join(","))),
            4 => (
                prop::sample::select(vec!["Path", "PathPrefix", "PathStrip", "PathPrefixStrip", "PathPrefixStripRegex"]),
                prop::collection::vec(path, 1..3)
            )
                .prop_map(|(name, args)| format!("{name}:{} ,", args.join(" ,"))),
            1 => Just("Method:GET".to_owned()),
            1 => Just("Query:q=1".to_owned()),
            1 => Just("AddPrefix:/z".to_owned()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn index_agrees_with_a_scan(
            rules in prop::collection::vec((prop::collection::vec(piece(), 1..4), 0..3i64), 1..90),
            requests in prop::collection::vec(("(a\\.x|b\\.X:80|c\\.y|x|||é\\.x|[a-c.xy]{1,4})", "/[ab/.]{0,4}(%2e|%61|%2f)?/?(\\?q=1)?"), 1..12),
            keep_trailing_slash: bool,
            sanitize_path: bool,
        ) {
            let routes = rules.into_iter().enumerate().map(|(value, (pieces, priority))| Route {
                rule: Rule::parse(&pieces.join(";")).expect("generated rules are valid"),
                priority,
                provider: "p".to_owned(),
                name: value.to_string(),
                value,
            });
            let router = Router::build(routes.collect(), RouterOptions { keep_trailing_slash, sanitize_path });
            let mut scratch = Scratch::default();
            for (host, target) in requests {
                let facts = RouteRequest { method: b"GET", host: host.as_bytes(), target: target.as_bytes(), headers: &NO_HEADERS };
                prop_assert_eq!(show(router.route(&facts, &mut scratch)), show(scan(&router, &facts)), "{} {}", host, target);
            }
        }
    }
}
