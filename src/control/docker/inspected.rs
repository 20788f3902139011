//! Reads inspect responses (`GET /containers/ID/json`) into the facts that the provider needs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::events::{STOPPING_MAX, StopFacts};
use super::fields::Fields;
use super::{signal, timestamp};
use crate::config::labels::{BindingFacts, ContainerFacts, NetworkFacts, PortFacts};

/// The status of a container that the Engine lists as running.
const UP: [&str; 3] = ["running", "paused", "restarting"];

/// The facts about an inspected container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InspectedContainer {
    pub facts: ContainerFacts,
    pub stop: StopFacts,
    /// The time of its creation, since 1970.
    pub created: Option<Duration>,
    /// Whether the Engine lists it among the running containers. A paused container is one of these.
    pub is_up: bool,
    /// The ports that its configuration exposes.
    pub exposed: Vec<PortFacts>,
    /// The time of its last exit, since 1970.
    pub finished: Option<Duration>,
}

/// Reads the description of the container with this id.
///
/// # Errors
/// The field that cannot be read.
pub fn read(id: &str, inspected: &Value) -> Result<InspectedContainer, String> {
    let mut fields = Fields::default();
    let status = fields.text(inspected, &["State", "Status"]);
    let runs = fields.flag(inspected, &["State", "Running"]);
    let is_up = runs.unwrap_or(UP.contains(&status.as_str()));
    let time = |text: String| timestamp::parse(&text);
    let container = InspectedContainer {
        created: time(fields.text(inspected, &["Created"])),
        is_up,
        exposed: exposed(&mut fields, inspected),
        finished: time(fields.text(inspected, &["State", "FinishedAt"])),
        stop: stop_facts(&mut fields, inspected),
        facts: ContainerFacts {
            host: String::new(),
            id: id.to_owned(),
            name: fields.text(inspected, &["Name"]),
            service: None,
            labels: labels(&mut fields, inspected, &["Config", "Labels"]),
            running: runs.unwrap_or(status == "running") && accepts_requests(&mut fields, inspected),
            health: Some(fields.text(inspected, &["State", "Health", "Status"])).filter(|health| !health.is_empty()),
            network_mode: fields.text(inspected, &["HostConfig", "NetworkMode"]),
            networks: networks(&mut fields, inspected),
            ports: ports(&mut fields, inspected),
            node_ip: Some(fields.text(inspected, &["Node", "IP"])).filter(|ip| !ip.is_empty()),
        },
    };
    fields.finish().map(|()| container)
}

/// The labels at the path; one without a value is empty.
pub fn labels(fields: &mut Fields, object: &Value, path: &[&str]) -> BTreeMap<String, String> {
    let entries = fields.entries(object, path);
    entries.map(|(name, _)| (name.clone(), fields.text(object, &[path, &[name]].concat()))).collect()
}

fn stop_facts(fields: &mut Fields, inspected: &Value) -> StopFacts {
    // A negative stop timeout means none: Docker never kills the container.
    let timeout = |secs| u64::try_from(secs).map_or(STOPPING_MAX, Duration::from_secs).min(STOPPING_MAX);
    StopFacts {
        signal: signal::number(&fields.text(inspected, &["Config", "StopSignal"])),
        timeout: fields.whole(inspected, &["Config", "StopTimeout"]).map(timeout),
        started: timestamp::parse(&fields.text(inspected, &["State", "StartedAt"])),
    }
}

/// Whether a running container is neither paused nor restarting nor dead. Docker reports paused and restarting containers as running.
fn accepts_requests(fields: &mut Fields, inspected: &Value) -> bool {
    ["Paused", "Restarting", "Dead"].iter().all(|flag| !fields.flag(inspected, &["State", flag]).unwrap_or(false))
}

/// The networks by name. A network's IPv4 address counts, and its IPv6 address if there is no other.
fn networks(fields: &mut Fields, inspected: &Value) -> BTreeMap<String, NetworkFacts> {
    let entries = fields.entries(inspected, &["NetworkSettings", "Networks"]);
    let network = |(name, network): (&String, &Value)| {
        let (v4, v6) = (fields.text(network, &["IPAddress"]), fields.text(network, &["GlobalIPv6Address"]));
        let ip = if v4.is_empty() { v6 } else { v4 };
        (name.clone(), NetworkFacts { id: fields.text(network, &["NetworkID"]), ip, is_ingress: false })
    };
    entries.map(network).collect()
}

/// The map from ports (`80/tcp`) to their bindings. Keys that are no port are ignored.
fn ports(fields: &mut Fields, inspected: &Value) -> Vec<PortFacts> {
    let entries = fields.entries(inspected, &["NetworkSettings", "Ports"]);
    let port = |(name, bindings): (&String, &Value)| {
        let bindings: Vec<&Value> = fields.items(bindings, &[]).collect();
        let mut binding = |binding: &Value| BindingFacts {
            host_ip: fields.text(binding, &["HostIp"]),
            host_port: fields.text(binding, &["HostPort"]),
        };
        Some(PortFacts { bindings: bindings.into_iter().map(&mut binding).collect(), ..parse_port(name)? })
    };
    entries.filter_map(port).collect()
}

