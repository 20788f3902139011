//! The containers as they were listed last, and what events have said of them since.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bollard::models::EventMessage;
use tokio::time::Instant;

use super::engine::Listing;
use super::events::{self, EventAction, StopFacts, StoppingContainers};
use crate::config::labels::ContainerFacts;

/// When a container of which the Engine gave no answer is asked for again, if no event tells of it before: an answer that never comes
/// holds something in the Engine as well.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What an event changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventEffect {
    None,
    /// The containers must be listed again to know.
    Relist,
    /// A container that could answer cannot any more. They must be listed again all the same.
    TakenOut,
}

/// When an event was.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventTime {
    pub age: Duration,
    /// Before the connection that told of it.
    pub is_history: bool,
}

/// Outlives connections to the Engine: what is out stays out until a later listing knows better, and what was told to stop until its time
/// is over or it runs anew.
#[derive(Debug, Default)]
pub struct ContainerInventory {
    listed: Option<Vec<ContainerFacts>>,
    stops: HashMap<String, StopFacts>,
    stopping: StoppingContainers,
    /// Containers that an event took out, with the number of the listing begun last at that time. Only a later one can know what has
    /// become of them: one that was under way may have looked at the container before.
    removed: HashMap<String, u64>,
    begun: u64,
    /// Containers of which the last listing had no answer, with when they are asked for again. They stay as they were.
    unresponsive: HashMap<String, Instant>,
    /// Containers that events have told of since the last listing began.
    heard: HashSet<String>,
}

impl ContainerInventory {
    /// Nothing has been listed yet.
    pub fn is_empty(&self) -> bool {
        self.listed.is_none()
    }

    /// Takes in an event. One of `history` was there before this connection: of it only a stop counts that may still be under way,
    /// everything else is seen better by the listings that follow.
    pub fn on_event(&mut self, event: &EventMessage, at: EventTime, now: Instant) -> EventEffect {
        let reaction = events::action_of(event, &self.stops);
        let id = match &reaction {
            EventAction::Ignore => return EventEffect::None,
            EventAction::Relist => return EventEffect::Relist,
            EventAction::Started(id)
            | EventAction::Stopping(id, _)
            | EventAction::Ended(id)
            | EventAction::Unable(id) => id,
        };
        self.heard.insert(id.clone());
        let was_able = self.is_available(id);
        match &reaction {
            EventAction::Stopping(id, grace) => {
                self.stopping.mark(id, events::moment(event), now + grace.saturating_sub(at.age));
            }
            EventAction::Started(id) | EventAction::Ended(id) => self.stopping.clear(id),
            EventAction::Unable(_) | EventAction::Ignore | EventAction::Relist => {}
        }
        if !at.is_history && matches!(reaction, EventAction::Ended(_) | EventAction::Unable(_)) {
            self.removed.insert(id.clone(), self.begun);
        }
        if was_able && self.is_removed(id) && !at.is_history { EventEffect::TakenOut } else { EventEffect::Relist }
    }

    /// From here on a listing is under way. The containers that it should not ask for: they gave no answer a moment ago, and nothing was
    /// heard of them since.
    pub fn begin_listing(&mut self, now: Instant) -> HashSet<String> {
        self.begun += 1;
        let heard = std::mem::take(&mut self.heard);
        let silent = self.unresponsive.iter().filter(|(id, again)| **again > now && !heard.contains(*id));
        silent.map(|(id, _)| id.clone()).collect()
    }

    /// The result of the listing that was begun last.
    pub fn apply_listing(&mut self, listing: Listing, now: Instant) {
        let listed = self.listed.take().into_iter().flatten();
        let mut before: HashMap<String, ContainerFacts> = listed.map(|facts| (facts.id.clone(), facts)).collect();
        let stops = std::mem::take(&mut self.stops);
        let silent = std::mem::take(&mut self.unresponsive);
        let mut containers = Vec::new();
        for (id, answer) in listing {
            let known = answer.or_else(|| {
                let again = silent.get(&id).copied().filter(|again| *again > now);
                self.unresponsive.insert(id.clone(), again.unwrap_or(now + ASK_AGAIN_AFTER));
                Some((before.remove(&id)?, stops.get(&id).copied().unwrap_or_default()))
            });
            if let Some((facts, stop)) = known {
                containers.push(facts);
                self.stopping.clear_before(&id, stop.started);
                self.stops.insert(id, stop);
            }
        }
        self.listed = Some(containers);
        self.stopping.forget_old(now);
        let begun = self.begun;
        self.removed.retain(|id, heard| *heard >= begun || self.unresponsive.contains_key(id));
    }

