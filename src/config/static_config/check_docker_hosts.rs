//! Finds mistakes in `[[docker.hosts]]` (docs/reference/providers.md#several-docker-hosts).

use std::collections::BTreeMap;

use super::check_constraints::check_constraints;
use super::problem::Problem;
use super::providers::{Docker, DockerHost};
use crate::diagnostics::Code;

/// Checks the options of all hosts.
pub(super) fn check_docker_hosts(docker: &Docker, problems: &mut Vec<Problem>) {
    if docker.hosts.is_empty() {
        return;
    }
    if !docker.endpoint.is_empty() {
        let message = format!(
            "{:?} is written beside [[docker.hosts]]: remove it, and give this Engine a [[docker.hosts]] of its own",
            docker.endpoint
        );
        problems.push(fatal("docker.endpoint", message));
    }
    if docker.tls.is_some() {
        let message = "belongs to docker.endpoint: write [docker.hosts.tls] below the [[docker.hosts]] that is meant";
        problems.push(fatal("docker.tls", message));
    }
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (index, host) in docker.hosts.iter().enumerate() {
        check_name(index, host, &mut names, problems);
        check_endpoint(index, host, problems);
        if let Some(first) = docker.hosts[..index].iter().position(|other| other.endpoint == host.endpoint)
            && !host.endpoint.is_empty()
        {
            let message = format!(
                "{:?} is the endpoint of docker.hosts[{first}] too, so that each container would count twice: remove one of them",
                host.endpoint
            );
            problems.push(fatal(key(index, "endpoint"), message));
        }
        check_address(index, host, docker.swarm_mode || host.swarm_mode, problems);
        check_constraints(&key(index, "constraints"), &host.constraints, problems);
    }
}

fn check_name(index: usize, host: &DockerHost, names: &mut BTreeMap<String, usize>, problems: &mut Vec<Problem>) {
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if host.name.is_empty() || !host.name.chars().all(is_name_char) {
        let message = match host.name.is_empty() {
            true => "is missing: give each [[docker.hosts]] a name of its own".to_owned(),
            false => format!("{:?} is no name of a host: use letters, digits, `-`, `_` and `.`", host.name),
        };
        problems.push(fatal(key(index, "name"), message));
        return;
    }
    // Names of servers have `-` in place of the other signs, so that these names would be one.
    let same = host.name.to_ascii_lowercase().replace(['_', '.'], "-");
    if let Some(first) = names.insert(same, index) {
        let message =
            format!("{:?} is the name of docker.hosts[{first}] too: give each host a name of its own", host.name);
        problems.push(fatal(key(index, "name"), message));
    }
}

fn check_endpoint(index: usize, host: &DockerHost, problems: &mut Vec<Problem>) {
    let forms = "write unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST";
    if !is_known_endpoint(&host.endpoint) {
        let message = match host.endpoint.is_empty() {
            true => format!("is missing: {forms}"),
            false => format!("{:?} is no address of a Docker Engine: {forms}", host.endpoint),
        };
        problems.push(fatal(key(index, "endpoint"), message));
        return;
    }
    let scheme = host.endpoint.split_once("://").map_or("", |(scheme, _)| scheme);
    if host.tls.is_some() && matches!(scheme, "unix" | "ssh") {
        let message = format!("has no effect with {scheme}://, which needs no TLS: remove the table");
        problems.push(Problem::warning(Code::IgnoredOption, key(index, "tls"), message));
    }
}

fn is_known_endpoint(endpoint: &str) -> bool {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or_default();
    matches!(scheme, "unix" | "tcp" | "http" | "https" | "ssh") && !rest.is_empty()
}

fn check_address(index: usize, host: &DockerHost, is_swarm: bool, problems: &mut Vec<Problem>) {
    let key = key(index, "address");
    if host.address.is_empty() {
        if is_known_endpoint(&host.endpoint) && !host.endpoint.starts_with("unix://") && !is_swarm {
            let message = "is missing, so containers are reached at their own addresses: right only if the proxy has a route to their \
                           networks; else write the address of the host, where published ports are reached";
            problems.push(Problem::note(Code::InvalidValue, key, message));
        }
        return;
    }
    let is_ip = host.address.parse::<std::net::IpAddr>().is_ok();
    if !is_ip && host.address.contains(['/', ':', '[', ']', '@', ' ']) {
        let message =
            format!("{:?} is neither an IP address nor a host name: write it without scheme and port", host.address);
        problems.push(fatal(key, message));
    } else if is_swarm {
        let message =
            "has no effect in swarm mode, where tasks are reached in the networks of their services: remove the key";
        problems.push(Problem::warning(Code::IgnoredOption, key, message));
    }
}

fn key(index: usize, option: &str) -> String {
    format!("docker.hosts[{index}].{option}")
}

fn fatal(key: impl Into<String>, message: impl Into<String>) -> Problem {
    Problem::fatal(Code::InvalidDockerHost, key, message)
}
