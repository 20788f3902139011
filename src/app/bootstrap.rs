//! Builds the components that the control plane and the workers start with from the static configuration.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use super::client_tls;
use crate::config::compile::{self, CompileContext, EndpointInterner, EntryPointInfo, ReadFile};
use crate::config::labels::{DockerSettings, HostSettings};
use crate::config::pem;
use crate::config::static_config::{self, AccessLog, StaticConfig};
use crate::control::certs::{CertificateSources, StaticCertificates};
use crate::control::docker::{DockerHost, DockerProviderSettings};
use crate::control::host_resolver::{self, HostQuestions, HostResolverSettings};
use crate::control::on_demand::{OnDemandNames, on_demand};
use crate::control::watched_files::{self, WatchedFiles};
use crate::diagnostics::{Code, Finding, Level};
use crate::limits;
use crate::net::socket;
use crate::observe::metrics::{Metrics, MetricsSettings};
use crate::observe::status::ExposedRoutes;
use crate::tls::certificate::Certificate;
use crate::tls::resolver::{CertStore, Resolver};
use crate::tls::settings::{ServerSettings, server_config};
use crate::tls::tickets::Resumption;
use crate::worker::{self, AskHost, ConnectionLimiter, EntryPoint, Timeouts};

/// A chain of CNAME records that is longer is a circle or a mistake.
const RESOLV_DEPTH_MAX: usize = 32;

/// The components that depend on the static configuration alone.
pub struct Components {
    pub compile_context: CompileContext,
    pub entry_points: Vec<EntryPoint>,
    pub certs: CertificateSources,
    /// The names that clients ask for, with `acme.onDemand`.
    pub on_demand: Option<OnDemandNames>,
    /// The files that frontends and certificates are read from.
    pub watched_files: WatchedFiles,
    /// Warnings about options that are applied in another way than they are written.
    pub remarks: Vec<Finding>,
    /// Interned endpoints, those of the entry points' authentication servers included.
    pub endpoints: EndpointInterner,
}

/// Builds all components.
///
/// # Errors
/// A message for the log: the process must not start (docs/reference/static-configuration.md#errors).
pub fn build(config: &StaticConfig) -> Result<Components, String> {
    let watched_files = WatchedFiles::default();
    let compile_context = compile_context(config, &watched_files)?;
    let store: Arc<ArcSwap<CertStore>> = Arc::default();
    let mut endpoints = EndpointInterner::default();
    let mut static_certs = Vec::new();
    let acme = config.acme.as_ref();
    let (ask, on_demand) = acme.filter(|acme| acme.on_demand).map(|_| on_demand()).unzip();
    let (mut entry_points, mut remarks) = (Vec::new(), Vec::new());
    for (name, entry_config) in &config.entry_points {
        let compiled = compile::entry_point(&compile_context, name, entry_config, &mut endpoints)
            .map_err(|e| format!("Error preparing server: entry point {}: {}", e.name, e.reason))?;
        let address = listen_address(name, entry_config)?;
        let resolver = entry_config.tls.as_ref().map(|tls| {
            static_certs.push(StaticCertificates::new(name, &tls.certificates, tls.default_certificate.as_ref()));
            let resolver = Resolver::for_listener(name, Arc::clone(&store), tls.sni_strict, address.ip());
            let ask = ask.clone().filter(|_| acme.is_some_and(|acme| acme.entry_point == *name));
            Arc::new(match ask {
                Some(ask) => resolver.with_on_demand(ask),
                None => resolver,
            })
        });
        let tls = match entry_config.tls.as_ref().zip(resolver.clone()) {
            Some((tls, resolver)) => {
                let (config, warnings) = tls_config(name, tls, entry_config.http2, resolver)?;
                remarks.extend(warnings.iter().map(|warning| {
                    let text = format!("entry point {name}: {warning}");
                    Finding::new(Level::Warning, Code::InvalidValue, text).about(format!("entryPoints.{name}.tls"))
                }));
                Some(Arc::new(config))
            }
            None => None,
        };
        entry_points.push(EntryPoint {
            name: name.clone(),
            address,
            is_udp: entry_config.is_udp(),
            chain: compiled.chain,
            internal_chain: compiled.internal_chain,
            auth: compiled.auth,
            exposed: exposed(config, name),
            serves_challenges: serves_challenges(config, name),
            serves_rest: config.rest.as_ref().is_some_and(|rest| rest.entry_point == *name),
            tls,
            resolver,
            http2: entry_config.http2,
            request_id: entry_config.request_id,
            trust: compiled.trust,
            udp_timeout: entry_config.udp_timeout(),
            proxy_protocol: compiled.proxy_protocol,
        });
    }
    let generated = if static_certs.is_empty() { None } else { Some(Arc::new(generated_certificate()?)) };
    let acme_entry = config.acme.as_ref().map_or("", |acme| acme.entry_point.as_str());
    // The users files of entry points are read at the start only: they are not watched.
    watched_files.clear();
    let certs = CertificateSources::new(static_certs, generated, acme_entry, store, &*compile_context.read);
    Ok(Components { compile_context, entry_points, certs, on_demand, watched_files, remarks, endpoints })
}

