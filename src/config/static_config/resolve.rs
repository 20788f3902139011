//! Resolves the configuration as written: moves deprecated options to current ones and adds implied entry points
//! (docs/reference/acme.md#keys, docs/reference/static-configuration.md#deprecated-keys).

use super::{
    AccessLog, Acme, Api, ClientCa, DnsChallenge, EntryPoint, ForwardedHeaders, INTERNAL_ENTRY_POINT, InfluxDb, Ping,
    StaticConfig, Tls, Web,
};
use crate::config::duration::GoDuration;
use crate::config::dynamic::{CertificateFiles, WhiteList};

impl StaticConfig {
    /// Moves deprecated options to current ones and adds implied values. Returns warnings for the user.
    ///
    /// Afterwards there is at least one entry point, the entry point `traefik` exists if a service uses it, every entry point
    /// has `forwardedHeaders`, ACME has at most one challenge, and later code needs no deprecated option except `web.path` and
    /// `acme.onDemand`. Resolving a second time changes nothing.
    pub fn resolve(&mut self) -> Vec<String> {
        let mut warnings = Vec::new();
        resolve_time_outs(self, &mut warnings);
        resolve_logs(self, &mut warnings);
        resolve_web(self, &mut warnings);
        resolve_entry_points(self, &mut warnings);
        if let Some(acme) = &mut self.acme {
            resolve_acme(acme, &mut warnings);
        }
        resolve_providers(self, &mut warnings);
        resolve_push_intervals(self, &mut warnings);
        if let Some(api) = &mut self.api {
            api.debug = self.debug;
        }
        if self.max_idle_conns_per_host == 0 {
            self.max_idle_conns_per_host = GO_IDLE_CONNS_PER_HOST;
        }
        warnings
    }
}

/// The value that Go's transport uses for `maxIdleConnsPerHost` = 0 (docs/reference/static-configuration.md#connections).
const GO_IDLE_CONNS_PER_HOST: i64 = 2;
const SWARM_REFRESH_SECS: i64 = 15;

fn resolve_time_outs(config: &mut StaticConfig, warnings: &mut Vec<String>) {
    if config.grace_time_out.0 > 0 {
        warnings.push("graceTimeOut is deprecated: write it as lifeCycle.graceTimeOut".to_owned());
        config.life_cycle.grace_time_out = std::mem::take(&mut config.grace_time_out);
    }
    if config.idle_timeout.0 > 0 {
        warnings.push("idleTimeout is deprecated: write it as respondingTimeouts.idleTimeout".to_owned());
        config.responding_timeouts.idle_timeout = std::mem::take(&mut config.idle_timeout);
    }
}

fn resolve_logs(config: &mut StaticConfig, warnings: &mut Vec<String>) {
    if !config.access_logs_file.is_empty() {
        warnings
            .push("accessLogsFile is deprecated and replaces [accessLog]: write it as accessLog.filePath".to_owned());
        let file_path = std::mem::take(&mut config.access_logs_file);
        config.access_log = Some(AccessLog { file_path, ..AccessLog::default() });
    }
    if !config.traefik_logs_file.is_empty() {
        warnings.push("traefikLogsFile is deprecated: write it as traefikLog.filePath".to_owned());
        let file_path = std::mem::take(&mut config.traefik_logs_file);
        let log = config.traefik_log.get_or_insert_default();
        if log.file_path.is_empty() {
            log.file_path = file_path;
        }
    }
    let unknown_format = config.access_log.take_if(|log| log.format != "common" && log.format != "json");
    if let Some(log) = unknown_format {
        let format = log.format;
        warnings.push(format!(
            "accessLog.format {format:?} is unknown, no access log is written: use \"common\" or \"json\""
        ));
    }
}

fn resolve_web(config: &mut StaticConfig, warnings: &mut Vec<String>) {
    let Some(web) = &mut config.web else { return };
    if config.api.is_some() || config.metrics.is_some() || config.ping.is_some() || config.rest.is_some() {
        // After the first resolving the table holds nothing but `path`: no second warning.
        if *web != (Web { path: web.path.clone(), ..Web::default() }) {
            warnings
                .push("[web] is ignored, because [api], [metrics], [ping] or [rest] is present: remove it".to_owned());
        }
        return;
    }
    warnings.push("[web] is deprecated: write [api], [ping] and [metrics] in its place".to_owned());
    let path = match std::mem::take(&mut web.path) {
        path if path.is_empty() || path.ends_with('/') => path,
        path => path + "/",
    };
    let web = std::mem::replace(web, Web { path, ..Web::default() });
    let tls = (!web.cert_file.is_empty()).then(|| Tls {
        certificates: vec![CertificateFiles { cert_file: web.cert_file, key_file: web.key_file }],
        ..Tls::default()
    });
    let entry_point = EntryPoint { tls, auth: web.auth, ..EntryPoint::on(&web.address) };
    // The default entry point is added before that of [web], which would suppress it (docs/reference/api.md#web).
    add_default_entry_point(config);
    config.entry_points.insert(INTERNAL_ENTRY_POINT.to_owned(), entry_point);
    config.api = Some(Api { statistics: web.statistics, ..Api::default() });
    config.ping = Some(Ping::default());
    config.metrics = web.metrics;
}

