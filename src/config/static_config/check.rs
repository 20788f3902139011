//! Finds options that cannot work (docs/reference/static-configuration.md#errors). The same mistakes are fatal as in Traefik v1,
//! with clearer messages; two of its panics (a redirect to itself, an auth table without users) are fatal errors, too.

use std::io;

use super::check_constraints::check_constraints;
use super::check_docker_hosts::check_docker_hosts;
use super::check_entry_points::{check_entry_points, check_user_lines};
use super::check_stores::check_stores;
use super::check_udp::check_udp;
use super::problem::Problem;
use super::{AccessLog, Acme, Docker, INTERNAL_ENTRY_POINT, LogLevel, StaticConfig};
use crate::config::pem;
use crate::diagnostics::Code;

/// Checks a resolved configuration without reading files; [`check_files`] checks the files that it names.
pub fn check(config: &StaticConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    check_entry_points(config, &mut problems);
    check_udp(config, &mut problems);
    check_names(config, &mut problems);
    check_level(config, &mut problems);
    if let Some(log) = &config.access_log {
        check_access_log(log, &mut problems);
    }
    if let Some(acme) = &config.acme {
        check_acme(config, acme, &mut problems);
    }
    check_constraints("constraints", &config.constraints, &mut problems);
    if let Some(docker) = &config.docker {
        check_constraints("docker.constraints", &docker.constraints, &mut problems);
        check_template(docker, &mut problems);
        check_docker_hosts(docker, &mut problems);
    }
    if let Some(file) = &config.file {
        check_constraints("file.constraints", &file.constraints, &mut problems);
    }
    check_stores(config, &mut problems);
    check_runtime(config, &mut problems);
    problems
}

/// Checks the files that a configuration names; `read` reads them. Files of users and client CAs that cannot be used are fatal;
/// certificates and root CAs that cannot be used, and damaged blocks among usable ones, are warnings (docs/reference/static-configuration.md#errors).
pub fn check_files(config: &StaticConfig, read: &dyn Fn(&str) -> io::Result<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, entry_point) in &config.entry_points {
        let prefix = format!("entryPoints.{name}");
        if let Some(auth) = &entry_point.auth {
            for (kind, users) in [("basic", &auth.basic), ("digest", &auth.digest)] {
                let Some(users) = users.as_ref().filter(|users| !users.users_file.is_empty()) else { continue };
                let key = format!("{prefix}.auth.{kind}.usersFile");
                match read(&users.users_file) {
                    Ok(text) => check_user_lines(&key, kind, user_lines(&text), &mut problems),
                    Err(error) => problems.push(Problem::fatal(
                        Code::UnreadableFile,
                        key,
                        pem::unreadable(&users.users_file, &error),
                    )),
                }
            }
        }
        let forward = entry_point.auth.iter().filter_map(|auth| auth.forward.as_ref()?.tls.as_ref());
        for tls in forward.filter(|tls| !tls.ca.is_empty()) {
            check_authorities(&format!("{prefix}.auth.forward.tls.ca"), &tls.ca, true, read, &mut problems);
        }
        let Some(tls) = &entry_point.tls else { continue };
        for file in tls.client_ca.iter().flat_map(|ca| &ca.files) {
            check_authorities(&format!("{prefix}.tls.clientCA.files"), file, true, read, &mut problems);
        }
        let listed = tls.certificates.iter().enumerate().map(|(index, files)| ("certificates", files, Some(index)));
        let default = tls.default_certificate.iter().map(|files| ("defaultCertificate", files, None));
        for (key, files, item) in listed.chain(default) {
            if let Err(reason) = pem::certificate(files, read) {
                let message = format!(
                    "{reason}; the certificate is ignored, and a self-signed one is served if there is no other one"
                );
                let problem = Problem::warning(Code::InvalidCertificate, format!("{prefix}.tls.{key}"), message);
                problems.push(Problem { item, ..problem });
            }
        }
    }
    for file in &config.root_cas {
        check_authorities("rootCAs", file, false, read, &mut problems);
    }
    if let Some(docker) = &config.docker {
        let hosts = docker.hosts.iter().enumerate();
        let of_hosts = hosts.map(|(index, host)| (format!("docker.hosts[{index}].tls.ca"), host.tls.as_ref()));
        let tables = std::iter::once(("docker.tls.ca".to_owned(), docker.tls.as_ref())).chain(of_hosts);
        for (key, tls) in tables.filter_map(|(key, tls)| Some((key, tls.filter(|tls| !tls.ca.is_empty())?))) {
            check_authorities(&key, &tls.ca, false, read, &mut problems);
        }
    }
    problems
}

