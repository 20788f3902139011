//! The static configuration: the options whose change needs a restart, 1:1 with Traefik v1.7's toml
//! (docs/reference/static-configuration.md#top-level-keys).
//!
//! [`StaticConfig`] is first read as written. [`StaticConfig::resolve`] then moves deprecated options to current ones and adds
//! implied values, so that later code need not know deprecated keys. [`check`] finds options that cannot work.

mod acme;
mod check;
mod check_constraints;
mod check_docker_hosts;
mod check_entry_points;
mod check_stores;
mod check_udp;
mod entry_point;
mod logs;
mod problem;
mod remark;
mod providers;
mod resolve;
mod services;
mod stores;
mod tracing;
mod unsupported;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::duration::GoDuration;
use super::text::shape::Shape;

pub use acme::{Acme, AcmeDomain, DnsChallenge, ExternalAccount, HttpChallenge, TlsChallenge};
pub use check::{check, check_files};
pub use entry_point::{
    ClientCa, EntryPoint, ForwardedHeaders, InvalidAddress, ListenAddress, ProxyProtocol, Tls, UdpOptions,
};
pub use logs::{AccessLog, Fields, Filters, HeaderFields, LogLevel, LogRotation, TraefikLog};
pub use problem::Problem;
pub use providers::{Docker, DockerHost, File, RawTable};
pub use remark::remark;
pub use services::{
    Api, Cluster, DataDog, HostResolver, InfluxDb, Metrics, Ping, Prometheus, Rest, Retry, Statistics, Statsd, Web,
};
pub use stores::{Consul, Etcd, Redis, StoreOptions, StoreTable, ZooKeeper};
pub use tracing::{DataDogTracing, JaegerTracing, OtlpTracing, Tracing, ZipkinTracing};
pub use unsupported::unsupported_options;

/// The default entry point of the API, ping, the REST provider and Prometheus metrics.
pub const INTERNAL_ENTRY_POINT: &str = "traefik";

/// Top-level tables of the main file that belong to the file provider (docs/reference/static-configuration.md#toml).
pub const DYNAMIC_TABLES: [&str; 3] = ["backends", "frontends", "tls"];

/// The whole static configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StaticConfig {
    pub debug: bool,
    /// Empty means `error`, or `debug` when `debug` is set; see [`StaticConfig::level`].
    pub log_level: String,
    pub check_new_version: bool,
    pub send_anonymous_usage: bool,
    pub default_entry_points: Vec<String>,
    /// Least time between two applied configurations of one provider; the newest one is applied.
    pub providers_throttle_duration: GoDuration,
    /// Idle upstream connections in the pool per server; 0 means 2, as in Go.
    pub max_idle_conns_per_host: i64,
    pub insecure_skip_verify: bool,
    /// PEM files or PEM texts that replace the system's roots.
    #[serde(rename = "rootCAs")]
    pub root_cas: Vec<String>,
    pub keep_trailing_slash: bool,
    pub allow_min_weight_zero: bool,
    /// `tag==glob` or `tag!=glob`.
    pub constraints: Vec<String>,
    /// Deprecated for `lifeCycle.graceTimeOut`; zero once resolved.
    pub grace_time_out: GoDuration,
    /// Deprecated for `respondingTimeouts.idleTimeout`; zero once resolved.
    pub idle_timeout: GoDuration,
    /// Deprecated for `accessLog.filePath`; empty once resolved.
    pub access_logs_file: String,
    /// Deprecated for `traefikLog.filePath`; empty once resolved.
    pub traefik_logs_file: String,
    pub life_cycle: LifeCycle,
    pub responding_timeouts: RespondingTimeouts,
    pub forwarding_timeouts: ForwardingTimeouts,
    pub health_check: HealthCheckDefaults,
    pub retry: Option<Retry>,
    pub host_resolver: Option<HostResolver>,
    pub entry_points: BTreeMap<String, EntryPoint>,
    pub traefik_log: Option<TraefikLog>,
    pub access_log: Option<AccessLog>,
    pub api: Option<Api>,
    pub ping: Option<Ping>,
    pub rest: Option<Rest>,
    pub metrics: Option<Metrics>,
    pub tracing: Option<Tracing>,
    pub acme: Option<Acme>,
    pub cluster: Option<Cluster>,
    /// Deprecated; once resolved only `path` still matters.
    pub web: Option<Web>,
    pub docker: Option<Docker>,
    pub file: Option<File>,
    pub consul: Option<Consul>,
    pub etcd: Option<Etcd>,
    pub zookeeper: Option<ZooKeeper>,
    /// Only in Ringway, as later versions of Traefik have it.
    pub redis: Option<Redis>,

    // Tables of providers that Ringway does not support.
    pub marathon: Option<RawTable>,
    pub consul_catalog: Option<RawTable>,
    pub boltdb: Option<RawTable>,
    pub kubernetes: Option<RawTable>,
    pub mesos: Option<RawTable>,
    pub eureka: Option<RawTable>,
    pub ecs: Option<RawTable>,
    pub rancher: Option<RawTable>,
    #[serde(rename = "dynamodb")]
    pub dynamo_db: Option<RawTable>,
    pub service_fabric: Option<RawTable>,

    // Options that Traefik does not have.
    /// The kernel's interface for network I/O: `auto`, `io_uring` or `epoll`.
    pub driver: String,
    /// Worker threads; 0 means one per core.
    pub workers: i64,
    /// Maximum of client connections, all entry points and workers together; 0 means 100,000 for each worker.
    pub max_connections: i64,
    /// Maximum of connections from one client address (IPv6: from one /64); 0 means half of the maximum of all, rounded up.
    pub max_connections_per_address: i64,
    /// The user that the process switches to once its ports are open: `name`, `name:group` or numbers. Empty: no switch.
    pub user: String,
    pub tcp: TcpOptions,
}

