//! Containers that exited a short while ago: the time since their exit, and their facts while they ran.

use std::time::Duration;

use super::inspected::InspectedContainer;
use crate::config::labels::ContainerFacts;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Whether a container with this status in a list (`Exited (0) 5 minutes ago`) may have exited less than `grace` ago. The status is coarse:
/// it only rules out containers that are clearly older, so that a host's thousands of old containers need not be inspected. A status
/// without an age rules out nothing.
pub fn may_have_exited_within(status: &str, grace: Duration) -> bool {
    min_age(status).is_none_or(|age| age < grace)
}

/// The least time since the exit that the status can stand for; `None` if the status gives no age.
fn min_age(status: &str) -> Option<Duration> {
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
    // Docker rounds to whole hours, and computes days and longer units from the rounded hours.
    let rounded = if unit >= HOUR { HOUR / 2 } else { 0 };
    Some(Duration::from_secs(u64::saturating_mul(count, unit).saturating_sub(rounded)))
}

/// The time since the container exited; `None` if the container has not exited, or if the time of its exit cannot be parsed.
pub fn age(inspected: &InspectedContainer, since_1970: Duration) -> Option<Duration> {
    Some(since_1970.saturating_sub(inspected.finished?))
}

/// The container's facts as they were while it ran. An exited container has no ports in its network settings any more, so the exposed ports
/// of its configuration stand in for them.
pub fn facts(inspected: InspectedContainer) -> ContainerFacts {
    let mut facts = inspected.facts;
    if facts.ports.is_empty() && facts.has_own_network() {
        facts.ports = inspected.exposed;
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::docker::inspected;

    #[test]
    fn coarse_status_rules_out_only_clearly_older_exits() {
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
            assert_eq!(may_have_exited_within(status, five_minutes), may_be, "{status}");
        }
        // "About an hour" may be 31 minutes, "2 hours" may be 91 minutes.
        assert!(may_have_exited_within("Exited (0) About an hour ago", Duration::from_secs(40 * MINUTE)));
        assert!(!may_have_exited_within("Exited (0) 2 hours ago", Duration::from_secs(90 * MINUTE)));
    }

    #[test]
    fn exited_container_keeps_exposed_ports_and_exit_time() {
        let text = |mode: &str| {
            format!(
                r#"{{"Id":"c1","Name":"/c","State":{{"Running":false,"FinishedAt":"1970-01-01T00:01:40Z"}},
                "Config":{{"ExposedPorts":{{"80/tcp":{{}}}}}},"HostConfig":{{"NetworkMode":"{mode}"}},"NetworkSettings":{{"Ports":{{}}}}}}"#
            )
        };
        for (mode, ports) in [("default", 1), ("project_net", 1), ("host", 0), ("container:c0", 0)] {
            let inspected = inspected::read("c1", &serde_json::from_str(&text(mode)).unwrap()).unwrap();
            assert_eq!(age(&inspected, Duration::from_secs(130)), Some(Duration::from_secs(30)));
            let facts = facts(inspected);
            assert_eq!((facts.ports.len(), facts.running), (ports, false), "{mode}");
        }
    }
}