/// Checks a bundle of authorities. A bundle without any usable certificate is fatal if `is_fatal`; blocks of it without effect are warnings.
fn check_authorities(
    key: &str,
    file_or_text: &str,
    is_fatal: bool,
    read: &dyn Fn(&str) -> io::Result<String>,
    problems: &mut Vec<Problem>,
) {
    match pem::authorities(file_or_text, read) {
        Ok(bundle) => problems
            .extend(bundle.unused.into_iter().map(|unused| Problem::warning(Code::InvalidAuthority, key, unused))),
        Err(message) if is_fatal => problems.push(Problem::fatal(Code::InvalidAuthority, key, message)),
        Err(message) => problems.push(Problem::warning(Code::InvalidAuthority, key, message)),
    }
}

/// The lines of a users file that name a user.
fn user_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A custom template decides which containers are reachable. Translating labels by the built-in rules instead could expose a
/// container that the template excludes, so `docker.filename` is fatal.
fn check_template(docker: &Docker, problems: &mut Vec<Problem>) {
    if !docker.filename.is_empty() {
        let message = format!(
            "{:?} is a Go template, which Ringway does not run: remove the key to have labels translated as by Traefik's own \
             template, and write routes that labels cannot express into a file for the file provider ([file])",
            docker.filename
        );
        problems.push(Problem::fatal(Code::CustomTemplate, "docker.filename", message));
    }
    if docker.template_version == 1 {
        let message =
            "1 is ignored, because Ringway runs no templates: labels are translated as by version 2; remove the key";
        problems.push(Problem::warning(Code::IgnoredOption, "docker.templateVersion", message));
    }
}

fn check_names(config: &StaticConfig, problems: &mut Vec<Problem>) {
    let exists = |name: &str| config.entry_points.contains_key(name);
    let all = || config.entry_points.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    for (index, name) in config.default_entry_points.iter().enumerate().filter(|(_, name)| !exists(name)) {
        let message = format!("there is no entry point {name}: use one of {}", all());
        problems.push(Problem::warning(Code::UnknownEntryPoint, "defaultEntryPoints", message).of_item(index));
    }
    let prometheus = config.metrics.as_ref().and_then(|metrics| metrics.prometheus.as_ref());
    let services = [
        ("api", config.api.as_ref().map(|api| &api.entry_point)),
        ("ping", config.ping.as_ref().map(|ping| &ping.entry_point)),
        ("rest", config.rest.as_ref().map(|rest| &rest.entry_point)),
        ("metrics.prometheus", prometheus.map(|prometheus| &prometheus.entry_point)),
    ];
    for (service, name) in services {
        let Some(name) = name.filter(|name| !exists(name) && *name != INTERNAL_ENTRY_POINT) else { continue };
        let message = format!("there is no entry point {name:?}, so {service} cannot be reached: use one of {}", all());
        problems.push(Problem::warning(Code::UnknownEntryPoint, format!("{service}.entryPoint"), message));
    }
}

fn check_level(config: &StaticConfig, problems: &mut Vec<Problem>) {
    if !config.log_level.is_empty() && LogLevel::parse(&config.log_level).is_none() {
        let message =
            format!("{:?} is no level, error is used: use debug, info, warn, error, fatal or panic", config.log_level);
        problems.push(Problem::warning(Code::InvalidValue, "logLevel", message));
    }
}

fn check_access_log(log: &AccessLog, problems: &mut Vec<Problem>) {
    for codes in log.filters.iter().flat_map(|filters| &filters.status_codes) {
        let (low, high) = codes.split_once('-').unwrap_or((codes, codes));
        let valid = matches!((low.parse::<u16>(), high.parse::<u16>()), (Ok(low), Ok(high)) if low <= high);
        if !valid {
            let message = format!("{codes:?} is no status: write \"404\" or \"500-599\"");
            problems.push(Problem::warning(Code::InvalidValue, "accessLog.filters.statusCodes", message));
        }
    }
    let Some(fields) = &log.fields else { return };
    let mut mode = |key: &str, mode: &str, known: &[&str]| {
        if !known.contains(&mode) {
            let message = format!("{mode:?} is no mode: use {}", known.join(" or "));
            problems.push(Problem::warning(Code::InvalidValue, format!("accessLog.fields.{key}"), message));
        }
    };
    let (field_modes, header_modes) = (["keep", "drop"], ["keep", "drop", "redact"]);
    mode("defaultMode", &fields.default_mode, &field_modes);
    for (name, chosen) in &fields.names {
        mode(&format!("names.{name}"), chosen, &field_modes);
    }
    let Some(headers) = &fields.headers else { return };
    mode("headers.defaultMode", &headers.default_mode, &header_modes);
    for (name, chosen) in &headers.names {
        mode(&format!("headers.names.{name}"), chosen, &header_modes);
    }
}

const KEY_TYPES: [&str; 5] = ["EC256", "EC384", "RSA2048", "RSA4096", "RSA8192"];

