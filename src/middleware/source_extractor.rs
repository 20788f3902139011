//! The source that a request counts for: `extractorFunc` of rate limits and connection limits
//! (docs/reference/middlewares.md#source-of-a-request).

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Request, RequestInfo};
use crate::http::host_name::comparable;
use crate::limits::SOURCES_MAX;

/// Number of shards, each with its own lock, so that workers rarely wait for each other.
const SHARDS: usize = 16;
/// When a shard is full, the source unseen for longest among this many is evicted.
const EVICTION_SAMPLE: usize = 64;

/// The part of a request that names its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceExtractor {
    /// The peer's whole address, IPv4 or IPv6; never X-Forwarded-For. Traefik v1 cuts the address at its first colon, so that all IPv6
    /// clients share a handful of buckets.
    ClientIp,
    /// The Host with its port; case and a trailing dot make no other source, or a client could have as many as it likes.
    Host,
    /// The first value of a field, or the empty text if the field is absent. A forwarding field counts only from a trusted peer:
    /// otherwise a client could make each of its requests another source.
    Header(String),
}

/// The name of an extractor that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSource(String);

impl SourceExtractor {
    pub fn parse(text: &str) -> Result<Self, InvalidSource> {
        match text {
            "client.ip" => Ok(SourceExtractor::ClientIp),
            "request.host" => Ok(SourceExtractor::Host),
            _ => match text.strip_prefix("request.header.") {
                Some(name) if !name.is_empty() => Ok(SourceExtractor::Header(name.to_owned())),
                _ => Err(InvalidSource(text.to_owned())),
            },
        }
    }

    /// The source as a number, so that texts of any length cost the same memory. The hash is keyed: no client can provoke a collision
    /// with another source.
    pub(super) fn key(&self, hasher: &RandomState, request: &Request, info: &RequestInfo) -> u64 {
        match self {
            SourceExtractor::ClientIp => address_key(hasher, info.peer),
            SourceExtractor::Host => hasher.hash_one(&*comparable(request.host())),
            SourceExtractor::Header(name) => {
                hasher.hash_one(request.trusted_first(name.as_bytes(), info).unwrap_or_default())
            }
        }
    }
}

/// A client's address as the number of a source.
pub(super) fn address_key(hasher: &RandomState, peer: IpAddr) -> u64 {
    match peer.to_canonical() {
        IpAddr::V4(address) => hasher.hash_one(address.octets()),
        IpAddr::V6(address) => hasher.hash_one(address.octets()),
    }
}

/// A bounded table with one value per source.
#[derive(Debug)]
pub(super) struct PerSource<T> {
    pub hasher: RandomState,
    shards: Box<[Mutex<Shard<T>>]>,
    idle_nanos: u64,
}

type Shard<T> = HashMap<u64, Entry<T>>;

#[derive(Debug)]
struct Entry<T> {
    value: T,
    seen_nanos: u64,
}

impl<T> PerSource<T> {
    /// A source that was not seen for `idle_nanos` is evicted when the table is full, and begins with a new value when seen again.
    pub fn new(idle_nanos: u64) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        PerSource { hasher: RandomState::new(), shards, idle_nanos }
    }

    /// Runs `update` on the value of the source `key`, which `fresh` makes if the source is new or was idle.
    pub fn with<R>(&self, key: u64, now_nanos: u64, fresh: impl FnOnce() -> T, update: impl FnOnce(&mut T) -> R) -> R {
        let mut shard = self.shard(key);
        let is_idle = |entry: &Entry<T>| now_nanos.saturating_sub(entry.seen_nanos) > self.idle_nanos;
        if !shard.contains_key(&key) && shard.len() >= SOURCES_MAX / SHARDS {
            evict(&mut shard, is_idle);
        }
        match shard.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut occupied) => {
                let entry = occupied.get_mut();
                if is_idle(entry) {
                    entry.value = fresh();
                }
                entry.seen_nanos = now_nanos;
                update(&mut entry.value)
            }
            std::collections::hash_map::Entry::Vacant(vacant) => {
                update(&mut vacant.insert(Entry { value: fresh(), seen_nanos: now_nanos }).value)
            }
        }
    }

    /// A copy of the value of the source `key`; `None` if the source is new or was idle.
    pub fn peek(&self, key: u64, now_nanos: u64) -> Option<T>
    where
        T: Clone,
    {
        let shard = self.shard(key);
        let entry = shard.get(&key)?;
        (now_nanos.saturating_sub(entry.seen_nanos) <= self.idle_nanos).then(|| entry.value.clone())
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard<T>> {
        // The upper bits choose the shard: the map uses the lower ones.
        self.shards[(key >> 60) as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn evict<T>(shard: &mut Shard<T>, is_idle: impl Fn(&Entry<T>) -> bool) {
    let victim = shard.iter().take(EVICTION_SAMPLE).min_by_key(|(_, entry)| entry.seen_nanos).map(|(key, _)| *key);
    let Some(victim) = victim else { return };
    // If one source is idle, many probably are: evicting all of them puts off the next eviction for long.
    if shard.get(&victim).is_some_and(&is_idle) {
        shard.retain(|_, entry| !is_idle(entry));
    }
    shard.remove(&victim);
}

impl fmt::Display for InvalidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "extractorFunc {:?} does not exist: use client.ip, request.host or request.header.NAME", self.0)
    }
}

impl std::error::Error for InvalidSource {}
