//! Labels of containers: `key=value` lines, an empty line between containers. Reading them is a pure function, compiling them always gives
//! a snapshot, and a rejected container changes nothing for the containers before it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::config::Severity;
use ringway::config::labels::{ContainerFacts, DockerSettings, NetworkFacts, PortFacts, translate};
use ringway_fuzz::compiled;

fuzz_target!(|text: &str| {
    let containers: Vec<ContainerFacts> = text.split("\n\n").take(4).enumerate().map(container).collect();
    let settings =
        DockerSettings { domain: "docker.localhost".to_owned(), exposed_by_default: true, ..DockerSettings::default() };
    let all = translate(&containers, &settings);
    assert_eq!(all, translate(&containers, &settings), "a second time");

    let (last, before) = containers.split_last().expect("split gives at least one");
    let without = translate(before, &settings);
    let name = format!("container {}", last.plain_name());
    let (own, others): (Vec<_>, Vec<_>) = all.rejected.iter().partition(|rejected| rejected.name == name);
    if own.iter().any(|rejected| rejected.severity == Severity::Rejected) {
        assert_eq!(all.dynamic, without.dynamic, "a rejected container changed the others");
    }
    // A label whose value is ignored is listed too: it concerns no other container.
    assert_eq!(others, without.rejected.iter().filter(|rejected| rejected.name != name).collect::<Vec<_>>());
    assert!(all.rejected.iter().all(|rejected| !rejected.reason.is_empty()));

    let frontends = all.dynamic.frontends.len();
    let snapshot = compiled("docker", all.dynamic);
    let routes: usize = snapshot.routers.iter().map(|router| router.len()).sum();
    // Each frontend has a route on one of the two entry points or on both, or a reason for having none.
    assert!(routes <= 2 * frontends && routes + snapshot.rejected.len() >= frontends);
});

fn container((number, text): (usize, &str)) -> ContainerFacts {
    let labels = text.lines().filter_map(|line| line.split_once('='));
    let network = |ip: &str| NetworkFacts { id: format!("net-{ip}"), ip: ip.to_owned(), ..NetworkFacts::default() };
    ContainerFacts {
        id: format!("{number:064x}"),
        name: format!("/app-{number}"),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        running: true,
        network_mode: "bridge".to_owned(),
        networks: [("bridge".to_owned(), network("172.17.0.2")), ("web".to_owned(), network("172.18.0.2"))].into(),
        ports: vec![PortFacts { port: 80, protocol: "tcp".to_owned(), bindings: Vec::new() }],
        ..ContainerFacts::default()
    }
}
