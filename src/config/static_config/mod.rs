//! The fixed (static) configuration: everything that needs a restart to change, 1:1 with Traefik v1.7's toml (docs/reference/static-configuration.md#top-level-keys).
//!
//! [`Fixed`] is first read as it was written; [`Fixed::resolve`] then folds deprecated names into current ones and adds
//! what is implied. After that nothing needs to know about deprecated keys. [`check`] says what cannot work.

mod acme;
mod check;
mod check_entry_points;
mod entry_point;
mod logs;
mod problem;
mod providers;
mod resolve;
mod services;
mod unsupported;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::duration::GoDuration;
use super::text::shape::Shape;

pub use acme::{Acme, AcmeDomain, DnsChallenge, HttpChallenge, TlsChallenge};
pub use check::{check, check_files};
pub use entry_point::{ClientCa, EntryPoint, ForwardedHeaders, InvalidAddress, ListenAddress, ProxyProtocol, Tls};
pub use logs::{AccessLog, Fields, Filters, HeaderFields, LogLevel, TraefikLog};
pub use problem::Problem;
pub use providers::{Docker, File, RawTable};
pub use services::{
    Api, Cluster, DataDog, DataDogTracing, HostResolver, InfluxDb, JaegerTracing, Metrics, Ping, Prometheus, Rest,
    Retry, Statistics, Statsd, Tracing, Web, ZipkinTracing,
};
pub use unsupported::unsupported_options;

/// The name Traefik's own services listen on unless told otherwise.
pub const INTERNAL_ENTRY_POINT: &str = "traefik";

/// Top-level tables of the main file that belong to the file provider (docs/reference/static-configuration.md#toml).
pub const DYNAMIC_TABLES: [&str; 3] = ["backends", "frontends", "tls"];

/// The whole fixed configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StaticConfig {
    pub debug: bool,
    /// Empty means `error`, or `debug` when `debug` is set; see [`Fixed::level`].
    pub log_level: String,
    pub check_new_version: bool,
    pub send_anonymous_usage: bool,
    pub default_entry_points: Vec<String>,
    /// How long a provider's newest document waits after the one before it was applied.
    pub providers_throttle_duration: GoDuration,
    /// Idle upstream connections kept per host; 0 means 2, as in Go.
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

    // Providers that Ringway knows by name only.
    pub marathon: Option<RawTable>,
    pub consul: Option<RawTable>,
    pub consul_catalog: Option<RawTable>,
    pub etcd: Option<RawTable>,
    pub zookeeper: Option<RawTable>,
    pub boltdb: Option<RawTable>,
    pub kubernetes: Option<RawTable>,
    pub mesos: Option<RawTable>,
    pub eureka: Option<RawTable>,
    pub ecs: Option<RawTable>,
    pub rancher: Option<RawTable>,
    #[serde(rename = "dynamodb")]
    pub dynamo_db: Option<RawTable>,
    pub service_fabric: Option<RawTable>,

    // Ringway's own.
    /// Which kernel interface moves the bytes: `auto`, `io_uring` or `epoll`.
    pub driver: String,
    /// Worker threads; 0 means one per core.
    pub workers: i64,
    /// Connections of clients that the process holds, all entry points and workers together; 0 means 100,000 for each worker.
    pub max_connections: i64,
    /// Those of one client address (IPv6: of its /64); 0 means half of all.
    pub max_connections_per_address: i64,
    /// `name`, `name:group` or numbers: whom the process becomes once its ports are open. Empty: it stays who it is.
    pub user: String,
}

/// Stopping (docs/reference/command-line.md#signals-and-exit-codes).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LifeCycle {
    /// How long requests are still accepted after the signal.
    pub request_accept_grace_timeout: GoDuration,
    /// How long running requests may take to end; zero cuts them at once.
    pub grace_time_out: GoDuration,
}

/// Time-outs towards clients; zero switches one off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RespondingTimeouts {
    /// For the whole request, body included.
    pub read_timeout: GoDuration,
    pub write_timeout: GoDuration,
    pub idle_timeout: GoDuration,
}

/// Time-outs towards servers; zero switches one off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardingTimeouts {
    pub dial_timeout: GoDuration,
    pub response_header_timeout: GoDuration,
}

/// What a backend's health check uses when it names no interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheckDefaults {
    pub interval: GoDuration,
}

impl StaticConfig {
    /// Every option there is, by name and type.
    pub fn shape() -> Shape {
        Shape::of::<StaticConfig>()
    }

    /// The log level in force (docs/reference/static-configuration.md#general). A text that names none gives `error`; [`check`] reports it.
    pub fn level(&self) -> LogLevel {
        match LogLevel::parse(&self.log_level) {
            Some(level) => level,
            None if self.debug && self.log_level.is_empty() => LogLevel::Debug,
            None => LogLevel::Error,
        }
    }

    /// The tables of providers that Ringway does not have, by name.
    pub fn unsupported_providers(&self) -> Vec<&'static str> {
        let tables = [
            ("marathon", &self.marathon),
            ("consul", &self.consul),
            ("consulCatalog", &self.consul_catalog),
            ("etcd", &self.etcd),
            ("zookeeper", &self.zookeeper),
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
            marathon: None,
            consul: None,
            consul_catalog: None,
            etcd: None,
            zookeeper: None,
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
        }
    }
}

impl Default for LifeCycle {
    fn default() -> Self {
        LifeCycle { request_accept_grace_timeout: GoDuration(0), grace_time_out: GoDuration::from_secs(10) }
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
