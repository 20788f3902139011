//! Reads the Engine's events and decides what each requires.

use std::time::Duration;

use serde_json::Value;

use super::fields::Fields;
use super::signal;

/// A container that survives its stop signal gets requests again after this time, or after its own stop timeout if that is longer.
pub const STOPPING_GRACE: Duration = Duration::from_secs(30);

/// The longest time that a container counts as stopping, even if its stop timeout is longer or infinite.
pub const STOPPING_MAX: Duration = Duration::from_secs(24 * 3600);

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

/// The kind of object that an event is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EventSubject {
    Container,
    Network,
    #[default]
    Other,
}

/// The facts of an event that the provider uses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    pub subject: EventSubject,
    /// The action without its details: `health_status` for `health_status: healthy`.
    pub action: String,
    /// The id of the container or network. Podman's network events have the id of the container.
    pub id: String,
    /// The name of the subject.
    pub name: String,
    /// The container that was connected to the network or disconnected from it. Podman does not give it.
    pub container: String,
    /// The signal of a `kill`.
    pub signal: Option<u8>,
    /// Whether the event says that the container is unhealthy. Podman's events also have a field `HealthStatus`, which in some of its
    /// versions is the health before the check and says nothing.
    pub is_unhealthy: bool,
    /// The time of the event since 1970 by the Engine's clock.
    pub sent_at: Option<Duration>,
}

impl Event {
    /// Reads an event. API versions below 1.22 have only the fields `status` and `id`, those from 1.52 only `Action` and `Actor`.
    ///
    /// # Errors
    /// The field that cannot be read.
    pub fn read(json: &Value) -> Result<Event, String> {
        let mut fields = Fields::default();
        let mut first = |paths: [&[&str]; 2]| {
            let text = fields.text(json, paths[0]);
            if text.is_empty() { fields.text(json, paths[1]) } else { text }
        };
        let action = first([&["Action"], &["status"]]);
        let id = first([&["Actor", "ID"], &["id"]]);
        let (action, detail) = action.split_once(':').unwrap_or((&action, ""));
        let subject = match fields.text(json, &["Type"]).as_str() {
            "container" => EventSubject::Container,
            "network" => EventSubject::Network,
            "" if !id.is_empty() => EventSubject::Container,
            _ => EventSubject::Other,
        };
        let mut attribute = |name| fields.text(json, &["Actor", "Attributes", name]);
        let event = Event {
            subject,
            action: action.to_owned(),
            id,
            name: attribute("name"),
            container: attribute("container"),
            signal: signal::number(&attribute("signal")),
            is_unhealthy: action == "health_status" && detail.trim() == "unhealthy",
            sent_at: sent_at(&mut fields, json),
        };
        fields.finish().map(|()| event)
    }
}

/// The most exact time that the event has.
fn sent_at(fields: &mut Fields, json: &Value) -> Option<Duration> {
    let mut number = |field| fields.whole(json, &[field]).and_then(|number| u64::try_from(number).ok());
    let (nanos, secs) = (number("timeNano").filter(|nanos| *nanos > 0), number("time"));
    nanos.map(Duration::from_nanos).or(secs.map(Duration::from_secs))
}

/// The reaction that an event requires.
#[derive(Debug, Clone, PartialEq)]
pub enum EventAction {
    Ignore,
    /// The container may have changed and must be inspected.
    Changed(String),
    /// The container got a stop signal. If it is still running after the given time, it has survived the signal.
    Stopping(String, Duration),
    /// The container was started: it is not stopping any more.
    Started(String),
    /// The container has exited: it is not stopping any more.
    Exited(String),
    /// The container exists but is unavailable: it is paused or unhealthy.
    Unavailable(String),
    /// The network, given by id and name, was removed.
    NetworkRemoved(String, String),
}

/// Decides what an event requires. `stop` has the facts of its container, if it is known.
pub fn action_of(event: &Event, stop: impl Fn(&str) -> Option<StopFacts>) -> EventAction {
    let id = || event.id.clone();
    match (event.subject, event.action.as_str()) {
        (EventSubject::Network, "connect" | "disconnect") if event.container.is_empty() => EventAction::Changed(id()),
        (EventSubject::Network, "connect" | "disconnect") => EventAction::Changed(event.container.clone()),
        (EventSubject::Network, "destroy" | "remove") => EventAction::NetworkRemoved(id(), event.name.clone()),
        (EventSubject::Container, "kill") => on_kill(id(), event.signal, stop(&event.id).unwrap_or_default()),
        (EventSubject::Container, "start") => EventAction::Started(id()),
        // Podman writes `remove` where Docker writes `destroy`, and some of its versions `died` where others write `die`.
        (EventSubject::Container, "die" | "died" | "stop" | "destroy" | "remove") => EventAction::Exited(id()),
        (EventSubject::Container, "pause") => EventAction::Unavailable(id()),
        (EventSubject::Container, "health_status") if event.is_unhealthy => EventAction::Unavailable(id()),
        (EventSubject::Container, "unpause" | "rename" | "update" | "health_status") => EventAction::Changed(id()),
        _ => EventAction::Ignore,
    }
}

/// The action for a `kill` event. A signal counts as a stop signal if it ends most programs or is the container's own stop signal. Other
/// signals, such as one for a reload, are ignored.
fn on_kill(id: String, signal: Option<u8>, known: StopFacts) -> EventAction {
    let ends = signal.is_some_and(|signal| signal::ENDING.contains(&signal) || known.signal == Some(signal));
    let grace = known.timeout.map_or(STOPPING_GRACE, |timeout| STOPPING_GRACE.max(timeout));
    if ends { EventAction::Stopping(id, grace) } else { EventAction::Ignore }
}

