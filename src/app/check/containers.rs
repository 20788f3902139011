//! The containers of the live Engine, as their labels configure them.

use std::collections::BTreeMap;

use crate::app::bootstrap;
use crate::config::Rejected;
use crate::config::labels::{self, ContainerFacts, FrontendSource, Translation};
use crate::config::static_config::StaticConfig;
use crate::control::docker::{Listing, list_once};
use crate::diagnostics::{Code, Finding, Level, Place};

/// The containers and what their labels make.
pub struct AskedContainers {
    containers: Vec<ContainerFacts>,
    pub translation: Translation,
    /// Messages of the Engine's client.
    warnings: Vec<String>,
}

/// Lists the containers of all Engines, once.
///
/// # Errors
/// There is no [docker] table, or no Engine can be asked.
pub fn ask(config: &StaticConfig) -> Result<AskedContainers, String> {
    let Some(table) = &config.docker else {
        return Err("check --docker needs a [docker] table, or the flag --docker of the configuration".to_owned());
    };
    let settings = bootstrap::docker(table, &config.constraints);
    let Listing { containers, labels, rejected, warnings } = list_once(&settings)?;
    let mut translation = labels::translate(&containers, &labels);
    translation.rejected.extend(rejected);
    Ok(AskedContainers { containers, translation, warnings })
}

impl AskedContainers {
    /// The messages about labels that no part of the configuration depends on.
    pub fn findings(&self) -> Vec<Finding> {
        let of_labels = self.translation.warnings.iter().map(|warning| {
            let code = warning.diagnostic.code;
            let level = if code == Code::PortNotExposed { Level::Note } else { Level::Warning };
            let label = Some(warning.diagnostic.key.clone()).filter(|label| !label.is_empty());
            let place = Place::Container { name: warning.container.clone(), label };
            Finding::new(level, code, warning.to_string()).at(place)
        });
        let of_engine =
            self.warnings.iter().map(|text| Finding::new(Level::Warning, Code::EngineWarning, text.as_str()));
        of_labels.chain(of_engine).collect()
    }

    /// The container, and the label, that a rejected object of the Docker provider comes from.
    pub fn place(&self, rejected: &Rejected) -> Place {
        let (kind, name) = rejected.name.split_once(' ').unwrap_or(("", &rejected.name));
        let source = self.translation.sources.get(name).filter(|_| kind == "frontend");
        match source {
            Some(source) => {
                Place::Container { name: source.container.clone(), label: self.label(source, &rejected.key) }
            }
            None => {
                let label = Some(rejected.key.clone()).filter(|label| label.starts_with("traefik."));
                Place::Container { name: name.to_owned(), label }
            }
        }
    }

    /// The label of a container that sets an option of its frontend or backend.
    fn label(&self, source: &FrontendSource, key: &str) -> Option<String> {
        let container = self.containers.iter().find(|container| container.shown_name() == source.container)?;
        let option = label_option(key);
        let with_segment = format!("traefik.{}.{option}", source.segment);
        let plain = format!("traefik.{option}");
        [with_segment, plain].iter().find_map(|wanted| existing(&container.labels, wanted))
    }
}

/// The label with this name in any case, else the first one below it.
fn existing(labels: &BTreeMap<String, String>, wanted: &str) -> Option<String> {
    let exact = labels.keys().find(|label| label.eq_ignore_ascii_case(wanted));
    let is_below = |label: &&String| {
        let head = label.get(..wanted.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(wanted)) && label[wanted.len()..].starts_with('.')
    };
    exact.or_else(|| labels.keys().find(is_below)).cloned()
}

/// The option of labels, without `traefik.`, for a key of a frontend or of a backend.
fn label_option(key: &str) -> String {
    if key == "routes" {
        return "frontend.rule".to_owned();
    }
    if key == "backend" {
        return "backend".to_owned();
    }
    let Some(of_backend) = key.strip_prefix("backends.") else { return format!("frontend.{key}") };
    // The name of a backend that labels make has no dots.
    let option = of_backend.split_once('.').map_or("", |(_, option)| option);
    match option.split('.').next() {
        Some("servers") if option.ends_with(".weight") => "weight".to_owned(),
        Some("servers") => "port".to_owned(),
        _ => format!("backend.{option}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_frontend_or_backend_leads_to_its_label() {
        let labels = ["traefik.frontend.rule", "traefik.frontend.auth.basic.users", "traefik.backend.maxconn.amount"];
        let labels: BTreeMap<String, String> = labels.iter().map(|name| (name.to_string(), String::new())).collect();
        for (key, label) in [
            ("routes", Some("traefik.frontend.rule")),
            ("auth.basic", Some("traefik.frontend.auth.basic.users")),
            ("backends.backend-x.maxconn", Some("traefik.backend.maxconn.amount")),
            ("backends.backend-x.servers.s.url", None),
        ] {
            let found = existing(&labels, &format!("traefik.{}", label_option(key)));
            assert_eq!(found.as_deref(), label, "{key}");
        }
    }
}