/// Builds the components that the check of routes needs, of a configuration whose entry points cannot start.
///
/// # Errors
/// The system has no source of randomness.
pub fn without_entry_points(config: &StaticConfig) -> Result<Components, String> {
    let watched_files = WatchedFiles::default();
    let compile_context = compile_context(config, &watched_files)?;
    let with_tls = config.entry_points.iter().filter_map(|(name, entry)| Some((name, entry.tls.as_ref()?)));
    let certificates = with_tls
        .map(|(name, tls)| StaticCertificates::new(name, &tls.certificates, tls.default_certificate.as_ref()))
        .collect();
    let acme_entry = config.acme.as_ref().map_or("", |acme| acme.entry_point.as_str());
    let certs = CertificateSources::new(certificates, None, acme_entry, Arc::default(), &*compile_context.read);
    let on_demand = config.acme.as_ref().filter(|acme| acme.on_demand).map(|_| on_demand().1);
    let (entry_points, remarks, endpoints) = (Vec::new(), Vec::new(), EndpointInterner::default());
    Ok(Components { compile_context, entry_points, certs, on_demand, watched_files, remarks, endpoints })
}

/// The address that an entry point listens on.
///
/// # Errors
/// A message for the log: the address cannot be read, or its host has no address.
pub fn listen_address(name: &str, entry_point: &static_config::EntryPoint) -> Result<SocketAddr, String> {
    let failed = |reason: String| format!("Error preparing server: entry point {name}: address: {reason}");
    let listen = entry_point.listen().map_err(|e| failed(e.to_string()))?;
    socket::resolve(&listen.host, listen.port).map_err(|e| failed(e.to_string()))
}

fn compile_context(config: &StaticConfig, watched_files: &WatchedFiles) -> Result<CompileContext, String> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| "the system has no source of randomness")?;
    Ok(CompileContext {
        entry_points: config.entry_points.iter().map(|(name, written)| EntryPointInfo::new(name, written)).collect(),
        default_entry_points: config.default_entry_points.clone(),
        keep_trailing_slash: config.keep_trailing_slash,
        allow_min_weight_zero: config.allow_min_weight_zero,
        health_interval: config.health_check.interval.positive().unwrap_or(Duration::from_secs(30)),
        client_tls: client_tls::of_backends(config),
        credentials: compile::credential_memory(key),
        read: watched_read(watched_files),
        auth_tls: client_tls::of_auth(config, watched_read(watched_files)),
        access_log_folder: config.access_log.as_ref().map(log_folder),
        retry: config.retry.as_ref().map(|retry| retry.attempts),
        random: worker::fill_random,
    })
}

