//! The count of active requests per source, and the permit that each of them holds.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, PoisonError};

const SHARDS: usize = 16;

/// The number of active requests per source. A source without active requests has no entry, so that idle sources cost no memory.
#[derive(Debug)]
pub struct ConnState {
    pub(super) hasher: RandomState,
    shards: [Mutex<HashMap<u64, u32>>; SHARDS],
}

/// A permit for one request under a connection limit. Dropping it releases the permit.
#[derive(Debug)]
pub struct RequestPermit {
    state: Arc<ConnState>,
    key: u64,
}

impl Default for ConnState {
    fn default() -> Self {
        ConnState { hasher: RandomState::new(), shards: Default::default() }
    }
}

impl ConnState {
    /// Number of active requests of all sources.
    #[cfg_attr(reachability, expect(dead_code, reason = "tests see with it that each permit is given back"))]
    pub fn active(&self) -> usize {
        let count = |shard: &Mutex<HashMap<u64, u32>>| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).values().map(|&n| n as usize).sum::<usize>()
        };
        self.shards.iter().map(count).sum()
    }

    /// A permit for one more request of the source `key`, or `None` if `amount` requests are active already.
    pub(super) fn try_acquire(self: &Arc<Self>, key: u64, amount: i64) -> Option<RequestPermit> {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        let active = shard.get(&key).copied().unwrap_or(0);
        if !has_room(active, amount) {
            return None;
        }
        shard.insert(key, active + 1);
        Some(RequestPermit { state: self.clone(), key })
    }

    /// Whether [`try_acquire`](Self::try_acquire) would give a permit now.
    pub(super) fn has_room(&self, key: u64, amount: i64) -> bool {
        let shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        has_room(shard.get(&key).copied().unwrap_or(0), amount)
    }

    fn shard(&self, key: u64) -> &Mutex<HashMap<u64, u32>> {
        &self.shards[(key >> 60) as usize % SHARDS]
    }
}

fn has_room(active: u32, amount: i64) -> bool {
    i64::from(active) < amount
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        let mut shard = self.state.shard(self.key).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(active) = shard.get_mut(&self.key) {
            *active -= 1;
            if *active == 0 {
                shard.remove(&self.key);
            }
        }
    }
}
