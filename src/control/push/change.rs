//! The counts between two pushes.

use std::collections::BTreeMap;

use crate::observe::metrics::{NewRequests, Owner, Reading, ServerSample, new_count, states_by_url};

/// The values of one push.
pub struct Change<'a> {
    pub reloads: u64,
    pub reload_failures: u64,
    /// In seconds since 1970; 0 if never.
    pub last_reload_unix_secs: u64,
    pub last_failure_unix_secs: u64,
    pub entry_points: Vec<OwnerChange<'a>>,
    pub backends: Vec<OwnerChange<'a>>,
    /// 1 or 0 for each backend and URL.
    pub servers_up: BTreeMap<(&'a str, &'a str), u8>,
}

/// An entry point or a backend.
pub struct OwnerChange<'a> {
    pub owner: &'a Owner,
    pub requests: Vec<NewRequests>,
    pub retries: u64,
}

impl<'a> Change<'a> {
    pub fn new(before: &Reading, now: &'a Reading, servers: &'a [ServerSample]) -> Self {
        Change {
            reloads: new_count(now.reloads, before.reloads),
            reload_failures: new_count(now.reload_failures, before.reload_failures),
            last_reload_unix_secs: now.last_reload_unix_secs,
            last_failure_unix_secs: now.last_failure_unix_secs,
            entry_points: changes(&before.entry_points, &now.entry_points),
            backends: changes(&before.backends, &now.backends),
            servers_up: states_by_url(servers),
        }
    }
}

fn changes<'a>(before: &[Owner], now: &'a [Owner]) -> Vec<OwnerChange<'a>> {
    let before: BTreeMap<&str, &Owner> = before.iter().map(|owner| (owner.name.as_str(), owner)).collect();
    let change = |owner: &'a Owner| {
        let before = before.get(owner.name.as_str()).copied();
        OwnerChange {
            owner,
            requests: owner.requests_since(before),
            retries: new_count(owner.retries, before.map_or(0, |before| before.retries)),
        }
    };
    now.iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::push::tests::{metrics, servers};

    #[test]
    fn second_push_has_only_what_is_new() {
        let metrics = metrics(3);
        let first = metrics.reading();
        let servers = servers();
        let change = Change::new(&Reading::default(), &first, &servers);
        assert_eq!((change.reloads, change.backends[0].retries, change.backends[0].requests[0].count), (1, 1, 3));
        metrics.worker(0).retried(&metrics.backend("my shop"));
        let second = metrics.reading();
        let change = Change::new(&first, &second, &servers);
        assert_eq!((change.reloads, change.backends[0].retries), (0, 1));
        assert!(change.entry_points[0].requests.is_empty());
        assert_eq!(change.servers_up.values().copied().collect::<Vec<_>>(), [1, 0]);
    }
}