/// The folder of the access logs of frontends: the one that is named, else that of the common log's file.
fn log_folder(table: &AccessLog) -> String {
    let folder = Path::new(&table.file_path).parent().map(|folder| folder.display().to_string());
    if table.folder.is_empty() { folder.unwrap_or_default() } else { table.folder.clone() }
}

fn watched_read(watched_files: &WatchedFiles) -> ReadFile {
    let watched_files = watched_files.clone();
    Box::new(move |path| watched_files.read(path))
}

fn tls_config(
    name: &str,
    tls: &static_config::Tls,
    http2: bool,
    resolver: Arc<Resolver>,
) -> Result<(rustls::ServerConfig, Vec<String>), String> {
    let invalid = |e: String| format!("Error preparing server: entry point {name}: {e}");
    let files = tls.client_ca.as_ref().map(|ca| ca.files.as_slice()).unwrap_or_default();
    let client_ca = files.iter().map(|file| pem::content(file, &watched_files::read_text).map(String::into_bytes));
    let settings = ServerSettings {
        min_version: tls.min_version.clone(),
        cipher_suites: tls.cipher_suites.clone(),
        client_ca: client_ca.collect::<Result<_, _>>().map_err(|e| invalid(format!("clientCA: {e}")))?,
        client_ca_optional: tls.client_ca.as_ref().is_some_and(|ca| ca.optional),
        alpn: protocols(http2),
    };
    let resumption = Resumption::new().map_err(|e| invalid(e.to_string()))?;
    server_config(&settings, resolver, &resumption).map_err(|e| invalid(e.to_string()))
}

/// The protocols that an entry point offers by ALPN (RFC 7301), in order of preference.
fn protocols(http2: bool) -> Vec<Vec<u8>> {
    let offered: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    offered.iter().map(|name| name.to_vec()).collect()
}

fn generated_certificate() -> Result<Certificate, String> {
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| "the system has no source of randomness")?;
    Certificate::generated(random, SystemTime::now()).map_err(|e| e.to_string())
}

fn exposed(config: &StaticConfig, name: &str) -> Option<ExposedRoutes> {
    let api = config.api.as_ref().filter(|api| api.entry_point == name);
    let exposed = ExposedRoutes {
        api: api.is_some(),
        dashboard: api.is_some_and(|api| api.dashboard),
        ping: config.ping.as_ref().is_some_and(|ping| ping.entry_point == name),
        metrics: config.metrics.as_ref().and_then(|m| m.prometheus.as_ref()).is_some_and(|p| p.entry_point == name),
        keep_trailing_slash: config.keep_trailing_slash,
        base: config.web.as_ref().map_or_else(String::new, |web| web.path.clone()),
    };
    (exposed.api || exposed.ping || exposed.metrics).then_some(exposed)
}

fn serves_challenges(config: &StaticConfig, name: &str) -> bool {
    config
        .acme
        .as_ref()
        .and_then(|acme| acme.http_challenge.as_ref())
        .is_some_and(|challenge| challenge.entry_point == name)
}

pub fn metrics(config: &StaticConfig, components: &Components, workers: usize) -> Metrics {
    let statistics = config.api.as_ref().and_then(|api| api.statistics.as_ref());
    Metrics::new(&MetricsSettings {
        workers,
        entry_points: components.entry_points.iter().map(|entry| entry.name.clone()).collect(),
        buckets: config
            .metrics
            .as_ref()
            .and_then(|m| m.prometheus.as_ref())
            .map(|p| p.buckets.clone())
            .unwrap_or_default(),
        detailed: config.metrics.as_ref().is_some_and(|metrics| metrics.is_on()),
        recent_errors: statistics.map_or(0, |s| usize::try_from(s.recent_errors).unwrap_or(0)),
        traffic: config.api.is_some(),
    })
}