fn exposed(fields: &mut Fields, inspected: &Value) -> Vec<PortFacts> {
    fields.entries(inspected, &["Config", "ExposedPorts"]).filter_map(|(name, _)| parse_port(name)).collect()
}

/// Parses a port such as `80/tcp`.
fn parse_port(name: &str) -> Option<PortFacts> {
    let (port, protocol) = name.split_once('/').unwrap_or((name, "tcp"));
    Some(PortFacts { port: port.parse().ok()?, protocol: protocol.to_owned(), bindings: Vec::new() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inspect_response_becomes_facts() {
        let json = json!({"Id": "i", "Name": "/c", "Created": "1970-01-01T00:00:50Z",
            "State": {"Status": "running", "Running": true, "StartedAt": "1970-01-01T00:01:40Z", "Health": {"Status": "starting"}},
            "HostConfig": {"NetworkMode": "net"}, "Config": {"Labels": {"a": "b"}, "StopSignal": "SIGQUIT", "StopTimeout": 90},
            "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "1.2.3.4", "HostPort": "81"}], "53/udp": null},
            "Networks": {"net": {"NetworkID": "n1", "IPAddress": "10.0.0.2", "GlobalIPv6Address": "fd00::2"}}}});
        let InspectedContainer { facts, stop, created, is_up, .. } = read("i", &json).unwrap();
        assert!(facts.running && is_up);
        assert_eq!(
            (facts.name.as_str(), facts.health.as_deref(), facts.network_mode.as_str()),
            ("/c", Some("starting"), "net")
        );
        assert_eq!(facts.networks["net"], NetworkFacts { id: "n1".into(), ip: "10.0.0.2".into(), is_ingress: false });
        assert_eq!((facts.ports.len(), facts.labels["a"].as_str()), (2, "b"));
        let (secs, started) = (Duration::from_secs(90), Some(Duration::from_secs(100)));
        assert_eq!(stop, StopFacts { signal: Some(3), timeout: Some(secs), started });
        assert_eq!(created, Some(Duration::from_secs(50)));
    }

    #[test]
    fn network_without_ipv4_address_has_the_ipv6_one() {
        let networks =
            json!({"six": {"NetworkID": "n", "IPAddress": "", "GlobalIPv6Address": "fd00::2"}, "none": null});
        let facts = read("i", &json!({"NetworkSettings": {"Networks": networks}})).unwrap().facts;
        assert_eq!((facts.networks["six"].ip.as_str(), facts.networks["none"].ip.as_str()), ("fd00::2", ""));
    }

    #[test]
    fn odd_spellings_are_read_and_a_wrong_type_is_named() {
        let odd = json!({"State": {"Running": "true"}, "Config": {"Labels": {"n": 80, "none": null}, "StopTimeout": "7"},
            "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": null, "HostPort": 8080}]}, "Networks": null}});
        let read_odd = read("i", &odd).unwrap();
        assert!(read_odd.facts.running);
        assert_eq!((read_odd.facts.labels["n"].as_str(), read_odd.facts.labels["none"].as_str()), ("80", ""));
        assert_eq!(read_odd.facts.ports[0].bindings[0].host_port, "8080");
        assert_eq!(read_odd.stop.timeout, Some(Duration::from_secs(7)));
        for (json, field) in [
            (json!({"State": "stopped"}), "State"),
            (json!({"Config": {"Labels": ["a=b"]}}), "Config.Labels"),
            (json!({"Config": {"Labels": {"a": {}}}}), "Config.Labels.a"),
            (json!(["no object"]), "the description"),
        ] {
            let reason = read("i", &json).unwrap_err();
            assert!(reason.contains(field), "{field} is missing in {reason}");
        }
    }

    #[test]
    fn negative_or_huge_stop_timeout_is_one_day() {
        for (secs, expected) in [(0, 0), (86_400, 86_400), (-1, 86_400), (i64::MAX, 86_400)] {
            let stop = read("i", &json!({"Config": {"StopTimeout": secs}})).unwrap().stop;
            assert_eq!(stop.timeout, Some(Duration::from_secs(expected)), "{secs}");
        }
    }

    #[test]
    fn only_a_running_container_accepts_requests() {
        for (state, is_up, accepts) in [
            (json!({"Running": true}), true, true),
            (json!({"Status": "running"}), true, true),
            (json!({"Running": true, "Paused": true}), true, false),
            (json!({"Running": true, "Restarting": true}), true, false),
            (json!({"Status": "paused"}), true, false),
            (json!({"Running": false, "Status": "stopped"}), false, false),
            (json!({"Status": "stopped"}), false, false),
            (json!({"Status": "created"}), false, false),
            (json!({"Status": "no such state"}), false, false),
            (json!({}), false, false),
            (Value::Null, false, false),
        ] {
            let read = read("i", &json!({"State": state})).unwrap();
            assert_eq!((read.is_up, read.facts.running), (is_up, accepts), "{state}");
        }
    }
}
