//! Unavailable containers: those that were available a while ago or are starting, within `unavailableGrace`.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::labels::ContainerFacts;

/// The largest number of containers remembered after they are gone. If there are more, the ones that left first are forgotten.
const GONE_MAX: usize = 1000;

/// The containers of the last listings, and since when they have been unavailable.
#[derive(Debug, Default)]
pub struct UnavailableContainers {
    grace: Duration,
    tracked: HashMap<ContainerKey, TrackedContainer>,
}

/// The host and the id of a container: copies of a machine have containers with the same ids.
type ContainerKey = (String, String);

#[derive(Debug)]
struct TrackedContainer {
    /// The facts when the container was last available. If it never was, those of its first listing or of its inspection at the start.
    facts: ContainerFacts,
    /// Since when the container has been unavailable; `None` while it is available.
    since: Option<Instant>,
    /// Whether the container is in the last listing.
    is_listed: bool,
}

impl UnavailableContainers {
    /// `grace` is how long an unavailable container counts; zero: not at all.
    pub fn new(grace: Duration) -> Self {
        UnavailableContainers { grace, tracked: HashMap::new() }
    }

    /// Adds containers that exited before the first listing, each with the time since its exit.
    pub fn add_exited(&mut self, exited: Vec<(ContainerFacts, Duration)>, now: Instant) {
        for (facts, age) in exited {
            let since = Some(now.checked_sub(age).unwrap_or(now));
            self.tracked.entry(key(&facts)).or_insert(TrackedContainer { facts, since, is_listed: false });
        }
    }

    /// Applies a listing and gives the unavailable containers within the grace, with facts as if they were available.
    pub fn apply_listing(&mut self, listed: &[ContainerFacts], now: Instant) -> Vec<ContainerFacts> {
        if self.grace.is_zero() {
            return Vec::new();
        }
        self.tracked.values_mut().for_each(|container| container.is_listed = false);
        for facts in listed {
            let since = if facts.is_available() { None } else { Some(now) };
            let new_entry = || TrackedContainer { facts: facts.clone(), since, is_listed: true };
            let container = self.tracked.entry(key(facts)).or_insert_with(new_entry);
            container.is_listed = true;
            container.since = if since.is_none() { None } else { container.since.or(since) };
            if since.is_none() {
                container.facts.clone_from(facts);
            }
        }
        for container in self.tracked.values_mut().filter(|container| !container.is_listed) {
            container.since.get_or_insert(now);
        }
        let grace = self.grace;
        self.tracked.retain(|_, container| container.is_listed || container.is_within(grace, now));
        self.forget_oldest();
        let mut unavailable: Vec<&TrackedContainer> =
            self.tracked.values().filter(|container| container.is_within(grace, now)).collect();
        unavailable.sort_by(|a, b| (a.since, &a.facts.id).cmp(&(b.since, &b.facts.id)));
        unavailable
            .into_iter()
            .map(|container| ContainerFacts { running: true, health: None, ..container.facts.clone() })
            .collect()
    }

    /// The next time at which the grace of a container ends.
    pub fn next_expiry(&self, now: Instant) -> Option<Instant> {
        self.tracked
            .values()
            .filter_map(|container| container.since.map(|since| since + self.grace))
            .filter(|end| *end > now)
            .min()
    }

    fn forget_oldest(&mut self) {
        let gone = self.tracked.iter().filter(|(_, container)| !container.is_listed);
        let mut gone: Vec<(Option<Instant>, ContainerKey)> =
            gone.map(|(id, container)| (container.since, id.clone())).collect();
        let surplus = gone.len().saturating_sub(GONE_MAX);
        gone.sort();
        gone.iter().take(surplus).for_each(|(_, id)| drop(self.tracked.remove(id)));
    }
}

fn key(facts: &ContainerFacts) -> ContainerKey {
    (facts.host.clone(), facts.id.clone())
}

impl TrackedContainer {
    fn is_within(&self, grace: Duration, now: Instant) -> bool {
        self.since.is_some_and(|since| now < since + grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(300);

    fn container(id: &str, running: bool, health: Option<&str>) -> ContainerFacts {
        ContainerFacts { id: id.into(), running, health: health.map(str::to_owned), ..ContainerFacts::default() }
    }

    fn ids(unavailable: &[ContainerFacts]) -> Vec<&str> {
        unavailable.iter().map(|facts| facts.id.as_str()).collect()
    }

    #[tokio::test]
    async fn gone_container_counts_for_the_grace_only() {
        let (mut unavailable, start) = (UnavailableContainers::new(GRACE), Instant::now());
        assert!(unavailable.apply_listing(&[container("a", true, None), container("b", true, None)], start).is_empty());
        let later = start + Duration::from_secs(1);
        assert_eq!(ids(&unavailable.apply_listing(&[container("b", true, None)], later)), ["a"]);
        assert_eq!(unavailable.next_expiry(later), Some(later + GRACE));
        assert_eq!(ids(&unavailable.apply_listing(&[], later + Duration::from_secs(9))), ["a", "b"]);
        assert_eq!(ids(&unavailable.apply_listing(&[], later + GRACE)), ["b"]);
        assert!(unavailable.apply_listing(&[], later + GRACE + GRACE).is_empty());
        assert_eq!((unavailable.next_expiry(later + GRACE + GRACE), unavailable.tracked.len()), (None, 0));
    }

    #[tokio::test]
    async fn unavailable_container_grace_starts_at_first_sight() {
        let (mut unavailable, start) = (UnavailableContainers::new(GRACE), Instant::now());
        for (secs, health, counts) in [
            (0, "starting", true),
            (200, "unhealthy", true),
            (300, "unhealthy", false),
            (900, "unhealthy", false),
            (901, "healthy", false),
            (902, "unhealthy", true),
        ] {
            let listed = [container("a", true, Some(health))];
            let now = start + Duration::from_secs(secs);
            assert_eq!(!unavailable.apply_listing(&listed, now).is_empty(), counts, "after {secs} s, {health}");
        }
        let paused = [container("a", false, None)];
        let shown = unavailable.apply_listing(&paused, start + Duration::from_secs(903));
        assert!(shown[0].is_available(), "it is shown as if it were available");
    }

    #[tokio::test]
    async fn container_exited_before_start_counts_for_remaining_grace() {
        let (mut unavailable, start) = (UnavailableContainers::new(GRACE), Instant::now());
        let (young, old) = (Duration::from_secs(10), Duration::from_secs(290));
        unavailable.add_exited(vec![(container("a", false, None), young), (container("b", false, None), old)], start);
        assert_eq!(ids(&unavailable.apply_listing(&[], start)), ["b", "a"]);
        assert_eq!(unavailable.next_expiry(start), Some(start + GRACE - old));
        assert_eq!(ids(&unavailable.apply_listing(&[], start + GRACE - old)), ["a"]);
        assert!(unavailable.apply_listing(&[container("a", true, None)], start + old - young).is_empty(), "it is back");
    }

    #[tokio::test]
    async fn gone_containers_are_limited_and_need_a_grace() {
        let now = Instant::now();
        let many: Vec<_> = (0..GONE_MAX + 5).map(|n| container(&n.to_string(), true, None)).collect();
        let mut none = UnavailableContainers::new(Duration::ZERO);
        none.apply_listing(&many, now);
        assert!(none.apply_listing(&[], now).is_empty() && none.tracked.is_empty());
        let mut unavailable = UnavailableContainers::new(GRACE);
        unavailable.apply_listing(&many, now);
        assert_eq!(unavailable.apply_listing(&[], now).len(), GONE_MAX);
    }
}
