//! Tells which network is the swarm's ingress network: the one that takes requests to published ports. It does not carry requests between
//! containers, so a server's address in another network is preferred (docs/reference/providers.md#server-address).

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::Fields;
use crate::config::labels::ContainerFacts;

/// `filters={"scope":["swarm"]}`.
pub const SWARM_SCOPE: &str = "filters=%7B%22scope%22%3A%5B%22swarm%22%5D%7D";

/// The label that Docker puts on the containers of swarm tasks.
const TASK_LABEL: &str = "com.docker.swarm.task.id";

/// The name that Docker gives the ingress network if the operator creates none.
const USUAL_NAME: &str = "ingress";

/// Whether the container has a choice of networks of which one may be the ingress network.
pub fn may_be_in(container: &ContainerFacts) -> bool {
    container.networks.len() > 1 && container.label(TASK_LABEL).is_some()
}

/// Whether a network is the ingress network, by its own description.
pub fn is_ingress(fields: &mut Fields, network: &Value) -> bool {
    fields.flag(network, &["Ingress"]).unwrap_or(false)
}

/// The ids of the ingress networks in a list of networks. A network that cannot be read is none.
pub fn ids_of(networks: &Value) -> BTreeSet<String> {
    let networks = networks.as_array().into_iter().flatten();
    let ingress = networks.filter(|network| is_ingress(&mut Fields::default(), network));
    ingress.map(|network| Fields::default().text(network, &["Id"])).collect()
}

/// The ids of networks with the usual name, for an Engine that does not list its networks.
pub fn ids_by_name(containers: &[&mut ContainerFacts]) -> BTreeSet<String> {
    containers.iter().filter_map(|facts| facts.networks.get(USUAL_NAME)).map(|network| network.id.clone()).collect()
}

/// Marks the container's networks with these ids.
pub fn mark(container: &mut ContainerFacts, ids: &BTreeSet<String>) {
    container.networks.values_mut().for_each(|network| network.is_ingress = ids.contains(&network.id));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::config::labels::NetworkFacts;

    #[test]
    fn ingress_network_is_found_by_its_flag_and_not_by_its_name() {
        let listed =
            json!([{"Id": "n1", "Name": "ingress"}, {"Id": "n2", "Name": "edge", "Ingress": true}, 5, {"Id": {}}]);
        assert_eq!(ids_of(&listed), BTreeSet::from(["n2".to_owned()]));
        assert_eq!(ids_of(&json!({"message": "no"})), BTreeSet::new());
    }

    #[test]
    fn only_a_task_in_several_networks_may_be_in_the_ingress_network() {
        let network = |id: &str| NetworkFacts { id: id.into(), ..NetworkFacts::default() };
        let one = BTreeMap::from([("ingress".to_owned(), network("n1"))]);
        let mut task = ContainerFacts { networks: one, ..ContainerFacts::default() };
        assert!(!may_be_in(&task));
        task.networks.insert("stack".to_owned(), network("n2"));
        assert!(!may_be_in(&task), "it is no task");
        task.labels.insert(TASK_LABEL.to_owned(), "t1".to_owned());
        assert!(may_be_in(&task));
        let ids = ids_by_name(&[&mut task]);
        mark(&mut task, &ids);
        assert_eq!((task.networks["ingress"].is_ingress, task.networks["stack"].is_ingress), (true, false));
    }
}
