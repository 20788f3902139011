//! Reads inspect responses (`GET /containers/ID/json`) into the facts that the provider needs.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerState, PortMap};

use super::events::{STOPPING_MAX, StopFacts};
use super::{signal, timestamp};
use crate::config::labels::{BindingFacts, ContainerFacts, NetworkFacts, PortFacts};

/// Reads the facts about a container and about how it is stopped.
pub fn read(inspected: ContainerInspectResponse) -> (ContainerFacts, StopFacts) {
    let config = inspected.config.unwrap_or_default();
    let network = inspected.network_settings.unwrap_or_default();
    let state = inspected.state.unwrap_or_default();
    // A negative stop timeout means none: Docker never kills the container.
    let timeout = |secs| u64::try_from(secs).map_or(STOPPING_MAX, Duration::from_secs).min(STOPPING_MAX);
    let stop = StopFacts {
        signal: config.stop_signal.as_deref().and_then(signal::number),
        timeout: config.stop_timeout.map(timeout),
        started: state.started_at.as_deref().and_then(timestamp::parse),
    };
    let networks = network.networks.unwrap_or_default().into_iter().map(|(name, endpoint)| {
        let ip = endpoint.ip_address.unwrap_or_default();
        (name, NetworkFacts { id: endpoint.network_id.unwrap_or_default(), ip })
    });
    let facts = ContainerFacts {
        id: inspected.id.unwrap_or_default(),
        name: inspected.name.unwrap_or_default(),
        service: None,
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        running: accepts_requests(&state),
        health: state.health.and_then(|health| health.status).map(|status| status.to_string()),
        network_mode: inspected.host_config.and_then(|host| host.network_mode).unwrap_or_default(),
        networks: networks.collect::<BTreeMap<_, _>>(),
        ports: ports(network.ports.unwrap_or_default()),
        node_ip: None,
    };
    (facts, stop)
}

/// Whether the container runs and is neither paused nor restarting nor dead. Docker reports paused and restarting containers as running.
fn accepts_requests(state: &ContainerState) -> bool {
    let is = |flag: Option<bool>| flag.unwrap_or(false);
    is(state.running) && !is(state.paused) && !is(state.restarting) && !is(state.dead)
}

/// Reads the map from ports (`80/tcp`) to their bindings. Keys that are no port are ignored.
fn ports(map: PortMap) -> Vec<PortFacts> {
    let read = |(name, bindings): (String, Option<Vec<_>>)| {
        let (port, protocol) = name.split_once('/').unwrap_or((&name, "tcp"));
        let (port, protocol) = (port.parse().ok()?, protocol.to_owned());
        let binding = |b: bollard::models::PortBinding| BindingFacts {
            host_ip: b.host_ip.unwrap_or_default(),
            host_port: b.host_port.unwrap_or_default(),
        };
        Some(PortFacts { port, protocol, bindings: bindings.unwrap_or_default().into_iter().map(binding).collect() })
    };
    map.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inspect_response_becomes_facts() {
        let text = r#"{"Id":"i","Name":"/c","State":{"Running":true,"StartedAt":"1970-01-01T00:01:40Z","Health":{"Status":"starting"}},
            "HostConfig":{"NetworkMode":"net"},"Config":{"Labels":{"a":"b"},"StopSignal":"SIGQUIT","StopTimeout":90},
            "NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"1.2.3.4","HostPort":"81"}],"53/udp":null},
            "Networks":{"net":{"NetworkID":"n1","IPAddress":"10.0.0.2"}}}}"#;
        let (facts, stop) = read(serde_json::from_str(text).unwrap());
        assert!(facts.running);
        assert_eq!(
            (facts.name.as_str(), facts.health.as_deref(), facts.network_mode.as_str()),
            ("/c", Some("starting"), "net")
        );
        assert_eq!(facts.networks["net"], NetworkFacts { id: "n1".into(), ip: "10.0.0.2".into() });
        assert_eq!(facts.ports.len(), 2);
        let (secs, started) = (Duration::from_secs(90), Some(Duration::from_secs(100)));
        assert_eq!(stop, StopFacts { signal: Some(3), timeout: Some(secs), started });
    }

    #[test]
    fn negative_or_huge_stop_timeout_is_one_day() {
        for (written, secs) in [("0", 0), ("86400", 86_400), ("-1", 86_400), ("9223372036854775807", 86_400)] {
            let text = format!(r#"{{"Id":"i","Config":{{"StopTimeout":{written}}}}}"#);
            let (_, stop) = read(serde_json::from_str(&text).unwrap());
            assert_eq!(stop.timeout, Some(Duration::from_secs(secs)), "{written}");
        }
    }

    #[test]
    fn paused_or_restarting_container_accepts_no_requests() {
        let running = ContainerState { running: Some(true), ..Default::default() };
        assert!(accepts_requests(&running));
        assert!(!accepts_requests(&ContainerState { paused: Some(true), ..running.clone() }));
        assert!(!accepts_requests(&ContainerState { restarting: Some(true), ..running }));
        assert!(!accepts_requests(&ContainerState::default()));
    }
}
