//! The text that Prometheus scrapes (exposition format 0.0.4), with the names of docs/reference/metrics.md#prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use super::block::{Block, Kind, SeriesSum};
use super::{Method, Metrics, Protocol};
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

pub(super) fn render(metrics: &Metrics, scrape: &Scrape) -> Vec<u8> {
    let mut exposition = Exposition { text: String::with_capacity(4096) };
    exposition.reloads(metrics);
    exposition.ringway_counters(metrics);
    exposition.http2(&metrics.http2(), scrape.client_connections);
    let entry_points: Vec<Owner> =
        metrics.entry_points.iter().map(|(name, blocks)| Owner::new("entrypoint", name, blocks)).collect();
    exposition.requests("traefik_entrypoint", "an entry point", &entry_points, metrics);
    let backends = metrics.backends();
    let owners: Vec<Owner> =
        backends.iter().map(|(name, backend)| Owner::new("backend", name, &backend.blocks)).collect();
    exposition.requests("traefik_backend", "a backend", &owners, metrics);
    exposition.retries(&owners);
    exposition.layer4(metrics, &backends);
    exposition.datagrams(&metrics.datagrams());
    exposition.servers(scrape.servers);
    exposition.certificates(&metrics.certificates());
    exposition.process(&scrape.process);
    exposition.text.into_bytes()
}

/// An entry point or a backend with its sums over all workers.
struct Owner<'a> {
    label: &'static str,
    name: &'a str,
    series: BTreeMap<Kind, SeriesSum>,
    open: BTreeMap<(Method, Protocol), i64>,
    retries: u64,
}

impl<'a> Owner<'a> {
    fn new(label: &'static str, name: &'a str, blocks: &[Block]) -> Self {
        let mut owner = Owner { label, name, series: BTreeMap::new(), open: BTreeMap::new(), retries: 0 };
        for block in blocks {
            block.each(|kind, sum| owner.series.entry(kind).or_default().add(&sum));
            for (pair, count) in block.open() {
                *owner.open.entry(pair).or_default() += count;
            }
            owner.retries += block.retries();
        }
        // A pair that was never used has no series. A pair that was used stays listed with 0, so that its series does not end.
        let used = |pair: &(Method, Protocol)| owner.series.keys().any(|kind| (kind.method, kind.protocol) == *pair);
        owner.open.retain(|pair, count| *count != 0 || used(pair));
        owner
    }

    /// The labels without the status code: `entrypoint="http",method="GET",protocol="http"`.
    fn labels(&self, method: Method, protocol: Protocol) -> String {
        format!("{},{}", self.own_label(), shared_labels(method, protocol))
    }

    /// The labels with the status code, in alphabetical order, as is usual for exporters.
    fn kind_labels(&self, kind: Kind) -> String {
        let (own, shared) = (self.own_label(), shared_labels(kind.method, kind.protocol));
        let code = if kind.status == 0 { "other".to_owned() } else { kind.status.to_string() };
        match self.label {
            "backend" => format!("{own},code=\"{code}\",{shared}"),
            _ => format!("code=\"{code}\",{own},{shared}"),
        }
    }

    fn own_label(&self) -> String {
        format!("{}=\"{}\"", self.label, escaped(self.name))
    }
}

fn shared_labels(method: Method, protocol: Protocol) -> String {
    format!("method=\"{}\",protocol=\"{}\"", method.label(), protocol.label())
}

pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    fn reloads(&mut self, metrics: &Metrics) {
        let reloads = [
            ("reloads_total", "counter", "Configurations applied.", &metrics.reloads),
            ("reloads_failure_total", "counter", "Configurations that could not be read.", &metrics.reload_failures),
            ("last_reload_success", "gauge", "When a configuration was last applied.", &metrics.reload_unix_secs),
            (
                "last_reload_failure",
                "gauge",
                "When a configuration last could not be read.",
                &metrics.reload_failure_unix_secs,
            ),
        ];
        for (name, kind, help, value) in reloads {
            let name = format!("traefik_config_{name}");
            self.head(&name, kind, help);
            self.line(&name, "", value.load(Relaxed));
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
            let name = format!("ringway_{name}_total");
            self.head(&name, "counter", help);
            self.line(&name, "", value.load(Relaxed));
        }
        let name = "ringway_proxy_headers_total";
        self.head(name, "counter", "PROXY headers of connections of clients, by what became of them.");
        for (result, value) in metrics.proxy_headers.totals() {
            self.line(name, &format!("result=\"{}\"", result.name()), value);
        }
        let name = "ringway_bounds_exceeded_total";
        self.head(name, "counter", "How often a limit was exceeded.");
        for (bound, value) in Bound::ALL.iter().zip(&metrics.exceeded) {
            self.line(name, &format!("bound=\"{}\"", bound.name()), value.load(Relaxed));
        }
    }

    fn requests(&mut self, prefix: &str, owner_kind: &str, owners: &[Owner], metrics: &Metrics) {
        let name = format!("{prefix}_requests_total");
        self.head(&name, "counter", &format!("Requests that {owner_kind} has answered."));
        for owner in owners {
            for (kind, sum) in &owner.series {
                self.line(&name, &owner.kind_labels(*kind), sum.count);
            }
        }
        let name = format!("{prefix}_request_duration_seconds");
        self.head(&name, "histogram", &format!("How long {owner_kind} took to answer its requests."));
        for owner in owners {
            for (kind, sum) in &owner.series {
                self.histogram(&name, &owner.kind_labels(*kind), sum, &metrics.bounds.seconds);
            }
        }
        let name = format!("{prefix}_open_connections");
        self.head(&name, "gauge", &format!("Requests in flight on {owner_kind}."));
        for owner in owners {
            for ((method, protocol), count) in &owner.open {
                self.line(&name, &owner.labels(*method, *protocol), count);
            }
        }
    }

    fn histogram(&mut self, name: &str, labels: &str, sum: &SeriesSum, bounds: &[f64]) {
        let bucket = format!("{name}_bucket");
        let mut up_to = 0;
        for (bound, count) in bounds.iter().zip(&sum.buckets) {
            up_to += count;
            self.line(&bucket, &format!("{labels},le=\"{bound}\""), up_to);
        }
        // A request recorded between the reads of count and buckets must not make a bucket larger than `+Inf`.
        let count = sum.count.max(up_to);
        self.line(&bucket, &format!("{labels},le=\"+Inf\""), count);
        self.line(&format!("{name}_sum"), labels, sum.sum_nanos as f64 / 1e9);
        self.line(&format!("{name}_count"), labels, count);
    }

    fn retries(&mut self, backends: &[Owner]) {
        let name = "traefik_backend_retries_total";
        self.head(name, "counter", "Attempts after the first.");
        for backend in backends {
            self.line(name, &format!("backend=\"{}\"", escaped(backend.name)), backend.retries);
        }
    }

    fn servers(&mut self, servers: &[ServerSample]) {
        let name = "traefik_backend_server_up";
        self.head(name, "gauge", "Whether a server is up (1) or down (0); 1 without a health check.");
        // Servers with the same URL share one series, which is 1 if one of them is up.
        let mut states: BTreeMap<(&str, &str), u8> = BTreeMap::new();
        for server in servers {
            let up = u8::from(server.health != ServerHealth::Down);
            let state = states.entry((&server.backend, &server.url)).or_default();
            *state = (*state).max(up);
        }
        for ((backend, url), up) in states {
            self.line(name, &format!("backend=\"{}\",url=\"{}\"", escaped(backend), escaped(url)), up);
        }
    }

    fn certificates(&mut self, states: &[CertificateState]) {
        let name = "ringway_certificate_expiry_seconds";
        self.head(name, "gauge", "End of validity of a certificate, in seconds since 1970.");
        let ends = states.iter().filter_map(|state| Some((state, state.not_after_secs?)));
        // Of certificates for the same names from one source, the last to expire counts: the series would be there twice.
        let mut series: BTreeMap<(String, &str), i64> = BTreeMap::new();
        for (state, end) in ends {
            let known = series.entry((state.names.join(","), &state.source)).or_insert(end);
            *known = (*known).max(end);
        }
        for ((names, source), end) in series {
            self.line(name, &format!("names=\"{}\",source=\"{}\"", escaped(&names), escaped(source)), end);
        }
    }

    fn process(&mut self, process: &ProcessFacts) {
        let whole = |number: Option<u64>| number.map(|n| n as f64);
        let facts = [
            ("process_cpu_seconds_total", "counter", "CPU time of the process.", process.cpu_secs),
            ("process_max_fds", "gauge", "File descriptors allowed.", whole(process.max_fds)),
            ("process_open_fds", "gauge", "File descriptors in use.", whole(process.open_fds)),
            ("process_resident_memory_bytes", "gauge", "Resident memory.", whole(process.resident_bytes)),
            ("process_start_time_seconds", "gauge", "When the process started.", process.start_unix_secs),
            ("process_virtual_memory_bytes", "gauge", "Virtual memory.", whole(process.virtual_bytes)),
        ];
        for (name, kind, help, value) in facts {
            if let Some(value) = value {
                self.head(name, kind, help);
                self.line(name, "", value);
            }
        }
    }

    // Writing to a String cannot fail.

    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.text, "{name} {value}"),
            _ => writeln!(self.text, "{name}{{{labels}}} {value}"),
        };
    }
}

/// Escapes a label's value: names come from containers and files, and may hold any character.
pub(super) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
