//! Interprets Docker's events, and tracks which containers are stopping.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{EventMessage, EventMessageTypeEnum};
use tokio::time::Instant;

use super::signal;

/// A container that survives its stop signal gets requests again after this time, or after its own stop timeout if that is longer.
pub const STOPPING_GRACE: Duration = Duration::from_secs(30);

/// The longest time that a container counts as stopping, even if its stop timeout is longer or infinite.
pub const STOPPING_MAX: Duration = Duration::from_secs(24 * 3600);

/// How often the containers are listed again without an event, in case one was lost.
pub const RELIST_EVERY: Duration = Duration::from_secs(300);

/// How a container is stopped and when it was started, from its last inspection.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StopFacts {
    /// The image's or container's own stop signal.
    pub signal: Option<u8>,
    /// How long Docker waits after the stop signal before it kills the container; at most [`STOPPING_MAX`].
    pub timeout: Option<Duration>,
    /// The time of the container's last start, since 1970.
    pub started: Option<Duration>,
}

/// The reaction that an event requires.
#[derive(Debug, Clone, PartialEq)]
pub enum EventAction {
    Ignore,
    Relist,
    /// The container got a stop signal. If it is still running after the given time, it has survived the signal.
    Stopping(String, Duration),
    /// The container was started: it is not stopping any more.
    Started(String),
    /// The container has exited: it is not stopping any more.
    Exited(String),
    /// The container exists but is unavailable: it is paused or unhealthy.
    Unavailable(String),
}

/// Decides what an event requires. `stops` has the containers of the last listing.
pub fn action_of(event: &EventMessage, stops: &HashMap<String, StopFacts>) -> EventAction {
    let action = event.action.as_deref().unwrap_or_default();
    let actor = event.actor.as_ref();
    let id = actor.and_then(|actor| actor.id.clone()).unwrap_or_default();
    match (event.typ, action) {
        (Some(EventMessageTypeEnum::NETWORK), "connect" | "disconnect" | "destroy") => EventAction::Relist,
        (Some(EventMessageTypeEnum::CONTAINER), "kill") => {
            let signal =
                actor.and_then(|actor| actor.attributes.as_ref()?.get("signal")).and_then(|text| signal::number(text));
            on_kill(id, signal, stops)
        }
        (Some(EventMessageTypeEnum::CONTAINER), "start") => EventAction::Started(id),
        (Some(EventMessageTypeEnum::CONTAINER), "die" | "stop" | "destroy") => EventAction::Exited(id),
        (Some(EventMessageTypeEnum::CONTAINER), "pause" | "health_status: unhealthy") => EventAction::Unavailable(id),
        (Some(EventMessageTypeEnum::CONTAINER), "unpause" | "rename" | "update") => EventAction::Relist,
        (Some(EventMessageTypeEnum::CONTAINER), action) if action.starts_with("health_status") => EventAction::Relist,
        _ => EventAction::Ignore,
    }
}

/// The action for a `kill` event. A signal counts as a stop signal if it ends most programs or is the container's own stop signal. Other
/// signals, such as one for a reload, are ignored.
fn on_kill(id: String, signal: Option<u8>, stops: &HashMap<String, StopFacts>) -> EventAction {
    let known = stops.get(&id).copied().unwrap_or_default();
    let ends = signal.is_some_and(|signal| signal::ENDING.contains(&signal) || known.signal == Some(signal));
    let grace = known.timeout.map_or(STOPPING_GRACE, |timeout| STOPPING_GRACE.max(timeout));
    if ends { EventAction::Stopping(id, grace) } else { EventAction::Ignore }
}

/// The time, in seconds since 1970, from which each connection requests events: [`STOPPING_GRACE`] ago, because a container that is
/// stopping now got its signal before the connection.
pub fn replay_from(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.saturating_sub(STOPPING_GRACE).as_secs()).unwrap_or(i64::MAX)
}

/// The time of the event since 1970 by the Engine's clock; `None` if the event has no time.
pub fn sent_at(event: &EventMessage) -> Option<Duration> {
    let nanos = event.time_nano.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos);
    let secs = || event.time.and_then(|secs| u64::try_from(secs).ok()).map(Duration::from_secs);
    nanos.or_else(secs)
}

/// The age of the event; zero if the Engine's clock is ahead or the event has no time.
pub fn age(event: &EventMessage, since_1970: Duration) -> Duration {
    sent_at(event).map_or(Duration::ZERO, |at| since_1970.saturating_sub(at))
}

