//! Finds routes that can never be chosen, because a route of a higher rank takes every request that they match. What is found is certain;
//! conditions whose meaning would have to be proved (two different regular expressions) count as different.

use std::collections::{BTreeSet, HashMap};

use super::matcher::{HeaderTest, Matcher, Prefix};
use super::parse::Rule;
use super::router::{PRIORITY_LAST, Route, rank_of};
use super::template::{Kind, Slash, Template};
use crate::limits::{SHADOW_CANDIDATES_MAX, SHADOW_KEYS_MAX};

/// A route that gets no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shadow {
    /// The index of the route.
    pub loser: usize,
    /// The index of the route that gets its requests.
    pub winner: usize,
    /// Whether both match the same requests.
    pub is_equal: bool,
}

/// Lists the routes that get no request, in the order of `routes`. Routes that come last because their servers are unavailable are no
/// mistake, nor do they hide others for long.
pub fn shadowed<T>(routes: &[Route<T>]) -> Vec<Shadow> {
    let mut order: Vec<usize> = (0..routes.len()).filter(|at| routes[*at].priority != PRIORITY_LAST).collect();
    order.sort_by(|a, b| rank_of(&routes[*a]).cmp(&rank_of(&routes[*b])));
    let mut index = WinnerIndex::default();
    let mut found = Vec::new();
    for at in order {
        let rule = &routes[at].rule;
        let winner = index.candidates(rule).into_iter().find(|winner| covers(&routes[*winner].rule, rule));
        match winner {
            Some(winner) => {
                found.push(Shadow { loser: at, winner, is_equal: covers(rule, &routes[winner].rule) });
            }
            None => index.insert(rule, at),
        }
    }
    found.sort_by_key(|shadow| shadow.loser);
    found
}

/// Whether every request that meets `loser` also meets `winner`.
fn covers(winner: &Rule, loser: &Rule) -> bool {
    let is_met = |wanted: &Matcher| loser.matchers.iter().any(|given| implies(given, wanted));
    !loser.matchers.iter().any(is_dead) && winner.matchers.iter().all(is_met)
}

/// Whether no request can meet the condition, which has been reported.
fn is_dead(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::HostRegexp(templates) | Matcher::Path(templates) => templates.iter().all(Template::is_dead),
        Matcher::PathPrefix(prefixes) => prefixes.iter().all(Prefix::is_dead),
        Matcher::Host(names) => names.iter().all(|name| name.is_empty() || name.contains(':')),
        _ => false,
    }
}

