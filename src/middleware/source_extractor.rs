//! Who a request counts for: the `extractorFunc` of rate limits and connection limits (docs/reference/middlewares.md#source-of-a-request).

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Request, RequestInfo};
use crate::limits::SOURCES_MAX;

/// Locks are per shard, so that workers rarely wait for each other.
const SHARDS: usize = 16;
/// When a shard is full of live sources, the one longest unseen among so many gives way.
const VICTIMS_COMPARED: usize = 64;

/// What of a request names its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceExtractor {
    /// The peer's address, an IPv6 one too as a whole; never X-Forwarded-For. Traefik v1 cuts the address at its first colon and so lets
    /// all of IPv6 share a handful of buckets.
    ClientIp,
    /// The Host as sent, port included.
    Host,
    /// The first value of a field; without it, the empty text. What a peer that is not trusted claims does not count: with it, every request
    /// could be another source.
    Header(String),
}

/// An extractor that does not exist.
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

    /// The source as a number: texts of any length cost the same memory. The hash is keyed, so nobody can aim at another's.
    pub(super) fn key(&self, hasher: &RandomState, request: &Request, facts: &RequestInfo) -> u64 {
        match self {
            SourceExtractor::ClientIp => match facts.peer.to_canonical() {
                IpAddr::V4(address) => hasher.hash_one(address.octets()),
                IpAddr::V6(address) => hasher.hash_one(address.octets()),
            },
            SourceExtractor::Host => hasher.hash_one(request.host()),
            SourceExtractor::Header(name) => {
                hasher.hash_one(request.trusted_first(name.as_bytes(), facts).unwrap_or_default())
            }
        }
    }
}

/// A bounded table of something per source.
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
    /// A source not seen for `idle_nanos` is forgotten when room is needed, and starts anew when it comes back.
    pub fn new(idle_nanos: u64) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        PerSource { hasher: RandomState::new(), shards, idle_nanos }
    }

    /// Runs `act` on the source's value, made by `fresh` if it is new.
    pub fn with<R>(&self, key: u64, now_nanos: u64, fresh: impl FnOnce() -> T, act: impl FnOnce(&mut T) -> R) -> R {
        let mut shard = self.shard(key);
        let idle = |entry: &Entry<T>| now_nanos.saturating_sub(entry.seen_nanos) > self.idle_nanos;
        if !shard.contains_key(&key) && shard.len() >= SOURCES_MAX / SHARDS {
            make_room(&mut shard, idle);
        }
        match shard.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut found) => {
                let entry = found.get_mut();
                if idle(entry) {
                    entry.value = fresh();
                }
                entry.seen_nanos = now_nanos;
                act(&mut entry.value)
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                act(&mut place.insert(Entry { value: fresh(), seen_nanos: now_nanos }).value)
            }
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard<T>> {
        // The map uses the lower bits itself.
        self.shards[(key >> 60) as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room<T>(shard: &mut Shard<T>, idle: impl Fn(&Entry<T>) -> bool) {
    let victim = shard.iter().take(VICTIMS_COMPARED).min_by_key(|(_, entry)| entry.seen_nanos).map(|(key, _)| *key);
    let Some(victim) = victim else { return };
    // One idle source is a hint of many: then all of them go, and the next search is long in coming.
    if shard.get(&victim).is_some_and(&idle) {
        shard.retain(|_, entry| !idle(entry));
    }
    shard.remove(&victim);
}

impl fmt::Display for InvalidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "extractorFunc {:?} does not exist: use client.ip, request.host or request.header.NAME", self.0)
    }
}

impl std::error::Error for InvalidSource {}
