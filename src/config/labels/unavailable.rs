//! Keeps the frontends of unavailable containers, so that requests for them get 503 instead of 404.

use std::collections::BTreeMap;

use crate::config::dynamic::{Backend, DynamicConfig};
use crate::rule::PRIORITY_LAST;

/// Adds to `live` the frontends of `unavailable` whose backend has no container left. They get no servers and the lowest priority, so that
/// they never take a request from a frontend that can serve it. If a container of the backend is left, a frontend that is missing was
/// removed on purpose and is not added.
pub fn keep(live: &mut DynamicConfig, unavailable: DynamicConfig) {
    let empty = unavailable.backends.into_iter().filter(|(name, _)| !live.backends.contains_key(name));
    let empty: BTreeMap<String, Backend> =
        empty.map(|(name, backend)| (name, Backend { servers: Default::default(), ..backend })).collect();
    for (name, mut frontend) in unavailable.frontends {
        if empty.contains_key(&frontend.backend) {
            frontend.priority = PRIORITY_LAST;
            live.frontends.entry(name).or_insert(frontend);
        }
    }
    live.backends.extend(empty);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::labels::{ContainerFacts, DockerSettings, translate};

    fn config_of(names: &[(&str, &str)]) -> DynamicConfig {
        let container = |(name, rule): &(&str, &str)| ContainerFacts {
            id: (*name).to_owned(),
            name: format!("/{name}"),
            running: true,
            labels: [("traefik.port", "80"), ("traefik.backend", name), ("traefik.frontend.rule", rule)]
                .map(|(label, value)| (label.to_owned(), value.to_owned()))
                .into(),
            networks: [(
                "n".to_owned(),
                crate::config::labels::NetworkFacts { ip: "10.0.0.2".into(), ..Default::default() },
            )]
            .into(),
            ..ContainerFacts::default()
        };
        let settings = DockerSettings { exposed_by_default: true, ..DockerSettings::default() };
        translate(&names.iter().map(container).collect::<Vec<_>>(), &settings).dynamic
    }

    #[test]
    fn service_without_containers_keeps_frontend_at_lowest_priority() {
        let mut live = config_of(&[("a", "Host:a")]);
        keep(&mut live, config_of(&[("b", "Host:b")]));
        assert!(live.backends["backend-b"].servers.is_empty());
        assert_eq!(live.frontends["frontend-Host-b-0"].priority, PRIORITY_LAST);
        assert_eq!((live.frontends["frontend-Host-a-0"].priority, live.backends["backend-a"].servers.len()), (0, 1));
    }

    #[test]
    fn service_with_containers_keeps_no_missing_frontend() {
        for rule in ["Host:a", "Host:old"] {
            let mut live = config_of(&[("a", "Host:a")]);
            let before = live.clone();
            keep(&mut live, config_of(&[("a", rule)]));
            assert_eq!(live, before, "{rule}");
        }
    }
}
