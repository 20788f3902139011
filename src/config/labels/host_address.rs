//! Finds the address of a container on a Docker host of which the proxy reaches the published ports only
//! (docs/reference/providers.md#several-docker-hosts).

use std::net::IpAddr;

use super::address_context::{AddressContext, CONTAINER_LINKS_MAX};
use super::container::{BindingFacts, ContainerFacts, PortFacts};
use super::protocol;
use super::values::Labels;

/// The address and port at which the container's `port` is reached from another machine; `host` is the address of its own.
///
/// # Errors
/// The port is not published there; the sentence says what to do.
pub fn find(
    container: &ContainerFacts,
    labels: &Labels,
    port: &str,
    host: &str,
    ctx: &AddressContext,
) -> Result<(String, String), String> {
    let mut owner = container;
    for _ in 0..CONTAINER_LINKS_MAX {
        if owner.uses_host_network() {
            return Ok((host.to_owned(), port.to_owned()));
        }
        // A container in the network of another one has no published ports: those of the other one lead to it.
        let Some(other) = owner.network_mode.strip_prefix("container:") else { break };
        owner = ctx.find(&owner.host, other).ok_or_else(|| {
            format!("it uses the network of container {other}, which is not running; start that container")
        })?;
    }
    let wanted = |exposed: &&PortFacts| exposed.port.to_string() == port;
    let bindings: Vec<&BindingFacts> =
        protocol::ports(owner, labels).filter(wanted).flat_map(|exposed| &exposed.bindings).collect();
    let is_usable = |binding: &&&BindingFacts| is_loopback(host) || !is_loopback(&binding.host_ip);
    let Some(binding) = bindings.iter().find(is_usable) else {
        return Err(match bindings.is_empty() {
            true => format!(
                "its port {port} is not published, and its host is reached at {host}: publish the port (`ports:` of compose, `-p` of docker \
                 run), or remove the address of this host if the proxy has a route to its networks"
            ),
            false => format!(
                "its port {port} is published at {} only, where the proxy does not reach it: publish it at an address of the host",
                bindings[0].host_ip
            ),
        });
    };
    let ip = match ctx.settings.use_bind_port_ip && !is_unspecified(&binding.host_ip) {
        true => binding.host_ip.clone(),
        false => host.to_owned(),
    };
    Ok((ip, binding.host_port.clone()))
}

