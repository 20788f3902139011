//! Options of the proxy's own services as written: API, ping, REST, metrics, retry (docs/reference/metrics.md#keys,
//! docs/reference/api.md#keys).

use serde::{Deserialize, Serialize};

use super::INTERNAL_ENTRY_POINT;
use crate::config::dynamic::Auth;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Attempts in total; 0 means as many as the backend has servers.
    pub attempts: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostResolver {
    pub cname_flattening: bool,
    pub resolv_config: String,
    pub resolv_depth: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Api {
    pub entry_point: String,
    pub dashboard: bool,
    /// Overwritten by the top-level `debug`, as in Traefik.
    pub debug: bool,
    pub statistics: Option<Statistics>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Statistics {
    /// Number of failed requests that `/health` shows.
    pub recent_errors: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ping {
    pub entry_point: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rest {
    pub entry_point: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    pub prometheus: Option<Prometheus>,
    pub datadog: Option<DataDog>,
    pub statsd: Option<Statsd>,
    pub influxdb: Option<InfluxDb>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Prometheus {
    /// Upper bounds in seconds.
    pub buckets: Vec<f64>,
    pub entry_point: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataDog {
    pub address: String,
    /// A duration with a unit; any other text is replaced by `10s`, with a warning.
    pub push_interval: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Statsd {
    pub address: String,
    /// A duration with a unit; any other text is replaced by `10s`, with a warning.
    pub push_interval: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InfluxDb {
    pub address: String,
    /// `udp` or `http`.
    pub protocol: String,
    /// A duration with a unit; any other text is replaced by `10s`, with a warning.
    pub push_interval: String,
    pub database: String,
    pub retention_policy: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cluster {
    pub node: String,
}

/// The deprecated table that stands for `[api]`, `[ping]` and `[metrics]` (docs/reference/api.md#web).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Web {
    pub address: String,
    pub cert_file: String,
    pub key_file: String,
    /// Ignored, as in Traefik.
    pub read_only: bool,
    pub statistics: Option<Statistics>,
    pub metrics: Option<Metrics>,
    /// Prefix of API, ping and metrics.
    pub path: String,
    pub auth: Option<Auth>,
    pub debug: bool,
}

impl Metrics {
    /// Whether any of the tables below `[metrics]` is there.
    pub fn is_on(&self) -> bool {
        self.prometheus.is_some() || self.datadog.is_some() || self.statsd.is_some() || self.influxdb.is_some()
    }
}

impl Default for HostResolver {
    fn default() -> Self {
        HostResolver { cname_flattening: false, resolv_config: "/etc/resolv.conf".to_owned(), resolv_depth: 5 }
    }
}

impl Default for Api {
    fn default() -> Self {
        Api { entry_point: INTERNAL_ENTRY_POINT.to_owned(), dashboard: true, debug: false, statistics: None }
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Statistics { recent_errors: 10 }
    }
}

impl Default for Ping {
    fn default() -> Self {
        Ping { entry_point: INTERNAL_ENTRY_POINT.to_owned() }
    }
}

impl Default for Rest {
    fn default() -> Self {
        Rest { entry_point: INTERNAL_ENTRY_POINT.to_owned() }
    }
}

impl Default for Prometheus {
    fn default() -> Self {
        Prometheus { buckets: vec![0.1, 0.3, 1.2, 5.0], entry_point: INTERNAL_ENTRY_POINT.to_owned() }
    }
}

impl Default for DataDog {
    fn default() -> Self {
        DataDog { address: "localhost:8125".to_owned(), push_interval: "10s".to_owned() }
    }
}

impl Default for Statsd {
    fn default() -> Self {
        Statsd { address: "localhost:8125".to_owned(), push_interval: "10s".to_owned() }
    }
}

impl Default for InfluxDb {
    fn default() -> Self {
        InfluxDb {
            address: "localhost:8089".to_owned(),
            protocol: "udp".to_owned(),
            push_interval: "10s".to_owned(),
            database: String::new(),
            retention_policy: String::new(),
        }
    }
}

impl Default for Web {
    fn default() -> Self {
        Web {
            address: ":8080".to_owned(),
            cert_file: String::new(),
            key_file: String::new(),
            read_only: false,
            statistics: None,
            metrics: None,
            path: String::new(),
            auth: None,
            debug: false,
        }
    }
}
