//! An index over the routes of an entry point: finds the candidates for a request by host, then by the literal beginning of the path.
//! The cost of a request depends on the number of its candidates, not on the number of routes.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::matcher::{Matcher, Prefix};
use super::prefilter::{FILTER_ROUTES_MIN, Patterns, Prefilter};
use super::rank_range::RankRange;
use super::trie::Trie;

/// A bucket of up to this many routes has no trie: testing each of them is faster than a look-up.
const FLAT_ROUTES_MAX: usize = 4;

/// The routes of one host, of one literal end or beginning of hosts, or of any host.
#[derive(Debug)]
enum Bucket {
    Flat(RankRange),
    /// The routes by the literal beginning of their path. A route without one has the empty key.
    ByPath(Box<Trie<Leaf>>),
}

/// The routes that have the same host key and the same literal beginning of the path.
#[derive(Debug)]
struct Leaf {
    /// The routes that no prefilter covers: all of them are candidates.
    unfiltered: RankRange,
    /// The position in [`Index::filters`] of the prefilter that selects candidates from the other routes.
    filter: Option<u32>,
}

/// The routes that may match a request; [`Index::next`] removes them in rank order.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    ranges: Vec<RankRange>,
    /// Ranks found by prefilters, descending.
    found: Vec<u32>,
}

/// Finds the candidates for a request.
#[derive(Debug)]
pub(crate) struct Index {
    /// The ranks of all leaves and flat buckets one after the other, to which each [`RankRange`] refers.
    ranks: Vec<u32>,
    /// Routes with a `Host` condition, under each of its names.
    exact: HashMap<Box<[u8]>, Bucket, BuildHasherDefault<HostHasher>>,
    /// Routes with a `HostRegexp` condition, by the literal text that their hosts end with, reversed.
    tails: Trie<Bucket>,
    /// Routes with a `HostRegexp` condition whose end is variable, by the literal text that their hosts begin with.
    heads: Trie<Bucket>,
    /// All other routes.
    rest: Bucket,
    filters: Vec<Prefilter>,
}

/// Ranks of routes, ascending, while the index is built.
type Ranks = Vec<u32>;

/// The routes by host while the index is built; the fields are those of [`Index`].
#[derive(Default)]
struct Groups {
    exact: HashMap<Box<[u8]>, Ranks, BuildHasherDefault<HostHasher>>,
    tails: BTreeMap<Vec<u8>, Ranks>,
    heads: BTreeMap<Vec<u8>, Ranks>,
    rest: Ranks,
}

impl Index {
    /// Builds the index over `routes`: the conditions of each route, in rank order.
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

    /// Whether hosts are also looked up by their end or beginning. [`Index::candidates`] then needs [`Keys::folded`] and
    /// [`Keys::reversed`].
    pub fn has_host_patterns(&self) -> bool {
        !self.tails.is_empty() || !self.heads.is_empty()
    }

    /// Whether [`Index::candidates`] needs [`Keys::subject`].
    pub fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }

    /// Fills `out` with the candidates for a request.
    pub fn candidates(&self, keys: &Keys<'_>, out: &mut Candidates) {
        out.ranges.clear();
        out.found.clear();
        if !keys.host.is_empty()
            && let Some(bucket) = self.exact.get(keys.host)
        {
            self.collect(bucket, keys, out);
        }
        if !keys.flattened_host.is_empty()
            && let Some(bucket) = self.exact.get(keys.flattened_host)
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
            Bucket::Flat(range) => out.add(*range),
            Bucket::ByPath(trie) => trie.prefixes(keys.path, |leaf| {
                out.add(leaf.unfiltered);
                if let Some(filter) = leaf.filter {
                    let filter = &self.filters[filter as usize];
                    if !filter.find(keys.subject, &mut out.found) {
                        out.add(filter.all);
                    }
                }
            }),
        }
    }

    /// Removes the lowest rank from all lists of candidates that contain it, and returns it.
    pub fn next(&self, candidates: &mut Candidates) -> Option<u32> {
        let Candidates { ranges, found } = candidates;
        let first = ranges.iter().map(|range| self.ranks[range.at as usize]);
        let lowest = first.chain(found.last().copied()).min()?;
        ranges.retain_mut(|range| {
            if self.ranks[range.at as usize] == lowest {
                range.at += 1;
            }
            range.at < range.end
        });
        while found.last() == Some(&lowest) {
            found.pop();
        }
        Some(lowest)
    }
}