/// The time, in seconds since 1970, from which each connection requests events: [`STOPPING_GRACE`] ago, because a container that is
/// stopping now got its signal before the connection.
pub fn replay_from(since_1970: Duration) -> u64 {
    since_1970.saturating_sub(STOPPING_GRACE).as_secs()
}

/// The age of the event; zero if the Engine's clock is ahead or the event has no time.
pub fn age(event: &Event, since_1970: Duration) -> Duration {
    event.sent_at.map_or(Duration::ZERO, |at| since_1970.saturating_sub(at))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, action: &str, signal: Option<&str>) -> Event {
        let attributes = json!({"signal": signal, "name": "web"});
        Event::read(&json!({"Type": kind, "Action": action, "Actor": {"ID": "c1", "Attributes": attributes}})).unwrap()
    }

    fn action(event: &Event) -> EventAction {
        action_of(event, |_| None)
    }

    #[test]
    fn event_that_can_change_routes_is_not_ignored() {
        let id = || "c1".to_owned();
        for name in ["unpause", "rename", "update", "health_status", "health_status: healthy"] {
            assert_eq!(action(&event("container", name, None)), EventAction::Changed(id()), "{name}");
        }
        assert_eq!(action(&event("container", "start", None)), EventAction::Started(id()));
        for name in ["die", "died", "stop", "destroy", "remove"] {
            assert_eq!(action(&event("container", name, None)), EventAction::Exited(id()), "{name}");
        }
        for name in ["pause", "health_status: unhealthy"] {
            assert_eq!(action(&event("container", name, None)), EventAction::Unavailable(id()), "{name}");
        }
        assert_eq!(action(&event("network", "destroy", None)), EventAction::NetworkRemoved(id(), "web".to_owned()));
        for name in ["exec_start: sh", "top", "create", "attach", "resize", "cleanup", "init", ""] {
            assert_eq!(action(&event("container", name, None)), EventAction::Ignore, "{name}");
        }
        assert_eq!(action(&event("image", "destroy", None)), EventAction::Ignore);
    }

    #[test]
    fn network_event_names_its_container_in_both_dialects() {
        let docker =
            json!({"Type": "network", "Action": "connect", "Actor": {"ID": "n1", "Attributes": {"container": "c1"}}});
        let podman =
            json!({"Type": "network", "Action": "connect", "Actor": {"ID": "c1", "Attributes": {"name": "web"}}});
        for event in [docker, podman] {
            assert_eq!(action(&Event::read(&event).unwrap()), EventAction::Changed("c1".to_owned()));
        }
    }

    #[test]
    fn event_is_read_in_old_and_new_versions_and_dialects() {
        for (json, expected) in [
            (json!({"status": "die", "id": "c1", "from": "i", "time": 1}), EventAction::Exited("c1".to_owned())),
            (
                json!({"Type": "container", "Action": "die", "Actor": {"ID": "c1"}}),
                EventAction::Exited("c1".to_owned()),
            ),
            (
                json!({"Type": "container", "Action": "health_status", "HealthStatus": "unhealthy", "id": "c1"}),
                EventAction::Changed("c1".to_owned()),
            ),
            (
                json!({"Type": "container", "Action": "die", "Actor": null, "id": null}),
                EventAction::Exited(String::new()),
            ),
            (json!({}), EventAction::Ignore),
        ] {
            assert_eq!(action(&Event::read(&json).unwrap()), expected, "{json}");
        }
        let odd = Event::read(&json!({"Type": "container", "Action": "die", "Actor": {"ID": ["c1"]}}));
        assert!(odd.unwrap_err().contains("Actor.ID"));
    }

    #[test]
    fn ending_or_own_stop_signal_means_stopping() {
        let own = StopFacts { signal: Some(28), timeout: Some(Duration::from_secs(300)), started: None };
        let known = |event: &Event| action_of(event, |_| Some(own));
        for signal in ["15", "9", "2", "3"] {
            let stopping = EventAction::Stopping("c1".into(), STOPPING_GRACE);
            assert_eq!(action(&event("container", "kill", Some(signal))), stopping, "{signal}");
        }
        assert_eq!(known(&event("container", "kill", Some("1"))), EventAction::Ignore, "HUP means reload");
        assert_eq!(action(&event("container", "kill", Some("28"))), EventAction::Ignore);
        let long = EventAction::Stopping("c1".into(), Duration::from_secs(300));
        assert_eq!(known(&event("container", "kill", Some("28"))), long);
        assert_eq!(known(&event("container", "kill", None)), EventAction::Ignore);
    }

    #[test]
    fn event_age_uses_the_most_exact_time_available() {
        let now = Duration::from_millis(100_500);
        for (event, age_millis) in [
            (json!({"time": 100, "timeNano": 100_400_000_000_u64}), 100),
            (json!({"time": 98}), 2500),
            (json!({"time": "98", "timeNano": null}), 2500),
            (json!({"time": 101, "timeNano": 101_000_000_000_u64}), 0),
            (json!({}), 0),
        ] {
            let event = Event::read(&event).unwrap();
            assert_eq!(age(&event, now), Duration::from_millis(age_millis), "{event:?}");
        }
    }
}
