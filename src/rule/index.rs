//! Which routes can match at all: found by host, then by the literal beginning of the path, so that a request pays for the routes
//! that resemble it and not for the size of the table.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::matcher::{Matcher, Prefix};
use super::prefilter::{FILTER_ROUTES_MIN, Patterns, Prefilter};
use super::rank_range::RankRange;
use super::trie::Trie;

/// Up to so many routes a bucket is tested one by one: comparing beats walking a tree.
const FLAT_ROUTES_MAX: usize = 4;

/// The routes of one host (or host ending, or of all hosts).
#[derive(Debug)]
enum Bucket {
    Flat(RankRange),
    /// By the literal beginning of their path; routes without one are at the empty key.
    ByPath(Box<Trie<Leaf>>),
}

/// The routes that neither host nor literal path tells apart.
#[derive(Debug)]
struct Leaf {
    /// Those to be tested in any case.
    run: RankRange,
    /// The place in [`Index::filters`] of the automaton that narrows the others.
    filter: Option<u32>,
}

/// The routes that may be a request's, on their way through [`Index::next`].
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    runs: Vec<RankRange>,
    /// Single ranks, descending.
    found: Vec<u32>,
}

#[derive(Debug)]
pub(crate) struct Index {
    ranks: Vec<u32>,
    /// Routes with a `Host` condition, by each name of it.
    exact: HashMap<Box<[u8]>, Bucket, BuildHasherDefault<HostHasher>>,
    /// Routes with a `HostRegexp` condition, by the literal that their hosts end with, reversed.
    tails: Trie<Bucket>,
    /// The same by the literal that their hosts begin with, when the end is variable.
    heads: Trie<Bucket>,
    /// All other routes.
    rest: Bucket,
    filters: Vec<Prefilter>,
}

/// Routes by rank while the index is built.
type Ranks = Vec<u32>;

#[derive(Default)]
struct Groups {
    exact: HashMap<Box<[u8]>, Ranks, BuildHasherDefault<HostHasher>>,
    tails: BTreeMap<Vec<u8>, Ranks>,
    heads: BTreeMap<Vec<u8>, Ranks>,
    rest: Ranks,
}

impl Index {
    /// Builds the index over routes given in rank order by their conditions.
    pub fn build(routes: &[&[Matcher]]) -> Index {
        let mut groups = Groups::default();
        for (rank, matchers) in routes.iter().enumerate() {
            groups.add(rank as u32, matchers);
        }
        let mut store = Store { routes, ranks: Vec::with_capacity(routes.len()), filters: Vec::new() };
        let mut bucket = |group: Ranks| store.bucket(group);
        let exact = groups.exact.into_iter().map(|(name, group)| (name, bucket(group))).collect();
        let mut trie = |keys: BTreeMap<Vec<u8>, Ranks>| {
            let mut trie = Trie::new();
            for (key, group) in keys {
                trie.entry(&key, || bucket(group));
            }
            trie
        };
        let tails = trie(groups.tails);
        let heads = trie(groups.heads);
        let rest = bucket(groups.rest);
        let Store { ranks, filters, .. } = store;
        Index { ranks, exact, tails, heads, rest, filters }
    }

    /// Whether hosts are also looked up by their ends, for which [`Index::candidates`] needs them folded.
    pub fn has_host_patterns(&self) -> bool {
        !self.tails.is_empty() || !self.heads.is_empty()
    }

    /// Whether [`Index::candidates`] needs a subject.
    pub fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }

    /// Fills `out` with the candidates for a request.
    pub fn candidates(&self, keys: &Keys<'_>, out: &mut Candidates) {
        out.runs.clear();
        out.found.clear();
        if !keys.host.is_empty()
            && let Some(bucket) = self.exact.get(keys.host)
        {
            self.collect(bucket, keys, out);
        }
        if self.has_host_patterns() {
            self.tails.prefixes(keys.reversed, |bucket| self.collect(bucket, keys, out));
            self.heads.prefixes(keys.folded, |bucket| self.collect(bucket, keys, out));
        }
        self.collect(&self.rest, keys, out);
        if out.found.len() > 1 {
            out.found.sort_unstable_by(|a, b| b.cmp(a));
        }
    }

    fn collect(&self, bucket: &Bucket, keys: &Keys<'_>, out: &mut Candidates) {
        match bucket {
            Bucket::Flat(run) => out.add(*run),
            Bucket::ByPath(trie) => trie.prefixes(keys.path, |leaf| {
                out.add(leaf.run);
                if let Some(filter) = leaf.filter {
                    let filter = &self.filters[filter as usize];
                    if !filter.find(keys.subject, &mut out.found) {
                        out.add(filter.all);
                    }
                }
            }),
        }
    }

    /// Takes the lowest rank off the candidates, from all that hold it.
    pub fn next(&self, candidates: &mut Candidates) -> Option<u32> {
        let Candidates { runs, found } = candidates;
        let first = runs.iter().map(|run| self.ranks[run.at as usize]);
        let lowest = first.chain(found.last().copied()).min()?;
        runs.retain_mut(|run| {
            if self.ranks[run.at as usize] == lowest {
                run.at += 1;
            }
            run.at < run.end
        });
        while found.last() == Some(&lowest) {
            found.pop();
        }
        Some(lowest)
    }
}

