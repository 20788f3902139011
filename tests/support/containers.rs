//! Many containers with typical labels, for measurements.

use std::collections::BTreeMap;

use ringway::config::labels::{ContainerFacts, DockerSettings, NetworkFacts, PortFacts};

/// Returns containers with a dozen labels each; one in ten has a host pattern, one in ten a path.
pub fn containers(count: usize) -> Vec<ContainerFacts> {
    (0..count).map(container).collect()
}

pub fn settings() -> DockerSettings {
    DockerSettings { domain: "example.org".to_owned(), exposed_by_default: true, ..DockerSettings::default() }
}

fn container(number: usize) -> ContainerFacts {
    let rule = match number % 10 {
        3 => format!("HostRegexp:{{sub:(www|api)-{number}[.](example|test)}}"),
        7 => format!("Host:shop.example.org;PathPrefixStrip:/part-{number}"),
        _ => format!("Host:app-{number}.example.org,www.app-{number}.example.org"),
    };
    let labels = [
        ("traefik.frontend.rule", rule.as_str()),
        ("traefik.port", "8080"),
        ("traefik.frontend.passHostHeader", "true"),
        ("traefik.frontend.headers.frameDeny", "true"),
        ("traefik.frontend.headers.STSSeconds", "31536000"),
        ("traefik.frontend.headers.customResponseHeaders", "X-Robots-Tag:noindex||X-Powered-By:"),
        ("traefik.frontend.whiteList.sourceRange", "10.0.0.0/8,192.168.0.0/16"),
        ("traefik.frontend.rateLimit.extractorFunc", "client.ip"),
        ("traefik.frontend.rateLimit.rateSet.a.period", "10s"),
        ("traefik.frontend.rateLimit.rateSet.a.average", "100"),
        ("traefik.frontend.rateLimit.rateSet.a.burst", "200"),
        ("traefik.backend.loadbalancer.stickiness", "true"),
        ("traefik.backend.circuitbreaker.expression", "NetworkErrorRatio() > 0.5"),
    ];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let ip = format!("172.18.{}.{}", number / 250, number % 250 + 2);
    let name = format!("/project_service_{number}");
    ContainerFacts {
        id: name.clone(),
        name,
        labels: BTreeMap::from(labels),
        running: true,
        networks: BTreeMap::from([(
            "bridge".to_owned(),
            NetworkFacts { id: "n".to_owned(), ip, ..NetworkFacts::default() },
        )]),
        ports: vec![PortFacts { port: 8080, protocol: "tcp".to_owned(), bindings: Vec::new() }],
        ..ContainerFacts::default()
    }
}

/// Resident memory of this process.
pub fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel's status of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line for it");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}
