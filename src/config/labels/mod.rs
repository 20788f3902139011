//! Container labels to configuration: a pure function of facts and settings (docs/reference/providers.md#docker and docs/reference/labels.md#labels).
//!
//! Where Traefik would stop updating everything because of one container's label, only that container is left out here.

use std::collections::BTreeSet;

use super::{Rejected, Severity};
use super::dynamic::{Backend, DynamicConfig, Frontend, Route, Server};
use crate::limits::{Bound, RULE_EXPRESSIONS_MAX};
use crate::rule;

pub mod unavailable;
pub mod address;
pub mod backend;
pub mod escape;
pub mod container;
pub mod filter;
pub mod frontend;
pub mod headers;
pub mod known;
pub mod names;
pub mod segments;
pub mod swarm;
pub mod values;

pub use container::{BindingFacts, ContainerFacts, DockerSettings, NetworkFacts, PortFacts};

use address::AddressContext;
use filter::SkipReason;
use values::{InvalidLabel, Labels};

/// The provider's name in Traefik's API and in log lines.
pub const PROVIDER: &str = "docker";

/// What the labels say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Translation {
    pub dynamic: DynamicConfig,
    /// Containers that are left out because of a label.
    pub rejected: Vec<Rejected>,
    /// Things to tell the operator that change nothing: misspelt labels, values replaced by defaults.
    pub warnings: Vec<String>,
}

/// Builds the complete configuration of all containers, which come in Docker's order (newest first).
pub fn translate(containers: &[ContainerFacts], settings: &DockerSettings) -> Translation {
    let mut build =
        Build { around: AddressContext { settings, containers }, seen: BTreeSet::new(), made: Translation::default() };
    let mut index = 0;
    for container in containers {
        if let Err(reason) = filter::check_bounds(container) {
            build.reject(container, reason, Some(Bound::LabelsPerContainer));
            continue;
        }
        match filter::check(container, settings) {
            Ok(()) => {
                build.add(container, index);
                index += 1;
            }
            Err(skip) => build.made.warnings.extend(skip_warning(container, &skip)),
        }
    }
    build.made
}

struct Build<'a> {
    around: AddressContext<'a>,
    /// Keys of the services that have their frontend already.
    seen: BTreeSet<String>,
    made: Translation,
}

/// What one segment of one container contributes.
struct SegmentConfig {
    key: String,
    frontend: Option<(String, Frontend)>,
    backend_name: String,
    /// The backend's options, when this container is its first.
    backend: Option<Backend>,
    server: Option<(String, Server)>,
}

impl SegmentConfig {
    /// How many regular expressions its frontend has to be compiled to.
    fn expressions(&self) -> usize {
        let Some((_, frontend)) = &self.frontend else { return 0 };
        let redirects = frontend.redirect.iter().filter(|redirect| !redirect.regex.is_empty()).count();
        redirects + frontend.routes.values().map(|route| rule::expressions(&route.rule)).sum::<usize>()
    }
}