/// What a request is looked up by.
pub(crate) struct Keys<'a> {
    /// As `Host` compares it.
    pub host: &'a [u8],
    /// The host that `HostRegexp` sees, lower-cased, and the same backwards; only needed with [`Index::has_host_patterns`].
    pub folded: &'a [u8],
    pub reversed: &'a [u8],
    pub path: &'a [u8],
    /// See [`super::prefilter::subject`]; only needed with [`Index::has_filters`].
    pub subject: &'a [u8],
}

impl Candidates {
    fn add(&mut self, run: RankRange) {
        if run.at < run.end {
            self.runs.push(run);
        }
    }
}

impl Groups {
    /// Files a route under its most telling condition on the host.
    fn add(&mut self, rank: u32, matchers: &[Matcher]) {
        let names = matchers.iter().filter_map(|matcher| match matcher {
            Matcher::Host(names) => Some(names),
            _ => None,
        });
        if let Some(names) = names.min_by_key(|names| names.len()) {
            for name in names {
                push(self.exact.entry(name.as_bytes().into()).or_default(), rank);
            }
            return;
        }
        let patterns = matchers.iter().find_map(|matcher| match matcher {
            Matcher::HostRegexp(templates) => Some(templates),
            _ => None,
        });
        let Some(templates) = patterns else { return self.rest.push(rank) };
        for template in templates.iter().filter(|template| !template.is_dead()) {
            let usable = |literal: &[u8]| !literal.is_empty() && literal.is_ascii();
            let group = if usable(template.tail()) {
                let key = template.tail().iter().rev().map(u8::to_ascii_lowercase).collect();
                self.tails.entry(key).or_default()
            } else if usable(template.head()) {
                self.heads.entry(template.head().to_ascii_lowercase()).or_default()
            } else {
                &mut self.rest
            };
            push(group, rank);
        }
    }
}

/// What buckets are made into.
struct Store<'a> {
    routes: &'a [&'a [Matcher]],
    ranks: Vec<u32>,
    filters: Vec<Prefilter>,
}

impl Store<'_> {
    fn bucket(&mut self, group: Ranks) -> Bucket {
        if group.len() <= FLAT_ROUTES_MAX {
            return Bucket::Flat(self.run(&group));
        }
        let mut by_path: Trie<Ranks> = Trie::new();
        for rank in group {
            for key in path_keys(self.routes[rank as usize]) {
                push(by_path.entry(key, Ranks::new), rank);
            }
        }
        Bucket::ByPath(Box::new(by_path.map(|group| self.leaf(group))))
    }

    fn leaf(&mut self, group: Ranks) -> Leaf {
        if group.len() < FILTER_ROUTES_MIN {
            return Leaf { run: self.run(&group), filter: None };
        }
        let mut patterns = Patterns::default();
        let (narrowed, plain): (Ranks, Ranks) =
            group.iter().partition(|rank| patterns.add(**rank, self.routes[**rank as usize]));
        let is_worth_it = narrowed.len() >= FILTER_ROUTES_MIN;
        let all = self.run(&narrowed);
        let Some(filter) = is_worth_it.then(|| patterns.compile(all)).flatten() else {
            return Leaf { run: self.run(&group), filter: None };
        };
        self.filters.push(filter);
        Leaf { run: self.run(&plain), filter: Some(self.filters.len() as u32 - 1) }
    }

    fn run(&mut self, group: &[u32]) -> RankRange {
        let at = self.ranks.len() as u32;
        self.ranks.extend_from_slice(group);
        RankRange { at, end: self.ranks.len() as u32 }
    }
}

/// What the paths of a route begin with: one key per alternative of its first condition on the path.
fn path_keys(matchers: &[Matcher]) -> Vec<&[u8]> {
    for matcher in matchers {
        match matcher {
            Matcher::Path(templates) => {
                return templates.iter().filter(|t| !t.is_dead()).map(|template| template.head()).collect();
            }
            Matcher::PathPrefix(prefixes) => {
                return prefixes.iter().filter(|prefix| !prefix.is_dead()).map(Prefix::head).collect();
            }
            _ => {}
        }
    }
    vec![b""]
}

/// Ranks arrive in ascending order; two alternatives of one route may have the same key.
fn push(group: &mut Ranks, rank: u32) {
    if group.last() != Some(&rank) {
        group.push(rank);
    }
}

/// A fast hash for host names. Not keyed: the table's keys come from the configuration, so a client cannot make them collide.
#[derive(Debug, Default, Clone, Copy)]
struct HostHasher(u64);

impl HostHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for HostHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last));
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        // The table takes its bucket from the low bits, where a product is weakest.
        self.0 ^ (self.0 >> 32)
    }
}