    /// All containers, those that are out as not running.
    pub fn containers(&self) -> Vec<ContainerFacts> {
        let shown = |facts: &ContainerFacts| ContainerFacts {
            running: facts.running && !self.is_removed(&facts.id),
            ..facts.clone()
        };
        self.listed.iter().flatten().map(shown).collect()
    }

    /// When a listing may tell more without an event: a container that survived its signal gets its requests back, a silent one is asked
    /// for again.
    pub fn next_end(&self) -> Option<Instant> {
        self.stopping.next_end().into_iter().chain(self.unresponsive.values().copied()).min()
    }

    /// What the log should have of the silent ones.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.unresponsive.keys().map(|id| {
            let is_known = self.listed.iter().flatten().any(|facts| facts.id == *id);
            let fate = if is_known { "it stays as it was" } else { "it gets no requests" };
            format!(
                "container {id}: the Docker Engine gives no answer, or an error, when it is inspected, so {fate}; if that lasts, \
                 see what `docker inspect` says and restart the container or the Engine"
            )
        })
    }

    fn is_removed(&self, id: &str) -> bool {
        self.stopping.has(id) || self.removed.contains_key(id)
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

    /// The container as an Engine lists it.
    fn listing() -> Listing {
        let facts = ContainerFacts { id: "c1".into(), running: true, ..ContainerFacts::default() };
        vec![("c1".to_owned(), Some((facts, StopFacts::default())))]
    }

    fn listed() -> ContainerInventory {
        let mut census = ContainerInventory::default();
        census.begin_listing(Instant::now());
        census.apply_listing(listing(), Instant::now());
        assert!(runs(&census));
        census
    }

    fn runs(census: &ContainerInventory) -> bool {
        census.containers()[0].running
    }

    fn hear(census: &mut ContainerInventory, action: &str) -> EventEffect {
        census.on_event(&event(action), EventTime::default(), Instant::now())
    }

    #[tokio::test]
    async fn every_way_out_is_news_once_and_until_a_listing_that_began_later() {
        for action in ["pause", "die", "stop", "destroy", "health_status: unhealthy"] {
            let mut census = listed();
            assert_eq!(hear(&mut census, action), EventEffect::TakenOut, "{action}");
            assert_eq!(hear(&mut census, action), EventEffect::Relist, "{action}: it is out already");
            assert!(!runs(&census), "{action}");
            census.begin_listing(Instant::now());
            assert!(!runs(&census), "{action}: the listing may take long");
            census.apply_listing(listing(), Instant::now());
            assert!(runs(&census), "{action}: the listing knows better");
        }
    }

    #[tokio::test]
    async fn a_listing_that_was_under_way_gives_no_requests_back() {
        let mut census = listed();
        census.begin_listing(Instant::now());
        assert_eq!(hear(&mut census, "die"), EventEffect::TakenOut);
        assert_eq!(hear(&mut census, "start"), EventEffect::Relist);
        census.apply_listing(listing(), Instant::now());
        assert!(!runs(&census), "it may have seen the container before its end, at another address");
        census.begin_listing(Instant::now());
        census.apply_listing(listing(), Instant::now());
        assert!(runs(&census));
    }

    #[tokio::test]
    async fn who_was_told_to_stop_is_out_until_the_end_of_its_time_or_a_new_start() {
        let mut census = listed();
        assert_eq!(hear(&mut census, "kill"), EventEffect::TakenOut);
        census.begin_listing(Instant::now());
        census.apply_listing(listing(), Instant::now());
        assert!(!runs(&census), "it still runs, and must get nothing");
        assert!(census.next_end().is_some());
        census.begin_listing(Instant::now());
        census.apply_listing(listing(), Instant::now() + events::STOPPING_GRACE);
        assert!(runs(&census), "it has survived its signal");
        hear(&mut census, "kill");
        assert_eq!(hear(&mut census, "start"), EventEffect::Relist);
        assert!(runs(&census));
    }

    /// The stream of events may break, and the Engine does not tell again what is longer ago than a moment.
    #[tokio::test]
    async fn who_was_told_to_stop_is_out_until_it_is_seen_to_have_been_started_since() {
        let started = |secs: Option<u64>| {
            let mut listing = listing();
            listing[0].1.as_mut().unwrap().1.started = secs.map(Duration::from_secs);
            listing
        };
        let (mut census, now) = (listed(), Instant::now());
        let told = EventMessage { time: Some(100), ..event("kill") };
        assert_eq!(census.on_event(&told, EventTime::default(), now), EventEffect::TakenOut);
        for (secs, runs_then) in [(None, false), (Some(50), false), (Some(100), false), (Some(101), true)] {
            census.begin_listing(now);
            census.apply_listing(started(secs), now);
            assert_eq!(runs(&census), runs_then, "started at {secs:?}");
        }
    }

    #[tokio::test]
    async fn history_takes_nobody_out_but_who_may_still_be_stopping() {
        let history = EventTime { age: Duration::from_secs(20), is_history: true };
        let mut census = listed();
        census.begin_listing(Instant::now());
        for action in ["kill", "die", "start", "pause"] {
            assert_eq!(census.on_event(&event(action), history, Instant::now()), EventEffect::Relist, "{action}");
        }
        assert!(runs(&census), "it was restarted a while ago: a listing that began since has seen that");
        census.on_event(&event("kill"), history, Instant::now());
        census.apply_listing(listing(), Instant::now());
        assert!(!runs(&census));
    }

    #[tokio::test]
    async fn a_silent_container_stays_as_it_was_and_is_asked_for_again_later_or_after_an_event() {
        let silent = || vec![("c1".to_owned(), None)];
        let (mut census, now) = (listed(), Instant::now());
        assert!(census.begin_listing(now).is_empty());
        census.apply_listing(silent(), now);
        assert!(runs(&census));
        assert_eq!(census.next_end(), Some(now + ASK_AGAIN_AFTER));
        assert!(census.begin_listing(now).contains("c1"), "it would give no answer again");
        census.apply_listing(silent(), now + ASK_AGAIN_AFTER / 2);
        assert_eq!(census.next_end(), Some(now + ASK_AGAIN_AFTER), "not to be asked for is no new silence");
        assert!(census.begin_listing(now + ASK_AGAIN_AFTER).is_empty());
        // Told of while the listing waits for it.
        hear(&mut census, "die");
        census.apply_listing(silent(), now + ASK_AGAIN_AFTER);
        assert!(census.begin_listing(now + ASK_AGAIN_AFTER).is_empty());
        census.apply_listing(silent(), now + ASK_AGAIN_AFTER);
        assert!(!runs(&census), "only an answer brings it back");
        census.begin_listing(now);
        census.apply_listing(listing(), now);
        assert!(runs(&census) && census.next_end().is_none());
    }

    #[tokio::test]
    async fn nothing_is_known_of_a_container_that_was_silent_from_the_start() {
        let (mut census, now) = (ContainerInventory::default(), Instant::now());
        census.begin_listing(now);
        census.apply_listing(vec![("c1".to_owned(), None)], now);
        assert!(census.containers().is_empty() && !census.is_empty());
        let complaint = census.warnings().next().unwrap();
        assert!(complaint.contains("c1") && complaint.contains("gets no requests"), "{complaint}");
    }

    #[tokio::test]
    async fn what_was_not_served_is_no_news() {
        let mut census = ContainerInventory::default();
        assert_eq!(hear(&mut census, "kill"), EventEffect::Relist);
        assert_eq!(hear(&mut census, "exec_start: sh"), EventEffect::None);
    }
}
