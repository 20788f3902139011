//! Containers that ended a short while ago: when that was, and what they were like.

use std::time::Duration;

use bollard::models::ContainerInspectResponse;

use super::{inspected, timestamp};
use crate::config::labels::{ContainerFacts, PortFacts};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Whether a container with this text in a list (`Exited (0) 5 minutes ago`) can have ended so lately. The text is coarse: it rules out
/// what is clearly older, so that nobody has to look at a host's thousands of old containers. One that says nothing may be new.
pub fn may_be_within(status: &str, grace: Duration) -> bool {
    least_age(status).is_none_or(|age| age < grace)
}

/// The least age that the text stands for.
fn least_age(status: &str) -> Option<Duration> {
    let (_, text) = status.strip_suffix(" ago")?.rsplit_once(") ")?;
    let (count, unit) = text.rsplit_once(' ')?;
    let unit = match unit.trim_end_matches('s') {
        "second" => 1,
        "minute" => MINUTE,
        "hour" => HOUR,
        "day" => DAY,
        "week" => 7 * DAY,
        "month" => 30 * DAY,
        "year" => 365 * DAY,
        _ => return None,
    };
    let count = match count {
        "Less than a" => 0,
        "About a" | "About an" => 1,
        number => number.parse().ok()?,
    };
    // Docker rounds hours, and counts days and more from them.
    let rounded = if unit >= HOUR { HOUR / 2 } else { 0 };
    Some(Duration::from_secs(u64::saturating_mul(count, unit).saturating_sub(rounded)))
}

/// How long ago it ended; `None` while it has not, or if that cannot be read.
pub fn age(inspected: &ContainerInspectResponse, since_1970: Duration) -> Option<Duration> {
    let ended = timestamp::parse(inspected.state.as_ref()?.finished_at.as_deref()?)?;
    Some(since_1970.saturating_sub(ended))
}

/// The container as it was. Its ports are no longer those of a network: what it exposes says which they were.
pub fn facts(inspected: ContainerInspectResponse) -> ContainerFacts {
    let exposed = inspected.config.as_ref().and_then(|config| config.exposed_ports.clone()).unwrap_or_default();
    let mut facts = inspected::read(inspected).0;
    let has_own_network = !matches!(facts.network_mode.as_str(), "host" | "none") && !facts.network_mode.contains(':');
    if facts.ports.is_empty() && has_own_network {
        facts.ports = exposed.iter().filter_map(|name| exposed_port(name)).collect();
    }
    facts
}

/// `80/tcp`
fn exposed_port(name: &str) -> Option<PortFacts> {
    let (port, protocol) = name.split_once('/').unwrap_or((name, "tcp"));
    Some(PortFacts { port: port.parse().ok()?, protocol: protocol.to_owned(), bindings: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_tells_what_is_clearly_too_old() {
        let five_minutes = Duration::from_secs(300);
        for (status, may_be) in [
            ("Exited (0) Less than a second ago", true),
            ("Exited (137) 59 seconds ago", true),
            ("Exited (1) About a minute ago", true),
            ("Exited (0) 4 minutes ago", true),
            ("Exited (0) 5 minutes ago", false),
            ("Exited (0) About an hour ago", false),
            ("Exited (0) 3 weeks ago", false),
            ("Exited (0) 99999999999999999999 years ago", true),
            ("", true),
            ("Exited", true),
        ] {
            assert_eq!(may_be_within(status, five_minutes), may_be, "{status}");
        }
        // "About an hour" may be 31 minutes, "2 hours" 91.
        assert!(may_be_within("Exited (0) About an hour ago", Duration::from_secs(40 * MINUTE)));
        assert!(!may_be_within("Exited (0) 2 hours ago", Duration::from_secs(90 * MINUTE)));
    }

    #[test]
    fn an_ended_container_keeps_its_ports_and_the_moment_of_its_end() {
        let text = |mode: &str| {
            format!(
                r#"{{"Id":"c1","Name":"/c","State":{{"Running":false,"FinishedAt":"1970-01-01T00:01:40Z"}},
                "Config":{{"ExposedPorts":{{"80/tcp":{{}}}}}},"HostConfig":{{"NetworkMode":"{mode}"}},"NetworkSettings":{{"Ports":{{}}}}}}"#
            )
        };
        for (mode, ports) in [("default", 1), ("project_net", 1), ("host", 0), ("container:c0", 0)] {
            let inspected: ContainerInspectResponse = serde_json::from_str(&text(mode)).unwrap();
            assert_eq!(age(&inspected, Duration::from_secs(130)), Some(Duration::from_secs(30)));
            let facts = facts(inspected);
            assert_eq!((facts.ports.len(), facts.running), (ports, false), "{mode}");
        }
    }
}
