//! The Docker provider's settings.

use std::time::Duration;

use crate::config::dynamic::ClientTls;
use crate::config::labels::{DockerSettings, HostSettings};

/// The provider's part of the static configuration (docs/reference/providers.md#docker), including the Engine's endpoint.
#[derive(Debug, Clone)]
pub struct DockerProviderSettings {
    /// The Engine's address: `unix:///path`, `tcp://host:port` or `ssh://user@host`.
    pub endpoint: String,
    /// TLS settings for an endpoint over TCP.
    pub tls: Option<ClientTls>,
    /// False: the containers are listed once, and events are not followed.
    pub watch: bool,
    /// The timeout of one request to the Engine; the event stream has none.
    pub request_timeout: Duration,
    /// The time between two listings in swarm mode.
    pub swarm_refresh: Duration,
    /// How long the frontends of a service without available containers are kept; zero: not at all.
    pub unavailable_grace: Duration,
    /// How labels are read. The provider sets `own_networks` and `hosts` itself.
    pub labels: DockerSettings,
    /// Several Engines in place of `endpoint` and `tls`.
    pub hosts: Vec<DockerHost>,
}

/// A Docker Engine among several.
#[derive(Debug, Clone, Default)]
pub struct DockerHost {
    pub name: String,
    pub endpoint: String,
    pub tls: Option<ClientTls>,
    /// How labels of its containers are read. The provider sets `own_networks` itself.
    pub labels: HostSettings,
}

impl DockerProviderSettings {
    /// The settings for each Engine alone, with the name of its host; `None` if there is one Engine without a name.
    pub fn engines(&self) -> Vec<(Option<String>, DockerProviderSettings)> {
        if self.hosts.is_empty() {
            return vec![(None, self.clone())];
        }
        let of_host = |host: &DockerHost| {
            let labels = DockerSettings { swarm_mode: host.labels.swarm_mode, ..self.labels.clone() };
            let (endpoint, tls) = (host.endpoint.clone(), host.tls.clone());
            (Some(host.name.clone()), DockerProviderSettings { endpoint, tls, labels, ..self.clone() })
        };
        self.hosts.iter().map(of_host).collect()
    }

    /// The name by which containers of the host at this index are told apart; empty if there are no others.
    pub fn host_key(&self, index: usize) -> &str {
        match self.hosts.get(index) {
            Some(host) if self.hosts.len() > 1 => &host.name,
            _ => "",
        }
    }
}

impl Default for DockerProviderSettings {
    fn default() -> Self {
        DockerProviderSettings {
            endpoint: "unix:///var/run/docker.sock".to_owned(),
            tls: None,
            watch: true,
            request_timeout: Duration::from_secs(30),
            swarm_refresh: Duration::from_secs(15),
            unavailable_grace: Duration::ZERO,
            labels: DockerSettings { exposed_by_default: true, ..DockerSettings::default() },
            hosts: Vec::new(),
        }
    }
}
