//! Converts swarm services and tasks into container facts (docs/reference/providers.md#swarm).

use std::collections::BTreeMap;

use super::container::{ContainerFacts, NetworkFacts};
use super::rejection;
use super::values::parse_bool;
use crate::config::{Rejected, Severity};

const VIRTUAL_IP_LABEL: &str = "traefik.backend.loadbalancer.swarm";

/// A swarm service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceFacts {
    pub id: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub endpoint_mode: EndpointMode,
    /// Whether the service has one task on every node, instead of numbered replicas.
    pub global: bool,
    /// Network ids and addresses with prefix length, as in `10.0.0.2/24`.
    pub virtual_ips: Vec<(String, String)>,
    /// The tasks whose desired state is `running`.
    pub tasks: Vec<TaskFacts>,
}

/// The way in which the service's name is resolved inside the swarm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EndpointMode {
    #[default]
    VirtualIp,
    DnsRoundRobin,
}

/// A network of the swarm.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SwarmNetwork {
    pub name: String,
    /// Whether it is the network that takes requests to published ports.
    pub is_ingress: bool,
}

/// A task of a service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskFacts {
    pub id: String,
    pub slot: i64,
    /// Whether the task's state is `running`.
    pub running: bool,
    /// Network ids, each with the addresses in that network and their prefix length.
    pub attachments: Vec<(String, Vec<String>)>,
    /// The container to inspect for its addresses, if a network's driver (macvlan, ipvlan) assigns them on the node itself.
    pub ask: Option<String>,
}

impl TaskFacts {
    /// Replaces the addresses that the swarm reports with those that the container has, given by network id.
    pub fn correct(&mut self, container_addresses: &BTreeMap<String, String>) {
        for (network, addresses) in &mut self.attachments {
            if let Some(address) = container_addresses.get(network).filter(|address| !address.is_empty()) {
                *addresses = vec![address.clone()];
            }
        }
    }
}

/// Makes one entry per running task, or one per service whose label asks for the virtual address. `networks` holds the swarm's networks by
/// id. `rejected` gets the services that are not routed, or not as their labels say.
pub fn containers(
    services: &[ServiceFacts],
    networks: &BTreeMap<String, SwarmNetwork>,
    rejected: &mut Vec<Rejected>,
) -> Vec<ContainerFacts> {
    let mut containers = Vec::new();
    for service in services {
        let problem = |reason, severity| rejection(format!("service {}", service.name), reason, severity);
        rejected.extend(unreadable_choice(service).map(|reason| problem(reason, Severity::Partial)));
        if wants_virtual_ip(service) {
            let common = service_container(service, networks);
            match common.networks.is_empty() {
                true => rejected.push(problem(without_virtual_ip(service), Severity::Rejected)),
                false => containers.push(common),
            }
            continue;
        }
        let running = service.tasks.iter().filter(|task| task.running).map(|t| task_container(service, t, networks));
        let (routed, without): (Vec<_>, Vec<_>) = running.partition(|task| !task.networks.is_empty());
        if !without.is_empty() && is_meant_to_be_routed(service) {
            let severity = if routed.is_empty() { Severity::Rejected } else { Severity::Partial };
            rejected.push(problem(without_address(&without), severity));
        }
        containers.extend(routed);
    }
    containers
}

fn without_address(tasks: &[ContainerFacts]) -> String {
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    format!(
        "no server created for {}: no IP address in a network of the swarm; attach the service to an overlay network of the proxy",
        names.join(", ")
    )
}

/// Whether a label shows that requests were meant to reach the service.
fn is_meant_to_be_routed(service: &ServiceFacts) -> bool {
    let is_disabled = service.labels.get("traefik.enable").and_then(|value| parse_bool(value)) == Some(false);
    !is_disabled && service.labels.keys().any(|label| label.starts_with("traefik."))
}

/// The warning about a value of the label that chooses between the virtual address and the tasks.
fn unreadable_choice(service: &ServiceFacts) -> Option<String> {
    let value = service.labels.get(VIRTUAL_IP_LABEL).filter(|value| !value.is_empty())?;
    let text =
        || format!("label {VIRTUAL_IP_LABEL} has the value `{value}`: it is neither true nor false; false is used");
    parse_bool(value).is_none().then(text)
}

