//! The Docker provider's settings.

use std::time::Duration;

use crate::config::dynamic::ClientTls;
use crate::config::labels::DockerSettings;

/// The provider's part of the static configuration (docs/reference/providers.md#docker), including the Engine's endpoint.
#[derive(Debug, Clone)]
pub struct DockerProviderSettings {
    /// The Engine's address: `unix:///path` or `tcp://host:port`.
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
    /// How labels are read. The provider sets `own_networks` itself.
    pub labels: DockerSettings,
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
        }
    }
}
