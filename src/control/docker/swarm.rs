//! Swarm mode: services, their tasks and networks from the API of a manager node (docs/reference/providers.md#swarm).

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::engine::Engine;
use super::failure::RequestError;
use super::fields::{Fields, elements};
use super::ingress::{self, SWARM_SCOPE};
use super::inspected;
use crate::config::labels::swarm::{EndpointMode, ServiceFacts, SwarmNetwork, TaskFacts, containers};
use crate::config::labels::{ContainerFacts, rejection};
use crate::config::{Rejected, Severity};

/// `filters={"desired-state":["running"]}`.
const SHOULD_RUN: &str = "filters=%7B%22desired-state%22%3A%5B%22running%22%5D%7D";

/// Drivers of networks whose addresses the node assigns, so that the swarm does not know them.
const ASSIGNED_BY_NODE: [&str; 2] = ["macvlan", "ipvlan"];

/// The swarm's services in the form of containers.
#[derive(Debug, Default)]
pub struct Services {
    pub containers: Vec<ContainerFacts>,
    /// The objects that cannot be read, or are not routed as their labels say.
    pub rejected: Vec<Rejected>,
}

/// Lists all services as containers. The error says what to do.
pub async fn list(engine: &Engine) -> Result<Services, String> {
    let (client, prefix) = engine.api();
    let get = async |what: &str, path: String| {
        let advice =
            |error| format!("{error}: swarm mode needs the Docker Engine of a manager node, or set swarmMode = false");
        client.get_to(&format!("list the swarm's {what}"), &format!("{prefix}{path}")).await.map_err(advice)
    };
    let networks = get("networks", format!("/networks?{SWARM_SCOPE}")).await?;
    let services = get("services", "/services".to_owned()).await?;
    let tasks = get("tasks", format!("/tasks?{SHOULD_RUN}")).await?;
    let mut rejected = Vec::new();
    let mut services = services_of(&services, &tasks, &mut rejected)?;
    for service in &mut services {
        for task in service.tasks.iter_mut().filter(|task| task.running) {
            let Some(container) = &task.ask else { continue };
            match client.get(&format!("{prefix}/containers/{container}/json")).await {
                Ok(inspected) => task.correct(&own_addresses(&inspected)),
                // The Engine does not know containers of other nodes. Their tasks keep the addresses that the swarm reports.
                Err(RequestError::Status { code: 404, .. }) => {}
                Err(error) => {
                    let reason = client.explain(&format!("inspect container {container}"), &error);
                    let reason = format!("task {}: {reason}; the addresses that the swarm reports are used", task.id);
                    rejected.push(rejection(format!("service {}", service.name), reason, Severity::Partial));
                }
            }
        }
    }
    let networks = networks_of(&networks, &mut rejected)?;
    let containers = containers(&services, &networks, &mut rejected);
    Ok(Services { containers, rejected })
}

/// The container's addresses by network id.
fn own_addresses(container: &Value) -> BTreeMap<String, String> {
    let facts = inspected::read("", container).map(|read| read.facts.networks).unwrap_or_default();
    facts.into_values().map(|network| (network.id, network.ip)).collect()
}

/// Reads each element of a list by itself. An element that cannot be read costs itself alone, and is named in `rejected`.
fn read_each<T>(
    list: &Value,
    kind: &str,
    rejected: &mut Vec<Rejected>,
    mut read: impl FnMut(&mut Fields, &Value) -> T,
) -> Result<Vec<T>, String> {
    let mut all = Vec::new();
    for element in elements(list)? {
        let mut fields = Fields::default();
        let one = read(&mut fields, element);
        match fields.finish() {
            Ok(()) if element.is_object() => all.push(one),
            outcome => {
                let reason = outcome.err().unwrap_or_else(|| "it is null".to_owned());
                let name = |path: &[&str]| Fields::default().text(element, path);
                let names = [name(&["Spec", "Name"]), name(&["Name"]), name(&["ID"]), name(&["Id"])];
                let name =
                    names.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "without a name".to_owned());
                let reason = format!(
                    "the Engine's description of it cannot be read: {reason}; {kind} rejected: see what `docker {kind} inspect` says"
                );
                rejected.push(rejection(format!("{kind} {name}"), reason, Severity::Rejected));
            }
        }
    }
    Ok(all)
}