/// Options of all TCP routes (docs/reference/layer4.md#timeouts).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpOptions {
    /// How long a connection lasts without a byte in either direction. Zero or negative: no limit.
    pub idle_timeout: GoDuration,
}

/// Graceful shutdown (docs/reference/command-line.md#signals-and-exit-codes).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LifeCycle {
    /// Time after the shutdown signal during which requests are still accepted.
    pub request_accept_grace_timeout: GoDuration,
    /// Time that active requests have after accepting has stopped; zero closes their connections at once.
    pub grace_time_out: GoDuration,
}

/// Time-outs towards clients (docs/reference/static-configuration.md#timeouts). Zero switches off only `idleTimeout` and the limit
/// of the request body; other waits have a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RespondingTimeouts {
    /// For the whole request head and, if greater than zero, for the request body too. Zero: 60 s for the head.
    pub read_timeout: GoDuration,
    /// For a body without progress: the client sends or takes nothing, or the server takes nothing. Zero: 180 s.
    pub write_timeout: GoDuration,
    /// For the next request on a connection. Zero: no limit.
    pub idle_timeout: GoDuration,
}

/// Time-outs towards servers (docs/reference/static-configuration.md#timeouts).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardingTimeouts {
    /// For connecting, TLS handshake included. Zero: 30 s.
    pub dial_timeout: GoDuration,
    /// For the whole response head, once the server has the whole request. Zero: no limit.
    pub response_header_timeout: GoDuration,
}

/// Defaults of the backends' health checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheckDefaults {
    /// Time between two checks of a backend whose health check sets no interval.
    pub interval: GoDuration,
}

impl StaticConfig {
    /// The names and types of all options.
    pub fn shape() -> Shape {
        Shape::of::<StaticConfig>()
    }

    /// The effective log level (docs/reference/static-configuration.md#general). An unknown text gives `error`; [`check`] reports it.
    pub fn level(&self) -> LogLevel {
        match LogLevel::parse(&self.log_level) {
            Some(level) => level,
            None if self.debug && self.log_level.is_empty() => LogLevel::Debug,
            None => LogLevel::Error,
        }
    }

    /// Names of the tables that are present and belong to providers that Ringway does not support.
    pub fn unsupported_providers(&self) -> Vec<&'static str> {
        let tables = [
            ("marathon", &self.marathon),
            ("consulCatalog", &self.consul_catalog),
            ("boltdb", &self.boltdb),
            ("kubernetes", &self.kubernetes),
            ("mesos", &self.mesos),
            ("eureka", &self.eureka),
            ("ecs", &self.ecs),
            ("rancher", &self.rancher),
            ("dynamodb", &self.dynamo_db),
            ("serviceFabric", &self.service_fabric),
        ];
        tables.into_iter().filter(|(_, table)| table.is_some()).map(|(name, _)| name).collect()
    }
}

impl Default for StaticConfig {
    fn default() -> Self {
        StaticConfig {
            debug: false,
            log_level: String::new(),
            check_new_version: true,
            send_anonymous_usage: false,
            default_entry_points: vec!["http".to_owned()],
            providers_throttle_duration: GoDuration::from_secs(2),
            max_idle_conns_per_host: 200,
            insecure_skip_verify: false,
            root_cas: Vec::new(),
            keep_trailing_slash: false,
            allow_min_weight_zero: false,
            constraints: Vec::new(),
            grace_time_out: GoDuration(0),
            idle_timeout: GoDuration(0),
            access_logs_file: String::new(),
            traefik_logs_file: String::new(),
            life_cycle: LifeCycle::default(),
            responding_timeouts: RespondingTimeouts::default(),
            forwarding_timeouts: ForwardingTimeouts::default(),
            health_check: HealthCheckDefaults::default(),
            retry: None,
            host_resolver: None,
            entry_points: BTreeMap::new(),
            traefik_log: None,
            access_log: None,
            api: None,
            ping: None,
            rest: None,
            metrics: None,
            tracing: None,
            acme: None,
            cluster: None,
            web: None,
            docker: None,
            file: None,
            consul: None,
            etcd: None,
            zookeeper: None,
            redis: None,
            marathon: None,
            consul_catalog: None,
            boltdb: None,
            kubernetes: None,
            mesos: None,
            eureka: None,
            ecs: None,
            rancher: None,
            dynamo_db: None,
            service_fabric: None,
            driver: "auto".to_owned(),
            workers: 0,
            max_connections: 0,
            max_connections_per_address: 0,
            user: String::new(),
            tcp: TcpOptions::default(),
        }
    }
}

impl Default for LifeCycle {
    fn default() -> Self {
        LifeCycle { request_accept_grace_timeout: GoDuration(0), grace_time_out: GoDuration::from_secs(10) }
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions { idle_timeout: GoDuration::from_secs(600) }
    }
}

impl Default for RespondingTimeouts {
    fn default() -> Self {
        let (read_timeout, write_timeout) = (GoDuration(0), GoDuration(0));
        RespondingTimeouts { read_timeout, write_timeout, idle_timeout: GoDuration::from_secs(180) }
    }
}

impl Default for ForwardingTimeouts {
    fn default() -> Self {
        ForwardingTimeouts { dial_timeout: GoDuration::from_secs(30), response_header_timeout: GoDuration(0) }
    }
}

impl Default for HealthCheckDefaults {
    fn default() -> Self {
        HealthCheckDefaults { interval: GoDuration::from_secs(30) }
    }
}
