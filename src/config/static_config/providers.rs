//! Options of the Docker and the file provider as written (docs/reference/providers.md#docker, docs/reference/providers.md#file).

use serde::{Deserialize, Serialize};

use crate::config::duration::GoDuration;
use crate::config::dynamic::ClientTls;

/// The table of a provider that Ringway does not support: ignored, whatever its contents, with a warning.
pub type RawTable = toml::Table;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Docker {
    /// `unix://` or `tcp://`; empty without the option, and with `hosts`.
    pub endpoint: String,
    /// Suffix of the default Host rule.
    pub domain: String,
    pub watch: bool,
    pub exposed_by_default: bool,
    #[serde(rename = "usebindportip")]
    pub use_bind_port_ip: bool,
    pub swarm_mode: bool,
    pub swarm_mode_refresh_seconds: i64,
    pub network: String,
    /// A Go template in place of the built-in one: a fatal error, because Ringway runs no templates.
    pub filename: String,
    pub template_version: i64,
    pub debug_log_generated_template: bool,
    pub constraints: Vec<String>,
    pub trace: bool,
    pub tls: Option<ClientTls>,
    /// Only in Ringway: how long the routes of an unavailable container are kept; they answer 503.
    pub unavailable_grace: GoDuration,
    /// Only in Ringway: several Engines in place of `endpoint`.
    pub hosts: Vec<DockerHost>,
}

/// A Docker Engine among several: `[[docker.hosts]]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerHost {
    /// The name in messages and in the names of servers.
    pub name: String,
    /// `unix://`, `tcp://` or `ssh://`.
    pub endpoint: String,
    /// The host name or IP address at which published ports are reached; empty: containers are reached at their own addresses.
    pub address: String,
    /// In addition to those of the provider.
    pub constraints: Vec<String>,
    /// Whether services are read in place of containers; always with the option of the provider.
    pub swarm_mode: bool,
    pub tls: Option<ClientTls>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct File {
    /// A dedicated file. If neither this nor `directory` is set, the routes are in the main file.
    pub filename: String,
    /// Takes precedence over `filename`.
    pub directory: String,
    pub watch: bool,
    pub constraints: Vec<String>,
    pub trace: bool,
    pub template_version: i64,
    pub debug_log_generated_template: bool,
}

/// The Engine's address if neither `endpoint` nor `hosts` gives one.
const LOCAL_ENGINE: &str = "unix:///var/run/docker.sock";

impl Docker {
    /// The address of the only Engine.
    pub fn engine_endpoint(&self) -> &str {
        if self.endpoint.is_empty() { LOCAL_ENGINE } else { &self.endpoint }
    }
}

impl Default for Docker {
    fn default() -> Self {
        Docker {
            endpoint: String::new(),
            domain: String::new(),
            watch: true,
            exposed_by_default: true,
            use_bind_port_ip: false,
            swarm_mode: false,
            swarm_mode_refresh_seconds: 15,
            network: String::new(),
            filename: String::new(),
            template_version: 2,
            debug_log_generated_template: false,
            constraints: Vec::new(),
            trace: false,
            tls: None,
            unavailable_grace: GoDuration::from_secs(5 * 60),
            hosts: Vec::new(),
        }
    }
}

impl Default for File {
    fn default() -> Self {
        File {
            filename: String::new(),
            directory: String::new(),
            watch: true,
            constraints: Vec::new(),
            trace: false,
            template_version: 0,
            debug_log_generated_template: false,
        }
    }
}

impl File {
    /// Whether the routes are in the main file.
    pub fn is_inline(&self) -> bool {
        self.filename.is_empty() && self.directory.is_empty()
    }
}