pub fn docker(table: &static_config::Docker, constraints: &[String]) -> DockerProviderSettings {
    let refresh = u64::try_from(table.swarm_mode_refresh_seconds).ok().filter(|&secs| secs > 0).unwrap_or(15);
    DockerProviderSettings {
        endpoint: table.engine_endpoint().to_owned(),
        tls: table.tls.clone(),
        hosts: table.hosts.iter().map(|host| docker_host(host, table.swarm_mode)).collect(),
        watch: table.watch,
        swarm_refresh: Duration::from_secs(refresh),
        unavailable_grace: table.unavailable_grace.positive().unwrap_or_default(),
        labels: DockerSettings {
            domain: table.domain.clone(),
            exposed_by_default: table.exposed_by_default,
            use_bind_port_ip: table.use_bind_port_ip,
            swarm_mode: table.swarm_mode,
            network: table.network.clone(),
            constraints: table.constraints.iter().chain(constraints).cloned().collect(),
            own_networks: Default::default(),
            hosts: Default::default(),
        },
        ..DockerProviderSettings::default()
    }
}

fn docker_host(table: &static_config::DockerHost, is_swarm: bool) -> DockerHost {
    DockerHost {
        name: table.name.clone(),
        endpoint: table.endpoint.clone(),
        tls: table.tls.clone(),
        labels: HostSettings {
            address: table.address.clone(),
            constraints: table.constraints.clone(),
            swarm_mode: is_swarm || table.swarm_mode,
            own_networks: Default::default(),
        },
    }
}

pub fn timeouts(config: &StaticConfig) -> Timeouts {
    let responding = &config.responding_timeouts;
    let forwarding = &config.forwarding_timeouts;
    Timeouts {
        idle: responding.idle_timeout.positive(),
        head_read: responding.read_timeout.positive().unwrap_or(Duration::from_secs(limits::HEAD_READ_SECS)),
        body_read: responding.read_timeout.positive(),
        stall: responding.write_timeout.positive().unwrap_or(Duration::from_secs(limits::STALLED_BODY_SECS)),
        dial: forwarding.dial_timeout.positive().unwrap_or(Duration::from_secs(limits::DIAL_SECS)),
        response_header: forwarding.response_header_timeout.positive(),
        tcp_idle: config.tcp.idle_timeout.positive().unwrap_or(Duration::MAX),
    }
}

/// The host resolver: the function that workers ask with, and the other end. `None` unless it has something to look up.
pub fn host_resolver(config: &StaticConfig) -> Option<(AskHost, (HostResolverSettings, HostQuestions))> {
    let table = config.host_resolver.as_ref().filter(|table| table.cname_flattening)?;
    let depth = usize::try_from(table.resolv_depth).ok().filter(|&depth| depth > 0)?;
    let (ask, questions) = host_resolver::questions();
    let settings =
        HostResolverSettings { resolv_config: table.resolv_config.clone(), depth: depth.min(RESOLV_DEPTH_MAX) };
    Some((ask, (settings, questions)))
}

/// The share that each worker has of `maxIdleConnsPerHost`, which counts for the whole process. 0 means Go's default of 2
/// (docs/reference/static-configuration.md#connections).
pub fn idle_per_worker(config: &StaticConfig, workers: usize) -> usize {
    let per_process = usize::try_from(config.max_idle_conns_per_host).ok().filter(|&n| n > 0).unwrap_or(2);
    per_process.div_ceil(workers.max(1))
}

/// The bound on client connections of all workers together.
pub fn connection_limiter(config: &StaticConfig, workers: usize) -> Arc<ConnectionLimiter> {
    let configured = |setting: i64| usize::try_from(setting).ok().filter(|&n| n > 0);
    let max = configured(config.max_connections).unwrap_or(limits::CONNECTIONS_PER_WORKER_MAX.saturating_mul(workers));
    let per_address = configured(config.max_connections_per_address);
    ConnectionLimiter::new(max, per_address.unwrap_or(max.div_ceil(limits::CONNECTIONS_PER_ADDRESS_DIVISOR)))
}
