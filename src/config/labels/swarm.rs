//! Converts swarm services and tasks into container facts (docs/reference/providers.md#swarm).

use std::collections::BTreeMap;

use super::container::{ContainerFacts, NetworkFacts};
use super::values::parse_bool;

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

/// A task of a service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskFacts {
    pub id: String,
    pub slot: i64,
    /// Whether the task's state is `running`.
    pub running: bool,
    /// Network ids, each with the addresses in that network and their prefix length.
    pub attachments: Vec<(String, Vec<String>)>,
    /// The container to inspect for its addresses, if a network's driver (macvlan) assigns them on the node itself.
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

/// Makes one entry per running task, or one per service whose label asks for the virtual address. `networks` holds the names of the swarm's
/// networks by id.
pub fn containers(services: &[ServiceFacts], networks: &BTreeMap<String, String>) -> Vec<ContainerFacts> {
    let mut containers = Vec::new();
    for service in services {
        let common = service_container(service, networks);
        if !wants_virtual_ip(service) {
            let running = service.tasks.iter().filter(|task| task.running);
            let tasks = running.map(|task| task_container(service, task, networks));
            containers.extend(tasks.filter(|task| !task.networks.is_empty()));
        } else if !common.networks.is_empty() {
            containers.push(common);
        }
    }
    containers
}

/// Whether `traefik.backend.loadbalancer.swarm` asks for the service's virtual address instead of its tasks.
pub fn wants_virtual_ip(service: &ServiceFacts) -> bool {
    service.labels.get("traefik.backend.loadbalancer.swarm").and_then(|value| parse_bool(value)).unwrap_or(false)
}

/// The service as a container, with its virtual addresses; a service has none under `dnsrr`.
pub fn service_container(service: &ServiceFacts, networks: &BTreeMap<String, String>) -> ContainerFacts {
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
pub fn task_container(service: &ServiceFacts, task: &TaskFacts, networks: &BTreeMap<String, String>) -> ContainerFacts {
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

/// The last address in each known network.
fn attached(addresses: Vec<(&String, &String)>, networks: &BTreeMap<String, String>) -> BTreeMap<String, NetworkFacts> {
    let known = addresses.into_iter().filter_map(|(id, address)| Some((id, networks.get(id)?, address)));
    let facts = known.map(|(id, name, address)| {
        let ip = address.split('/').next().unwrap_or_default().to_owned();
        (name.clone(), NetworkFacts { id: id.clone(), ip })
    });
    facts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn running_tasks_become_containers() {
        let networks = BTreeMap::from([("n1".to_owned(), "net".to_owned())]);
        let [task] = &containers(&[service()], &networks)[..] else { panic!("one task runs") };
        assert_eq!((task.name.as_str(), task.service.as_deref()), ("web.1", Some("web")));
        assert_eq!(task.networks["net"].ip, "10.0.0.2");
    }

    #[test]
    fn virtual_address_needs_label_endpoint_mode_and_network() {
        let networks = BTreeMap::from([("n1".to_owned(), "net".to_owned())]);
        let mut service = service();
        service.labels.insert("traefik.backend.loadbalancer.swarm".into(), "true".into());
        let [shown] = &containers(&[service.clone()], &networks)[..] else { panic!("one service") };
        assert_eq!((shown.name.as_str(), shown.networks["net"].ip.as_str()), ("web", "10.0.0.1"));
        assert_eq!(containers(&[service.clone()], &BTreeMap::new()), []);
        service.endpoint_mode = EndpointMode::DnsRoundRobin;
        assert_eq!(containers(&[service], &networks), []);
    }
}
