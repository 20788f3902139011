//! The containers of the last listing, and the changes that events have reported since.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bollard::models::EventMessage;
use tokio::time::Instant;

use super::engine::Listing;
use super::events::{self, EventAction, StopFacts, StoppingContainers};
use crate::config::labels::ContainerFacts;

/// How long after a failed inspection the container is inspected again, unless an event of the container arrives before. A request that the
/// Engine never answers also holds resources in the Engine, so it is not repeated at every listing.
const INSPECT_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The effect of an event on the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventEffect {
    None,
    /// The containers must be listed again to find out what changed.
    Relist,
    /// An available container gets no new requests from now on. The containers must be listed again all the same.
    Removed,
}

/// The time of an event.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventTime {
    pub age: Duration,
    /// Whether the event is older than the connection that delivered it.
    pub is_history: bool,
}

/// The state of the containers, which outlives connections to the Engine. A container that an event removed stays removed until a later
/// listing has inspected it. A container that got its stop signal stays removed until its stop timeout is over or it has been started
/// again.
#[derive(Debug, Default)]
pub struct ContainerInventory {
    listed: Option<Vec<ContainerFacts>>,
    stops: HashMap<String, StopFacts>,
    stopping: StoppingContainers,
    /// Containers removed by an event, by the number of the last listing begun before the event. Only a later listing may add the container
    /// back: a listing in progress may have inspected the container before the event.
    removed: HashMap<String, u64>,
    listings_begun: u64,
    /// Containers that the last listing could not inspect, with the time of their next inspection. They keep their last known state.
    unresponsive: HashMap<String, Instant>,
    /// Containers that had an event since the last listing began.
    seen_since_listing: HashSet<String>,
}

impl ContainerInventory {
    /// Whether no listing has been applied yet.
    pub fn is_empty(&self) -> bool {
        self.listed.is_none()
    }

    /// Applies an event. An event older than the connection (`is_history`) removes a container only if it is a stop signal after which the
    /// container has neither exited nor started. The listings that follow show everything else more reliably.
    pub fn on_event(&mut self, event: &EventMessage, at: EventTime, now: Instant) -> EventEffect {
        let action = events::action_of(event, &self.stops);
        let id = match &action {
            EventAction::Ignore => return EventEffect::None,
            EventAction::Relist => return EventEffect::Relist,
            EventAction::Started(id)
            | EventAction::Stopping(id, _)
            | EventAction::Exited(id)
            | EventAction::Unavailable(id) => id,
        };
        self.seen_since_listing.insert(id.clone());
        let was_available = self.is_available(id);
        match &action {
            EventAction::Stopping(id, grace) => {
                self.stopping.mark(id, events::sent_at(event), now + grace.saturating_sub(at.age));
            }
            EventAction::Started(id) | EventAction::Exited(id) => self.stopping.clear(id),
            EventAction::Unavailable(_) | EventAction::Ignore | EventAction::Relist => {}
        }
        if !at.is_history && matches!(action, EventAction::Exited(_) | EventAction::Unavailable(_)) {
            self.removed.insert(id.clone(), self.listings_begun);
        }
        if was_available && self.is_removed(id) && !at.is_history { EventEffect::Removed } else { EventEffect::Relist }
    }

    /// Begins a listing. Gives the containers that the listing must not inspect: their inspection failed less than [`INSPECT_AGAIN_AFTER`]
    /// ago, and they have had no event since.
    pub fn begin_listing(&mut self, now: Instant) -> HashSet<String> {
        self.listings_begun += 1;
        let seen = std::mem::take(&mut self.seen_since_listing);
        let skipped = self.unresponsive.iter().filter(|(id, again)| **again > now && !seen.contains(*id));
        skipped.map(|(id, _)| id.clone()).collect()
    }

    /// Applies the result of the listing that was begun last.
    pub fn apply_listing(&mut self, listing: Listing, now: Instant) {
        let listed = self.listed.take().into_iter().flatten();
        let mut before: HashMap<String, ContainerFacts> = listed.map(|facts| (facts.id.clone(), facts)).collect();
        let stops = std::mem::take(&mut self.stops);
        let unresponsive = std::mem::take(&mut self.unresponsive);
        let mut containers = Vec::new();
        for (id, inspected) in listing {
            let known = inspected.or_else(|| {
                let again = unresponsive.get(&id).copied().filter(|again| *again > now);
                self.unresponsive.insert(id.clone(), again.unwrap_or(now + INSPECT_AGAIN_AFTER));
                Some((before.remove(&id)?, stops.get(&id).copied().unwrap_or_default()))
            });
            if let Some((facts, stop)) = known {
                containers.push(facts);
                self.stopping.clear_before(&id, stop.started);
                self.stops.insert(id, stop);
            }
        }
        self.listed = Some(containers);
        self.stopping.remove_elapsed(now);
        let begun = self.listings_begun;
        self.removed.retain(|id, removed_in| *removed_in >= begun || self.unresponsive.contains_key(id));
    }