/// The networks by id.
fn networks_of(networks: &Value, rejected: &mut Vec<Rejected>) -> Result<BTreeMap<String, SwarmNetwork>, String> {
    let network = |fields: &mut Fields, network: &Value| {
        let facts =
            SwarmNetwork { name: fields.text(network, &["Name"]), is_ingress: ingress::is_ingress(fields, network) };
        (fields.text(network, &["Id"]), facts)
    };
    read_each(networks, "network", rejected, network).map(|all| all.into_iter().collect())
}

fn services_of(services: &Value, tasks: &Value, rejected: &mut Vec<Rejected>) -> Result<Vec<ServiceFacts>, String> {
    let mut by_service: HashMap<String, Vec<TaskFacts>> = HashMap::new();
    for (service, task) in read_each(tasks, "task", rejected, task_of)? {
        by_service.entry(service).or_default().push(task);
    }
    let mut services = read_each(services, "service", rejected, service_of)?;
    for service in &mut services {
        service.tasks = by_service.remove(&service.id).unwrap_or_default();
    }
    Ok(services)
}

fn service_of(fields: &mut Fields, service: &Value) -> ServiceFacts {
    let addresses: Vec<&Value> = fields.items(service, &["Endpoint", "VirtualIPs"]).collect();
    let mut address = |address: &Value| (fields.text(address, &["NetworkID"]), fields.text(address, &["Addr"]));
    let virtual_ips = addresses.into_iter().map(&mut address).collect();
    ServiceFacts {
        id: fields.text(service, &["ID"]),
        name: fields.text(service, &["Spec", "Name"]),
        labels: inspected::labels(fields, service, &["Spec", "Labels"]),
        endpoint_mode: match fields.text(service, &["Spec", "EndpointSpec", "Mode"]).as_str() {
            "dnsrr" => EndpointMode::DnsRoundRobin,
            _ => EndpointMode::VirtualIp,
        },
        global: !service["Spec"]["Mode"]["Global"].is_null(),
        virtual_ips,
        tasks: Vec::new(),
    }
}

