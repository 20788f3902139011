//! The containers as last inspected, and the changes that events have reported since.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::engine::{Inspection, Inspections};
use super::events::{self, Event, EventAction};
use super::inspected::InspectedContainer;
use super::stopping::StoppingContainers;
use crate::config::Rejected;
use crate::config::labels::ContainerFacts;

/// How long after a failed inspection the container is inspected again, unless an event of the container arrives before. A request that the
/// Engine never answers also holds resources in the Engine, so it is not repeated at every listing.
const INSPECT_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How many containers are inspected one by one. If more have changed, all are listed.
const CHANGED_MAX: usize = 256;

/// The effect of an event on the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventEffect {
    None,
    /// Containers must be inspected to find out what changed.
    Changed,
    /// An available container gets no new requests from now on. It must be inspected all the same.
    Removed,
}

/// The time of an event.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventTime {
    pub age: Duration,
    /// Whether the event is older than the connection that delivered it.
    pub is_history: bool,
}

/// The containers that are to be inspected next.
#[derive(Debug, Clone, PartialEq)]
pub enum NextRead {
    /// All that the Engine lists, except the given ones: their inspection failed less than [`INSPECT_AGAIN_AFTER`] ago, and they have had
    /// no event since.
    All(HashSet<String>),
    /// These alone.
    Some(Vec<String>),
}

/// The state of the containers, which outlives connections to the Engine. A container that an event removed stays removed until a later
/// read has inspected it. A container that got its stop signal stays removed until its stop timeout is over or it has been started again.
///
/// A *read* is a listing of all containers or an inspection of those that changed. One read is in progress at a time.
#[derive(Debug, Default)]
pub struct ContainerInventory {
    /// The containers that are up, the newest first.
    up: Option<Vec<InspectedContainer>>,
    stopping: StoppingContainers,
    /// Containers removed by an event, by the number of the last read begun before the event. Only a later read may add the container back:
    /// a read in progress may have inspected the container before the event.
    removed: HashMap<String, u64>,
    reads_begun: u64,
    /// Containers whose last inspection failed, with the time of their next inspection. They keep their last known state.
    unresponsive: HashMap<String, Instant>,
    /// Containers whose description cannot be read.
    unreadable: BTreeMap<String, Rejected>,
    /// Entries of the last listing that cannot be read.
    unreadable_entries: Vec<Rejected>,
    /// Messages about the last read.
    warnings: Vec<String>,
    /// Containers that had an event since the last read began.
    changed: BTreeSet<String>,
    /// Whether an event since the last read began does not say which containers changed.
    is_all_changed: bool,
}

impl ContainerInventory {
    /// Whether no listing has been applied yet.
    pub fn is_empty(&self) -> bool {
        self.up.is_none()
    }

    /// Applies an event. An event older than the connection (`is_history`) removes a container only if it is a stop signal after which the
    /// container has neither exited nor started. The reads that follow show everything else more reliably.
    pub fn on_event(&mut self, event: &Event, at: EventTime, now: Instant) -> EventEffect {
        let action = events::action_of(event, |id| self.find(id).map(|container| container.stop));
        let id = match &action {
            EventAction::Ignore => return EventEffect::None,
            EventAction::NetworkRemoved(id, name) => return self.on_network_removed(id, name),
            EventAction::Changed(id)
            | EventAction::Started(id)
            | EventAction::Stopping(id, _)
            | EventAction::Exited(id)
            | EventAction::Unavailable(id) => id,
        };
        self.has_changed(id);
        let was_available = self.is_available(id);
        match &action {
            EventAction::Stopping(id, grace) => {
                self.stopping.mark(id, event.sent_at, now + grace.saturating_sub(at.age));
            }
            EventAction::Started(id) | EventAction::Exited(id) => self.stopping.clear(id),
            _ => {}
        }
        if !at.is_history && matches!(action, EventAction::Exited(_) | EventAction::Unavailable(_)) {
            self.removed.insert(id.clone(), self.reads_begun);
        }
        if was_available && self.is_removed(id) && !at.is_history { EventEffect::Removed } else { EventEffect::Changed }
    }

    /// Notes that the container has changed. An event without the id of its container may be about any.
    fn has_changed(&mut self, id: &str) {
        match id.is_empty() {
            true => self.is_all_changed = true,
            false => drop(self.changed.insert(id.to_owned())),
        }
    }

    fn on_network_removed(&mut self, id: &str, name: &str) -> EventEffect {
        let is_in = |container: &&InspectedContainer| {
            container.facts.networks.iter().any(|(known, network)| network.id == id || known == name)
        };
        let attached = self.up.iter().flatten().filter(is_in).map(|container| container.facts.id.clone());
        let attached: Vec<String> = attached.collect();
        self.changed.extend(attached.iter().cloned());
        if attached.is_empty() { EventEffect::None } else { EventEffect::Changed }
    }

    /// Begins a read: of all containers if `is_listing_due` or an event requires it, otherwise of those that may have changed.
    pub fn begin_read(&mut self, is_listing_due: bool, now: Instant) -> NextRead {
        self.reads_begun += 1;
        let mut ids = std::mem::take(&mut self.changed);
        let needs_all = std::mem::take(&mut self.is_all_changed) || is_listing_due || self.is_empty();
        if needs_all || ids.len() > CHANGED_MAX {
            let skipped = self.unresponsive.iter().filter(|(id, again)| **again > now && !ids.contains(*id));
            return NextRead::All(skipped.map(|(id, _)| id.clone()).collect());
        }
        let due = self.unresponsive.iter().filter(|(_, again)| **again <= now).map(|(id, _)| id);
        ids.extend(due.chain(self.stopping.elapsed(now)).cloned());
        NextRead::Some(ids.into_iter().collect())
    }

