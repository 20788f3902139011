//! The containers as they were listed last, and what events have said of them since.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::EventMessage;
use tokio::time::Instant;

use super::engine::Listing;
use super::watch::{self, Reaction, StopFacts, Stopping};
use crate::config::labels::ContainerFacts;

/// What an event changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    None,
    /// The containers must be listed again to know.
    Relist,
    /// A container that could answer cannot any more. They must be listed again all the same.
    TakenOut,
}

/// When an event was.
#[derive(Debug, Clone, Copy, Default)]
pub struct When {
    pub age: Duration,
    /// Before the connection that told of it.
    pub is_history: bool,
}

/// Outlives connections to the Engine: what is out stays out until a later listing knows better.
#[derive(Debug, Default)]
pub struct Census {
    listed: Option<Vec<ContainerFacts>>,
    stops: HashMap<String, StopFacts>,
    stopping: Stopping,
    /// Containers that an event took out, with the number of the listing begun last at that time. Only a later one can know what has
    /// become of them: one that was under way may have looked at the container before.
    out: HashMap<String, u64>,
    begun: u64,
}

impl Census {
    /// Nothing has been listed yet.
    pub fn is_empty(&self) -> bool {
        self.listed.is_none()
    }

    /// A new stream of events begins, which tells again who was told to stop; who was not is for the next listing to say.
    pub fn connected(&mut self) {
        let begun = self.begun;
        self.out.extend(self.stopping.take().map(|id| (id, begun)));
    }

    /// Takes in an event. One of `history` was there before this connection: of it only a stop counts that may still be under way,
    /// everything else is seen better by the listings that follow.
    pub fn hear(&mut self, event: &EventMessage, at: When, now: Instant) -> News {
        let reaction = watch::reaction(event, &self.stops);
        let id = match &reaction {
            Reaction::Ignore => return News::None,
            Reaction::Relist => return News::Relist,
            Reaction::Started(id) | Reaction::Stopping(id, _) | Reaction::Ended(id) | Reaction::Unable(id) => id,
        };
        let was_able = self.is_able(id);
        match &reaction {
            Reaction::Stopping(id, grace) => self.stopping.mark(id, now + grace.saturating_sub(at.age)),
            Reaction::Started(id) | Reaction::Ended(id) => self.stopping.clear(id),
            Reaction::Unable(_) | Reaction::Ignore | Reaction::Relist => {}
        }
        if !at.is_history && matches!(reaction, Reaction::Ended(_) | Reaction::Unable(_)) {
            self.out.insert(id.clone(), self.begun);
        }
        if was_able && self.is_out(id) && !at.is_history { News::TakenOut } else { News::Relist }
    }

    /// From here on a listing is under way.
    pub fn begin_listing(&mut self) {
        self.begun += 1;
    }

    /// The result of the listing that was begun last.
    pub fn take_in(&mut self, listing: Listing, now: Instant) {
        self.listed = Some(listing.containers);
        self.stops = listing.stops;
        self.stopping.forget_old(now);
        let begun = self.begun;
        self.out.retain(|_, heard| *heard >= begun);
    }

    /// All containers, those that are out as not running.
    pub fn containers(&self) -> Vec<ContainerFacts> {
        let shown = |facts: &ContainerFacts| ContainerFacts {
            running: facts.running && !self.is_out(&facts.id),
            ..facts.clone()
        };
        self.listed.iter().flatten().map(shown).collect()
    }

    /// When a container that survived its signal gets its requests back.
    pub fn next_end(&self) -> Option<Instant> {
        self.stopping.next_end()
    }

    fn is_out(&self, id: &str) -> bool {
        self.stopping.has(id) || self.out.contains_key(id)
    }

    fn is_able(&self, id: &str) -> bool {
        !self.is_out(id) && self.listed.iter().flatten().any(|facts| facts.id == id && facts.is_able())
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
        Listing { containers: vec![facts], stops: HashMap::new() }
    }

    fn listed() -> Census {
        let mut census = Census::default();
        census.begin_listing();
        census.take_in(listing(), Instant::now());
        assert!(runs(&census));
        census
    }

    fn runs(census: &Census) -> bool {
        census.containers()[0].running
    }

    fn hear(census: &mut Census, action: &str) -> News {
        census.hear(&event(action), When::default(), Instant::now())
    }

    #[tokio::test]
    async fn every_way_out_is_news_once_and_until_a_listing_that_began_later() {
        for action in ["pause", "die", "stop", "destroy", "health_status: unhealthy"] {
            let mut census = listed();
            assert_eq!(hear(&mut census, action), News::TakenOut, "{action}");
            assert_eq!(hear(&mut census, action), News::Relist, "{action}: it is out already");
            assert!(!runs(&census), "{action}");
            census.begin_listing();
            assert!(!runs(&census), "{action}: the listing may take long");
            census.take_in(listing(), Instant::now());
            assert!(runs(&census), "{action}: the listing knows better");
        }
    }

    #[tokio::test]
    async fn a_listing_that_was_under_way_gives_no_requests_back() {
        let mut census = listed();
        census.begin_listing();
        assert_eq!(hear(&mut census, "die"), News::TakenOut);
        assert_eq!(hear(&mut census, "start"), News::Relist);
        census.take_in(listing(), Instant::now());
        assert!(!runs(&census), "it may have seen the container before its end, at another address");
        census.begin_listing();
        census.take_in(listing(), Instant::now());
        assert!(runs(&census));
    }

    #[tokio::test]
    async fn who_was_told_to_stop_is_out_until_the_end_of_its_time_or_a_new_start() {
        let mut census = listed();
        assert_eq!(hear(&mut census, "kill"), News::TakenOut);
        census.begin_listing();
        census.take_in(listing(), Instant::now());
        assert!(!runs(&census), "it still runs, and must get nothing");
        assert!(census.next_end().is_some());
        census.begin_listing();
        census.take_in(listing(), Instant::now() + watch::STOPPING_GRACE);
        assert!(runs(&census), "it has survived its signal");
        hear(&mut census, "kill");
        assert_eq!(hear(&mut census, "start"), News::Relist);
        assert!(runs(&census));
    }

    #[tokio::test]
    async fn a_new_connection_gives_nothing_back_before_its_first_listing() {
        let mut census = listed();
        hear(&mut census, "kill");
        census.connected();
        assert!(!runs(&census));
        census.begin_listing();
        census.take_in(listing(), Instant::now());
        assert!(runs(&census));
    }

    #[tokio::test]
    async fn history_takes_nobody_out_but_who_may_still_be_stopping() {
        let history = When { age: Duration::from_secs(20), is_history: true };
        let mut census = listed();
        census.begin_listing();
        for action in ["kill", "die", "start", "pause"] {
            assert_eq!(census.hear(&event(action), history, Instant::now()), News::Relist, "{action}");
        }
        assert!(runs(&census), "it was restarted a while ago: a listing that began since has seen that");
        census.hear(&event("kill"), history, Instant::now());
        census.take_in(listing(), Instant::now());
        assert!(!runs(&census));
    }

    #[tokio::test]
    async fn what_was_not_served_is_no_news() {
        let mut census = Census::default();
        assert_eq!(hear(&mut census, "kill"), News::Relist);
        assert_eq!(hear(&mut census, "exec_start: sh"), News::None);
    }
}
