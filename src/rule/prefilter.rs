//! Many patterns in one automaton: which of them a request meets, at a cost that does not grow with their number.
//!
//! It only narrows the choice. A route that is found is tested as any other, and where the automaton finds no end within its
//! memory, all its routes are.

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

/// From so many routes with patterns in one place on, an automaton is cheaper than to test each.
pub(crate) const FILTER_ROUTES_MIN: usize = 16;
/// A route with more combinations of host and path patterns than this is always tested.
const PATTERNS_PER_ROUTE_MAX: usize = 16;
/// After so many times of forgetting, a search that learns a new state for every few bytes is given up.
const FILTER_CLEARS_MIN: usize = 4;
const FILTER_BYTES_PER_STATE_MIN: usize = 4;

type MakeCache = Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// The patterns of several routes over `host NUL path`.
pub(crate) struct Prefilter {
    dfa: DFA,
    /// What was learned so far; one for each worker that asks at the same time.
    caches: Pool<Cache, MakeCache>,
    /// The rank of each pattern's route.
    ranks: Vec<u32>,
    /// All the routes.
    pub all: RankRange,
}

/// Patterns to be compiled together, with the rank of each one's route.
#[derive(Default)]
pub(crate) struct Patterns(Vec<(String, u32)>);

impl Patterns {
    /// Adds the route's patterns, if it has any that a filter can use.
    pub fn add(&mut self, rank: u32, matchers: &[Matcher]) -> bool {
        let Some(texts) = texts(matchers) else { return false };
        self.0.extend(texts.into_iter().map(|text| (text, rank)));
        true
    }

    /// Compiles them; `None` when that would take too much memory.
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
    /// Adds the ranks of the routes whose patterns `subject` meets; false when it could not be found out.
    pub fn find(&self, subject: &[u8], found: &mut Vec<u32>) -> bool {
        let before = found.len();
        let mut cache = self.caches.get();
        let input = Input::new(subject).anchored(Anchored::Yes);
        let mut state = OverlappingState::start();
        loop {
            if self.dfa.try_search_overlapping_fwd(&mut cache, &input, &mut state).is_err() {
                // The next search starts afresh: no client can put the filter out of action for others.
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
        f.debug_struct("Filter").field("patterns", &self.ranks.len()).finish_non_exhaustive()
    }
}

/// One pattern per combination of a host and a path of the route; `None` when neither is more than literal text, or when the end of one
/// is not the end for its expression: host and path are one text here.
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
        // A trailing slash may be too much or missing: the route then answers with a redirect.
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

const ANYTHING: &str = "(?s-u:.)*";

fn beginning(prefix: &Prefix, path: &mut impl FnMut(&Template, &str) -> Option<String>) -> Option<String> {
    match prefix {
        Prefix::Literal(literal) => Some(format!("{}{ANYTHING}", regex::escape(literal))),
        Prefix::Template(template) => path(template, ANYTHING),
    }
}

/// What filters search: the host that `HostRegexp` sees and the decoded path, both as expressions read them.
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
        assert_eq!(found.pop(), Some(99), "what was found before stays");
        is_decided.then_some(found)
    }

    #[test]
    fn hosts_and_paths_are_met_together() {
        let rules = [
            "HostRegexp:{a:(x|y)}.test;PathPrefix:/p",
            "HostRegexp:{a:[xy]}.test,{b:z}.test",
            "Path:/{id:[0-9]+}/",
            "PathPrefix:/{id:[0-9]+},/static;Method:GET",
        ];
        let filter = filter(&rules.map(str::to_owned));
        assert_eq!(found(&filter, "X.test", "/p/1"), Some(vec![0, 1]));
        assert_eq!(found(&filter, "z.TEST", "/12"), Some(vec![1, 2, 3]), "a slash may be missing");
        assert_eq!(found(&filter, "other", "/static/x"), Some(vec![3]), "the other conditions are not its business");
        assert_eq!(found(&filter, "other", "/x"), Some(vec![]));
    }

    #[test]
    fn rules_without_patterns_or_with_too_many_are_left_to_others() {
        let many: Vec<String> = (0..17).map(|n| format!("{{a}}.t{n}")).collect();
        for rule in ["Host:a;Path:/b,/c", "Method:GET", "Query:a={x}", &format!("HostRegexp:{}", many.join(","))] {
            let parsed = Rule::parse(rule).expect("a valid rule");
            assert!(!Patterns::default().add(0, &parsed.matchers), "{rule}");
        }
    }

    #[test]
    fn a_search_that_learns_without_an_end_is_given_up() {
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
        assert_eq!(found(&filter, &format!("{}c7", "ba".repeat(20)), "/"), Some(vec![7]), "the next search is its own");
    }
}
