//! The page that Prometheus scrapes, with the names of docs/reference/metrics.md#prometheus.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use super::Metrics;
use super::exposition::{Exposition, Format, MetricType};
use super::histogram::HistogramSum;
use super::reading::Owner;
use super::upstream::ConnectionSource;
use crate::limits::Bound;
use crate::observe::certificates::CertificateState;

/// The values that a scrape shows besides the counters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scrape<'a> {
    pub servers: &'a [ServerSample],
    /// Open connections of clients.
    pub client_connections: u64,
    pub process: ProcessFacts,
}

/// A server of a backend, with the result of its active health check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerSample {
    pub provider: String,
    pub backend: String,
    /// The server's id in its backend.
    pub server: String,
    pub url: String,
    pub health: ServerHealth,
}

/// The result of a server's active health check. `Unknown` means that the backend has none: the server counts as up
/// (docs/reference/metrics.md#requests).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServerHealth {
    Up,
    Down,
    #[default]
    Unknown,
}

/// Facts about the process, as the operating system reports them; a metric whose fact is `None` is omitted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessFacts {
    pub start_unix_secs: Option<f64>,
    pub cpu_secs: Option<f64>,
    pub resident_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
}

impl ServerHealth {
    pub fn name(self) -> &'static str {
        match self {
            ServerHealth::Up => "up",
            ServerHealth::Down => "down",
            ServerHealth::Unknown => "unknown",
        }
    }
}

pub(super) fn render(metrics: &Metrics, scrape: &Scrape, format: Format) -> Vec<u8> {
    let mut exposition = Exposition::new(format);
    exposition.reloads(metrics);
    exposition.ringway_counters(metrics);
    exposition.http2(&metrics.http2(), scrape.client_connections);
    let reading = metrics.reading();
    exposition.requests("traefik_entrypoint", "entrypoint", "an entry point", &reading.entry_points, metrics);
    exposition.requests("traefik_backend", "backend", "a backend", &reading.backends, metrics);
    exposition.retries(&reading.backends);
    exposition.upstream(&reading.backends, metrics);
    exposition.frontends(metrics);
    exposition.workers(metrics);
    exposition.layer4(metrics, &metrics.backends());
    exposition.datagrams(&metrics.datagrams());
    exposition.servers(scrape.servers);
    exposition.certificates(&metrics.certificates());
    exposition.process(&scrape.process);
    exposition.finish()
}

/// Adds the series with these labels to a page.
type AddSeries<'a, P> = &'a dyn Fn(&mut P, &[(&str, &str)], &HistogramSum);

impl Exposition {
    fn reloads(&mut self, metrics: &Metrics) {
        let reloads = [
            ("reloads_total", MetricType::Counter, "Configurations applied.", &metrics.reloads),
            (
                "reloads_failure_total",
                MetricType::Counter,
                "Configurations that could not be read.",
                &metrics.reload_failures,
            ),
            (
                "last_reload_success",
                MetricType::Gauge,
                "When a configuration was last applied.",
                &metrics.reload_unix_secs,
            ),
            (
                "last_reload_failure",
                MetricType::Gauge,
                "When a configuration last could not be read.",
                &metrics.reload_failure_unix_secs,
            ),
        ];
        for (name, metric_type, help, value) in reloads {
            self.head(&format!("traefik_config_{name}"), metric_type, help);
            self.line(&[], value.load(Relaxed) as f64);
        }
    }

