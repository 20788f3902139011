//! The facts about containers, and the provider's settings, from which the configuration is made: plain values, independent of any Docker
//! client.

use std::collections::{BTreeMap, BTreeSet};

/// A container, or a swarm service or task in the form of a container (docs/reference/providers.md#docker-life-cycle,
/// docs/reference/providers.md#swarm).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerFacts {
    pub id: String,
    /// The Docker host, a key of [`DockerSettings::hosts`]; empty if there is one Engine only.
    pub host: String,
    /// The name as Docker gives it: with a leading slash for containers, without for swarm services and tasks.
    pub name: String,
    /// The swarm service that the task belongs to; `None` for plain containers, whose service is their own name.
    pub service: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// False if the container must get no new requests: it is stopped, paused or being stopped.
    pub running: bool,
    /// `starting`, `healthy`, `unhealthy`; `None` if the container has no health check.
    pub health: Option<String>,
    /// `bridge`, `host`, `container:ID`, a network's name or id...
    pub network_mode: String,
    /// The networks that the container is attached to, by name.
    pub networks: BTreeMap<String, NetworkFacts>,
    /// Exposed and published ports, in no particular order.
    pub ports: Vec<PortFacts>,
    /// The node's address under classic swarm.
    pub node_ip: Option<String>,
}

/// The container's address in one network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NetworkFacts {
    pub id: String,
    /// The IPv4 address, or the IPv6 address if there is no other; empty if the container has none in this network.
    pub ip: String,
    /// Whether the network is a swarm's ingress network, which takes requests to published ports and carries none between containers.
    pub is_ingress: bool,
}

/// An exposed port and the host addresses under which it is published.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PortFacts {
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    pub bindings: Vec<BindingFacts>,
}

/// A published address of a port, as Docker writes it.
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
    /// The network whose address is used if no label names a network.
    pub network: String,
    /// `tag==GLOB` and `tag!=GLOB`: the provider's and the global constraints together; all must hold.
    pub constraints: Vec<String>,
    /// Names of the networks that the proxy itself is attached to; empty if it runs on the host.
    pub own_networks: BTreeSet<String>,
    /// The Docker hosts by name, with `[[docker.hosts]]`. If there is one only, its key is empty.
    pub hosts: BTreeMap<String, HostSettings>,
}

/// The options of one of several Docker hosts (docs/reference/providers.md#several-docker-hosts).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostSettings {
    /// The host name or IP address at which published ports are reached; empty: containers are reached at their own addresses.
    pub address: String,
    /// The constraints of this host alone.
    pub constraints: Vec<String>,
    pub swarm_mode: bool,
    /// As [`DockerSettings::own_networks`].
    pub own_networks: BTreeSet<String>,
}

impl DockerSettings {
    /// The names of the networks that the proxy shares with containers of the container's host.
    pub fn own_networks(&self, container: &ContainerFacts) -> &BTreeSet<String> {
        self.hosts.get(&container.host).map_or(&self.own_networks, |host| &host.own_networks)
    }

    /// Whether the container is a service or a task of a swarm.
    pub fn is_swarm(&self, container: &ContainerFacts) -> bool {
        self.hosts.get(&container.host).map_or(self.swarm_mode, |host| host.swarm_mode)
    }

    /// The constraints that the container must satisfy.
    pub fn constraints(&self, container: &ContainerFacts) -> impl Iterator<Item = &String> {
        self.constraints.iter().chain(self.hosts.get(&container.host).into_iter().flat_map(|host| &host.constraints))
    }

    /// The address at which the published ports of the container's host are reached; `None`: the container is reached at its own address.
    pub fn host_address(&self, container: &ContainerFacts) -> Option<&str> {
        let host = self.hosts.get(&container.host)?;
        Some(host.address.as_str()).filter(|address| !address.is_empty() && !host.swarm_mode)
    }
}

impl ContainerFacts {
    /// Whether the container can serve requests now: it is running, and `healthy` if it has a health check.
    pub fn is_available(&self) -> bool {
        self.running && matches!(self.health.as_deref(), None | Some("" | "none" | "healthy"))
    }

    /// Whether the container uses the host's network. It may name that network by id; no other network can have the name `host`.
    pub fn uses_host_network(&self) -> bool {
        self.network_mode == "host" || self.networks.contains_key("host")
    }

    /// Whether the container has a network of its own, and not the host's, another container's or none.
    pub fn has_own_network(&self) -> bool {
        let has_none = self.network_mode == "none" || self.networks.contains_key("none");
        !has_none && !self.uses_host_network() && !self.network_mode.contains(':')
    }

    /// The name without Docker's leading slash, as `docker ps` shows it.
    pub fn plain_name(&self) -> &str {
        self.name.strip_prefix('/').unwrap_or(&self.name)
    }

    /// The name in messages: with the host, as `web@b`, if there are several.
    pub fn shown_name(&self) -> String {
        shown_name(self.plain_name(), &self.host)
    }

    /// A label's text; `None` if the label is missing or empty, which mean the same (docs/reference/labels.md#labels).
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The compose service and project, if the container has both labels.
    pub fn compose(&self) -> Option<(&str, &str)> {
        let service = self.label("com.docker.compose.service")?;
        Some((service, self.label("com.docker.compose.project")?))
    }
}

/// The name of a container or service in messages: with its host, as `web@b`, if there are several.
pub fn shown_name(name: &str, host: &str) -> String {
    if host.is_empty() { name.to_owned() } else { format!("{name}@{host}") }
}