impl Build<'_> {
    /// Adds all of a container, or nothing of it.
    fn add(&mut self, container: &ContainerFacts, index: usize) {
        let name = container.plain_name().to_owned();
        let mut warnings: Vec<String> = container.labels.keys().filter_map(|label| known::unknown(label)).collect();
        warnings.extend(wrong_enable(container));
        match self.parts(container, index, &mut warnings) {
            Ok(parts) => match parts.iter().map(SegmentConfig::expressions).sum::<usize>() {
                count if count > RULE_EXPRESSIONS_MAX => {
                    self.reject(container, too_many_expressions(count), Some(Bound::RuleExpressions));
                }
                _ => parts.into_iter().for_each(|part| self.merge(part)),
            },
            Err(bad) => {
                let reason = format!("{bad}; the container is left out until the label is corrected");
                self.reject(container, reason, None);
            }
        }
        self.made.warnings.extend(warnings.into_iter().map(|text| format!("container {name}: {text}")));
    }

    fn reject(&mut self, container: &ContainerFacts, reason: String, bound: Option<Bound>) {
        let name = format!("container {}", container.plain_name());
        self.made.rejected.push(Rejected {
            provider: PROVIDER.to_owned(),
            name,
            reason,
            severity: Severity::Rejected,
            bound,
        });
    }

    fn parts(
        &self,
        container: &ContainerFacts,
        index: usize,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<SegmentConfig>, InvalidLabel> {
        let mut parts: Vec<SegmentConfig> = Vec::new();
        for (segment, map) in segments::split(&container.labels) {
            let labels = Labels::new(&segment, &map, &container.labels);
            if container.ports.is_empty() && !filter::has_port_label(&labels) {
                warnings.push(format!("segment {segment} has no port: set the label traefik.{segment}.port"));
                continue;
            }
            let part = self.part(container, &labels, index);
            warnings.extend(labels.into_complaints());
            parts.push(part?);
        }
        Ok(parts)
    }

    fn part(&self, container: &ContainerFacts, labels: &Labels, index: usize) -> Result<SegmentConfig, InvalidLabel> {
        let settings = self.around.settings;
        let backend_name = format!("backend-{}", names::backend_name(container, labels));
        let key = names::service_key(container, settings.swarm_mode, labels.segment);
        let frontend = match self.seen.contains(&key) {
            true => None,
            false => Some(new_frontend(container, labels, settings, index, &backend_name)?),
        };
        let backend = match self.made.dynamic.backends.contains_key(&backend_name) {
            true => None,
            false => Some(backend::options(labels)?),
        };
        let server = address::server_url(container, labels, &self.around)?.map(|url| {
            let weight = labels.number("traefik.weight", 1);
            (names::server_name(container, &url), Server { url, weight })
        });
        Ok(SegmentConfig { key, frontend, backend_name, backend, server })
    }

    fn merge(&mut self, part: SegmentConfig) {
        if let Some((name, frontend)) = part.frontend {
            self.seen.insert(part.key);
            // Two services can share a rule and an index only through a shared name; the first one keeps it.
            self.made.dynamic.frontends.entry(name).or_insert(frontend);
        }
        let backends = &mut self.made.dynamic.backends;
        let backend = backends.entry(part.backend_name).or_insert_with(|| part.backend.unwrap_or_default());
        if let Some((name, server)) = part.server {
            backend.servers.add(name, server);
        }
    }
}

fn new_frontend(
    container: &ContainerFacts,
    labels: &Labels,
    settings: &DockerSettings,
    index: usize,
    backend: &str,
) -> Result<(String, Frontend), InvalidLabel> {
    let name = format!("frontend-{}", names::frontend_name(container, labels, settings, index));
    let rule = labels.resolve("traefik.frontend.rule", &names::frontend_rule(container, labels, settings))?;
    let mut frontend = frontend::options(labels)?;
    frontend.backend = backend.to_owned();
    frontend.routes = [(format!("route-{name}"), Route { rule })].into();
    Ok((name, frontend))
}

/// What one rule may have is not to be multiplied by segments.
fn too_many_expressions(count: usize) -> String {
    format!(
        "its rules have {count} regular expressions together (each `{{...}}` is one, each redirect.regex too), where {RULE_EXPRESSIONS_MAX} \
         are allowed; the container is left out until it has fewer: put large sets of routes into the file provider"
    )
}

fn wrong_enable(container: &ContainerFacts) -> Option<String> {
    let value = container.labels.get("traefik.enable")?;
    let text = || {
        format!(
            "label traefik.enable has the value `{value}`: it is neither true nor false; the provider's exposedByDefault is used"
        )
    };
    values::parse_bool(value).is_none().then(text)
}

/// Containers are skipped silently for reasons their owner chose, and loudly when they seem meant to be served.
fn skip_warning(container: &ContainerFacts, skip: &SkipReason) -> Option<String> {
    let meant = container
        .labels
        .keys()
        .any(|label| segments::segment_of(label).is_some() || label.starts_with("traefik.frontend."))
        || container.label("traefik.enable").and_then(values::parse_bool) == Some(true);
    let advice = match skip {
        SkipReason::NoRule => "it has no rule: set traefik.frontend.rule or traefik.domain, or the provider's domain",
        SkipReason::NoPort => "it exposes no port: set the label traefik.port, or EXPOSE a port in its image",
        SkipReason::NotRunning | SkipReason::Disabled | SkipReason::Constraint(_) | SkipReason::Health(_) => {
            return None;
        }
    };
    meant.then(|| format!("container {}: it gets no requests because {advice}", container.plain_name()))
}

#[cfg(test)]
mod tests;
