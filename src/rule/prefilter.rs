//! A prefilter: one automaton over the patterns of many routes, which finds the routes whose patterns match a request. The cost of a
//! search does not grow with the number of patterns.
//!
//! The prefilter only selects candidates. The router tests every candidate completely; if a search exceeds the memory of the automaton,
//! all routes of the prefilter are candidates.

use std::panic::{RefUnwindSafe, UnwindSafe};

use regex_automata::hybrid::dfa::{Cache, DFA, OverlappingState};
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

use super::matcher::{Matcher, Prefix};
use super::rank_range::RankRange;
use super::template::Template;
use crate::limits::{FILTER_CACHE_BYTES_MAX, FILTER_PROGRAM_BYTES_MAX};

/// The number of routes with patterns in one leaf of the index from which on a prefilter is cheaper than a test of each route.
pub(crate) const FILTER_ROUTES_MIN: usize = 16;
/// A route with more combinations of host and path patterns than this is in no prefilter: it is always a candidate.
const PATTERNS_PER_ROUTE_MAX: usize = 16;
/// When its cache of states is full, a search fails if the cache has been cleared this many times and fewer than
/// [`FILTER_BYTES_PER_STATE_MIN`] bytes per state have been searched since the last time.
const FILTER_CLEARS_MIN: usize = 4;
const FILTER_BYTES_PER_STATE_MIN: usize = 4;

type MakeCache = Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// The patterns of several routes over `host NUL path`.
pub(crate) struct Prefilter {
    dfa: DFA,
    /// The states made so far: one cache for each worker that searches at the same time.
    caches: Pool<Cache, MakeCache>,
    /// The rank of each pattern's route.
    ranks: Vec<u32>,
    /// All routes of the prefilter.
    pub all: RankRange,
}

/// Patterns to be compiled together, each with the rank of its route.
#[derive(Default)]
pub(crate) struct Patterns(Vec<(String, u32)>);

impl Patterns {
    /// Adds the patterns of a route. Returns false if the route has none that a prefilter can use.
    pub fn add(&mut self, rank: u32, matchers: &[Matcher]) -> bool {
        let Some(texts) = texts(matchers) else { return false };
        self.0.extend(texts.into_iter().map(|text| (text, rank)));
        true
    }

    /// Compiles the patterns; `None` if the automaton would exceed `FILTER_PROGRAM_BYTES_MAX`.
    pub fn compile(self, all: RankRange) -> Option<Prefilter> {
        let (texts, ranks): (Vec<String>, Vec<u32>) = self.0.into_iter().unzip();
        let program = thompson::Config::new()
            .which_captures(thompson::WhichCaptures::None)
            .nfa_size_limit(Some(FILTER_PROGRAM_BYTES_MAX));
        let search = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(FILTER_CACHE_BYTES_MAX)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(FILTER_CLEARS_MIN))
            .minimum_bytes_per_state(Some(FILTER_BYTES_PER_STATE_MIN));
        let bytes = syntax::Config::new().utf8(false);
        let dfa = DFA::builder().syntax(bytes).thompson(program).configure(search).build_many(&texts).ok()?;
        let for_cache = dfa.clone();
        let make: MakeCache = Box::new(move || for_cache.create_cache());
        Some(Prefilter { dfa, caches: Pool::new(make), ranks, all })
    }
}

impl Prefilter {
    /// Appends to `found` the ranks of the routes whose patterns match `subject`. Returns false, with nothing appended, if the search
    /// fails.
    pub fn find(&self, subject: &[u8], found: &mut Vec<u32>) -> bool {
        let before = found.len();
        let mut cache = self.caches.get();
        let input = Input::new(subject).anchored(Anchored::Yes);
        let mut state = OverlappingState::start();
        loop {
            if self.dfa.try_search_overlapping_fwd(&mut cache, &input, &mut state).is_err() {
                // The next search begins with an empty cache: a client cannot disable the prefilter for others.
                cache.reset(&self.dfa);
                found.truncate(before);
                return false;
            }
            match state.get_match() {
                Some(end) => found.push(self.ranks[end.pattern().as_usize()]),
                None => return true,
            }
        }
    }
}

impl std::fmt::Debug for Prefilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prefilter").field("patterns", &self.ranks.len()).finish_non_exhaustive()
    }
}

