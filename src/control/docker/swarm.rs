//! Swarm mode: services, their tasks and networks from the API of a manager node (docs/reference/providers.md#swarm).

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::settings::DockerProviderSettings;
use super::transport;
use crate::config::labels::ContainerFacts;
use crate::config::labels::swarm::{EndpointMode, ServiceFacts, TaskFacts, containers};

/// `filters={"scope":["swarm"]}`.
const SWARM_SCOPE: &str = "filters=%7B%22scope%22%3A%5B%22swarm%22%5D%7D";
/// `filters={"desired-state":["running"]}`.
const SHOULD_RUN: &str = "filters=%7B%22desired-state%22%3A%5B%22running%22%5D%7D";

/// Lists all services as containers. The error says what to do.
pub async fn list(settings: &DockerProviderSettings, version: &str) -> Result<Vec<ContainerFacts>, String> {
    let get = async |path: String| {
        let response = transport::get(settings, &path).await;
        response.map_err(|error| {
            format!("{error}: swarm mode needs the Docker Engine of a manager node, or set swarmMode = false")
        })
    };
    let networks = get(format!("/{version}/networks?{SWARM_SCOPE}")).await?;
    let services = get(format!("/{version}/services")).await?;
    let tasks = get(format!("/{version}/tasks?{SHOULD_RUN}")).await?;
    let mut services = services_of(&services, &tasks);
    for task in services.iter_mut().flat_map(|service| &mut service.tasks).filter(|task| task.running) {
        let Some(container) = &task.ask else { continue };
        // The Engine does not know containers of other nodes. Their tasks keep the addresses that the swarm reports.
        if let Ok(inspected) = transport::get(settings, &format!("/{version}/containers/{container}/json")).await {
            task.correct(&own_addresses(&inspected));
        }
    }
    Ok(containers(&services, &networks_of(&networks)))
}

/// The container's addresses by network id.
fn own_addresses(container: &Value) -> BTreeMap<String, String> {
    let networks = container["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
    networks.map(|(_, network)| (text(&network["NetworkID"]), text(&network["IPAddress"]))).collect()
}

/// The names of the networks by id.
fn networks_of(networks: &Value) -> BTreeMap<String, String> {
    list_of(networks).map(|network| (text(&network["Id"]), text(&network["Name"]))).collect()
}

fn services_of(services: &Value, tasks: &Value) -> Vec<ServiceFacts> {
    let mut by_service: HashMap<String, Vec<TaskFacts>> = HashMap::new();
    for task in list_of(tasks) {
        by_service.entry(text(&task["ServiceID"])).or_default().push(task_of(task));
    }
    let service = |service: &Value| {
        let tasks = by_service.remove(&text(&service["ID"])).unwrap_or_default();
        service_of(service, tasks)
    };
    list_of(services).map(service).collect()
}

fn service_of(service: &Value, tasks: Vec<TaskFacts>) -> ServiceFacts {
    let spec = &service["Spec"];
    let labels = spec["Labels"].as_object().into_iter().flatten();
    let addresses = list_of(&service["Endpoint"]["VirtualIPs"]);
    ServiceFacts {
        id: text(&service["ID"]),
        name: text(&spec["Name"]),
        labels: labels.map(|(name, value)| (name.clone(), text(value))).collect(),
        endpoint_mode: match spec["EndpointSpec"]["Mode"].as_str() {
            Some("dnsrr") => EndpointMode::DnsRoundRobin,
            _ => EndpointMode::VirtualIp,
        },
        global: !spec["Mode"]["Global"].is_null(),
        virtual_ips: addresses.map(|address| (text(&address["NetworkID"]), text(&address["Addr"]))).collect(),
        tasks,
    }
}

fn task_of(task: &Value) -> TaskFacts {
    let attachment = |attachment: &Value| {
        let addresses = list_of(&attachment["Addresses"]).map(text).collect();
        (text(&attachment["Network"]["ID"]), addresses)
    };
    TaskFacts {
        id: text(&task["ID"]),
        slot: task["Slot"].as_i64().unwrap_or(0),
        running: task["Status"]["State"] == "running",
        attachments: list_of(&task["NetworksAttachments"]).map(attachment).collect(),
        ask: list_of(&task["NetworksAttachments"])
            .any(|a| a["Network"]["Spec"]["DriverConfiguration"]["Name"] == "macvlan")
            .then(|| text(&task["Status"]["ContainerStatus"]["ContainerID"])),
    }
}

fn list_of(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
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
        let networks = networks_of(&json!([{"Id": "n1", "Name": "front"}]));
        let found = containers(&services_of(&services, &tasks), &networks);
        let seen: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.networks["front"].ip.as_str())).collect();
        assert_eq!(seen, [("web.3", "10.0.0.5"), ("agent.t3", "10.0.0.7")]);
        assert_eq!(found[0].label("traefik.port"), Some("80"));
    }

    #[test]
    fn macvlan_task_gets_the_address_of_its_container() {
        let network = json!({"ID": "n1", "Spec": {"DriverConfiguration": {"Name": "macvlan"}}});
        let attachment = json!({"Network": network, "Addresses": ["10.0.0.5/24"]});
        let mut task =
            task_of(&json!({"ID": "t1", "Status": {"State": "running", "ContainerStatus": {"ContainerID": "c1"}},
            "NetworksAttachments": [attachment]}));
        assert_eq!(task.ask.as_deref(), Some("c1"));
        let inspected =
            json!({"NetworkSettings": {"Networks": {"vlan": {"NetworkID": "n1", "IPAddress": "192.168.1.9"}}}});
        task.correct(&own_addresses(&inspected));
        assert_eq!(task.attachments, [("n1".to_owned(), vec!["192.168.1.9".to_owned()])]);
        task.correct(&own_addresses(&json!({"message": "no such container"})));
        assert_eq!(task.attachments[0].1, ["192.168.1.9"]);
    }
}
