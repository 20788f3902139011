//! Finds options that an entry point for datagrams cannot have, and services that cannot be on one (docs/reference/layer4.md#udp).

use super::problem::Problem;
use super::{EntryPoint, StaticConfig};
use crate::diagnostics::Code;

/// Checks the entry points whose address ends in `/udp`, and what refers to them.
pub(super) fn check_udp(config: &StaticConfig, problems: &mut Vec<Problem>) {
    for (name, entry_point) in &config.entry_points {
        let key = format!("entryPoints.{name}");
        match entry_point.is_udp() {
            true => check_options(&key, entry_point, problems),
            false => check_timeout(&key, entry_point, problems),
        }
    }
    check_references(config, problems);
}

/// Options that protect an entry point are fatal, because datagrams would pass without them; others are ignored with a warning.
fn check_options(key: &str, entry_point: &EntryPoint, problems: &mut Vec<Problem>) {
    let protecting = [
        ("tls", entry_point.tls.is_some()),
        ("auth", entry_point.auth.is_some()),
        ("proxyProtocol", entry_point.proxy_protocol.is_some()),
    ];
    for (option, _) in protecting.iter().filter(|(_, is_set)| *is_set) {
        let message = "cannot be applied to datagrams: remove the table, or /udp from the address".to_owned();
        problems.push(Problem::fatal(Code::NotForUdp, format!("{key}.{option}"), message));
    }
    let ignored = [("redirect", entry_point.redirect.is_some()), ("compress", entry_point.compress)];
    for (option, _) in ignored.iter().filter(|(_, is_set)| *is_set) {
        let message = "is ignored, because datagrams are no requests: remove it".to_owned();
        problems.push(Problem::warning(Code::NotForUdp, format!("{key}.{option}"), message));
    }
    if entry_point.udp.as_ref().is_some_and(|udp| udp.timeout.positive().is_none()) {
        let seconds = entry_point.udp_timeout().as_secs();
        let message = format!("is no time, {seconds}s is used: write a duration such as \"{seconds}s\"");
        problems.push(Problem::warning(Code::NotForUdp, format!("{key}.udp.timeout"), message));
    }
}

fn check_timeout(key: &str, entry_point: &EntryPoint, problems: &mut Vec<Problem>) {
    if entry_point.udp.is_some() {
        let message = "is ignored, because the entry point takes connections: end its address in /udp".to_owned();
        problems.push(Problem::warning(Code::IgnoredOption, format!("{key}.udp"), message));
    }
}

/// Checks what needs an entry point that takes requests.
fn check_references(config: &StaticConfig, problems: &mut Vec<Problem>) {
    let is_udp = |name: &str| config.entry_points.get(name).is_some_and(EntryPoint::is_udp);
    for name in config.default_entry_points.iter().filter(|name| is_udp(name)) {
        let message = format!("{name} takes datagrams and is the default of no frontend: remove it");
        problems.push(Problem::warning(Code::NotForUdp, "defaultEntryPoints", message));
    }
    let prometheus = config.metrics.as_ref().and_then(|metrics| metrics.prometheus.as_ref());
    let http_challenge = config.acme.as_ref().and_then(|acme| acme.http_challenge.as_ref());
    let services = [
        ("api", config.api.as_ref().map(|api| &api.entry_point)),
        ("ping", config.ping.as_ref().map(|ping| &ping.entry_point)),
        ("rest", config.rest.as_ref().map(|rest| &rest.entry_point)),
        ("metrics.prometheus", prometheus.map(|prometheus| &prometheus.entry_point)),
        ("acme.httpChallenge", http_challenge.map(|challenge| &challenge.entry_point)),
    ];
    for (service, name) in services {
        let Some(name) = name.filter(|name| is_udp(name)) else { continue };
        let message = format!("entry point {name} takes datagrams and no requests: name another one");
        problems.push(Problem::fatal(Code::NotForUdp, format!("{service}.entryPoint"), message));
    }
    for (name, entry_point) in &config.entry_points {
        let target = entry_point.redirect.as_ref().map(|redirect| redirect.entry_point.as_str());
        if let Some(target) = target.filter(|target| is_udp(target)) {
            let message = format!("entry point {target} takes datagrams and no requests: name another one");
            problems.push(Problem::fatal(Code::NotForUdp, format!("entryPoints.{name}.redirect.entryPoint"), message));
        }
    }
}
