//! From a request to its route: host index first, then rank, which is priority, provider and name (docs/reference/rules.md#order).

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

/// One frontend's way in.
#[derive(Debug, Clone)]
pub struct Route<T> {
    pub rule: Rule,
    /// Zero or less: the length of the rule's texts; [`PRIORITY_LAST`]: behind all others.
    pub priority: i64,
    pub provider: String,
    pub name: String,
    pub value: T,
}

/// How an entry point reads paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterOptions {
    /// A path that differs from a `Path` rule only by its trailing slash does not match, instead of being redirected.
    pub keep_trailing_slash: bool,
    /// Resolve dot segments before matching and refuse ambiguous ones (docs/reference/security-promises.md#path-traversal, docs/reference/rules.md#path-handling); false is v1's byte-exact matching.
    pub sanitize_path: bool,
}

impl Default for RouterOptions {
    fn default() -> Self {
        RouterOptions { keep_trailing_slash: false, sanitize_path: true }
    }
}

/// What routing may look at.
#[derive(Clone, Copy)]
pub struct RouteRequest<'a> {
    pub method: &'a [u8],
    /// As received, port included; empty if there is none.
    pub host: &'a [u8],
    /// The raw target in origin form, `*`, or empty or only a query when an absolute-form target had no path.
    pub target: &'a [u8],
    pub headers: &'a dyn Headers,
}

#[derive(Debug)]
pub enum RouteOutcome<'a, T> {
    /// The route of this request. Its modifiers must be applied to the target even when they are empty.
    Found {
        value: &'a T,
        modifiers: &'a Modifiers,
    },
    /// 301 to this relative location; bypasses the frontend.
    Redirect {
        location: Vec<u8>,
    },
    NotFound,
    /// 400: a malformed escape, or a traversal that cannot be read safely.
    Refused,
}

/// All routes of one entry point.
#[derive(Debug)]
pub struct Router<T> {
    /// By rank.
    routes: Vec<Ranked<T>>,
    index: Index,
    options: RouterOptions,
}

#[derive(Debug)]
struct Ranked<T> {
    matchers: Vec<Matcher>,
    modifiers: Modifiers,
    value: T,
}

/// The priority of a route that stands behind all others, whatever their rules.
pub const PRIORITY_LAST: i64 = i64::MIN;

impl<T> Router<T> {
    /// Sorts by priority, highest first, then by provider and name, and indexes the result. Routes equal in all three stay in
    /// the order given.
    pub fn build(mut routes: Vec<Route<T>>, options: RouterOptions) -> Router<T> {
        let priority = |route: &Route<T>| match route.priority {
            set if set > 0 || set == PRIORITY_LAST => set,
            _ => route.rule.default_priority(),
        };
        routes.sort_by(|a, b| {
            let by_name = || (&a.provider, &a.name).cmp(&(&b.provider, &b.name));
            priority(b).cmp(&priority(a)).then_with(by_name)
        });
        let ranked = routes.into_iter().map(|route| {
            let Rule { matchers, mut modifiers, .. } = route.rule;
            modifiers.sanitize = options.sanitize_path;
            Ranked { matchers, modifiers, value: route.value }
        });
        let routes: Vec<Ranked<T>> = ranked.collect();
        let conditions: Vec<&[Matcher]> = routes.iter().map(|route| &*route.matchers).collect();
        let index = Index::build(&conditions);
        Router { routes, index, options }
    }

    /// Finds the first route in rank order whose conditions all hold.
    pub fn route(&self, facts: &RouteRequest<'_>, scratch: &mut Scratch) -> RouteOutcome<'_, T> {
        let Scratch { path: buffers, host, folded, reversed, subject, candidates, .. } = scratch;
        let Ok(view) = path::read(facts.target, self.options.sanitize_path, buffers) else {
            return RouteOutcome::Refused;
        };
        let bare_host = before_colon(facts.host);
        let request = MatchInput {
            method: facts.method,
            canonical_host: canonical_host(facts.host, host),
            bare_host,
            path: view.path,
            query: view.query,
            headers: facts.headers,
            keep_trailing_slash: self.options.keep_trailing_slash,
        };
        if self.index.has_host_patterns() {
            fold(bare_host, fold_char, folded);
            reversed.clear();
            reversed.extend(folded.iter().rev());
        }
        if self.index.has_filters() {
            prefilter::subject(bare_host, view.path, subject);
        }
        let keys = Keys { host: request.canonical_host, folded, reversed, path: view.path, subject };
        self.index.candidates(&keys, candidates);
        while let Some(rank) = self.index.next(candidates) {
            if let Some(outcome) = self.routes[rank as usize].test(&request) {
                return outcome;
            }
        }
        RouteOutcome::NotFound
    }

    /// All values in rank order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.routes.iter().map(|route| &route.value)
    }