fn check_acme(config: &StaticConfig, acme: &Acme, problems: &mut Vec<Problem>) {
    match config.entry_points.get(&acme.entry_point) {
        None => {
            let message = format!("there is no entry point {:?}: name the one that serves HTTPS", acme.entry_point);
            problems.push(Problem::fatal(Code::AcmeEntryPoint, "acme.entryPoint", message));
        }
        Some(entry_point) if entry_point.tls.is_none() => {
            let name = &acme.entry_point;
            let message = format!("entry point {name} has no TLS: add an empty [entryPoints.{name}.tls]");
            problems.push(Problem::fatal(Code::AcmeEntryPoint, "acme.entryPoint", message));
        }
        Some(_) => {}
    }
    if acme.storage.is_empty() {
        let message = "is missing, so no certificate is requested: name the JSON file to keep certificates in";
        problems.push(Problem::warning(Code::AcmeStorage, "acme.storage", message));
    }
    if !KEY_TYPES.contains(&acme.key_type.as_str()) {
        let message = format!("{:?} is unknown, RSA4096 is used: use one of {}", acme.key_type, KEY_TYPES.join(", "));
        problems.push(Problem::warning(Code::InvalidValue, "acme.keyType", message));
    }
    check_challenge(config, acme, problems);
}

fn check_challenge(config: &StaticConfig, acme: &Acme, problems: &mut Vec<Problem>) {
    if acme.http_challenge.is_none() && acme.tls_challenge.is_none() && acme.dns_challenge.is_none() {
        let message = "no challenge is chosen, so no certificate can be requested: add [acme.httpChallenge]";
        problems.push(Problem::warning(Code::AcmeChallenge, "acme", message));
    }
    let http = acme.http_challenge.as_ref().map(|challenge| &challenge.entry_point);
    if let Some(name) = http.filter(|name| !config.entry_points.contains_key(*name)) {
        let message = format!("there is no entry point {name:?}: name the one on port 80");
        problems.push(Problem::warning(Code::AcmeChallenge, "acme.httpChallenge.entryPoint", message));
    }
    check_acme_ports(config, acme, problems);
    for (index, domain) in acme.domains.iter().enumerate() {
        for name in std::iter::once(&domain.main).chain(&domain.sans) {
            if name.starts_with("*.*") {
                let message = format!("{name}: no authority signs two wildcards: use one");
                problems.push(Problem::warning(Code::AcmeWildcard, "acme.domains", message).of_item(index));
            } else if name.starts_with("*.") && acme.dns_challenge.is_none() {
                let message = format!("{name}: a wildcard needs [acme.dnsChallenge]: list the names one by one");
                problems.push(Problem::warning(Code::AcmeWildcard, "acme.domains", message).of_item(index));
            }
        }
    }
}

/// Checks the ports that authorities connect to. A router in front may lead from there to another port.
fn check_acme_ports(config: &StaticConfig, acme: &Acme, problems: &mut Vec<Problem>) {
    let port = |name: &str| config.entry_points.get(name)?.listen().ok().map(|listen| listen.port);
    let http = acme.http_challenge.as_ref().map(|challenge| (challenge.entry_point.as_str(), 80));
    let tls = acme.tls_challenge.as_ref().map(|_| (acme.entry_point.as_str(), 443));
    let has_tls = config.entry_points.get(&acme.entry_point).is_some_and(|entry| entry.tls.is_some());
    let tls = tls.filter(|_| has_tls);
    for (key, (name, wanted)) in
        http.map(|h| ("acme.httpChallenge.entryPoint", h)).into_iter().chain(tls.map(|t| ("acme.entryPoint", t)))
    {
        let Some(other) = port(name).filter(|port| *port != wanted && *port != 0) else { continue };
        let message = format!(
            "entry point {name} listens on port {other}, and authorities connect to port {wanted}: right only if {wanted} is forwarded to it"
        );
        problems.push(Problem::note(Code::AcmePort, key, message));
    }
}

const DRIVERS: [&str; 3] = ["auto", "io_uring", "epoll"];

fn check_runtime(config: &StaticConfig, problems: &mut Vec<Problem>) {
    if !DRIVERS.contains(&config.driver.as_str()) {
        let message = format!("{:?} is unknown: use {}", config.driver, DRIVERS.join(", "));
        problems.push(Problem::fatal(Code::InvalidValue, "driver", message));
    }
    for (key, number, zero) in [
        ("workers", config.workers, "one worker per core"),
        ("maxConnections", config.max_connections, "100,000 for each worker"),
        ("maxConnectionsPerAddress", config.max_connections_per_address, "half of all"),
    ] {
        if number < 0 {
            problems.push(Problem::fatal(Code::InvalidValue, key, format!("{number} is negative: use 0 for {zero}")));
        }
    }
}