/// Whether every request that meets `given` also meets `wanted`.
fn implies(given: &Matcher, wanted: &Matcher) -> bool {
    match (given, wanted) {
        (Matcher::Host(given), Matcher::Host(wanted)) => given.iter().all(|name| wanted.contains(name)),
        (Matcher::Host(given), Matcher::HostRegexp(wanted)) => {
            given.iter().all(|name| wanted.iter().any(|template| template.matches(Kind::Host, name.as_bytes())))
        }
        (Matcher::HostRegexp(given), Matcher::HostRegexp(wanted)) => same_templates(given, wanted),
        (Matcher::Path(given), Matcher::Path(wanted)) => {
            let is_met = |path: &Template| {
                let literal = path.literal();
                let by =
                    |w: &Template| literal.is_some_and(|l| w.matches_path(l.as_bytes(), true) == Some(Slash::Same));
                wanted.iter().any(|w| w.text() == path.text() || by(w))
            };
            given.iter().all(is_met)
        }
        (Matcher::Path(given), Matcher::PathPrefix(wanted)) => {
            given.iter().all(|path| wanted.iter().any(|prefix| is_below(path.head(), prefix)))
        }
        (Matcher::PathPrefix(given), Matcher::PathPrefix(wanted)) => given.iter().all(|path| {
            let is_same = |prefix: &Prefix| match (path, prefix) {
                (Prefix::Template(one), Prefix::Template(other)) => one.text() == other.text(),
                _ => false,
            };
            wanted.iter().any(|prefix| is_below(path.head(), prefix) || is_same(prefix))
        }),
        (Matcher::Method(given), Matcher::Method(wanted)) => given.iter().all(|method| wanted.contains(method)),
        (Matcher::Headers(given), Matcher::Headers(wanted)) => wanted.iter().all(|(name, wanted)| {
            given.iter().any(|(other, given)| other.eq_ignore_ascii_case(name) && implies_header(given, wanted))
        }),
        (Matcher::Query(given), Matcher::Query(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| given.iter().any(|(other, given)| other == key && given.text() == wanted.text())),
        _ => false,
    }
}

fn same_templates(given: &[Template], wanted: &[Template]) -> bool {
    given.iter().all(|one| wanted.iter().any(|other| one.text() == other.text()))
}

/// Whether every path that begins with `head` begins with a literal prefix.
fn is_below(head: &[u8], prefix: &Prefix) -> bool {
    matches!(prefix, Prefix::Literal(literal) if head.starts_with(literal.as_bytes()))
}

fn implies_header(given: &HeaderTest, wanted: &HeaderTest) -> bool {
    match (given, wanted) {
        (_, HeaderTest::Present) => true,
        (HeaderTest::Exactly(given), HeaderTest::Exactly(wanted)) => given == wanted,
        (HeaderTest::Pattern(given), HeaderTest::Pattern(wanted)) => given.as_str() == wanted.as_str(),
        _ => false,
    }
}

/// A host and the literal beginning of a path; `None` for routes without a condition on them.
type WinnerKey = (Option<String>, Option<Vec<u8>>);

/// The routes that may hide others, by a host and by the literal beginning of a path: comparing each route with each other one takes too
/// long with thousands of routes.
#[derive(Default)]
struct WinnerIndex {
    by_key: HashMap<WinnerKey, Vec<usize>>,
    /// The lengths of all path beginnings.
    lengths: BTreeSet<usize>,
}

impl WinnerIndex {
    fn insert(&mut self, rule: &Rule, at: usize) {
        let hosts = rule.matchers.iter().find_map(hosts_of);
        let heads = rule.matchers.iter().find_map(heads_of);
        let hosts: Vec<Option<String>> =
            hosts.map_or_else(|| vec![None], |names| names.into_iter().map(Some).collect());
        let heads: Vec<Option<Vec<u8>>> =
            heads.map_or_else(|| vec![None], |heads| heads.into_iter().map(Some).collect());
        if hosts.len().saturating_mul(heads.len()) > SHADOW_KEYS_MAX {
            self.by_key.entry((None, None)).or_default().push(at);
            return;
        }
        self.lengths.extend(heads.iter().flatten().map(Vec::len));
        for host in &hosts {
            for head in &heads {
                self.by_key.entry((host.clone(), head.clone())).or_default().push(at);
            }
        }
    }

    /// The routes that may cover a rule, at most `SHADOW_CANDIDATES_MAX`, in the order of their ranks.
    fn candidates(&self, rule: &Rule) -> Vec<usize> {
        let mut hosts = vec![None];
        hosts.extend(rule.matchers.iter().filter_map(hosts_of).filter_map(|names| names.into_iter().next()).map(Some));
        let mut heads = vec![None];
        for head in rule.matchers.iter().filter_map(heads_of).filter_map(|heads| heads.into_iter().next()) {
            let lengths = self.lengths.iter().take_while(|length| **length <= head.len());
            heads.extend(lengths.map(|length| Some(head[..*length].to_vec())));
        }
        let mut found = BTreeSet::new();
        for host in &hosts {
            for head in &heads {
                let routes = self.by_key.get(&(host.clone(), head.clone()));
                found.extend(routes.into_iter().flatten().copied().take(SHADOW_CANDIDATES_MAX));
            }
        }
        found.into_iter().take(SHADOW_CANDIDATES_MAX).collect()
    }
}

fn hosts_of(matcher: &Matcher) -> Option<Vec<String>> {
    match matcher {
        Matcher::Host(names) => Some(names.clone()),
        _ => None,
    }
}

/// The literal text with which each path that meets the condition begins.
fn heads_of(matcher: &Matcher) -> Option<Vec<Vec<u8>>> {
    match matcher {
        Matcher::Path(templates) => Some(templates.iter().map(|template| template.head().to_vec()).collect()),
        Matcher::PathPrefix(prefixes) => Some(prefixes.iter().map(|prefix| prefix.head().to_vec()).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(rules: &[(&str, i64)]) -> Vec<Route<()>> {
        let route = |(at, (rule, priority)): (usize, &(&str, i64))| Route {
            rule: Rule::parse(rule).expect("valid"),
            priority: *priority,
            provider: "file".to_owned(),
            name: format!("f{at:03}"),
            value: (),
        };
        rules.iter().enumerate().map(route).collect()
    }

    /// Whether the second rule is hidden by the first, which has the higher rank.
    fn is_hidden(first: &str, second: &str) -> bool {
        shadowed(&routes(&[(first, 9), (second, 5)])).iter().any(|shadow| (shadow.winner, shadow.loser) == (0, 1))
    }

    #[test]
    fn route_is_hidden_by_one_that_takes_all_its_requests() {
        for (first, second) in [
            ("Host:a.test", "Host:a.test;PathPrefix:/x"),
            ("Host:a.test,b.test", "Host:b.test"),
            ("PathPrefix:/", "Host:a.test;Path:/x"),
            ("HostRegexp:{s:[a-z]+}.a.test", "Host:b.a.test;Method:GET"),
            ("PathPrefix:/api", "PathPrefix:/api/v1,/apis"),
            ("Path:/a/{id}", "Path:/a/{id};Method:GET"),
            ("Path:/a/{id:[0-9]+}", "Path:/a/17"),
            ("Host:a.test;Method:GET,POST", "Method:POST;Host:a.test"),
            ("Headers:X-A,1", "Headers:x-a,1,X-B,2"),
            ("Query:a=1", "Host:h.test;Query:a=1,b=2"),
            ("Host:a.test", "Host:a.test"),
        ] {
            assert!(is_hidden(first, second), "{first} before {second}");
        }
    }

    #[test]
    fn route_with_requests_of_its_own_is_not_hidden() {
        for (first, second) in [
            ("Host:a.test;PathPrefix:/x", "Host:a.test"),
            ("Host:a.test", "Host:a.test,b.test"),
            ("Path:/a", "PathPrefix:/a"),
            ("PathPrefix:/a/", "Path:/a/"),
            ("Path:/a/{id:[0-9]+}", "Path:/a/x"),
            ("Method:GET", "Method:GET,HEAD"),
            ("Headers:X-A,1", "Headers:X-A,2"),
            ("HostRegexp:{s:[a-z]+}.a.test", "HostRegexp:{s:[a-m]+}.a.test"),
            ("Host:a.test", "Host:a.test;Path:x"),
        ] {
            assert!(!is_hidden(first, second), "{first} before {second}");
        }
    }

    #[test]
    fn rank_decides_which_route_is_hidden_and_equal_rules_are_told_apart() {
        let found = shadowed(&routes(&[("Host:a.test;PathPrefix:/x", 0), ("Host:a.test", 0), ("Host:A.test", 0)]));
        assert_eq!(found, [Shadow { loser: 2, winner: 1, is_equal: true }]);
        let found = shadowed(&routes(&[("Host:a.test;PathPrefix:/x", 1), ("Host:a.test", 2)]));
        assert_eq!(found, [Shadow { loser: 0, winner: 1, is_equal: false }]);
        assert_eq!(shadowed(&routes(&[("Host:a.test", 1), ("Host:a.test", PRIORITY_LAST)])), []);
    }
}