    pub fn len(&self) -> usize {
        self.routes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

impl<T> Ranked<T> {
    fn test(&self, request: &MatchInput<'_>) -> Option<RouteOutcome<'_, T>> {
        let mut slash = Slash::Same;
        for matcher in &self.matchers {
            if matcher.test(request)? == Slash::Differs {
                slash = Slash::Differs;
            }
        }
        Some(match slash {
            Slash::Same => RouteOutcome::Found { value: &self.value, modifiers: &self.modifiers },
            Slash::Differs => RouteOutcome::Redirect { location: redirect::location(request.path, request.query) },
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

    /// Short names for the tests' tables: the value, or what came instead.
    fn ask<T: std::fmt::Display>(router: &Router<T>, host: &str, target: &str) -> String {
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
        assert_eq!(ask(&router, "a", "/"), "file/short");
        assert_eq!(ask(&router, "a", "/x/low"), "file/long");
        assert_eq!(ask(&router, "b", "/x/low"), "file/low");
        assert_eq!(ask(&router, "same", "/"), "a/z");
        assert_eq!(ask(&router, "a", "/x/very/long"), "file/long", "the last one is behind all others");
        let order: Vec<_> = router.values().filter(|value| value.contains("frontend")).collect();
        assert_eq!(order, ["docker/frontend-10", "docker/frontend-9"]);
    }

    #[test]
    fn protected_prefixes_cannot_be_reached_around() {
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
            assert_eq!(ask(&table, "h", target), expected, "{target}");
        }
    }

    #[test]
    fn byte_exact_matching_when_sanitising_is_off() {
        let table = router(v1(false), &["PathPrefix:/admin", "PathPrefix:/"]);
        assert_eq!(ask(&table, "h", "/public/../admin"), "1");
        assert_eq!(ask(&table, "h", "/%61dmin"), "0");
        assert_eq!(ask(&table, "h", "/%zz"), "400");
    }

    #[test]
    fn slash_redirects() {
        let table = router(v1(false), &["Path:/foo,/bar/", "Path:/{x:.*};Method:POST"]);
        assert_eq!(ask(&table, "h", "/foo/?q=a%20b"), "-> /foo?q=a%20b");
        assert_eq!(ask(&table, "h", "/bar"), "-> /bar/");
        assert_eq!(ask(&table, "h", "/foo"), "0");
        // The second route's template also matches but its method does not: its redirect must not leak.
        assert_eq!(ask(&table, "h", "/z/"), "404");
        assert_eq!(ask(&router(v1(true), &["Path:/foo,/bar/"]), "h", "/bar"), "404");
        assert_eq!(ask(&router(v1(false), &["Path:/{x:.*}"]), "h", "//evil.com/"), "-> /evil.com");
    }

    #[test]
    fn hosts_outside_ascii_reach_the_patterns_that_fold_to_them() {
        let table = router(v1(false), &["HostRegexp:{x}.bistro", "HostRegexp:{x:.*}.kiosk"]);
        assert_eq!(ask(&table, "a.bi\u{17f}tro", "/"), "0");
        assert_eq!(ask(&table, "a.\u{212a}iosk", "/"), "1");
        assert_eq!(ask(&table, "A.BISTRO:81", "/"), "0");
    }

    #[test]
    fn a_host_with_many_routes_is_indexed_by_path() {
        let rules: Vec<String> = (0..50).map(|n| format!("Host:h;PathPrefix:/p{n:02}/")).collect();
        let mut rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        rules.push("Host:h");
        let table = router(RouterOptions::default(), &rules);
        assert_eq!(ask(&table, "h", "/p17/x"), "17");
        assert_eq!(ask(&table, "h", "/p17"), "50");
        assert_eq!(ask(&table, "g", "/p17/x"), "404");
    }

    /// The definition that the index must agree with: every route in rank order.
    fn scan<'a, T>(router: &'a Router<T>, facts: &RouteRequest<'_>) -> RouteOutcome<'a, T> {
        let mut buffers = path::PathBuffers::default();
        let Ok(view) = path::read(facts.target, router.options.sanitize_path, &mut buffers) else {
            return RouteOutcome::Refused;
        };
        let mut host = Vec::new();
        let request = MatchInput {
            method: facts.method,
            canonical_host: canonical_host(facts.host, &mut host),
            bare_host: before_colon(facts.host),
            path: view.path,
            query: view.query,
            headers: facts.headers,
            keep_trailing_slash: router.options.keep_trailing_slash,
        };
        router.routes.iter().find_map(|route| route.test(&request)).unwrap_or(RouteOutcome::NotFound)
    }

    /// The rule and a request for it, of each number.
    type Form = (fn(usize) -> String, fn(usize) -> (String, String));

    /// As many routes of one form as make a filter: the end of a host is not the end of the text that filters search.
    #[test]
    fn anchors_mean_the_same_in_many_routes_as_in_one() {
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
        fn the_index_agrees_with_a_scan(
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
