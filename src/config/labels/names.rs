//! Makes the names of frontends, backends and servers, and the default rule (docs/reference/providers.md#names-and-default-rule).

use md5::{Digest, Md5};

use super::container::{ContainerFacts, DockerSettings};
use super::protocol::{default_matcher, layer4};
use super::values::Labels;
use crate::backend::Scheme;

/// Splits the text at every character that is neither letter nor number, drops empty pieces and joins the rest with `-`; case is kept.
///
/// Letters are the characters with Unicode's Alphabetic property: unlike in Go, vowel signs of Indic scripts do not split a word.
pub fn normalize(text: &str) -> String {
    let pieces = text.split(|c: char| !c.is_alphanumeric()).filter(|piece| !piece.is_empty());
    pieces.collect::<Vec<_>>().join("-")
}

/// A container's or service's name as part of a host name: no leading slash, `/` and `_` become `-`.
pub fn sub_domain(name: &str) -> String {
    name.strip_prefix('/').unwrap_or(name).replace(['/', '_'], "-")
}

/// The name of the container's service: `SERVICE_PROJECT` under compose, else the swarm service, else the container's own name.
pub fn service_name(container: &ContainerFacts) -> String {
    match container.compose() {
        Some((service, project)) => format!("{service}_{project}"),
        None => own_service(container).to_owned(),
    }
}

/// The key of the service and segment; containers with the same key share one frontend.
pub fn service_key(container: &ContainerFacts, is_swarm: bool, segment: &str) -> String {
    match is_swarm {
        true => format!("{}{segment}", own_service(container)),
        false => format!("{}{segment}", service_name(container)),
    }
}

/// The place that a rule comes from, to name it in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleSource {
    /// This label: the rule itself, or the domain of the default rule.
    Label(&'static str),
    /// The option `docker.domain`.
    DomainOption,
}

/// The place that [`frontend_rule`] comes from.
pub fn rule_source(labels: &Labels) -> RuleSource {
    let set = ["traefik.frontend.rule", "traefik.domain"].into_iter().find(|label| labels.raw(label).is_some());
    set.map_or(RuleSource::DomainOption, RuleSource::Label)
}

/// The rule of the label, else a default rule made of the compose labels, or of name and domain; for UDP, which has no names, one that
/// takes all datagrams. Empty if the container has neither compose labels nor a domain.
pub fn frontend_rule(container: &ContainerFacts, labels: &Labels, settings: &DockerSettings) -> String {
    if let Some(rule) = labels.raw("traefik.frontend.rule") {
        return rule.to_owned();
    }
    if layer4(labels) == Some(Scheme::Udp) {
        return "HostSNI:*".to_owned();
    }
    let matcher = default_matcher(labels);
    let domain = labels.raw("traefik.domain").unwrap_or(&settings.domain);
    let suffix = if domain.is_empty() { String::new() } else { format!(".{domain}") };
    if let Some((service, project)) = container.compose() {
        return format!("{matcher}:{}{suffix}", sub_domain(&format!("{service}.{project}")));
    }
    match suffix.is_empty() {
        true => String::new(),
        false => format!("{matcher}:{}{suffix}", sub_domain(own_service(container))),
    }
}

/// The frontend's name without its `frontend-` prefix; `index` is the container's index among the containers that are used.
pub fn frontend_name(container: &ContainerFacts, labels: &Labels, settings: &DockerSettings, index: usize) -> String {
    match labels.segment {
        "" => normalize(&format!("{}-{index}", frontend_rule(container, labels, settings))),
        segment => normalize(&format!("{segment}-{}", backend_name(container, labels))),
    }
}

/// The backend's name without its `backend-` prefix.
pub fn backend_name(container: &ContainerFacts, labels: &Labels) -> String {
    let chosen = labels.raw("traefik.backend");
    match labels.segment {
        "" => normalize(chosen.unwrap_or(&service_name(container))),
        segment => normalize(&format!("{}-{}", service_name(container), chosen.unwrap_or(segment))),
    }
}

/// The server's name: unique for a container, its host and a URL.
pub fn server_name(container: &ContainerFacts, url: &str) -> String {
    let digest: String = Md5::digest(url).iter().map(|byte| format!("{byte:02x}")).collect();
    normalize(&format!("server-{}-{digest}-{}", container.name, container.host))
}

fn own_service(container: &ContainerFacts) -> &str {
    container.service.as_deref().unwrap_or(&container.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalize_keeps_letters_and_numbers_of_all_scripts() {
        assert_eq!(normalize("Host:foo.bar/ x_y-0"), "Host-foo-bar-x-y-0");
        assert_eq!(normalize("größe·²√ю"), "größe-²-ю");
        assert_eq!(normalize("--"), "");
    }

    #[test]
    fn sub_domain_drops_one_slash_only() {
        assert_eq!(sub_domain("/My_app.x"), "My-app.x");
        assert_eq!(sub_domain("//a/b"), "-a-b");
    }

    #[test]
    fn server_name_ends_with_md5_of_the_url() {
        let container = ContainerFacts { name: "/my_c".into(), ..Default::default() };
        assert_eq!(server_name(&container, ""), "server-my-c-d41d8cd98f00b204e9800998ecf8427e");
        let of_host = ContainerFacts { host: "b_1".into(), ..container };
        assert_eq!(server_name(&of_host, ""), "server-my-c-d41d8cd98f00b204e9800998ecf8427e-b-1");
    }
}
