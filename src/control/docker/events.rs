//! What Docker's events mean for the configuration, and which containers are on their way out.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{EventMessage, EventMessageTypeEnum};
use tokio::time::Instant;

use super::signal;

/// A container that survives a signal gets requests again after this time, or after its own stop time-out if that is longer.
pub const STOPPING_GRACE: Duration = Duration::from_secs(30);

/// It counts as stopping for so long at the most, also where its stop time-out is longer or has no end.
pub const STOPPING_MAX: Duration = Duration::from_secs(24 * 3600);

/// Everything is listed again this often even without events, in case one was lost.
pub const RELIST_EVERY: Duration = Duration::from_secs(300);

/// How a container is stopped, and since when it runs, from its last inspection.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StopFacts {
    /// The image's or container's own stop signal.
    pub signal: Option<u8>,
    /// How long Docker waits before it kills; [`STOPPING_MAX`] at the most.
    pub timeout: Option<Duration>,
    /// When it was started last, since 1970.
    pub started: Option<Duration>,
}

/// What to do about an event.
#[derive(Debug, Clone, PartialEq)]
pub enum EventAction {
    Ignore,
    Relist,
    /// The container got a signal that ends it, and is gone within the time or does not go.
    Stopping(String, Duration),
    /// The container runs anew: what was known about its stopping is over.
    Started(String),
    /// The container has ended, and its stopping with it.
    Ended(String),
    /// The container is there and cannot answer: paused, or unhealthy.
    Unable(String),
}

/// Reads one event; `stops` are the containers of the last listing.
pub fn action_of(event: &EventMessage, stops: &HashMap<String, StopFacts>) -> EventAction {
    let action = event.action.as_deref().unwrap_or_default();
    let actor = event.actor.as_ref();
    let id = actor.and_then(|actor| actor.id.clone()).unwrap_or_default();
    match (event.typ, action) {
        (Some(EventMessageTypeEnum::NETWORK), "connect" | "disconnect" | "destroy") => EventAction::Relist,
        (Some(EventMessageTypeEnum::CONTAINER), "kill") => {
            let signal =
                actor.and_then(|actor| actor.attributes.as_ref()?.get("signal")).and_then(|text| signal::number(text));
            killed(id, signal, stops)
        }
        (Some(EventMessageTypeEnum::CONTAINER), "start") => EventAction::Started(id),
        (Some(EventMessageTypeEnum::CONTAINER), "die" | "stop" | "destroy") => EventAction::Ended(id),
        (Some(EventMessageTypeEnum::CONTAINER), "pause" | "health_status: unhealthy") => EventAction::Unable(id),
        (Some(EventMessageTypeEnum::CONTAINER), "unpause" | "rename" | "update") => EventAction::Relist,
        (Some(EventMessageTypeEnum::CONTAINER), action) if action.starts_with("health_status") => EventAction::Relist,
        _ => EventAction::Ignore,
    }
}

/// A signal counts when it ends most programs or is the container's own way to be stopped; others, as for a reload, do not.
fn killed(id: String, signal: Option<u8>, stops: &HashMap<String, StopFacts>) -> EventAction {
    let known = stops.get(&id).copied().unwrap_or_default();
    let ends = signal.is_some_and(|signal| signal::ENDING.contains(&signal) || known.signal == Some(signal));
    let grace = known.timeout.map_or(STOPPING_GRACE, |timeout| STOPPING_GRACE.max(timeout));
    if ends { EventAction::Stopping(id, grace) } else { EventAction::Ignore }
}

/// Events of the last while are asked for again at each connection: what stops now got its signal a moment ago.
pub fn replay_from(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.saturating_sub(STOPPING_GRACE).as_secs()).unwrap_or(i64::MAX)
}

/// When the event was, since 1970 by the Engine's clock; `None` when nothing says so.
pub fn moment(event: &EventMessage) -> Option<Duration> {
    let nanos = event.time_nano.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos);
    let secs = || event.time.and_then(|secs| u64::try_from(secs).ok()).map(Duration::from_secs);
    nanos.or_else(secs)
}

/// How long ago the event was; zero when the Engine's clock is ahead, or when nothing says so.
pub fn age(event: &EventMessage, since_1970: Duration) -> Duration {
    moment(event).map_or(Duration::ZERO, |at| since_1970.saturating_sub(at))
}

/// Containers that were told to stop and have not stopped yet. They still run, but get no new requests.
#[derive(Debug, Default)]
pub struct StoppingContainers {
    marks: HashMap<String, StopMark>,
}

#[derive(Debug)]
struct StopMark {
    end: Instant,
    /// When the Engine told the container to stop, since 1970.
    told: Option<Duration>,
}

impl StoppingContainers {
    /// The container, `told` to stop at that time, counts as stopping until `end` or until it changes state.
    pub fn mark(&mut self, id: &str, told: Option<Duration>, end: Instant) {
        self.marks.insert(id.to_owned(), StopMark { end, told });
    }

