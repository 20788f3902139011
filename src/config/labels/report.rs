//! Reports on containers: how each is routed, or why it is not. The API and the dashboard show them (docs/reference/api.md#containers).

use std::collections::BTreeMap;

use super::container::ContainerFacts;
use super::filter::SkipReason;

/// The report on one container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerReport {
    pub id: String,
    /// The name as `docker ps` shows it.
    pub name: String,
    /// Whether it can get requests: it is neither stopped nor paused nor being stopped.
    pub running: bool,
    /// The state of its health check; `None` without one.
    pub health: Option<String>,
    /// The addresses in its networks.
    pub networks: BTreeMap<String, String>,
    /// `80/tcp`.
    pub ports: Vec<String>,
    pub verdict: Verdict,
    /// Parts of the labels that are ignored or changed, and why.
    pub notes: Vec<String>,
}

/// The result of reading a container's labels.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The routes that lead to it, one for each segment.
    Routed(Vec<ContainerRoute>),
    /// Not routed because its owner or the configuration says so, or because it does not run: nothing is wrong.
    Unused(String),
    /// Not routed because something is wrong.
    Failed(String),
}

/// A route that leads to a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerRoute {
    /// The name of the frontend; containers of one service share it.
    pub frontend: String,
    pub backend: String,
    /// The URL; empty if the container has no address that can be used.
    pub server: String,
}

impl Default for Verdict {
    fn default() -> Self {
        Verdict::Routed(Vec::new())
    }
}

impl ContainerReport {
    /// Why the container is not routed at all; `None` if it has routes.
    pub fn unrouted_reason(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Unused(reason) | Verdict::Failed(reason) => Some(reason),
            Verdict::Routed(_) => None,
        }
    }

    pub(super) fn new(container: &ContainerFacts, verdict: Verdict) -> Self {
        let address = |network: &super::NetworkFacts| network.ip.clone();
        let ports = container.ports.iter().map(|port| format!("{}/{}", port.port, port.protocol));
        let mut ports: Vec<String> = ports.collect();
        ports.sort();
        ContainerReport {
            id: container.id.clone(),
            name: container.shown_name(),
            running: container.running,
            health: container.health.clone(),
            networks: container.networks.iter().map(|(name, network)| (name.clone(), address(network))).collect(),
            ports,
            verdict,
            notes: Vec::new(),
        }
    }
}

/// The sentence about a container that is not used although nothing is wrong with its labels.
pub(super) fn unused(container: &ContainerFacts, skip: &SkipReason) -> Verdict {
    match skip {
        SkipReason::NotRunning => Verdict::Unused("it does not run: stopped, paused or being stopped".to_owned()),
        SkipReason::Disabled => Verdict::Unused(match container.label("traefik.enable") {
            Some(_) => "its label traefik.enable is false".to_owned(),
            None => "docker.exposedByDefault is false, and it has no label traefik.enable=true".to_owned(),
        }),
        SkipReason::Constraint(constraint) => Verdict::Unused(format!(
            "it does not satisfy the constraint {constraint}: its label traefik.tags is {:?}",
            container.label("traefik.tags").unwrap_or_default()
        )),
        SkipReason::Health(state) => Verdict::Failed(format!("its health check says {state}, and not healthy")),
        SkipReason::NoRule => Verdict::Failed(super::NO_RULE.to_owned()),
        SkipReason::NoPort => Verdict::Failed(super::NO_PORT.to_owned()),
    }
}