    /// Applies the result of the read that was begun last, which was one of all containers.
    pub fn apply_listing(&mut self, listing: Inspections, now: Instant) {
        let before = self.up.take().unwrap_or_default();
        let mut before: HashMap<String, InspectedContainer> =
            before.into_iter().map(|container| (container.facts.id.clone(), container)).collect();
        let unresponsive = std::mem::take(&mut self.unresponsive);
        self.unreadable.clear();
        self.unreadable_entries = listing.rejected;
        self.warnings = listing.warnings;
        let applied = listing.containers.into_iter().filter_map(|(id, inspection)| {
            let (before, again) = (before.remove(&id), unresponsive.get(&id).copied());
            self.apply_one(&id, inspection, before, again, now)
        });
        let up = applied.collect();
        self.end_read(up, None, now);
    }

    /// Applies the result of the read that was begun last, which was one of single containers.
    pub fn apply_some(&mut self, inspections: Inspections, now: Instant) {
        if !inspections.containers.is_empty() {
            self.warnings = inspections.warnings;
        }
        let read: HashSet<String> = inspections.containers.iter().map(|(id, _)| id.clone()).collect();
        let mut results: HashMap<String, Inspection> = HashMap::new();
        let mut order = Vec::new();
        for (id, inspection) in inspections.containers {
            order.push(id.clone());
            results.insert(id, inspection);
        }
        let mut up = Vec::new();
        for container in self.up.take().unwrap_or_default() {
            let id = container.facts.id.clone();
            match results.remove(&id) {
                None => up.push(container),
                Some(inspection) => {
                    let again = self.unresponsive.remove(&id);
                    up.extend(self.apply_one(&id, inspection, Some(container), again, now));
                }
            }
        }
        let mut new = Vec::new();
        for id in order {
            let Some(inspection) = results.remove(&id) else { continue };
            let again = self.unresponsive.remove(&id);
            new.extend(self.apply_one(&id, inspection, None, again, now));
        }
        new.extend(up);
        self.end_read(new, Some(&read), now);
    }

    /// Notes the result of an inspection; gives the container if it is up.
    fn apply_one(
        &mut self,
        id: &str,
        inspection: Inspection,
        before: Option<InspectedContainer>,
        again: Option<Instant>,
        now: Instant,
    ) -> Option<InspectedContainer> {
        self.unreadable.remove(id);
        match inspection {
            Inspection::Done(container) => {
                self.stopping.clear_before(id, container.stop.started);
                container.is_up.then_some(*container)
            }
            Inspection::Gone => None,
            Inspection::Unreadable(reason) => {
                self.unreadable.insert(id.to_owned(), reason);
                None
            }
            Inspection::TimedOut | Inspection::Failed(_) | Inspection::Skipped => {
                let again = again.filter(|again| *again > now).unwrap_or(now + INSPECT_AGAIN_AFTER);
                self.unresponsive.insert(id.to_owned(), again);
                before
            }
        }
    }

    /// Ends a read of the given containers; `None`: of all.
    fn end_read(&mut self, mut up: Vec<InspectedContainer>, read: Option<&HashSet<String>>, now: Instant) {
        // Docker lists the newest first, Podman in no order.
        up.sort_by_key(|container| std::cmp::Reverse(container.created));
        self.up = Some(up);
        self.stopping.remove_elapsed(now);
        let (begun, unresponsive) = (self.reads_begun, &self.unresponsive);
        let was_read = |id: &String| read.is_none_or(|read| read.contains(id));
        self.removed.retain(|id, removed_in| !was_read(id) || *removed_in >= begun || unresponsive.contains_key(id));
    }

    /// All containers that are up; removed ones are shown as not running.
    pub fn containers(&self) -> Vec<ContainerFacts> {
        let shown = |container: &InspectedContainer| ContainerFacts {
            running: container.facts.running && !self.is_removed(&container.facts.id),
            ..container.facts.clone()
        };
        self.up.iter().flatten().map(shown).collect()
    }

    /// The next time at which a read may change something without an event: a container that survived its stop signal gets requests again,
    /// or an unresponsive container is inspected again.
    pub fn next_read(&self) -> Option<Instant> {
        self.stopping.next_expiry().into_iter().chain(self.unresponsive.values().copied()).min()
    }

    /// The containers whose description, or whose entry in the list, cannot be read.
    pub fn rejected(&self) -> impl Iterator<Item = &Rejected> {
        self.unreadable.values().chain(&self.unreadable_entries)
    }

    /// Warnings for the log: one for each unresponsive container, and those of the last read.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.unresponsive_warnings().chain(self.warnings.iter().cloned())
    }

    /// Warnings for the log, one for each unresponsive container.
    pub fn unresponsive_warnings(&self) -> impl Iterator<Item = String> {
        self.unresponsive.keys().map(|id| {
            let outcome = if self.find(id).is_some() { "keeping its last known state" } else { "not routed" };
            format!(
                "container {id}: inspect failed or timed out; {outcome}; if this persists, see what `docker inspect` says and restart \
                 the container or the Engine"
            )
        })
    }

    fn find(&self, id: &str) -> Option<&InspectedContainer> {
        self.up.iter().flatten().find(|container| container.facts.id == id)
    }

    fn is_removed(&self, id: &str) -> bool {
        self.stopping.contains(id) || self.removed.contains_key(id)
    }

    fn is_available(&self, id: &str) -> bool {
        !self.is_removed(id) && self.find(id).is_some_and(|container| container.facts.is_available())
    }
}

#[cfg(test)]
mod tests;