    /// Ringway's own counters, which Traefik does not have.
    fn ringway_counters(&mut self, metrics: &Metrics) {
        let counters = [
            (
                "connection_panics",
                "Connections ended by a panic, which is a bug in Ringway: report it.",
                &metrics.connection_panics,
            ),
            (
                "connections_refused",
                "Connections closed at once: connection limit reached.",
                &metrics.connections_refused,
            ),
            ("heads_refused", "Request heads that were malformed or too large.", &metrics.heads_refused),
        ];
        for (name, help, value) in counters {
            self.head(&format!("ringway_{name}_total"), MetricType::Counter, help);
            self.line(&[], value.load(Relaxed) as f64);
        }
        let help = "PROXY headers of connections of clients, by what became of them.";
        self.head("ringway_proxy_headers_total", MetricType::Counter, help);
        for (result, value) in metrics.proxy_headers.totals() {
            self.line(&[("result", result.name())], value as f64);
        }
        self.head("ringway_bounds_exceeded_total", MetricType::Counter, "How often a limit was exceeded.");
        for (bound, value) in Bound::ALL.iter().zip(&metrics.exceeded) {
            self.line(&[("bound", bound.name())], value.load(Relaxed) as f64);
        }
    }

    /// `label` is the name of the label with the owner's name. Labels are in alphabetical order, as is usual for exporters.
    fn requests(&mut self, prefix: &str, label: &str, owner_kind: &str, owners: &[Owner], metrics: &Metrics) {
        let each = |page: &mut Self, add: AddSeries<'_, Self>| {
            for owner in owners {
                for (kind, sum) in &owner.series {
                    let code = kind.code();
                    let mut labels = [
                        (label, owner.name.as_str()),
                        ("code", &code),
                        ("method", kind.method.label()),
                        ("protocol", kind.protocol.label()),
                    ];
                    labels.sort_unstable_by_key(|(name, _)| *name);
                    add(page, &labels, sum);
                }
            }
        };
        let help = format!("Requests that {owner_kind} has answered.");
        self.head(&format!("{prefix}_requests_total"), MetricType::Counter, &help);
        each(self, &|page, labels, sum| page.line(labels, sum.count as f64));
        let help = format!("How long {owner_kind} took to answer its requests.");
        self.head(&format!("{prefix}_request_duration_seconds"), MetricType::Histogram, &help);
        each(self, &|page, labels, sum| page.histogram(labels, sum, &metrics.bounds.seconds));
        let help = format!("Requests in flight on {owner_kind}.");
        self.head(&format!("{prefix}_open_connections"), MetricType::Gauge, &help);
        for owner in owners {
            for (method, protocol, count) in owner.open() {
                self.line(&[(label, &owner.name), ("method", method), ("protocol", protocol)], count as f64);
            }
        }
    }

    fn retries(&mut self, backends: &[Owner]) {
        self.head("traefik_backend_retries_total", MetricType::Counter, "Attempts after the first.");
        for backend in backends {
            self.line(&[("backend", &backend.name)], backend.retries as f64);
        }
    }

    /// The connections to servers, which a process counts with `[metrics]` only.
    fn upstream(&mut self, backends: &[Owner], metrics: &Metrics) {
        let counted =
            || backends.iter().filter_map(|backend| Some((backend.name.as_str(), backend.upstream.as_ref()?)));
        let help = "Requests to servers, by the source of their connection.";
        self.head("ringway_backend_connections_total", MetricType::Counter, help);
        for (name, sum) in counted() {
            for (source, count) in ConnectionSource::ALL.iter().zip(sum.connections) {
                self.line(&[("backend", name), ("source", source.name())], count as f64);
            }
        }
        let help = "Connections to servers that could not be opened.";
        self.head("ringway_backend_connect_failures_total", MetricType::Counter, help);
        for (name, sum) in counted() {
            self.line(&[("backend", name)], sum.failures as f64);
        }
        let bounds = &metrics.upstream_bounds.seconds;
        let help = "How long opening a connection to a server took, its TLS handshake included.";
        self.head("ringway_backend_connect_duration_seconds", MetricType::Histogram, help);
        for (name, sum) in counted().filter(|(_, sum)| sum.connect.count > 0) {
            self.histogram(&[("backend", name)], &sum.connect, bounds);
        }
        let help = "How long a server took to begin its response, connecting included.";
        self.head("ringway_backend_first_byte_duration_seconds", MetricType::Histogram, help);
        for (name, sum) in counted().filter(|(_, sum)| sum.first_byte.count > 0) {
            self.histogram(&[("backend", name)], &sum.first_byte, bounds);
        }
    }

    fn frontends(&mut self, metrics: &Metrics) {
        let help = "Bytes of bodies and tunnels, from clients (in) and to them (out).";
        self.head("ringway_frontend_bytes_total", MetricType::Counter, help);
        for (name, bytes) in metrics.frontends().iter() {
            let (received, sent) = bytes.totals();
            self.line(&[("direction", "in"), ("frontend", name)], received as f64);
            self.line(&[("direction", "out"), ("frontend", name)], sent as f64);
        }
    }

    fn workers(&mut self, metrics: &Metrics) {
        self.head("ringway_worker_busy_seconds_total", MetricType::Counter, "CPU time of a worker's thread.");
        for (number, busy) in metrics.busy.iter().enumerate() {
            self.line(&[("worker", &number.to_string())], busy.cpu_secs());
        }
        let help = "Share of the last second or so in which a worker used its CPU, from 0 to 1.";
        self.head("ringway_worker_busy_ratio", MetricType::Gauge, help);
        for (number, busy) in metrics.busy.iter().enumerate() {
            self.line(&[("worker", &number.to_string())], busy.share());
        }
    }

    fn servers(&mut self, servers: &[ServerSample]) {
        let help = "Whether a server is up (1) or down (0); 1 without a health check.";
        self.head("traefik_backend_server_up", MetricType::Gauge, help);
        for ((backend, url), up) in states_by_url(servers) {
            self.line(&[("backend", backend), ("url", url)], f64::from(up));
        }
    }

    fn certificates(&mut self, states: &[CertificateState]) {
        let help = "End of validity of a certificate, in seconds since 1970.";
        self.head("ringway_certificate_expiry_seconds", MetricType::Gauge, help);
        let ends = states.iter().filter_map(|state| Some((state, state.not_after_secs?)));
        // Of certificates for the same names from one source, the last to expire counts: the series would be there twice.
        let mut series: BTreeMap<(String, &str), i64> = BTreeMap::new();
        for (state, end) in ends {
            let known = series.entry((state.names.join(","), &state.source)).or_insert(end);
            *known = (*known).max(end);
        }
        for ((names, source), end) in series {
            self.line(&[("names", &names), ("source", source)], end as f64);
        }
    }

    fn process(&mut self, process: &ProcessFacts) {
        let whole = |number: Option<u64>| number.map(|n| n as f64);
        let facts = [
            ("process_cpu_seconds_total", MetricType::Counter, "CPU time of the process.", process.cpu_secs),
            ("process_max_fds", MetricType::Gauge, "File descriptors allowed.", whole(process.max_fds)),
            ("process_open_fds", MetricType::Gauge, "File descriptors in use.", whole(process.open_fds)),
            ("process_resident_memory_bytes", MetricType::Gauge, "Resident memory.", whole(process.resident_bytes)),
            ("process_start_time_seconds", MetricType::Gauge, "When the process started.", process.start_unix_secs),
            ("process_virtual_memory_bytes", MetricType::Gauge, "Virtual memory.", whole(process.virtual_bytes)),
        ];
        for (name, metric_type, help, value) in facts {
            if let Some(value) = value {
                self.head(name, metric_type, help);
                self.line(&[], value);
            }
        }
    }
}

/// Whether each server is up, by backend and URL. Servers with the same URL share one state, which is 1 if one of them is up.
pub fn states_by_url(servers: &[ServerSample]) -> BTreeMap<(&str, &str), u8> {
    let mut states: BTreeMap<(&str, &str), u8> = BTreeMap::new();
    for server in servers {
        let up = u8::from(server.health != ServerHealth::Down);
        let state = states.entry((&server.backend, &server.url)).or_default();
        *state = (*state).max(up);
    }
    states
}