fn is_loopback(address: &str) -> bool {
    address == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_unspecified(address: &str) -> bool {
    address.is_empty() || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::labels::{DockerSettings, HostSettings, translate};

    fn container(host: &str, id: &str, bindings: &[(&str, &str)]) -> ContainerFacts {
        let binding = |(ip, port): &(&str, &str)| BindingFacts { host_ip: (*ip).into(), host_port: (*port).into() };
        let bindings = bindings.iter().map(binding).collect();
        ContainerFacts {
            id: id.into(),
            name: format!("/{id}"),
            host: host.into(),
            running: true,
            ports: vec![PortFacts { port: 80, protocol: "tcp".into(), bindings }],
            networks: [(
                "bridge".to_owned(),
                crate::config::labels::NetworkFacts { ip: "172.17.0.2".into(), ..Default::default() },
            )]
            .into(),
            ..ContainerFacts::default()
        }
    }

    fn settings(hosts: &[(&str, &str)]) -> DockerSettings {
        let host = |(name, address): &(&str, &str)| {
            ((*name).to_owned(), HostSettings { address: (*address).into(), ..HostSettings::default() })
        };
        DockerSettings {
            exposed_by_default: true,
            domain: "test".into(),
            hosts: hosts.iter().map(host).collect(),
            ..DockerSettings::default()
        }
    }

    fn urls(containers: &[ContainerFacts], settings: &DockerSettings) -> Vec<String> {
        let backends = translate(containers, settings).dynamic.backends;
        backends.values().flat_map(|backend| backend.servers.values().map(|server| server.url.clone())).collect()
    }

    #[test]
    fn container_of_another_host_is_reached_at_its_published_port() {
        let mut settings = settings(&[("b", "10.0.0.2")]);
        for (binding, own, plain) in [
            (("0.0.0.0", "8080"), "http://10.0.0.2:8080", "http://10.0.0.2:8080"),
            (("::", "8080"), "http://10.0.0.2:8080", "http://10.0.0.2:8080"),
            (("", "8080"), "http://10.0.0.2:8080", "http://10.0.0.2:8080"),
            (("192.0.2.9", "8080"), "http://192.0.2.9:8080", "http://10.0.0.2:8080"),
        ] {
            settings.use_bind_port_ip = true;
            assert_eq!(urls(&[container("b", "web", &[binding])], &settings), [own], "{binding:?}");
            settings.use_bind_port_ip = false;
            assert_eq!(urls(&[container("b", "web", &[binding])], &settings), [plain], "{binding:?}");
        }
    }

    #[test]
    fn container_without_a_reachable_port_gets_no_server_and_the_reason() {
        let settings = settings(&[("b", "10.0.0.2"), ("a", "")]);
        for (bindings, part) in [
            (&[][..], "its port 80 is not published, and its host is reached at 10.0.0.2"),
            (&[("127.0.0.1", "8080")], "published at 127.0.0.1 only"),
        ] {
            let translated = translate(&[container("b", "web", bindings)], &settings);
            assert!(translated.dynamic.backends["backend-web"].servers.is_empty());
            let rejected = &translated.rejected[0];
            assert_eq!(rejected.name, "container web@b");
            assert!(rejected.reason.contains(part), "{part:?} is missing in {}", rejected.reason);
        }
        let both = [("127.0.0.1", "8080"), ("0.0.0.0", "8081")];
        assert_eq!(urls(&[container("b", "web", &both)], &settings), ["http://10.0.0.2:8081"]);
    }

    #[test]
    fn network_of_the_host_or_of_another_container_decides_the_port() {
        let settings = settings(&[("b", "10.0.0.2"), ("c", "10.0.0.3")]);
        let mut host_network = container("b", "web", &[]);
        host_network.network_mode = "host".to_owned();
        assert_eq!(urls(&[host_network], &settings), ["http://10.0.0.2:80"]);
        let mut sidecar = container("b", "app", &[]);
        (sidecar.network_mode, sidecar.networks) = ("container:net".to_owned(), BTreeMap::new());
        // A container of another host has the same name.
        let others = [sidecar, container("c", "net", &[("", "1")]), container("b", "net", &[("", "2")])];
        let backends = translate(&others, &settings).dynamic.backends;
        let of_app: Vec<_> = backends["backend-app"].servers.values().map(|server| server.url.clone()).collect();
        assert_eq!(of_app, ["http://10.0.0.2:2"]);
    }

    #[test]
    fn containers_of_two_hosts_with_one_name_are_two_servers_of_one_backend() {
        // Both Engines give the first container of their default network the same address.
        let settings = settings(&[("a", ""), ("b", "")]);
        let translated = translate(&[container("a", "web", &[]), container("b", "web", &[])], &settings);
        assert_eq!(translated.dynamic.frontends.len(), 1);
        let names: Vec<_> =
            translated.dynamic.backends["backend-web"].servers.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names.iter().any(|name| name.ends_with("-a")) && names.iter().any(|name| name.ends_with("-b")));
        assert_eq!(translated.rejected, []);
    }

    #[test]
    fn constraint_of_a_host_holds_for_its_containers_alone() {
        let mut settings = settings(&[("a", ""), ("b", "")]);
        if let Some(host) = settings.hosts.get_mut("b") {
            host.constraints = vec!["tag==public".to_owned()];
        }
        let translated = translate(&[container("a", "web", &[]), container("b", "web", &[])], &settings);
        assert_eq!(translated.dynamic.backends["backend-web"].servers.len(), 1);
        assert_eq!(translated.reports[1].name, "web@b");
        assert!(translated.reports[1].unrouted_reason().is_some_and(|reason| reason.contains("tag==public")));
    }
}