fn without_virtual_ip(service: &ServiceFacts) -> String {
    let reason = match service.endpoint_mode {
        EndpointMode::DnsRoundRobin => {
            "a service with the endpoint mode dnsrr has no virtual address; remove the label, or use the endpoint mode vip"
        }
        EndpointMode::VirtualIp => {
            "the service has no virtual address in a network of the swarm; attach it to an overlay network of the proxy, or remove the label"
        }
    };
    format!("no route created: label {VIRTUAL_IP_LABEL} has the value `true`: {reason}")
}

/// Whether `traefik.backend.loadbalancer.swarm` asks for the service's virtual address instead of its tasks.
pub fn wants_virtual_ip(service: &ServiceFacts) -> bool {
    service.labels.get(VIRTUAL_IP_LABEL).and_then(|value| parse_bool(value)).unwrap_or(false)
}

/// The service as a container, with its virtual addresses; a service has none under `dnsrr`.
pub fn service_container(service: &ServiceFacts, networks: &BTreeMap<String, SwarmNetwork>) -> ContainerFacts {
    let addresses = match service.endpoint_mode {
        EndpointMode::VirtualIp => service.virtual_ips.iter().map(|(id, address)| (id, address)).collect(),
        EndpointMode::DnsRoundRobin => Vec::new(),
    };
    ContainerFacts {
        id: service.id.clone(),
        name: service.name.clone(),
        service: Some(service.name.clone()),
        labels: service.labels.clone(),
        running: true,
        networks: attached(addresses, networks),
        ..ContainerFacts::default()
    }
}

/// A task as a container, with its own addresses. The name is `SERVICE.SLOT`, for global services `SERVICE.TASKID`.
pub fn task_container(
    service: &ServiceFacts,
    task: &TaskFacts,
    networks: &BTreeMap<String, SwarmNetwork>,
) -> ContainerFacts {
    let number = if service.global { task.id.clone() } else { task.slot.to_string() };
    let all = task.attachments.iter();
    let addresses = all.flat_map(|(id, addresses)| addresses.iter().map(move |address| (id, address)));
    ContainerFacts {
        id: task.id.clone(),
        name: format!("{}.{number}", service.name),
        networks: attached(addresses.collect(), networks),
        ..service_container(service, networks)
    }
}

