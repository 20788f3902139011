//! Options of the proxy's own services as written: API, ping, REST, metrics, tracing, retry (docs/reference/metrics.md#keys,
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tracing {
    /// `jaeger`, `zipkin` or `datadog`.
    pub backend: String,
    pub service_name: String,
    pub span_name_limit: i64,
    pub jaeger: Option<JaegerTracing>,
    pub zipkin: Option<ZipkinTracing>,
    pub datadog: Option<DataDogTracing>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JaegerTracing {
    #[serde(rename = "samplingServerURL")]
    pub sampling_server_url: String,
    pub sampling_type: String,
    pub sampling_param: f64,
    pub local_agent_host_port: String,
    pub trace_context_header_name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ZipkinTracing {
    pub http_endpoint: String,
    pub same_span: bool,
    #[serde(rename = "id128Bit")]
    pub id128_bit: bool,
    pub debug: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataDogTracing {
    pub local_agent_host_port: String,
    pub global_tag: String,
    pub debug: bool,
    pub priority_sampling: bool,
    #[serde(rename = "traceIDHeaderName")]
    pub trace_id_header_name: String,
    #[serde(rename = "parentIDHeaderName")]
    pub parent_id_header_name: String,
    pub sampling_priority_header_name: String,
    /// Traefik's spelling.
    pub bagage_prefix_header_name: String,
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

impl Default for Tracing {
    fn default() -> Self {
        Tracing {
            backend: "jaeger".to_owned(),
            service_name: "traefik".to_owned(),
            span_name_limit: 0,
            jaeger: None,
            zipkin: None,
            datadog: None,
        }
    }
}

impl Default for JaegerTracing {
    fn default() -> Self {
        JaegerTracing {
            sampling_server_url: "http://localhost:5778/sampling".to_owned(),
            sampling_type: "const".to_owned(),
            sampling_param: 1.0,
            local_agent_host_port: "127.0.0.1:6831".to_owned(),
            trace_context_header_name: "uber-trace-id".to_owned(),
        }
    }
}

impl Default for ZipkinTracing {
    fn default() -> Self {
        let http_endpoint = "http://localhost:9411/api/v1/spans".to_owned();
        ZipkinTracing { http_endpoint, same_span: false, id128_bit: true, debug: false }
    }
}

impl Default for DataDogTracing {
    fn default() -> Self {
        DataDogTracing {
            local_agent_host_port: "localhost:8126".to_owned(),
            global_tag: String::new(),
            debug: false,
            priority_sampling: false,
            trace_id_header_name: String::new(),
            parent_id_header_name: String::new(),
            sampling_priority_header_name: String::new(),
            bagage_prefix_header_name: String::new(),
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
