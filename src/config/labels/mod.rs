//! Translates container labels into configuration: a pure function of facts and settings (docs/reference/providers.md#docker and
//! docs/reference/labels.md#labels).
//!
//! If a label makes Traefik stop all updates, only its container is rejected here.

use std::collections::BTreeSet;

use super::dynamic::{Backend, DynamicConfig, Frontend, Route, Server};
use super::{Rejected, Severity};
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
pub mod protocol;
pub mod segments;
pub mod swarm;
pub mod values;

pub use container::{BindingFacts, ContainerFacts, DockerSettings, NetworkFacts, PortFacts};

use address::AddressContext;
use filter::SkipReason;
use names::RuleSource;
use values::{InvalidLabel, Labels};

/// The provider's name in Traefik's API and in log lines.
pub const PROVIDER: &str = "docker";

/// The configuration that the labels make.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Translation {
    pub dynamic: DynamicConfig,
    /// Containers that are rejected because of a label, or that are used without a part because of one.
    pub rejected: Vec<Rejected>,
    /// Messages for the operator about labels that no part of the configuration depends on: misspelt names, containers without a port.
    pub warnings: Vec<String>,
}

/// An object that is not applied as its labels say. `name` is what its author calls it: `container shop-1`.
pub fn rejection(name: String, reason: String, severity: Severity) -> Rejected {
    Rejected { provider: PROVIDER.to_owned(), name, reason, severity, bound: None }
}

/// Builds the complete configuration of all containers, which come in Docker's order (newest first).
pub fn translate(containers: &[ContainerFacts], settings: &DockerSettings) -> Translation {
    let ctx = AddressContext { settings, containers };
    let mut translator = Translator { ctx, services: BTreeSet::new(), output: Translation::default() };
    let mut index = 0;
    for container in containers {
        if let Err(reason) = filter::check_bounds(container) {
            translator.reject(container, reason, Some(Bound::LabelsPerContainer));
            continue;
        }
        match filter::check(container, settings) {
            Ok(()) => {
                translator.add(container, index);
                index += 1;
            }
            Err(skip) => match wrong_value(container, &skip) {
                Some(reason) => translator.reject(container, reason, None),
                None => translator.output.warnings.extend(skip_warning(container, &skip)),
            },
        }
    }
    translator.output
}

struct Translator<'a> {
    ctx: AddressContext<'a>,
    /// Keys of the services that have a frontend already.
    services: BTreeSet<String>,
    output: Translation,
}

/// The configuration that one segment of one container adds.
struct SegmentConfig {
    service_key: String,
    frontend: Option<(String, Frontend)>,
    backend_name: String,
    /// The backend's options, if this container is the backend's first.
    backend: Option<Backend>,
    server: Option<(String, Server)>,
}

impl SegmentConfig {
    /// The number of regular expressions that the segment's frontend is compiled to.
    fn expressions(&self) -> usize {
        let Some((_, frontend)) = &self.frontend else { return 0 };
        let redirects = frontend.redirect.iter().filter(|redirect| !redirect.regex.is_empty()).count();
        redirects + frontend.routes.values().map(|route| rule::expressions(&route.rule)).sum::<usize>()
    }
}