/// Containers that got a stop signal and have not exited yet. They still run, but get no new requests.
#[derive(Debug, Default)]
pub struct StoppingContainers {
    marks: HashMap<String, StopMark>,
}

#[derive(Debug)]
struct StopMark {
    /// When the container counts as having survived its signal.
    until: Instant,
    /// When the Engine sent the signal, since 1970.
    signalled: Option<Duration>,
}

impl StoppingContainers {
    /// Marks the container, which got its stop signal at `signalled`, as stopping until `until` or until it exits or starts.
    pub fn mark(&mut self, id: &str, signalled: Option<Duration>, until: Instant) {
        self.marks.insert(id.to_owned(), StopMark { until, signalled });
    }

    pub fn clear(&mut self, id: &str) {
        self.marks.remove(id);
    }

    /// Clears the container's mark if its signal is older than `started`, the time of the container's last start. Such a signal ended an
    /// earlier run, even if the events of that exit and start were lost.
    pub fn clear_before(&mut self, id: &str, started: Option<Duration>) {
        let signalled = self.marks.get(id).and_then(|mark| mark.signalled);
        if started.zip(signalled).is_some_and(|(started, signalled)| started > signalled) {
            self.clear(id);
        }
    }

    pub fn contains(&self, id: &str) -> bool {
        self.marks.contains_key(id)
    }

    /// Removes the marks whose time is over: those containers have survived their signal.
    pub fn remove_elapsed(&mut self, now: Instant) {
        self.marks.retain(|_, mark| mark.until > now);
    }

    /// The next time at which a container that survived its signal gets requests again.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.marks.values().map(|mark| mark.until).min()
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
    fn event_that_can_change_routes_is_not_ignored() {
        use EventMessageTypeEnum::{CONTAINER, IMAGE, NETWORK};
        let none = HashMap::new();
        for action in ["unpause", "rename", "update", "health_status: healthy", "health_status"] {
            assert_eq!(action_of(&event(CONTAINER, action, None), &none), EventAction::Relist, "{action}");
        }
        assert_eq!(action_of(&event(CONTAINER, "start", None), &none), EventAction::Started("c1".into()));
        for action in ["die", "stop", "destroy"] {
            assert_eq!(action_of(&event(CONTAINER, action, None), &none), EventAction::Exited("c1".into()), "{action}");
        }
        for action in ["pause", "health_status: unhealthy"] {
            assert_eq!(
                action_of(&event(CONTAINER, action, None), &none),
                EventAction::Unavailable("c1".into()),
                "{action}"
            );
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
    fn ending_or_own_stop_signal_means_stopping() {
        use EventMessageTypeEnum::CONTAINER;
        let own = StopFacts { signal: Some(28), timeout: Some(Duration::from_secs(300)), started: None };
        let stops = HashMap::from([("c1".to_owned(), own)]);
        let none = HashMap::new();
        for signal in ["15", "9", "2", "3"] {
            let stopping = EventAction::Stopping("c1".into(), STOPPING_GRACE);
            assert_eq!(action_of(&event(CONTAINER, "kill", Some(signal)), &none), stopping, "{signal}");
        }
        assert_eq!(action_of(&event(CONTAINER, "kill", Some("1")), &stops), EventAction::Ignore, "HUP means reload");
        assert_eq!(action_of(&event(CONTAINER, "kill", Some("28")), &none), EventAction::Ignore);
        let long = EventAction::Stopping("c1".into(), Duration::from_secs(300));
        assert_eq!(action_of(&event(CONTAINER, "kill", Some("28")), &stops), long);
        assert_eq!(action_of(&event(CONTAINER, "kill", None), &stops), EventAction::Ignore);
    }

    #[test]
    fn event_age_uses_the_most_exact_time_available() {
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
    async fn stop_marks_are_removed_when_elapsed() {
        let (mut stopping, now) = (StoppingContainers::default(), Instant::now());
        stopping.mark("a", None, now + Duration::from_secs(1));
        stopping.mark("b", None, now + Duration::from_secs(9));
        assert_eq!(stopping.next_expiry(), Some(now + Duration::from_secs(1)));
        stopping.remove_elapsed(now + Duration::from_secs(1));
        assert!(!stopping.contains("a") && stopping.contains("b"));
        stopping.clear("b");
        assert_eq!(stopping.next_expiry(), None);
    }
}
