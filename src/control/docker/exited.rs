//! Containers that ended a short while ago: when that was, and what they were like.

use std::time::Duration;

use bollard::models::ContainerInspectResponse;

use super::engine;
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
    let ended = moment(inspected.state.as_ref()?.finished_at.as_deref()?)?;
    Some(since_1970.saturating_sub(ended))
}

/// The container as it was. Its ports are no longer those of a network: what it exposes says which they were.
pub fn facts(inspected: ContainerInspectResponse) -> ContainerFacts {
    let exposed = inspected.config.as_ref().and_then(|config| config.exposed_ports.clone()).unwrap_or_default();
    let mut facts = engine::read(inspected).0;
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

/// Since 1970, of `2026-11-23T15:42:17.123Z` or `...+01:00`; `None` for Docker's year 1, which means never.
pub fn moment(text: &str) -> Option<Duration> {
    let (date, rest) = text.split_once('T')?;
    let numbers = |text: &str, between| text.split(between).map(|part| part.parse().ok()).collect::<Option<Vec<i64>>>();
    let [year, month, day] = numbers(date, '-')?[..] else { return None };
    let [hour, minute, second] = numbers(rest.get(..8)?, ':')?[..] else { return None };
    let zone = rest[8..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let fraction = rest[8..rest.len() - zone.len()].trim_start_matches('.');
    let nanos = format!("{fraction:0<9.9}").parse().ok()?;
    let offset = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign @ ("+" | "-"), hours) => {
            let [hours, minutes] = numbers(hours, ':')?[..] else { return None };
            let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
            if sign == "+" { minutes } else { -minutes }
        }
        _ => return None,
    };
    let is_date = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || !(-1440..=1440).contains(&offset) {
        return None;
    }
    let secs = ((day_number(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second;
    u64::try_from(secs).ok().map(|secs| Duration::new(secs, nanos))
}

/// Days since 1970; the year begins with March, so that the leap day is its last.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468
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
    fn moments_are_read_as_engines_write_them() {
        for (text, since_1970) in [
            ("2026-11-23T15:42:17.123456789Z", Some((1_795_448_537, 123_456_789))),
            ("2026-11-23T16:42:17.5+01:00", Some((1_795_448_537, 500_000_000))),
            ("2026-11-23T15:42:17.0123456789Z", Some((1_795_448_537, 12_345_678))),
            ("2024-02-29T23:59:59Z", Some((1_709_251_199, 0))),
            ("2024-03-01T00:00:00-00:00", Some((1_709_251_200, 0))),
            ("1970-01-01T00:00:00Z", Some((0, 0))),
            ("1970-01-01T00:00:00.1.2Z", None),
            ("0001-01-01T00:00:00Z", None),
            ("2026-11-23T15:42:17", None),
            ("2026-13-23T15:42:17Z", None),
            ("2026-11-23", None),
            ("", None),
        ] {
            assert_eq!(moment(text), since_1970.map(|(secs, nanos)| Duration::new(secs, nanos)), "{text:?}");
        }
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