impl Translator<'_> {
    /// Adds the configuration of all segments of a container, or rejects the container.
    fn add(&mut self, container: &ContainerFacts, index: usize) {
        let name = container.plain_name().to_owned();
        let mut warnings: Vec<String> = container.labels.keys().filter_map(|label| known::unknown(label)).collect();
        let mut ignored: Vec<String> = enable_warning(container).into_iter().collect();
        match self.segment_configs(container, index, &mut warnings, &mut ignored) {
            Ok(segments) => match segments.iter().map(SegmentConfig::expressions).sum::<usize>() {
                count if count > RULE_EXPRESSIONS_MAX => {
                    self.reject(container, too_many_expressions(count), Some(Bound::RuleExpressions));
                }
                _ => {
                    segments.into_iter().for_each(|segment| self.merge(segment));
                    let partial = |reason| rejection(format!("container {name}"), reason, Severity::Partial);
                    self.output.rejected.extend(ignored.into_iter().map(partial));
                }
            },
            Err(invalid) => {
                let reason = format!("{invalid}; container rejected: correct the {}", invalid.kind());
                self.reject(container, reason, None);
                warnings.extend(ignored);
            }
        }
        self.output.warnings.extend(warnings.into_iter().map(|text| format!("container {name}: {text}")));
    }

    fn reject(&mut self, container: &ContainerFacts, reason: String, bound: Option<Bound>) {
        let name = format!("container {}", container.plain_name());
        self.output.rejected.push(Rejected { bound, ..rejection(name, reason, Severity::Rejected) });
    }

    /// The configuration of all segments. `ignored` gets the messages about values that are replaced or have no effect.
    fn segment_configs(
        &self,
        container: &ContainerFacts,
        index: usize,
        warnings: &mut Vec<String>,
        ignored: &mut Vec<String>,
    ) -> Result<Vec<SegmentConfig>, InvalidLabel> {
        let mut configs: Vec<SegmentConfig> = Vec::new();
        for (segment, map) in segments::split(&container.labels) {
            let labels = Labels::new(&segment, &map, &container.labels);
            if container.ports.is_empty() && !filter::has_port_label(&labels) {
                warnings
                    .push(format!("segment {segment} ignored: it has no port; set the label traefik.{segment}.port"));
                continue;
            }
            let config = self.segment_config(container, &labels, index);
            warnings.extend(labels.take_remarks());
            ignored.extend(labels.into_warnings());
            configs.push(config?);
        }
        Ok(configs)
    }

    fn segment_config(
        &self,
        container: &ContainerFacts,
        labels: &Labels,
        index: usize,
    ) -> Result<SegmentConfig, InvalidLabel> {
        let settings = self.ctx.settings;
        let backend_name = format!("backend-{}", names::backend_name(container, labels));
        let service_key = names::service_key(container, settings.swarm_mode, labels.segment);
        let frontend = match self.services.contains(&service_key) {
            true => None,
            false => Some(new_frontend(container, labels, settings, index, &backend_name)?),
        };
        let backend = match self.output.dynamic.backends.contains_key(&backend_name) {
            true => None,
            false => Some(backend::options(labels)?),
        };
        let server = address::server_url(container, labels, &self.ctx)?.map(|url| {
            let weight = labels.number("traefik.weight", 1);
            (names::server_name(container, &url), Server { url, weight })
        });
        Ok(SegmentConfig { service_key, frontend, backend_name, backend, server })
    }

    fn merge(&mut self, segment: SegmentConfig) {
        if let Some((name, frontend)) = segment.frontend {
            self.services.insert(segment.service_key);
            // Frontends of two services may have the same name after normalising; the first one counts.
            self.output.dynamic.frontends.entry(name).or_insert(frontend);
        }
        let backends = &mut self.output.dynamic.backends;
        let backend = backends.entry(segment.backend_name).or_insert_with(|| segment.backend.unwrap_or_default());
        if let Some((name, server)) = segment.server {
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
    let rule = resolved_rule(container, labels, settings)?;
    let mut frontend = frontend::options(labels)?;
    frontend.backend = backend.to_owned();
    frontend.routes = [(format!("route-{name}"), Route { rule })].into();
    Ok((name, frontend))
}

/// The rule with its escapes resolved. The error names the label or option that the text which cannot be resolved comes from.
fn resolved_rule(
    container: &ContainerFacts,
    labels: &Labels,
    settings: &DockerSettings,
) -> Result<String, InvalidLabel> {
    let rule = names::frontend_rule(container, labels, settings);
    match names::rule_source(labels) {
        RuleSource::Label("traefik.frontend.rule") => labels.resolve("traefik.frontend.rule", &rule),
        RuleSource::Label(label) => labels.text(label).and_then(|_| labels.resolve("traefik.frontend.rule", &rule)),
        RuleSource::DomainOption => labels
            .resolve("docker.domain", &settings.domain)
            .and_then(|_| labels.resolve("traefik.frontend.rule", &rule)),
    }
}

/// The reason for rejecting a container with too many regular expressions: the bound of one frontend holds for all segments together.
fn too_many_expressions(count: usize) -> String {
    format!(
        "its rules have {count} regular expressions together (each `{{...}}` is one, each redirect.regex too), where \
         {RULE_EXPRESSIONS_MAX} are allowed; container rejected: put large sets of routes into the file provider"
    )
}

fn enable_warning(container: &ContainerFacts) -> Option<String> {
    let value = container.labels.get("traefik.enable").filter(|value| !value.is_empty())?;
    let text = || {
        format!(
            "label traefik.enable has the value `{value}`: it is neither true nor false; the provider's exposedByDefault is used"
        )
    };
    values::parse_bool(value).is_none().then(text)
}

/// The reason why a container is not used if it is a value that cannot be read, which its owner must correct.
fn wrong_value(container: &ContainerFacts, skip: &SkipReason) -> Option<String> {
    match skip {
        SkipReason::NoPort => wrong_port(container),
        SkipReason::Disabled => enable_warning(container),
        SkipReason::Health(state) if !matches!(state.as_str(), "starting" | "unhealthy") => {
            Some(format!("no route created: its health is `{state}`, and not `healthy`"))
        }
        _ => None,
    }
}

/// The message about the port label of a container that exposes no port.
fn wrong_port(container: &ContainerFacts) -> Option<String> {
    let is_port =
        |label: &str| label == "traefik.port" || segments::segment_of(label).is_some_and(|(_, key)| key == "port");
    let (label, value) = container.labels.iter().find(|(label, value)| is_port(label) && !value.is_empty())?;
    Some(format!(
        "no route created: label {label} has the value `{value}`: it is no port: write a number from 1 to 65535 (the container exposes none)"
    ))
}

/// The warning about a container that is not used. `None` if its owner chose the reason, or nothing shows that it was meant to be served.
fn skip_warning(container: &ContainerFacts, skip: &SkipReason) -> Option<String> {
    let seems_meant = container
        .labels
        .keys()
        .any(|label| segments::segment_of(label).is_some() || label.starts_with("traefik.frontend."))
        || container.label("traefik.enable").and_then(values::parse_bool) == Some(true);
    let reason = match skip {
        SkipReason::NoRule => "it has no rule; set the label traefik.frontend.rule or traefik.domain, or docker.domain",
        SkipReason::NoPort => "it exposes no port; set the label traefik.port, or EXPOSE a port in its image",
        SkipReason::NotRunning | SkipReason::Disabled | SkipReason::Constraint(_) | SkipReason::Health(_) => {
            return None;
        }
    };
    seems_meant.then(|| format!("container {}: no route created: {reason}", container.plain_name()))
}

#[cfg(test)]
mod tests;