/// The keys by which a request is looked up.
pub(crate) struct Keys<'a> {
    /// The host that `Host` rules are compared with.
    pub host: &'a [u8],
    /// Another name that they are compared with; empty for none.
    pub flattened_host: &'a [u8],
    /// The host that `HostRegexp` rules are matched against, lower-cased. Not used unless [`Index::has_host_patterns`].
    pub folded: &'a [u8],
    /// The bytes of `folded` in reverse order.
    pub reversed: &'a [u8],
    pub path: &'a [u8],
    /// The text made by [`super::prefilter::subject`]. Not used unless [`Index::has_filters`].
    pub subject: &'a [u8],
}

impl Candidates {
    fn add(&mut self, range: RankRange) {
        if range.at < range.end {
            self.ranges.push(range);
        }
    }
}

impl Groups {
    /// Adds a route under its most selective condition on the host: the `Host` with the fewest names, else the first `HostRegexp`.
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
            let is_usable = |literal: &[u8]| !literal.is_empty() && literal.is_ascii();
            let group = if is_usable(template.tail()) {
                let key = template.tail().iter().rev().map(u8::to_ascii_lowercase).collect();
                self.tails.entry(key).or_default()
            } else if is_usable(template.head()) {
                self.heads.entry(template.head().to_ascii_lowercase()).or_default()
            } else {
                &mut self.rest
            };
            push(group, rank);
        }
    }
}

/// Builds buckets and collects the ranks and prefilters to which they refer.
struct Store<'a> {
    routes: &'a [&'a [Matcher]],
    ranks: Vec<u32>,
    filters: Vec<Prefilter>,
}

impl Store<'_> {
    fn bucket(&mut self, group: Ranks) -> Bucket {
        if group.len() <= FLAT_ROUTES_MAX {
            return Bucket::Flat(self.store_ranks(&group));
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
            return Leaf { unfiltered: self.store_ranks(&group), filter: None };
        }
        let mut patterns = Patterns::default();
        let (narrowed, plain): (Ranks, Ranks) =
            group.iter().partition(|rank| patterns.add(**rank, self.routes[**rank as usize]));
        let is_worth_it = narrowed.len() >= FILTER_ROUTES_MIN;
        let all = self.store_ranks(&narrowed);
        let Some(filter) = is_worth_it.then(|| patterns.compile(all)).flatten() else {
            return Leaf { unfiltered: self.store_ranks(&group), filter: None };
        };
        self.filters.push(filter);
        Leaf { unfiltered: self.store_ranks(&plain), filter: Some(self.filters.len() as u32 - 1) }
    }

    /// Appends the ranks of a group to all ranks, and returns their range.
    fn store_ranks(&mut self, group: &[u32]) -> RankRange {
        let at = self.ranks.len() as u32;
        self.ranks.extend_from_slice(group);
        RankRange { at, end: self.ranks.len() as u32 }
    }
}

/// The literal beginnings of the paths that a route can match: one key per alternative of its first condition on the path.
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

/// Adds a rank unless it is the last one of the group: two alternatives of one route may have the same key. Ranks arrive in ascending
/// order.
fn push(group: &mut Ranks, rank: u32) {
    if group.last() != Some(&rank) {
        group.push(rank);
    }
}

/// A fast hash for host names. It has no secret key: the keys of the table come from the configuration, so a client cannot make them
/// collide.
#[derive(Debug, Default, Clone, Copy)]
struct HostHasher(u64);

impl HostHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for HostHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            self.mix(u64::from_le_bytes(*chunk));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last));
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        // The hash table selects a bucket by the low bits, which a multiplication mixes least.
        self.0 ^ (self.0 >> 32)
    }
}
