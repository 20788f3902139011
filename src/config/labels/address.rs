//! Finds the address, port and URL of a container's server (docs/reference/providers.md#server-address).

use std::collections::BTreeSet;

use super::address_context::{AddressContext, CONTAINER_LINKS_MAX};
use super::container::{BindingFacts, ContainerFacts, DockerSettings};
use super::host_address;
use super::protocol::{self, protocol};
use super::values::{InvalidLabel, Labels};
use crate::diagnostics::Code;

/// The server's URL; `Ok(None)`, with a warning, if the container has no address.
pub fn server_url(
    container: &ContainerFacts,
    labels: &Labels,
    ctx: &AddressContext,
) -> Result<Option<String>, InvalidLabel> {
    let port = port(container, labels);
    if !port.is_empty() && !is_port(&port) {
        return Err(labels.bad("traefik.port", &port, "it is no port: write a number from 1 to 65535"));
    }
    if let Some(text) = unexposed(container, labels, &port) {
        labels.remark(Code::PortNotExposed, &labels.name_as_written("traefik.port"), text);
    }
    let scheme = protocol(labels)?;
    if port.is_empty() && protocol::layer4(labels).is_some() {
        let label = labels.name_as_written("traefik.port");
        let text = format!(
            "no server created: it exposes no port of {scheme}; set {label}, or EXPOSE the port with /{scheme} in its image"
        );
        labels.warn_plainly(Code::NoPort, &label, text);
        return Ok(None);
    }
    let at_host = ctx.settings.host_address(container);
    let (ip, port) = match (at_host, published(container, labels, &port, ctx.settings)) {
        (Some(address), _) => match host_address::find(container, labels, &port, address, ctx) {
            Ok(found) => found,
            Err(reason) => {
                labels.warn_plainly(Code::NoAddress, "", format!("no server created: {reason}"));
                return Ok(None);
            }
        },
        (None, Some(binding)) => (binding.host_ip.clone(), binding.host_port.clone()),
        (None, None) => (ip_address(container, labels, ctx), port),
    };
    if ip.is_empty() {
        return Ok(None);
    }
    Ok(Some(if ip.contains(':') { format!("{scheme}://[{ip}]:{port}") } else { format!("{scheme}://{ip}:{port}") }))
}

/// The message about a port label that names none of the exposed ports. A container that exposes no port says nothing about its ports.
fn unexposed(container: &ContainerFacts, labels: &Labels, port: &str) -> Option<String> {
    labels.raw("traefik.port").filter(|_| container.has_own_network())?;
    let mut exposed: Vec<u16> = protocol::ports(container, labels).map(|exposed| exposed.port).collect();
    if exposed.is_empty() || exposed.iter().any(|exposed| exposed.to_string() == port) {
        return None;
    }
    exposed.sort_unstable();
    exposed.dedup();
    let list = exposed.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let label = labels.name_as_written("traefik.port");
    Some(format!("label {label} has the value `{port}`: the container exposes {list} and not this port"))
}

/// `traefik.port`, else the lowest exposed port (of any transport for requests, else of the one that is passed on), else empty.
pub fn port(container: &ContainerFacts, labels: &Labels) -> String {
    if let Some(port) = labels.raw("traefik.port") {
        return port.to_owned();
    }
    protocol::ports(container, labels)
        .map(|exposed| exposed.port)
        .min()
        .map(|port| port.to_string())
        .unwrap_or_default()
}

/// The host's address and port under which the container's port is published, if `usebindportip` is set. `None` if the first published
/// address is empty or `0.0.0.0`.
pub fn published<'a>(
    container: &'a ContainerFacts,
    labels: &Labels,
    port: &str,
    settings: &DockerSettings,
) -> Option<&'a BindingFacts> {
    if !settings.use_bind_port_ip {
        return None;
    }
    let matching = protocol::ports(container, labels).filter(|exposed| exposed.port.to_string() == port);
    let binding = matching.filter_map(|exposed| exposed.bindings.first()).next()?;
    (!binding.host_ip.is_empty() && binding.host_ip != "0.0.0.0").then_some(binding)
}