    /// All containers of the last listing; removed ones are shown as not running.
    pub fn containers(&self) -> Vec<ContainerFacts> {
        let shown = |facts: &ContainerFacts| ContainerFacts {
            running: facts.running && !self.is_removed(&facts.id),
            ..facts.clone()
        };
        self.listed.iter().flatten().map(shown).collect()
    }

    /// The next time at which a listing may change something without an event: a container that survived its stop signal gets requests
    /// again, or an unresponsive container is inspected again.
    pub fn next_listing(&self) -> Option<Instant> {
        self.stopping.next_expiry().into_iter().chain(self.unresponsive.values().copied()).min()
    }

    /// Warnings for the log, one for each unresponsive container.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.unresponsive.keys().map(|id| {
            let is_known = self.listed.iter().flatten().any(|facts| facts.id == *id);
            let outcome = if is_known { "keeping its last known state" } else { "not routed" };
            format!(
                "container {id}: inspect failed or timed out; {outcome}; if this persists, see what `docker inspect` says and restart \
                 the container or the Engine"
            )
        })
    }

    fn is_removed(&self, id: &str) -> bool {
        self.stopping.contains(id) || self.removed.contains_key(id)
    }

    fn is_available(&self, id: &str) -> bool {
        !self.is_removed(id) && self.listed.iter().flatten().any(|facts| facts.id == id && facts.is_available())
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{EventActor, EventMessageTypeEnum};

    use super::*;

    fn event(action: &str) -> EventMessage {
        let attributes = Some(HashMap::from([("signal".to_owned(), "15".to_owned())]));
        let actor = Some(EventActor { id: Some("c1".into()), attributes });
        EventMessage {
            typ: Some(EventMessageTypeEnum::CONTAINER),
            action: Some(action.into()),
            actor,
            ..Default::default()
        }
    }

    /// A listing of one running container, `c1`.
    fn listing() -> Listing {
        let facts = ContainerFacts { id: "c1".into(), running: true, ..ContainerFacts::default() };
        vec![("c1".to_owned(), Some((facts, StopFacts::default())))]
    }

    fn listed() -> ContainerInventory {
        let mut inventory = ContainerInventory::default();
        inventory.begin_listing(Instant::now());
        inventory.apply_listing(listing(), Instant::now());
        assert!(runs(&inventory));
        inventory
    }

    fn runs(inventory: &ContainerInventory) -> bool {
        inventory.containers()[0].running
    }

    fn on_event(inventory: &mut ContainerInventory, action: &str) -> EventEffect {
        inventory.on_event(&event(action), EventTime::default(), Instant::now())
    }

    #[tokio::test]
    async fn ending_event_removes_container_until_later_listing() {
        for action in ["pause", "die", "stop", "destroy", "health_status: unhealthy"] {
            let mut inventory = listed();
            assert_eq!(on_event(&mut inventory, action), EventEffect::Removed, "{action}");
            assert_eq!(
                on_event(&mut inventory, action),
                EventEffect::Relist,
                "{action}: the container is removed already"
            );
            assert!(!runs(&inventory), "{action}");
            inventory.begin_listing(Instant::now());
            assert!(!runs(&inventory), "{action}: a listing in progress changes nothing");
            inventory.apply_listing(listing(), Instant::now());
            assert!(runs(&inventory), "{action}: the later listing found it running");
        }
    }

    #[tokio::test]
    async fn listing_in_progress_does_not_restore_removed_container() {
        let mut inventory = listed();
        inventory.begin_listing(Instant::now());
        assert_eq!(on_event(&mut inventory, "die"), EventEffect::Removed);
        assert_eq!(on_event(&mut inventory, "start"), EventEffect::Relist);
        inventory.apply_listing(listing(), Instant::now());
        assert!(!runs(&inventory), "the listing may have inspected the container before its exit, at another address");
        inventory.begin_listing(Instant::now());
        inventory.apply_listing(listing(), Instant::now());
        assert!(runs(&inventory));
    }

    #[tokio::test]
    async fn stopping_container_is_removed_until_timeout_or_start() {
        let mut inventory = listed();
        assert_eq!(on_event(&mut inventory, "kill"), EventEffect::Removed);
        inventory.begin_listing(Instant::now());
        inventory.apply_listing(listing(), Instant::now());
        assert!(!runs(&inventory), "it still runs, but must get no requests");
        assert!(inventory.next_listing().is_some());
        inventory.begin_listing(Instant::now());
        inventory.apply_listing(listing(), Instant::now() + events::STOPPING_GRACE);
        assert!(runs(&inventory), "it has survived its signal");
        on_event(&mut inventory, "kill");
        assert_eq!(on_event(&mut inventory, "start"), EventEffect::Relist);
        assert!(runs(&inventory));
    }

    /// A start event is missed if the event stream breaks for long, because only recent events are requested again.
    #[tokio::test]
    async fn stopping_container_is_restored_by_later_start_time() {
        let started = |secs: Option<u64>| {
            let mut listing = listing();
            listing[0].1.as_mut().unwrap().1.started = secs.map(Duration::from_secs);
            listing
        };
        let (mut inventory, now) = (listed(), Instant::now());
        let kill = EventMessage { time: Some(100), ..event("kill") };
        assert_eq!(inventory.on_event(&kill, EventTime::default(), now), EventEffect::Removed);
        for (secs, runs_then) in [(None, false), (Some(50), false), (Some(100), false), (Some(101), true)] {
            inventory.begin_listing(now);
            inventory.apply_listing(started(secs), now);
            assert_eq!(runs(&inventory), runs_then, "started at {secs:?}");
        }
    }

    #[tokio::test]
    async fn history_event_removes_only_a_stopping_container() {
        let history = EventTime { age: Duration::from_secs(20), is_history: true };
        let mut inventory = listed();
        inventory.begin_listing(Instant::now());
        for action in ["kill", "die", "start", "pause"] {
            assert_eq!(inventory.on_event(&event(action), history, Instant::now()), EventEffect::Relist, "{action}");
        }
        assert!(runs(&inventory), "it was restarted a while ago, as a listing begun since has seen");
        inventory.on_event(&event("kill"), history, Instant::now());
        inventory.apply_listing(listing(), Instant::now());
        assert!(!runs(&inventory));
    }

    #[tokio::test]
    async fn unresponsive_container_keeps_state_and_is_inspected_later() {
        let unresponsive = || vec![("c1".to_owned(), None)];
        let (mut inventory, now) = (listed(), Instant::now());
        assert!(inventory.begin_listing(now).is_empty());
        inventory.apply_listing(unresponsive(), now);
        assert!(runs(&inventory));
        assert_eq!(inventory.next_listing(), Some(now + INSPECT_AGAIN_AFTER));
        assert!(inventory.begin_listing(now).contains("c1"), "its inspection would fail again");
        inventory.apply_listing(unresponsive(), now + INSPECT_AGAIN_AFTER / 2);
        assert_eq!(
            inventory.next_listing(),
            Some(now + INSPECT_AGAIN_AFTER),
            "a skipped inspection does not postpone the next one"
        );
        assert!(inventory.begin_listing(now + INSPECT_AGAIN_AFTER).is_empty());
        // An event arrives while the listing waits for the inspection.
        on_event(&mut inventory, "die");
        inventory.apply_listing(unresponsive(), now + INSPECT_AGAIN_AFTER);
        assert!(inventory.begin_listing(now + INSPECT_AGAIN_AFTER).is_empty());
        inventory.apply_listing(unresponsive(), now + INSPECT_AGAIN_AFTER);
        assert!(!runs(&inventory), "only an inspection restores it");
        inventory.begin_listing(now);
        inventory.apply_listing(listing(), now);
        assert!(runs(&inventory) && inventory.next_listing().is_none());
    }

    #[tokio::test]
    async fn container_unresponsive_from_start_is_not_routed() {
        let (mut inventory, now) = (ContainerInventory::default(), Instant::now());
        inventory.begin_listing(now);
        inventory.apply_listing(vec![("c1".to_owned(), None)], now);
        assert!(inventory.containers().is_empty() && !inventory.is_empty());
        let warning = inventory.warnings().next().unwrap();
        assert!(warning.contains("c1") && warning.contains("not routed"), "{warning}");
    }

    #[tokio::test]
    async fn event_of_unrouted_container_removes_nothing() {
        let mut inventory = ContainerInventory::default();
        assert_eq!(on_event(&mut inventory, "kill"), EventEffect::Relist);
        assert_eq!(on_event(&mut inventory, "exec_start: sh"), EventEffect::None);
    }
}
