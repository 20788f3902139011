//! Containers that could answer a while ago, or are about to: what `unavailableGrace` is counted from.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::labels::ContainerFacts;

/// Containers remembered after they are gone; of more than that the ones that left first are forgotten.
const GONE_MAX: usize = 1000;

/// The containers of the last listings, by id.
#[derive(Debug, Default)]
pub struct UnavailableContainers {
    grace: Duration,
    known: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    /// As they were when it could answer last.
    facts: ContainerFacts,
    /// Since when it cannot.
    since: Option<Instant>,
    is_listed: bool,
}

impl UnavailableContainers {
    /// `grace`: how long a container that cannot answer counts; zero: not at all.
    pub fn new(grace: Duration) -> Self {
        UnavailableContainers { grace, known: HashMap::new() }
    }

    /// Containers that ended before the first listing, each with how long ago.
    pub fn remember(&mut self, ended: Vec<(ContainerFacts, Duration)>, now: Instant) {
        for (facts, age) in ended {
            let since = Some(now.checked_sub(age).unwrap_or(now));
            self.known.entry(facts.id.clone()).or_insert(Known { facts, since, is_listed: false });
        }
    }

    /// Takes in a listing and gives the containers that cannot answer and are within the grace, as if they could.
    pub fn apply_listing(&mut self, listed: &[ContainerFacts], now: Instant) -> Vec<ContainerFacts> {
        if self.grace.is_zero() {
            return Vec::new();
        }
        self.known.values_mut().for_each(|known| known.is_listed = false);
        for facts in listed {
            let since = if facts.is_available() { None } else { Some(now) };
            let fresh = || Known { facts: facts.clone(), since, is_listed: true };
            let known = self.known.entry(facts.id.clone()).or_insert_with(fresh);
            known.is_listed = true;
            known.since = if since.is_none() { None } else { known.since.or(since) };
            if since.is_none() {
                known.facts.clone_from(facts);
            }
        }
        for known in self.known.values_mut().filter(|known| !known.is_listed) {
            known.since.get_or_insert(now);
        }
        let grace = self.grace;
        self.known.retain(|_, known| known.is_listed || known.is_within(grace, now));
        self.forget_oldest();
        let mut absent: Vec<&Known> = self.known.values().filter(|known| known.is_within(grace, now)).collect();
        absent.sort_by(|a, b| (a.since, &a.facts.id).cmp(&(b.since, &b.facts.id)));
        absent.into_iter().map(|known| ContainerFacts { running: true, health: None, ..known.facts.clone() }).collect()
    }

    /// When the next of them stops to count.
    pub fn next_end(&self, now: Instant) -> Option<Instant> {
        self.known
            .values()
            .filter_map(|known| known.since.map(|since| since + self.grace))
            .filter(|end| *end > now)
            .min()
    }

    fn forget_oldest(&mut self) {
        let gone = self.known.iter().filter(|(_, known)| !known.is_listed);
        let mut gone: Vec<(Option<Instant>, String)> = gone.map(|(id, known)| (known.since, id.clone())).collect();
        let surplus = gone.len().saturating_sub(GONE_MAX);
        gone.sort();
        gone.iter().take(surplus).for_each(|(_, id)| drop(self.known.remove(id)));
    }
}

impl Known {
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

    fn ids(absent: &[ContainerFacts]) -> Vec<&str> {
        absent.iter().map(|facts| facts.id.as_str()).collect()
    }

    #[tokio::test]
    async fn what_left_counts_for_the_grace_and_no_longer() {
        let (mut absent, start) = (UnavailableContainers::new(GRACE), Instant::now());
        assert!(absent.apply_listing(&[container("a", true, None), container("b", true, None)], start).is_empty());
        let later = start + Duration::from_secs(1);
        assert_eq!(ids(&absent.apply_listing(&[container("b", true, None)], later)), ["a"]);
        assert_eq!(absent.next_end(later), Some(later + GRACE));
        assert_eq!(ids(&absent.apply_listing(&[], later + Duration::from_secs(9))), ["a", "b"]);
        assert_eq!(ids(&absent.apply_listing(&[], later + GRACE)), ["b"]);
        assert!(absent.apply_listing(&[], later + GRACE + GRACE).is_empty());
        assert_eq!((absent.next_end(later + GRACE + GRACE), absent.known.len()), (None, 0));
    }

    #[tokio::test]
    async fn what_is_there_but_cannot_answer_counts_from_when_that_was_first_seen() {
        let (mut absent, start) = (UnavailableContainers::new(GRACE), Instant::now());
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
            assert_eq!(!absent.apply_listing(&listed, now).is_empty(), counts, "after {secs} s, {health}");
        }
        let paused = [container("a", false, None)];
        let shown = absent.apply_listing(&paused, start + Duration::from_secs(903));
        assert!(shown[0].is_available(), "it is shown as if it could answer");
    }

    #[tokio::test]
    async fn what_ended_before_the_first_listing_counts_for_what_is_left_of_the_grace() {
        let (mut absent, start) = (UnavailableContainers::new(GRACE), Instant::now());
        let (young, old) = (Duration::from_secs(10), Duration::from_secs(290));
        absent.remember(vec![(container("a", false, None), young), (container("b", false, None), old)], start);
        assert_eq!(ids(&absent.apply_listing(&[], start)), ["b", "a"]);
        assert_eq!(absent.next_end(start), Some(start + GRACE - old));
        assert_eq!(ids(&absent.apply_listing(&[], start + GRACE - old)), ["a"]);
        assert!(absent.apply_listing(&[container("a", true, None)], start + old - young).is_empty(), "it is back");
    }

    #[tokio::test]
    async fn without_a_grace_nothing_is_remembered_and_with_one_not_everything() {
        let now = Instant::now();
        let many: Vec<_> = (0..GONE_MAX + 5).map(|n| container(&n.to_string(), true, None)).collect();
        let mut none = UnavailableContainers::new(Duration::ZERO);
        none.apply_listing(&many, now);
        assert!(none.apply_listing(&[], now).is_empty() && none.known.is_empty());
        let mut absent = UnavailableContainers::new(GRACE);
        absent.apply_listing(&many, now);
        assert_eq!(absent.apply_listing(&[], now).len(), GONE_MAX);
    }
}