/// The container's address. The first of these that applies counts: the named network, the host, another container's network, a network
/// that the proxy shares, the first network by name. Empty if none gives an address.
pub fn ip_address(container: &ContainerFacts, labels: &Labels, ctx: &AddressContext) -> String {
    let wanted = container.label("traefik.docker.network").unwrap_or(&ctx.settings.network);
    if !wanted.is_empty() {
        let warn = |advice: &str| match container.label("traefik.docker.network") {
            Some(_) => {
                let text = labels.bad("traefik.docker.network", wanted, advice).to_string();
                labels.warn_plainly(Code::NetworkNotShared, "traefik.docker.network", text);
            }
            None => {
                let text = format!("the option docker.network has the value `{wanted}`: {advice}");
                labels.remark(Code::NetworkNotShared, "", text);
            }
        };
        if let Some(network) = container.networks.get(wanted) {
            if network.ip.is_empty() {
                warn("no server created: the container has no IP address in this network; choose another one");
            }
            return network.ip.clone();
        }
        let present = container.networks.keys().cloned().collect::<Vec<_>>().join(", ");
        warn(&format!(
            "the container is not attached to it, only to [{present}]: use the full name, as in project_net"
        ));
    }
    let address = address_by_network_mode(container, ctx);
    match &address {
        Address::Found { network: Some(name), is_ingress: true, .. } => labels.warn_plainly(
            Code::NetworkNotShared,
            "",
            format!(
            "its only network is {name}, the swarm's ingress network, which carries no requests between containers: attach its service to \
             an overlay network of the proxy"
            ),
        ),
        Address::Found { network: Some(name), .. } if !ctx.settings.own_networks(container).is_empty() => {
            if let Some(text) = unshared(container, name, ctx.settings.own_networks(container)) {
                labels.remark(Code::NetworkNotShared, "", text);
            }
        }
        Address::Found { .. } => {}
        Address::OtherIsMissing(other) => {
            let text = format!(
                "no server created: it uses the network of container {other}, which is not running; start that container"
            );
            labels.warn_plainly(Code::NoAddress, "", text);
        }
        Address::Missing => labels.warn_plainly(
            Code::NoAddress,
            "",
            "no server created: no IP address in any network; attach the container to a network of the proxy".to_owned(),
        ),
    }
    match address {
        Address::Found { ip, .. } => ip,
        Address::OtherIsMissing(_) | Address::Missing => String::new(),
    }
}

/// The message about an address in a network that the proxy is not attached to. None about a container that has no network of its own.
fn unshared(container: &ContainerFacts, network: &str, own: &BTreeSet<String>) -> Option<String> {
    if own.contains(network) || !container.has_own_network() || own.contains("host") {
        return None;
    }
    let own = own.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    Some(format!(
        "it is in network {network}, and the proxy is in [{own}] only: attach the container to a network of the proxy, or the proxy to {network}"
    ))
}

/// The result of the search for an address.
enum Address {
    Found {
        ip: String,
        network: Option<String>,
        is_ingress: bool,
    },
    /// The container uses the network of this other one, which is not among the containers.
    OtherIsMissing(String),
    Missing,
}

impl Address {
    fn of(ip: String) -> Address {
        if ip.is_empty() { Address::Missing } else { Address::Found { ip, network: None, is_ingress: false } }
    }
}

fn address_by_network_mode(container: &ContainerFacts, ctx: &AddressContext) -> Address {
    let mut current = container;
    for _ in 0..CONTAINER_LINKS_MAX {
        if current.uses_host_network() {
            let node = current.node_ip.clone().filter(|ip| !ip.is_empty());
            return Address::of(node.unwrap_or_else(|| "127.0.0.1".to_owned()));
        }
        let Some(other) = current.network_mode.strip_prefix("container:") else {
            return shared_or_first_address(current, ctx.settings);
        };
        match ctx.find(&current.host, other) {
            Some(next) => current = next,
            // Podman gives a container the addresses of the network that it shares.
            None => match shared_or_first_address(current, ctx.settings) {
                Address::Missing => return Address::OtherIsMissing(other.to_owned()),
                found => return found,
            },
        }
        // A label of the other container may name a network.
        let wanted = current.label("traefik.docker.network").unwrap_or(&ctx.settings.network);
        if let Some(network) = current.networks.get(wanted) {
            return Address::of(network.ip.clone());
        }
    }
    Address::Missing
}