    pub fn clear(&mut self, id: &str) {
        self.marks.remove(id);
    }

    /// The container runs since then. What was told before to an earlier run of it is over, even if nobody heard of its end.
    pub fn clear_before(&mut self, id: &str, started: Option<Duration>) {
        let told = self.marks.get(id).and_then(|mark| mark.told);
        if started.zip(told).is_some_and(|(started, told)| started > told) {
            self.clear(id);
        }
    }

    pub fn has(&self, id: &str) -> bool {
        self.marks.contains_key(id)
    }

    /// Containers whose time is over survived their signal.
    pub fn forget_old(&mut self, now: Instant) {
        self.marks.retain(|_, mark| mark.end > now);
    }

    /// When the next container gets its requests back.
    pub fn next_end(&self) -> Option<Instant> {
        self.marks.values().map(|mark| mark.end).min()
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    fn event(typ: EventMessageTypeEnum, action: &str, signal: Option<&str>) -> EventMessage {
        let attributes = signal.map(|signal| HashMap::from([("signal".to_owned(), signal.to_owned())]));
        let actor = EventActor { id: Some("c1".into()), attributes };
        EventMessage { typ: Some(typ), action: Some(action.into()), actor: Some(actor), ..Default::default() }
    }

    #[test]
    fn every_event_that_can_change_routes_is_noticed() {
        use EventMessageTypeEnum::{CONTAINER, IMAGE, NETWORK};
        let none = HashMap::new();
        for action in ["unpause", "rename", "update", "health_status: healthy", "health_status"] {
            assert_eq!(action_of(&event(CONTAINER, action, None), &none), EventAction::Relist, "{action}");
        }
        assert_eq!(action_of(&event(CONTAINER, "start", None), &none), EventAction::Started("c1".into()));
        for action in ["die", "stop", "destroy"] {
            assert_eq!(action_of(&event(CONTAINER, action, None), &none), EventAction::Ended("c1".into()), "{action}");
        }
        for action in ["pause", "health_status: unhealthy"] {
            assert_eq!(action_of(&event(CONTAINER, action, None), &none), EventAction::Unable("c1".into()), "{action}");
        }
        for action in ["connect", "disconnect"] {
            assert_eq!(action_of(&event(NETWORK, action, None), &none), EventAction::Relist, "{action}");
        }
        for action in ["exec_start: sh", "top", "create", "attach", "resize"] {
            assert_eq!(action_of(&event(CONTAINER, action, None), &none), EventAction::Ignore, "{action}");
        }
        assert_eq!(action_of(&event(IMAGE, "destroy", None), &none), EventAction::Ignore);
    }

    #[test]
    fn ending_signals_and_the_containers_own_one_mean_stopping() {
        use EventMessageTypeEnum::CONTAINER;
        let own = StopFacts { signal: Some(28), timeout: Some(Duration::from_secs(300)), started: None };
        let stops = HashMap::from([("c1".to_owned(), own)]);
        let none = HashMap::new();
        for signal in ["15", "9", "2", "3"] {
            let stopping = EventAction::Stopping("c1".into(), STOPPING_GRACE);
            assert_eq!(action_of(&event(CONTAINER, "kill", Some(signal)), &none), stopping, "{signal}");
        }
        assert_eq!(action_of(&event(CONTAINER, "kill", Some("1")), &stops), EventAction::Ignore, "HUP reloads");
        assert_eq!(action_of(&event(CONTAINER, "kill", Some("28")), &none), EventAction::Ignore);
        let long = EventAction::Stopping("c1".into(), Duration::from_secs(300));
        assert_eq!(action_of(&event(CONTAINER, "kill", Some("28")), &stops), long);
        assert_eq!(action_of(&event(CONTAINER, "kill", None), &stops), EventAction::Ignore);
    }

    #[test]
    fn an_events_age_is_told_as_exactly_as_the_engine_tells_its_time() {
        let now = Duration::from_millis(100_500);
        let at = |time, time_nano| EventMessage { time, time_nano, ..Default::default() };
        for (event, age_millis) in [
            (at(Some(100), Some(100_400_000_000)), 100),
            (at(Some(98), None), 2500),
            (at(Some(101), Some(101_000_000_000)), 0),
            (at(None, None), 0),
        ] {
            assert_eq!(age(&event, now), Duration::from_millis(age_millis), "{event:?}");
        }
    }

    #[tokio::test]
    async fn marks_end_with_their_time() {
        let (mut stopping, now) = (StoppingContainers::default(), Instant::now());
        stopping.mark("a", None, now + Duration::from_secs(1));
        stopping.mark("b", None, now + Duration::from_secs(9));
        assert_eq!(stopping.next_end(), Some(now + Duration::from_secs(1)));
        stopping.forget_old(now + Duration::from_secs(1));
        assert!(!stopping.has("a") && stopping.has("b"));
        stopping.clear("b");
        assert_eq!(stopping.next_end(), None);
    }
}
