//! Frontends of containers that cannot answer at the moment: their names are answered 503, not 404.

use std::collections::BTreeMap;

use crate::config::dynamic::{Backend, DynamicConfig};
use crate::rule::PRIORITY_LAST;

/// Adds to `live` the frontends of `absent` whose backend has no container left, without servers and behind all others: such a frontend
/// never takes a request from one that can answer it. Where the backend lives on, a frontend that is gone was taken off on purpose.
pub fn keep(live: &mut DynamicConfig, absent: DynamicConfig) {
    let lost = absent.backends.into_iter().filter(|(name, _)| !live.backends.contains_key(name));
    let lost: BTreeMap<String, Backend> =
        lost.map(|(name, backend)| (name, Backend { servers: Default::default(), ..backend })).collect();
    for (name, mut frontend) in absent.frontends {
        if lost.contains_key(&frontend.backend) {
            frontend.priority = PRIORITY_LAST;
            live.frontends.entry(name).or_insert(frontend);
        }
    }
    live.backends.extend(lost);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::labels::{ContainerFacts, DockerSettings, translate};

    fn of(names: &[(&str, &str)]) -> DynamicConfig {
        let container = |(name, rule): &(&str, &str)| ContainerFacts {
            id: (*name).to_owned(),
            name: format!("/{name}"),
            running: true,
            labels: [("traefik.port", "80"), ("traefik.backend", name), ("traefik.frontend.rule", rule)]
                .map(|(label, value)| (label.to_owned(), value.to_owned()))
                .into(),
            networks: [("n".to_owned(), crate::config::labels::NetworkFacts { id: "n".into(), ip: "10.0.0.2".into() })]
                .into(),
            ..ContainerFacts::default()
        };
        let settings = DockerSettings { exposed_by_default: true, ..DockerSettings::default() };
        translate(&names.iter().map(container).collect::<Vec<_>>(), &settings).dynamic
    }

    #[test]
    fn a_service_without_containers_keeps_its_frontend_behind_all_others() {
        let mut live = of(&[("a", "Host:a")]);
        keep(&mut live, of(&[("b", "Host:b")]));
        assert!(live.backends["backend-b"].servers.is_empty());
        assert_eq!(live.frontends["frontend-Host-b-0"].priority, PRIORITY_LAST);
        assert_eq!((live.frontends["frontend-Host-a-0"].priority, live.backends["backend-a"].servers.len()), (0, 1));
    }

    #[test]
    fn a_service_that_lives_on_keeps_nothing_of_those_that_left() {
        for rule in ["Host:a", "Host:old"] {
            let mut live = of(&[("a", "Host:a")]);
            let before = live.clone();
            keep(&mut live, of(&[("a", rule)]));
            assert_eq!(live, before, "{rule}");
        }
    }
}