/// The address in a network that the proxy shares, else in the first network by name; in the swarm's ingress network only if there is no
/// other. Traefik picks a random one.
fn shared_or_first_address(container: &ContainerFacts, settings: &DockerSettings) -> Address {
    let usable = container.networks.iter().filter(|(_, network)| !network.ip.is_empty());
    let own = settings.own_networks(container);
    let best = usable.min_by_key(|(name, network)| (network.is_ingress, !own.contains(*name)));
    best.map_or(Address::Missing, |(name, network)| Address::Found {
        ip: network.ip.clone(),
        network: Some(name.clone()),
        is_ingress: network.is_ingress,
    })
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::labels::container::{NetworkFacts, PortFacts};

    fn container(networks: &[(&str, &str)]) -> ContainerFacts {
        let networks = networks
            .iter()
            .map(|(name, ip)| (name.to_string(), NetworkFacts { ip: ip.to_string(), ..NetworkFacts::default() }))
            .collect();
        ContainerFacts { name: "/c".into(), id: "c0".into(), running: true, networks, ..Default::default() }
    }

    fn address(container: &ContainerFacts, settings: &DockerSettings, others: &[ContainerFacts]) -> String {
        let labels = Labels::whole(&container.labels);
        ip_address(container, &labels, &AddressContext { settings, containers: others })
    }

    #[test]
    fn network_shared_with_proxy_wins_over_first_by_name() {
        let two = container(&[("a", "10.0.0.1"), ("b", "10.0.0.2"), ("0", "")]);
        let mut settings = DockerSettings::default();
        assert_eq!(address(&two, &settings, &[]), "10.0.0.1");
        settings.own_networks.insert("b".into());
        assert_eq!(address(&two, &settings, &[]), "10.0.0.2");
    }

    #[test]
    fn ingress_network_is_used_only_without_another_and_with_a_warning() {
        let mut task = container(&[("ingress", "10.0.0.1"), ("stack_default", "10.0.1.1")]);
        let mut settings = DockerSettings::default();
        settings.own_networks.insert("ingress".into());
        assert_eq!(address(&task, &settings, &[]), "10.0.0.1", "a name says nothing");
        task.networks.get_mut("ingress").unwrap().is_ingress = true;
        assert_eq!(address(&task, &settings, &[]), "10.0.1.1");
        task.networks.remove("stack_default");
        let labels = Labels::whole(&task.labels);
        let ctx = AddressContext { settings: &settings, containers: &[] };
        assert_eq!(ip_address(&task, &labels, &ctx), "10.0.0.1");
        assert!(labels.into_warnings()[0].text.contains("ingress network"));
    }

    #[test]
    fn host_network_is_recognised_by_name_or_id() {
        let by_id = ContainerFacts { network_mode: "a319953a".into(), ..container(&[("host", "")]) };
        let by_name = ContainerFacts { network_mode: "host".into(), ..container(&[]) };
        for container in [by_id, by_name] {
            assert_eq!(address(&container, &DockerSettings::default(), &[]), "127.0.0.1");
            assert!(!container.has_own_network());
        }
        let node = ContainerFacts { node_ip: Some("10.9.9.9".into()), network_mode: "host".into(), ..container(&[]) };
        assert_eq!(address(&node, &DockerSettings::default(), &[]), "10.9.9.9");
    }

    #[test]
    fn ipv6_address_stands_in_brackets() {
        let six = container(&[("a", "fd00::7")]);
        let settings = DockerSettings::default();
        let labels = BTreeMap::from([("traefik.port".to_owned(), "80".to_owned())]);
        let ctx = AddressContext { settings: &settings, containers: &[] };
        assert_eq!(server_url(&six, &Labels::whole(&labels), &ctx).unwrap().as_deref(), Some("http://[fd00::7]:80"));
    }

    #[test]
    fn missing_address_is_explained_by_its_cause() {
        let warning = |container: &ContainerFacts, settings: &DockerSettings| {
            let labels = Labels::whole(&container.labels);
            ip_address(container, &labels, &AddressContext { settings, containers: &[] });
            let remarks = labels.take_remarks();
            remarks.into_iter().chain(labels.into_warnings()).map(|warning| warning.text).collect::<String>()
        };
        let plain = DockerSettings::default();
        assert!(
            warning(&container(&[("a", "")]), &plain).starts_with("no server created: no IP address in any network")
        );
        let guest = ContainerFacts { network_mode: "container:main".into(), ..container(&[]) };
        assert!(warning(&guest, &plain).contains("container main, which is not running"));
        let in_pod = ContainerFacts { network_mode: "container:main".into(), ..container(&[("podman", "10.88.0.2")]) };
        assert_eq!(address(&in_pod, &plain, &[]), "10.88.0.2");
        let named = DockerSettings { network: "web".into(), ..DockerSettings::default() };
        let text = warning(&container(&[("a", "10.0.0.1")]), &named);
        assert!(text.starts_with("the option docker.network has the value `web`"), "{text}");
    }

    #[test]
    fn container_network_links_are_followed_up_to_a_bound() {
        let mut guest = container(&[]);
        guest.network_mode = "container:main".into();
        let main = ContainerFacts { id: "main".into(), ..container(&[("a", "10.0.0.9")]) };
        assert_eq!(address(&guest, &DockerSettings::default(), &[main]), "10.0.0.9");
        let cycle = ContainerFacts { id: "main".into(), ..guest.clone() };
        assert_eq!(address(&guest, &DockerSettings::default(), &[cycle]), "");
    }

    #[test]
    fn published_address_is_used_unless_it_is_0_0_0_0() {
        let settings = DockerSettings { use_bind_port_ip: true, ..Default::default() };
        for (host_ip, expected) in
            [("127.0.0.1", "http://127.0.0.1:8000"), ("0.0.0.0", "http://10.0.0.1:80"), ("::", "http://[::]:8000")]
        {
            let mut c = container(&[("a", "10.0.0.1")]);
            let bindings = vec![BindingFacts { host_ip: host_ip.into(), host_port: "8000".into() }];
            c.ports = vec![PortFacts { port: 80, protocol: "tcp".into(), bindings }];
            let labels = Labels::whole(&c.labels);
            let url = server_url(&c, &labels, &AddressContext { settings: &settings, containers: &[] });
            assert_eq!(url.unwrap().as_deref(), Some(expected));
        }
    }

    #[test]
    fn port_that_is_no_number_is_an_error_naming_the_label() {
        let mut c = container(&[("a", "10.0.0.1")]);
        c.labels.insert("traefik.port".into(), "abc".into());
        let settings = DockerSettings::default();
        let labels = Labels::whole(&c.labels);
        let error = server_url(&c, &labels, &AddressContext { settings: &settings, containers: &[] }).unwrap_err();
        assert!(error.to_string().contains("traefik.port") && error.to_string().contains("abc"), "{error}");
    }
}
