//! Translates container labels into configuration: a pure function of facts and settings (docs/reference/providers.md#docker and
//! docs/reference/labels.md#labels).
//!
//! If a label makes Traefik stop all updates, only its container is rejected here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::dynamic::{Backend, DynamicConfig, Frontend, Route, Server};
use super::{Rejected, Severity};
use crate::diagnostics::{Code, Diagnostic};
use crate::limits::{Bound, RULE_EXPRESSIONS_MAX};
use crate::rule;

pub mod unavailable;
pub mod access_log;
pub mod address;
pub mod address_context;
pub mod backend;
mod claims;
pub mod escape;
pub mod container;
pub mod filter;
pub mod host_address;
pub mod frontend;
pub mod headers;
pub mod known;
pub mod names;
pub mod protocol;
pub mod report;
pub mod segments;
pub mod swarm;
pub mod values;

pub use claims::rule_key;
pub use container::{BindingFacts, ContainerFacts, DockerSettings, HostSettings, NetworkFacts, PortFacts, shown_name};
pub use report::{ContainerReport, ContainerRoute, Verdict};

use address_context::AddressContext;
use filter::SkipReason;
use names::RuleSource;
use values::{InvalidLabel, Labels};

/// The provider's name in Traefik's API and in log lines.
pub const PROVIDER: &str = "docker";

const NO_RULE: &str = "it has no rule; set the label traefik.frontend.rule or traefik.domain, or docker.domain";
const NO_PORT: &str = "it exposes no port; set the label traefik.port, or EXPOSE a port in its image";

/// The configuration that the labels make.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Translation {
    pub dynamic: DynamicConfig,
    /// Containers that are rejected because of a label, or that are used without a part because of one.
    pub rejected: Vec<Rejected>,
    /// Messages for the operator about labels that no part of the configuration depends on: misspelt names, containers without a port.
    pub warnings: Vec<ContainerWarning>,
    /// By frontend: the container whose labels made it, and the segment.
    pub sources: BTreeMap<String, FrontendSource>,
    /// The reports on all containers, in their order.
    pub reports: Vec<ContainerReport>,
}

/// A message about a container that no part of the configuration depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerWarning {
    pub container: String,
    /// The diagnostic's key is the label that is meant, if there is one.
    pub diagnostic: Diagnostic,
}

impl fmt::Display for ContainerWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container {}: {}", self.container, self.diagnostic)
    }
}

/// The labels that a frontend was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontendSource {
    pub container: String,
    /// Empty for a container without segments.
    pub segment: String,
}

/// An object that is not applied because the Engine's description of it cannot be used. `name` is what its author calls it:
/// `container shop-1`.
pub fn rejection(name: String, reason: String, severity: Severity) -> Rejected {
    Rejected::new(PROVIDER, name, severity, Diagnostic::new(Code::UnreadableContainer, "", reason))
}

/// Builds the complete configuration of all containers, which come in Docker's order (newest first).
pub fn translate(containers: &[ContainerFacts], settings: &DockerSettings) -> Translation {
    let ctx = AddressContext { settings, containers };
    let mut translator =
        Translator { ctx, services: BTreeSet::new(), notes: Vec::new(), output: Translation::default() };
    let mut index = 0;
    for container in containers {
        let verdict = match (filter::check_bounds(container), filter::check(container, settings)) {
            (Err(reason), _) => {
                let diagnostic = Diagnostic::new(Code::TooManyLabels, "", reason);
                translator.reject(container, Diagnostic { bound: Some(Bound::LabelsPerContainer), ..diagnostic })
            }
            (Ok(()), Ok(())) => {
                index += 1;
                translator.add(container, index - 1)
            }
            (Ok(()), Err(skip)) => match wrong_value(container, &skip) {
                Some(reason) => translator.reject(container, reason),
                None => {
                    translator.output.warnings.extend(skip_warning(container, &skip));
                    report::unused(container, &skip)
                }
            },
        };
        let notes = std::mem::take(&mut translator.notes);
        translator.output.reports.push(ContainerReport { notes, ..ContainerReport::new(container, verdict) });
    }
    claims::report(&mut translator.output);
    translator.output
}