fn resolve_entry_points(config: &mut StaticConfig, warnings: &mut Vec<String>) {
    add_default_entry_point(config);
    if uses_internal_entry_point(config) && !config.entry_points.contains_key(INTERNAL_ENTRY_POINT) {
        config.entry_points.insert(INTERNAL_ENTRY_POINT.to_owned(), EntryPoint::on(":8080"));
    }
    for (name, entry_point) in &mut config.entry_points {
        resolve_entry_point(name, entry_point, warnings);
    }
}

fn add_default_entry_point(config: &mut StaticConfig) {
    if config.entry_points.is_empty() {
        config.entry_points.insert("http".to_owned(), EntryPoint::on(":80"));
        config.default_entry_points = vec!["http".to_owned()];
    }
}

fn uses_internal_entry_point(config: &StaticConfig) -> bool {
    let prometheus = config.metrics.as_ref().and_then(|metrics| metrics.prometheus.as_ref());
    let used = [
        config.api.as_ref().map(|api| &api.entry_point),
        config.ping.as_ref().map(|ping| &ping.entry_point),
        config.rest.as_ref().map(|rest| &rest.entry_point),
        prometheus.map(|prometheus| &prometheus.entry_point),
    ];
    used.into_iter().flatten().any(|name| name == INTERNAL_ENTRY_POINT)
}

fn resolve_entry_point(name: &str, entry_point: &mut EntryPoint, warnings: &mut Vec<String>) {
    let ranges = std::mem::take(&mut entry_point.whitelist_source_range);
    if !ranges.is_empty() {
        let key = format!("entryPoints.{name}.whitelistSourceRange");
        if entry_point.white_list.is_some() {
            warnings.push(format!("{key} is ignored, because whiteList is present: remove it"));
        } else {
            warnings.push(format!("{key} is deprecated: write it as whiteList.sourceRange"));
            entry_point.white_list = Some(WhiteList { source_range: ranges, use_x_forwarded_for: false });
        }
    }
    if let Some(tls) = &mut entry_point.tls {
        let files = std::mem::take(&mut tls.client_ca_files);
        if !files.is_empty() {
            warnings.push(format!("entryPoints.{name}.tls.clientCAFiles is deprecated: write it as clientCA.files"));
            tls.client_ca = Some(ClientCa { files, optional: false });
        }
    }
    entry_point.forwarded_headers.get_or_insert(ForwardedHeaders { insecure: true, trusted_ips: Vec::new() });
}

fn resolve_acme(acme: &mut Acme, warnings: &mut Vec<String>) {
    let storage_file = std::mem::take(&mut acme.storage_file);
    if !storage_file.is_empty() {
        warnings.push("acme.storageFile is deprecated: write it as acme.storage".to_owned());
        if acme.storage.is_empty() {
            acme.storage = storage_file;
        }
    }
    let provider = std::mem::take(&mut acme.dns_provider);
    let delay_before_check = std::mem::take(&mut acme.delay_dont_check_dns);
    if !provider.is_empty() {
        warnings.push("acme.dnsProvider is deprecated: write it as acme.dnsChallenge.provider".to_owned());
        acme.dns_challenge = Some(DnsChallenge { provider, delay_before_check, ..DnsChallenge::default() });
    } else if delay_before_check != GoDuration(0) {
        warnings.push(
            "acme.delayDontCheckDNS is ignored without dnsProvider: write dnsChallenge.delayBeforeCheck".to_owned(),
        );
    }
    resolve_challenges(acme, warnings);
    for (old, new) in ACME_V1_SERVERS {
        if acme.ca_server.starts_with(old) {
            warnings.push(format!("acme.caServer {} has been shut down, {new} is used: change it", acme.ca_server));
            acme.ca_server = new.to_owned();
        }
    }
    resolve_domains(acme, warnings);
}

const ACME_V1_SERVERS: [(&str, &str); 2] = [
    ("https://acme-v01.api.letsencrypt.org", "https://acme-v02.api.letsencrypt.org/directory"),
    ("https://acme-staging.api.letsencrypt.org", "https://acme-staging-v02.api.letsencrypt.org/directory"),
];

/// Keeps one challenge: DNS takes precedence over TLS and HTTP, and TLS over HTTP (docs/reference/acme.md#several-challenges).
fn resolve_challenges(acme: &mut Acme, warnings: &mut Vec<String>) {
    if acme.dns_challenge.is_some() && acme.tls_challenge.take().is_some() {
        warnings
            .push("acme.tlsChallenge is ignored, because acme.dnsChallenge is present: remove one of them".to_owned());
    }
    let winner = if acme.dns_challenge.is_some() { "dnsChallenge" } else { "tlsChallenge" };
    let is_overridden = acme.dns_challenge.is_some() || acme.tls_challenge.is_some();
    if is_overridden && acme.http_challenge.take().is_some() {
        warnings.push(format!("acme.httpChallenge is ignored, because acme.{winner} is present: remove one of them"));
    }
}

