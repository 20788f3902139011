//! What the provider knows about containers and about itself: plain values, independent of any Docker client.

use std::collections::{BTreeMap, BTreeSet};

/// One container, or one swarm service or task shown as a container (docs/reference/providers.md#docker-life-cycle, docs/reference/providers.md#swarm).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerFacts {
    pub id: String,
    /// The name as Docker gives it: with a leading slash for containers, without for swarm services and tasks.
    pub name: String,
    /// The swarm service that the task belongs to; `None` for plain containers, whose service is their own name.
    pub service: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// False for a container that must get no new requests: stopped, paused or being stopped.
    pub running: bool,
    /// `starting`, `healthy`, `unhealthy`; `None` when the container has no health check.
    pub health: Option<String>,
    /// `bridge`, `host`, `container:ID`, a network's name...
    pub network_mode: String,
    /// By network name.
    pub networks: BTreeMap<String, NetworkFacts>,
    /// Exposed and published ports, in no particular order.
    pub ports: Vec<PortFacts>,
    /// The node's address under classic swarm.
    pub node_ip: Option<String>,
}

/// The container's place in one network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NetworkFacts {
    pub id: String,
    /// The IPv4 address; empty when the container has none there.
    pub ip: String,
}

/// One exposed port and where the host publishes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PortFacts {
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    pub bindings: Vec<BindingFacts>,
}

/// One published address of a port, as Docker writes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BindingFacts {
    pub host_ip: String,
    pub host_port: String,
}

/// The provider's options that decide how labels are read (docs/reference/providers.md#docker).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DockerSettings {
    pub domain: String,
    pub exposed_by_default: bool,
    pub use_bind_port_ip: bool,
    pub swarm_mode: bool,
    /// The network whose address is used when no label names one.
    pub network: String,
    /// `tag==GLOB` and `tag!=GLOB`: the provider's and the global ones together; all must hold.
    pub constraints: Vec<String>,
    /// Names of the networks that the proxy itself is attached to; empty when it runs on the host.
    pub own_networks: BTreeSet<String>,
}

impl ContainerFacts {
    /// Whether it can be given requests now: it runs, and its health check, if it has one, says so too.
    pub fn is_available(&self) -> bool {
        self.running && matches!(self.health.as_deref(), None | Some("" | "none" | "healthy"))
    }

    /// The name without Docker's leading slash, as people know it.
    pub fn plain_name(&self) -> &str {
        self.name.strip_prefix('/').unwrap_or(&self.name)
    }

    /// A label's text; `None` when it is missing or empty, which mean the same (docs/reference/labels.md#labels).
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The compose service and project, when the container has both labels.
    pub fn compose(&self) -> Option<(&str, &str)> {
        let service = self.label("com.docker.compose.service")?;
        Some((service, self.label("com.docker.compose.project")?))
    }
}
