//! A worker's side of tracing: the shared settings, and a source of ids.

use std::cell::Cell;
use std::sync::Arc;

use super::client_info::fill_random;
use crate::observe::trace::Tracing;

pub struct Tracer {
    pub tracing: Arc<Tracing>,
    ids: IdSource,
}

impl Tracer {
    pub fn new(tracing: Arc<Tracing>) -> Self {
        Tracer { tracing, ids: IdSource::new() }
    }

    /// A new id, never zero in practice; callers that must not have zero check.
    #[inline]
    pub fn random(&self) -> u64 {
        self.ids.next()
    }
}

/// Random numbers for ids (xoroshiro128++). Ids must differ between processes and need not be secret, so the system is asked for a seed
/// only.
struct IdSource {
    state: Cell<[u64; 2]>,
}

impl IdSource {
    fn new() -> Self {
        let mut seed = [0; 16];
        fill_random(&mut seed);
        let seed = u128::from_ne_bytes(seed).max(1);
        IdSource { state: Cell::new([seed as u64, (seed >> 64) as u64]) }
    }

    #[inline]
    fn next(&self) -> u64 {
        let [a, b] = self.state.get();
        let next = a.wrapping_add(b).rotate_left(17).wrapping_add(a);
        let mixed = a ^ b;
        self.state.set([a.rotate_left(49) ^ mixed ^ (mixed << 21), mixed.rotate_left(28)]);
        next
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_of_two_sources_differ() {
        let sources = [IdSource::new(), IdSource::new()];
        let ids: HashSet<u64> = (0..10_000).map(|n| sources[n % 2].next()).collect();
        assert_eq!(ids.len(), 10_000);
        let ones: u32 = ids.iter().map(|id| id.count_ones()).sum();
        assert!((310_000..330_000).contains(&ones), "{ones} of 640,000 bits");
    }
}