/// Writes names in lower case without a final dot. Removes each certificate whose main name another one covers, and each
/// alternative name that another certificate covers.
fn resolve_domains(acme: &mut Acme, warnings: &mut Vec<String>) {
    let normalise = |name: &mut String| *name = name.trim_end_matches('.').to_ascii_lowercase();
    for domain in &mut acme.domains {
        normalise(&mut domain.main);
        domain.sans.iter_mut().for_each(normalise);
    }
    let wildcards: Vec<String> =
        acme.domains.iter().filter_map(|domain| domain.main.strip_prefix("*.").map(str::to_owned)).collect();
    let mut seen: Vec<String> = Vec::new();
    acme.domains.retain_mut(|domain| {
        let own_wildcard = domain.main.strip_prefix("*.").map(str::to_owned);
        let covered = |name: &str| {
            let base = name.split_once('.').map(|(_, base)| base);
            let wildcard = wildcards.iter().any(|wildcard| Some(wildcard.as_str()) == base);
            wildcard && !name.starts_with("*.") && own_wildcard.as_deref() != base
        };
        if seen.contains(&domain.main) || covered(&domain.main) {
            warnings
                .push(format!("acme.domains: {} is ignored, because another entry covers it: remove it", domain.main));
            return false;
        }
        domain.sans.retain(|san| {
            let keep = !seen.contains(san) && !covered(san);
            if !keep {
                warnings.push(format!("acme.domains: {san} is ignored, because another entry covers it: remove it"));
            }
            keep
        });
        seen.push(domain.main.clone());
        seen.extend(domain.sans.iter().cloned());
        true
    });
}

fn resolve_providers(config: &mut StaticConfig, warnings: &mut Vec<String>) {
    for name in config.unsupported_providers() {
        warnings.push(format!(
            "[{name}] is not supported by Ringway, which has docker, file and key-value stores: the table is ignored"
        ));
    }
    if let Some(docker) = &mut config.docker {
        if docker.hosts.is_empty() {
            docker.endpoint = docker.engine_endpoint().to_owned();
        }
        if docker.swarm_mode_refresh_seconds <= 0 {
            docker.swarm_mode_refresh_seconds = SWARM_REFRESH_SECS;
        }
        if !docker.filename.is_empty() && docker.template_version != 2 {
            docker.template_version = 1;
        }
    }
    let Some(file) = &config.file else { return };
    if !file.filename.is_empty() && !file.directory.is_empty() {
        warnings.push("file.filename is ignored, because file.directory is present: remove one of them".to_owned());
    }
}

fn resolve_push_intervals(config: &mut StaticConfig, warnings: &mut Vec<String>) {
    let Some(metrics) = &mut config.metrics else { return };
    let intervals = [
        ("datadog", metrics.datadog.as_mut().map(|datadog| &mut datadog.push_interval)),
        ("statsd", metrics.statsd.as_mut().map(|statsd| &mut statsd.push_interval)),
        ("influxdb", metrics.influxdb.as_mut().map(|influxdb| &mut influxdb.push_interval)),
    ];
    for (name, interval) in intervals {
        let Some(interval) = interval else { continue };
        let problem = match GoDuration::parse_with_unit(interval) {
            Ok(duration) if duration.positive().is_some() => continue,
            Ok(_) => format!("\"{interval}\" is not above zero"),
            Err(invalid) => invalid.to_string(),
        };
        warnings.push(format!("metrics.{name}.pushInterval: {problem}; 10s is used"));
        *interval = "10s".to_owned();
    }
    if let Some(influxdb) = &mut metrics.influxdb {
        resolve_influxdb(influxdb, warnings);
    }
}

fn resolve_influxdb(influxdb: &mut InfluxDb, warnings: &mut Vec<String>) {
    if !matches!(influxdb.protocol.as_str(), "udp" | "http") {
        let written = std::mem::replace(&mut influxdb.protocol, "udp".to_owned());
        warnings.push(format!("metrics.influxdb.protocol: \"{written}\" is neither udp nor http; udp is used"));
    }
    let has_scheme = influxdb.address.starts_with("http://") || influxdb.address.starts_with("https://");
    match influxdb.protocol.as_str() {
        "http" if !has_scheme => {
            let address = &influxdb.address;
            warnings
                .push(format!("metrics.influxdb.address: \"{address}\" has no scheme; write it as http://{address}"));
            influxdb.address.insert_str(0, "http://");
        }
        "udp" if !(influxdb.database.is_empty() && influxdb.retention_policy.is_empty()) => {
            warnings.push(
                "metrics.influxdb: database and retentionPolicy have no effect with protocol = \"udp\": the receiver's \
                 configuration names the database"
                    .to_owned(),
            );
            influxdb.database.clear();
            influxdb.retention_policy.clear();
        }
        _ => {}
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