/// A pattern for each combination of a host and a path of the route. `None` if all of them are literal text, if there are more than
/// [`PATTERNS_PER_ROUTE_MAX`], or if an expression has an anchor: host and path are parts of one text here, so an anchor would not match
/// at their ends.
fn texts(matchers: &[Matcher]) -> Option<Vec<String>> {
    let (mut is_pattern, mut is_anchored) = (false, false);
    let mut host = |template: &Template| {
        is_pattern |= template.is_pattern();
        is_anchored |= template.is_anchored();
        Some(format!("(?i:{})", template.expression()?))
    };
    let hosts: Option<Vec<String>> = matchers.iter().find_map(|matcher| match matcher {
        Matcher::HostRegexp(templates) => Some(templates.iter().filter_map(&mut host).collect()),
        _ => None,
    });
    let mut path = |template: &Template, end: &str| {
        is_pattern |= template.is_pattern();
        is_anchored |= template.is_anchored();
        Some(format!("{}{end}", template.expression()?))
    };
    let paths: Option<Vec<String>> = matchers.iter().find_map(|matcher| match matcher {
        // The path may have a surplus trailing slash or lack one: the router then redirects.
        Matcher::Path(templates) => Some(templates.iter().filter_map(|template| path(template, "/?")).collect()),
        Matcher::PathPrefix(prefixes) => {
            Some(prefixes.iter().filter_map(|prefix| beginning(prefix, &mut path)).collect())
        }
        _ => None,
    });
    let any = || vec![ANYTHING.to_owned()];
    let (hosts, paths) = (hosts.unwrap_or_else(any), paths.unwrap_or_else(any));
    if !is_pattern || is_anchored || hosts.len() * paths.len() > PATTERNS_PER_ROUTE_MAX {
        return None;
    }
    let combined = hosts.iter().flat_map(|host| paths.iter().map(move |path| format!("^(?:{host})\\x00(?:{path})$")));
    Some(combined.collect())
}

/// Matches any text.
const ANYTHING: &str = "(?s-u:.)*";

/// The expression of the paths that begin with `prefix`.
fn beginning(prefix: &Prefix, path: &mut impl FnMut(&Template, &str) -> Option<String>) -> Option<String> {
    match prefix {
        Prefix::Literal(literal) => Some(format!("{}{ANYTHING}", regex::escape(literal))),
        Prefix::Template(template) => path(template, ANYTHING),
    }
}

/// Writes the text that prefilters search: the host that `HostRegexp` rules are matched against, a NUL byte, and the decoded path. Both are
/// converted by [`super::pattern::as_text`].
pub(crate) fn subject(host: &[u8], path: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&super::pattern::as_text(host));
    out.push(0);
    out.extend_from_slice(&super::pattern::as_text(path));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Rule;

    fn filter(rules: &[String]) -> Prefilter {
        let mut patterns = Patterns::default();
        for (rank, rule) in rules.iter().enumerate() {
            let rule = Rule::parse(rule).expect("a valid rule");
            assert!(patterns.add(rank as u32, &rule.matchers), "no pattern in {}", rules[rank]);
        }
        patterns.compile(RankRange { at: 0, end: rules.len() as u32 }).expect("few enough")
    }

    fn found(filter: &Prefilter, host: &str, path: &str) -> Option<Vec<u32>> {
        let (mut text, mut found) = (Vec::new(), vec![99]);
        subject(host.as_bytes(), path.as_bytes(), &mut text);
        let is_decided = filter.find(&text, &mut found);
        found.sort_unstable();
        assert_eq!(found.pop(), Some(99), "earlier ranks stay");
        is_decided.then_some(found)
    }

    #[test]
    fn host_and_path_patterns_match_together() {
        let rules = [
            "HostRegexp:{a:(x|y)}.test;PathPrefix:/p",
            "HostRegexp:{a:[xy]}.test,{b:z}.test",
            "Path:/{id:[0-9]+}/",
            "PathPrefix:/{id:[0-9]+},/static;Method:GET",
        ];
        let filter = filter(&rules.map(str::to_owned));
        assert_eq!(found(&filter, "X.test", "/p/1"), Some(vec![0, 1]));
        assert_eq!(found(&filter, "z.TEST", "/12"), Some(vec![1, 2, 3]), "a slash may be missing");
        assert_eq!(found(&filter, "other", "/static/x"), Some(vec![3]), "other conditions are not tested");
        assert_eq!(found(&filter, "other", "/x"), Some(vec![]));
    }

    #[test]
    fn rule_without_patterns_or_with_too_many_is_not_added() {
        let many: Vec<String> = (0..17).map(|n| format!("{{a}}.t{n}")).collect();
        for rule in ["Host:a;Path:/b,/c", "Method:GET", "Query:a={x}", &format!("HostRegexp:{}", many.join(","))] {
            let parsed = Rule::parse(rule).expect("a valid rule");
            assert!(!Patterns::default().add(0, &parsed.matchers), "{rule}");
        }
    }

    #[test]
    fn search_that_makes_too_many_states_fails() {
        let rules: Vec<String> =
            (0..FILTER_ROUTES_MIN).map(|n| format!("HostRegexp:{{x:[ab]*a[ab]{{18}}}}c{n}")).collect();
        let filter = filter(&rules);
        assert_eq!(found(&filter, &format!("{}c7", "ba".repeat(20)), "/"), Some(vec![7]));
        let mut state = 1_u64;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if state >> 63 == 0 { 'a' } else { 'b' }
        };
        let host: String = (0..200_000).map(|_| letter()).collect();
        assert_eq!(found(&filter, &host, "/"), None);
        assert_eq!(found(&filter, &format!("{}c7", "ba".repeat(20)), "/"), Some(vec![7]), "the next search succeeds");
    }
}