struct Translator<'a> {
    ctx: AddressContext<'a>,
    /// Keys of the services that have a frontend already.
    services: BTreeSet<String>,
    /// The notes for the report on the current container.
    notes: Vec<String>,
    output: Translation,
}

/// The configuration that one segment of one container adds.
struct SegmentConfig {
    /// Empty for a container without segments.
    name: String,
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
    fn add(&mut self, container: &ContainerFacts, index: usize) -> Verdict {
        let name = container.shown_name();
        let mut warnings: Vec<Diagnostic> = container.labels.keys().filter_map(|label| known::unknown(label)).collect();
        let mut ignored: Vec<Diagnostic> = enable_warning(container).into_iter().collect();
        let verdict = match self.segment_configs(container, index, &mut warnings, &mut ignored) {
            Ok(segments) => match segments.iter().map(SegmentConfig::expressions).sum::<usize>() {
                count if count > RULE_EXPRESSIONS_MAX => self.reject(container, too_many_expressions(count)),
                _ => {
                    self.notes = ignored.iter().map(ToString::to_string).collect();
                    let routes = segments.iter().map(|segment| self.route_of(segment)).collect();
                    segments.into_iter().for_each(|segment| self.merge(segment, &name));
                    let partial = |diagnostic| {
                        Rejected::new(PROVIDER, format!("container {name}"), Severity::Partial, diagnostic)
                    };
                    self.output.rejected.extend(ignored.into_iter().map(partial));
                    Verdict::Routed(routes)
                }
            },
            Err(invalid) => {
                warnings.extend(ignored);
                self.reject(container, invalid.into())
            }
        };
        self.notes.extend(warnings.iter().map(ToString::to_string));
        let about = |diagnostic| ContainerWarning { container: name.clone(), diagnostic };
        self.output.warnings.extend(warnings.into_iter().map(about));
        verdict
    }

    fn reject(&mut self, container: &ContainerFacts, diagnostic: Diagnostic) -> Verdict {
        let name = format!("container {}", container.shown_name());
        let text = diagnostic.text.strip_prefix("no route created: ").unwrap_or(&diagnostic.text);
        let verdict = Verdict::Failed(text.to_owned());
        self.output.rejected.push(Rejected::new(PROVIDER, name, Severity::Rejected, diagnostic));
        verdict
    }

    /// The route that a segment adds, or that the first container of its service has added.
    fn route_of(&self, segment: &SegmentConfig) -> ContainerRoute {
        let frontends = &self.output.dynamic.frontends;
        let shared = || frontends.iter().find(|(_, frontend)| frontend.backend == segment.backend_name);
        let frontend = match &segment.frontend {
            Some((name, _)) => name.clone(),
            None => shared().map(|(name, _)| name.clone()).unwrap_or_default(),
        };
        let server = segment.server.as_ref().map(|(_, server)| server.url.clone()).unwrap_or_default();
        ContainerRoute { frontend, backend: segment.backend_name.clone(), server }
    }

