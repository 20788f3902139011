//! How many requests of one source may be under way at once (docs/reference/middlewares.md#connection-limit).

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, PoisonError};

use super::source_extractor::SourceExtractor;
use super::{ChainScope, ChainState, Label, Request, RequestInfo, Verdict};
use crate::http::Reply;

const SHARDS: usize = 16;

/// A limit of requests under way per source, upgraded connections included.
#[derive(Debug)]
pub struct MaxConn {
    amount: i64,
    source: SourceExtractor,
    state: Arc<ConnState>,
    label: Label,
}

/// Requests under way by source. As many entries as requests: what is not under way takes no room.
#[derive(Debug)]
pub struct ConnState {
    hasher: RandomState,
    shards: [Mutex<HashMap<u64, u32>>; SHARDS],
}

/// One place under the limit; dropping gives it back.
#[derive(Debug)]
pub struct RequestPermit {
    state: Arc<ConnState>,
    key: u64,
}

impl MaxConn {
    /// A negative `amount` refuses everything, as in Traefik v1; the caller leaves the step out when it is 0.
    pub fn new(amount: i64, source: SourceExtractor, state: Arc<ConnState>, place: ChainScope) -> Self {
        MaxConn { amount, source, state, label: place.label("connection limit") }
    }

    pub fn on_request(&self, request: &Request, facts: &RequestInfo, passage: &mut ChainState) -> Verdict {
        let key = self.source.key(&self.state.hasher, request, facts);
        match self.state.enter(key, self.amount) {
            Some(lease) => {
                passage.leases.push(lease);
                Verdict::Next
            }
            None => Verdict::reply(Reply::text(429, format!("max connections reached: {}", self.amount)), &self.label),
        }
    }
}

impl Default for ConnState {
    fn default() -> Self {
        ConnState { hasher: RandomState::new(), shards: Default::default() }
    }
}

impl ConnState {
    /// Requests under way, of all sources.
    pub fn active(&self) -> usize {
        let count = |shard: &Mutex<HashMap<u64, u32>>| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).values().map(|&n| n as usize).sum::<usize>()
        };
        self.shards.iter().map(count).sum()
    }

    fn enter(self: &Arc<Self>, key: u64, amount: i64) -> Option<RequestPermit> {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        let active = shard.get(&key).copied().unwrap_or(0);
        if i64::from(active) >= amount {
            return None;
        }
        shard.insert(key, active + 1);
        Some(RequestPermit { state: self.clone(), key })
    }

    fn shard(&self, key: u64) -> &Mutex<HashMap<u64, u32>> {
        &self.shards[(key >> 60) as usize % SHARDS]
    }
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
