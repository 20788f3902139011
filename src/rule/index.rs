//! Which routes can match at all: found by host, then by the literal beginning of the path, so that a request pays for the routes
//! that resemble it and not for the size of the table.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::matcher::{Matcher, Prefix};
use super::trie::Trie;

/// Up to so many routes a bucket is tested one by one: comparing beats walking a tree.
const FLAT_ROUTES_MAX: usize = 4;

/// A range of ranks in [`Index::ranks`], ascending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub at: u32,
    pub end: u32,
}

/// The routes of one host (or host ending, or of all hosts).
#[derive(Debug)]
enum Bucket {
    Flat(Run),
    /// By the literal beginning of their path; routes without one are at the empty key.
    ByPath(Box<Trie<Run>>),
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
        let mut ranks = Vec::with_capacity(routes.len());
        let mut bucket = |group: Ranks| Bucket::new(group, routes, &mut ranks);
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
        Index { ranks, exact, tails, heads, rest }
    }

    /// Whether hosts are also looked up by their ends, for which [`Index::candidates`] needs them folded.
    pub fn has_host_patterns(&self) -> bool {
        !self.tails.is_empty() || !self.heads.is_empty()
    }

    /// Fills `runs` with the candidates for a request. `folded` is the host that `HostRegexp` sees, lower-cased; `reversed` the same
    /// backwards.
    pub fn candidates(&self, host: &[u8], folded: &[u8], reversed: &[u8], path: &[u8], runs: &mut Vec<Run>) {
        runs.clear();
        if !host.is_empty()
            && let Some(bucket) = self.exact.get(host)
        {
            bucket.collect(path, runs);
        }
        if self.has_host_patterns() {
            self.tails.prefixes(reversed, |bucket| bucket.collect(path, runs));
            self.heads.prefixes(folded, |bucket| bucket.collect(path, runs));
        }
        self.rest.collect(path, runs);
    }

    /// Takes the lowest rank off the runs, from all that hold it.
    pub fn next(&self, runs: &mut Vec<Run>) -> Option<u32> {
        let lowest = runs.iter().map(|run| self.ranks[run.at as usize]).min()?;
        runs.retain_mut(|run| {
            if self.ranks[run.at as usize] == lowest {
                run.at += 1;
            }
            run.at < run.end
        });
        Some(lowest)
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

impl Bucket {
    fn new(group: Ranks, routes: &[&[Matcher]], ranks: &mut Vec<u32>) -> Bucket {
        if group.len() <= FLAT_ROUTES_MAX {
            return Bucket::Flat(store(&group, ranks));
        }
        let mut by_path: Trie<Ranks> = Trie::new();
        for rank in group {
            for key in path_keys(routes[rank as usize]) {
                push(by_path.entry(key, Ranks::new), rank);
            }
        }
        Bucket::ByPath(Box::new(by_path.map(|group| store(&group, ranks))))
    }

    fn collect(&self, path: &[u8], runs: &mut Vec<Run>) {
        let mut add = |run: &Run| {
            if run.at < run.end {
                runs.push(*run);
            }
        };
        match self {
            Bucket::Flat(run) => add(run),
            Bucket::ByPath(trie) => trie.prefixes(path, add),
        }
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

fn store(group: &[u32], ranks: &mut Vec<u32>) -> Run {
    let at = ranks.len() as u32;
    ranks.extend_from_slice(group);
    Run { at, end: ranks.len() as u32 }
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