    /// The configuration of all segments. `ignored` gets the messages about values that are replaced or have no effect.
    fn segment_configs(
        &self,
        container: &ContainerFacts,
        index: usize,
        warnings: &mut Vec<Diagnostic>,
        ignored: &mut Vec<Diagnostic>,
    ) -> Result<Vec<SegmentConfig>, InvalidLabel> {
        let mut configs: Vec<SegmentConfig> = Vec::new();
        for (segment, map) in segments::split(&container.labels) {
            let labels = Labels::new(&segment, &map, &container.labels);
            if container.ports.is_empty() && !filter::has_port_label(&labels) {
                let text = format!("segment {segment} ignored: it has no port; set the label traefik.{segment}.port");
                warnings.push(Diagnostic::new(Code::NoPort, format!("traefik.{segment}.port"), text));
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
        let service_key = names::service_key(container, settings.is_swarm(container), labels.segment);
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
        Ok(SegmentConfig { name: labels.segment.to_owned(), service_key, frontend, backend_name, backend, server })
    }

    fn merge(&mut self, segment: SegmentConfig, container: &str) {
        if let Some((name, frontend)) = segment.frontend {
            self.services.insert(segment.service_key);
            let source = FrontendSource { container: container.to_owned(), segment: segment.name };
            self.output.sources.entry(name.clone()).or_insert(source);
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
fn too_many_expressions(count: usize) -> Diagnostic {
    let text = format!(
        "its rules have {count} regular expressions together (each `{{...}}` is one, each redirect.regex too), where \
         {RULE_EXPRESSIONS_MAX} are allowed; container rejected: put large sets of routes into the file provider"
    );
    let diagnostic = Diagnostic::new(Code::TooManyLabels, "traefik.frontend.rule", text);
    Diagnostic { bound: Some(Bound::RuleExpressions), ..diagnostic }
}

fn enable_warning(container: &ContainerFacts) -> Option<Diagnostic> {
    let value = container.labels.get("traefik.enable").filter(|value| !value.is_empty())?;
    let text = || {
        let text = format!(
            "label traefik.enable has the value `{value}`: it is neither true nor false; the provider's exposedByDefault is used"
        );
        Diagnostic::new(Code::IgnoredLabel, "traefik.enable", text)
    };
    values::parse_bool(value).is_none().then(text)
}

/// The reason why a container is not used if it is a value that cannot be read, which its owner must correct.
fn wrong_value(container: &ContainerFacts, skip: &SkipReason) -> Option<Diagnostic> {
    match skip {
        SkipReason::NoPort => wrong_port(container),
        SkipReason::Disabled => enable_warning(container),
        SkipReason::Health(state) if !matches!(state.as_str(), "starting" | "unhealthy") => {
            let text = format!("no route created: its health is `{state}`, and not `healthy`");
            Some(Diagnostic::new(Code::UnhealthyContainer, "", text))
        }
        _ => None,
    }
}

/// The message about the port label of a container that exposes no port.
fn wrong_port(container: &ContainerFacts) -> Option<Diagnostic> {
    let is_port =
        |label: &str| label == "traefik.port" || segments::segment_of(label).is_some_and(|(_, key)| key == "port");
    let (label, value) = container.labels.iter().find(|(label, value)| is_port(label) && !value.is_empty())?;
    let text = format!(
        "no route created: label {label} has the value `{value}`: it is no port: write a number from 1 to 65535 (the container exposes none)"
    );
    Some(Diagnostic::new(Code::InvalidLabel, label.clone(), text))
}

/// The warning about a container that is not used. `None` if its owner chose the reason, or nothing shows that it was meant to be served.
fn skip_warning(container: &ContainerFacts, skip: &SkipReason) -> Option<ContainerWarning> {
    let seems_meant = container
        .labels
        .keys()
        .any(|label| segments::segment_of(label).is_some() || label.starts_with("traefik.frontend."))
        || container.label("traefik.enable").and_then(values::parse_bool) == Some(true);
    let (code, label, reason) = match skip {
        SkipReason::NoRule => (Code::NoRule, "traefik.frontend.rule", NO_RULE),
        SkipReason::NoPort => (Code::NoPort, "traefik.port", NO_PORT),
        SkipReason::NotRunning | SkipReason::Disabled | SkipReason::Constraint(_) | SkipReason::Health(_) => {
            return None;
        }
    };
    let diagnostic = Diagnostic::new(code, label, format!("no route created: {reason}"));
    seems_meant.then(|| ContainerWarning { container: container.shown_name(), diagnostic })
}

#[cfg(test)]
mod tests;