/// The last IPv4 address in each known network, or the last IPv6 address if there is no other.
fn attached(
    addresses: Vec<(&String, &String)>,
    networks: &BTreeMap<String, SwarmNetwork>,
) -> BTreeMap<String, NetworkFacts> {
    let mut facts: BTreeMap<String, NetworkFacts> = BTreeMap::new();
    for (id, address) in addresses {
        let Some(network) = networks.get(id) else { continue };
        let ip = address.split('/').next().unwrap_or_default().to_owned();
        let before = facts.get(&network.name);
        if ip.contains(':') && before.is_some_and(|before| !before.ip.contains(':')) {
            continue;
        }
        facts.insert(network.name.clone(), NetworkFacts { id: id.clone(), ip, is_ingress: network.is_ingress });
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::labels::{DockerSettings, translate};

    fn service() -> ServiceFacts {
        let task = |id: &str, slot, running, ip: &str| TaskFacts {
            id: id.into(),
            slot,
            running,
            attachments: vec![("n1".into(), vec![ip.into()])],
            ask: None,
        };
        ServiceFacts {
            name: "web".into(),
            virtual_ips: vec![("n1".into(), "10.0.0.1/24".into()), ("gone".into(), "10.9.9.9/24".into())],
            tasks: vec![task("t1", 1, true, "10.0.0.2/24"), task("t2", 2, false, "10.0.0.3/24")],
            ..Default::default()
        }
    }

    fn networks() -> BTreeMap<String, SwarmNetwork> {
        let network = |name: &str, is_ingress| SwarmNetwork { name: name.to_owned(), is_ingress };
        BTreeMap::from([("n1".to_owned(), network("net", false)), ("n9".to_owned(), network("edge", true))])
    }

    fn shown(service: &ServiceFacts) -> (Vec<ContainerFacts>, Vec<String>) {
        let mut rejected = Vec::new();
        let containers = containers(std::slice::from_ref(service), &networks(), &mut rejected);
        (containers, rejected.into_iter().map(|rejected| format!("{}: {}", rejected.name, rejected.reason)).collect())
    }

    #[test]
    fn running_tasks_become_containers() {
        let (containers, warnings) = shown(&service());
        let [task] = &containers[..] else { panic!("one task runs") };
        assert_eq!((task.name.as_str(), task.service.as_deref()), ("web.1", Some("web")));
        assert_eq!((task.networks["net"].ip.as_str(), warnings.len()), ("10.0.0.2", 0));
    }

    #[test]
    fn ingress_network_and_ipv6_address_are_told_apart() {
        let mut service = service();
        service.tasks[0].attachments = vec![
            ("n9".into(), vec!["10.255.0.5/16".into()]),
            ("n1".into(), vec!["10.0.0.2/24".into(), "fd00::2/64".into()]),
        ];
        let networks = shown(&service).0.remove(0).networks;
        assert!(networks["edge"].is_ingress && !networks["net"].is_ingress);
        assert_eq!(networks["net"].ip, "10.0.0.2");
        service.tasks[0].attachments = vec![("n1".into(), vec!["fd00::1/64".into(), "fd00::2/64".into()])];
        assert_eq!(shown(&service).0[0].networks["net"].ip, "fd00::2");
    }

    #[test]
    fn virtual_address_needs_label_endpoint_mode_and_network() {
        let mut service = service();
        service.labels.insert(VIRTUAL_IP_LABEL.into(), "true".into());
        let (containers, warnings) = shown(&service);
        let [container] = &containers[..] else { panic!("one service") };
        assert_eq!((container.name.as_str(), container.networks["net"].ip.as_str()), ("web", "10.0.0.1"));
        assert_eq!(warnings, [""; 0]);
        let without = ServiceFacts { virtual_ips: Vec::new(), ..service.clone() };
        let dnsrr = ServiceFacts { endpoint_mode: EndpointMode::DnsRoundRobin, ..service.clone() };
        for (service, part) in [(without, "attach it to an overlay network"), (dnsrr, "the endpoint mode dnsrr")] {
            let (containers, warnings) = shown(&service);
            assert_eq!((containers.len(), warnings.len()), (0, 1));
            for part in ["service web: no route created", VIRTUAL_IP_LABEL, part] {
                assert!(warnings[0].contains(part), "{part:?} is missing in {warnings:?}");
            }
        }
    }

    #[test]
    fn service_that_is_not_routed_as_meant_is_named() {
        let mut service = service();
        service.labels.insert(VIRTUAL_IP_LABEL.into(), "ja".into());
        service.tasks[0].attachments.clear();
        let (containers, warnings) = shown(&service);
        assert_eq!((containers.len(), warnings.len()), (0, 2));
        assert!(warnings[0].contains("service web: label traefik.backend.loadbalancer.swarm has the value `ja`"));
        assert!(warnings[1].contains("no server created for web.1"), "{warnings:?}");
        service.labels = BTreeMap::from([("traefik.enable".to_owned(), "false".to_owned())]);
        assert_eq!(shown(&service).1, [""; 0]);
    }

    #[test]
    fn task_and_virtual_address_have_the_protocol_of_the_labels() {
        let labels = [("traefik.protocol", "udp"), ("traefik.port", "53"), ("traefik.frontend.entryPoints", "dns")];
        let mut service = service();
        service.labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into();
        let url = |service: &ServiceFacts| {
            let settings = DockerSettings { exposed_by_default: true, swarm_mode: true, ..DockerSettings::default() };
            let made = translate(&shown(service).0, &settings).dynamic;
            let servers = made.backends.values().flat_map(|backend| backend.servers.values());
            servers.map(|server| server.url.clone()).collect::<String>()
        };
        assert_eq!(url(&service), "udp://10.0.0.2:53");
        service.labels.insert(VIRTUAL_IP_LABEL.into(), "true".into());
        assert_eq!(url(&service), "udp://10.0.0.1:53");
    }
}