/// A task, after the id of its service.
fn task_of(fields: &mut Fields, task: &Value) -> (String, TaskFacts) {
    let mut is_assigned_by_node = false;
    let mut attachments = Vec::new();
    for attachment in fields.items(task, &["NetworksAttachments"]) {
        let driver = fields.text(attachment, &["Network", "Spec", "DriverConfiguration", "Name"]);
        is_assigned_by_node |= ASSIGNED_BY_NODE.contains(&driver.as_str());
        let addresses: Vec<&Value> = fields.items(attachment, &["Addresses"]).collect();
        let addresses = addresses.into_iter().map(|address| fields.text(address, &[])).collect();
        attachments.push((fields.text(attachment, &["Network", "ID"]), addresses));
    }
    let container = fields.text(task, &["Status", "ContainerStatus", "ContainerID"]);
    let facts = TaskFacts {
        id: fields.text(task, &["ID"]),
        slot: fields.whole(task, &["Slot"]).unwrap_or(0),
        running: fields.text(task, &["Status", "State"]) == "running",
        attachments,
        ask: Some(container).filter(|id| is_assigned_by_node && !id.is_empty()),
    };
    (fields.text(task, &["ServiceID"]), facts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_running_task_becomes_one_container() {
        let services = json!([
            {"ID": "s1", "Spec": {"Name": "web", "Labels": {"traefik.port": "80"}, "Mode": {"Replicated": {}},
             "EndpointSpec": {"Mode": "vip"}}, "Endpoint": {"VirtualIPs": [{"NetworkID": "n1", "Addr": "10.0.0.2/24"}]}},
            {"ID": "s2", "Spec": {"Name": "agent", "Labels": {}, "Mode": {"Global": {}}}, "Endpoint": {}}
        ]);
        let task = |id: &str, service: &str, state: &str, address: &str| {
            json!({"ID": id, "ServiceID": service, "Slot": 3, "Status": {"State": state},
                "NetworksAttachments": [{"Network": {"ID": "n1"}, "Addresses": [address]}]})
        };
        let tasks = json!([
            task("t1", "s1", "running", "10.0.0.5/24"),
            task("t2", "s1", "starting", "10.0.0.6/24"),
            task("t3", "s2", "running", "10.0.0.7/24")
        ]);
        let mut rejected = Vec::new();
        let networks = networks_of(&json!([{"Id": "n1", "Name": "front"}]), &mut rejected).unwrap();
        let services = services_of(&services, &tasks, &mut rejected).unwrap();
        let found = containers(&services, &networks, &mut rejected);
        assert_eq!(rejected, []);
        let seen: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.networks["front"].ip.as_str())).collect();
        assert_eq!(seen, [("web.3", "10.0.0.5"), ("agent.t3", "10.0.0.7")]);
        assert_eq!(found[0].label("traefik.port"), Some("80"));
    }

    #[test]
    fn macvlan_task_gets_the_address_of_its_container() {
        let network = json!({"ID": "n1", "Spec": {"DriverConfiguration": {"Name": "macvlan"}}});
        let attachment = json!({"Network": network, "Addresses": ["10.0.0.5/24"]});
        let mut task = task_of(
            &mut Fields::default(),
            &json!({"ID": "t1", "Status": {"State": "running", "ContainerStatus": {"ContainerID": "c1"}},
            "NetworksAttachments": [attachment]}),
        )
        .1;
        assert_eq!(task.ask.as_deref(), Some("c1"));
        let inspected =
            json!({"NetworkSettings": {"Networks": {"vlan": {"NetworkID": "n1", "IPAddress": "192.168.1.9"}}}});
        task.correct(&own_addresses(&inspected));
        assert_eq!(task.attachments, [("n1".to_owned(), vec!["192.168.1.9".to_owned()])]);
        task.correct(&own_addresses(&json!({"message": "no such container"})));
        assert_eq!(task.attachments[0].1, ["192.168.1.9"]);
    }

    #[test]
    fn odd_service_task_or_network_costs_itself_alone_and_is_named() {
        let mut rejected = Vec::new();
        let networks = json!([{"Id": "n1", "Name": "front"}, {"Id": "n2", "Name": "bad", "Ingress": "perhaps"}, "odd"]);
        let networks = networks_of(&networks, &mut rejected).unwrap();
        assert_eq!(networks.keys().collect::<Vec<_>>(), ["n1"]);
        let service = |id: &str, labels: Value| json!({"ID": id, "Spec": {"Name": id, "Labels": labels}});
        let services = json!([service("s1", json!(["no", "map"])), service("s2", json!({"traefik.port": 80})), null]);
        let task = |id: &str, slot: Value| {
            json!({"ID": id, "ServiceID": "s2", "Slot": slot, "Status": {"State": "running"},
                "NetworksAttachments": [{"Network": {"ID": "n1"}, "Addresses": ["10.0.0.5/24"]}, null]})
        };
        let tasks = json!([task("t1", json!("3")), task("t2", json!({}))]);
        let services = services_of(&services, &tasks, &mut rejected).unwrap();
        let found = containers(&services, &networks, &mut rejected);
        assert_eq!(found.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["s2.3"]);
        for (part, kind) in [("bad", "network"), ("without a name", "network"), ("t2", "task"), ("s1", "service")] {
            let is_named = rejected.iter().any(|rejected| rejected.name == format!("{kind} {part}"));
            assert!(is_named, "{kind} {part} is not named in {rejected:?}");
        }
        assert!(services_of(&json!({"message": "x"}), &json!([]), &mut rejected).is_err());
    }
}
