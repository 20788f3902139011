//! Decides which containers are used (docs/reference/providers.md#container-selection), and evaluates constraints.

use super::container::{ContainerFacts, DockerSettings};
use super::names::frontend_rule;
use super::segments;
use super::values::{Labels, parse_bool, split_list};
use crate::limits::{INHERITED_LABEL_BYTES_PER_CONTAINER_MAX, LABEL_BYTES_PER_CONTAINER_MAX, LABELS_PER_CONTAINER_MAX};

/// The reason why a container is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipReason {
    NotRunning,
    Disabled,
    NoRule,
    NoPort,
    Constraint(String),
    Health(String),
}

/// Checks the conditions in Traefik's order; `Ok` means that the container is used.
pub fn check(container: &ContainerFacts, settings: &DockerSettings) -> Result<(), SkipReason> {
    if !container.running {
        return Err(SkipReason::NotRunning);
    }
    if !is_enabled(container, settings.exposed_by_default) {
        return Err(SkipReason::Disabled);
    }
    let sets = segments::split(&container.labels);
    let all = || sets.iter().map(|(segment, labels)| Labels::new(segment, labels, &container.labels));
    if all().any(|labels| frontend_rule(container, &labels, settings).is_empty()) {
        return Err(SkipReason::NoRule);
    }
    // Traefik checks one segment, chosen at random. Here one segment with a port is enough; segments without a port are ignored later.
    if container.ports.is_empty() && !all().any(|labels| has_port_label(&labels)) {
        return Err(SkipReason::NoPort);
    }
    let tags = split_list(container.label("traefik.tags").unwrap_or_default());
    if let Some(failed) = settings.constraints(container).find(|constraint| !holds(constraint, &tags)) {
        return Err(SkipReason::Constraint(failed.clone()));
    }
    match container.health.as_deref() {
        None | Some("" | "none" | "healthy") => Ok(()),
        Some(state) => Err(SkipReason::Health(state.to_owned())),
    }
}

/// Checks the bounds on the container's labels, before anything else reads the labels.
///
/// # Errors
/// A sentence that says which bound is exceeded.
pub fn check_bounds(container: &ContainerFacts) -> Result<(), String> {
    let traefik_labels = || container.labels.iter().filter(|(name, _)| name.starts_with("traefik."));
    let (count, bytes) =
        (traefik_labels().count(), traefik_labels().map(|(name, value)| name.len() + value.len()).sum::<usize>());
    if count > LABELS_PER_CONTAINER_MAX || bytes > LABEL_BYTES_PER_CONTAINER_MAX {
        return Err(format!(
            "{count} traefik labels of {bytes} bytes, where {LABELS_PER_CONTAINER_MAX} labels and \
             {LABEL_BYTES_PER_CONTAINER_MAX} bytes are allowed; container rejected: put large sets of routes into the file provider"
        ));
    }
    let (segments, shared) = segments::inheritance(&container.labels);
    let inherited = segments.saturating_mul(shared);
    if inherited > INHERITED_LABEL_BYTES_PER_CONTAINER_MAX {
        return Err(format!(
            "{segments} segments, each of which inherits {shared} bytes of labels: {inherited} bytes together, where \
             {INHERITED_LABEL_BYTES_PER_CONTAINER_MAX} are allowed; container rejected: put large sets of routes into the file provider"
        ));
    }
    Ok(())
}

/// The value of `traefik.enable`, or the provider's default if the label is missing or no boolean.
pub fn is_enabled(container: &ContainerFacts, default: bool) -> bool {
    container.labels.get("traefik.enable").and_then(|value| parse_bool(value)).unwrap_or(default)
}

/// Whether `traefik.port` is a whole number; required if the container exposes no port.
pub fn has_port_label(labels: &Labels) -> bool {
    labels.raw("traefik.port").is_some_and(|port| port.parse::<i64>().is_ok())
}

/// Whether the tags satisfy one constraint. An unreadable constraint is never satisfied, so that a typing error exposes no container.
pub fn holds(constraint: &str, tags: &[&str]) -> bool {
    let any = |pattern: &str| tags.iter().any(|tag| glob(pattern, tag));
    if let Some((key, pattern)) = constraint.split_once("==") {
        return key == "tag" && any(pattern);
    }
    match constraint.split_once("!=") {
        Some((key, pattern)) => key == "tag" && !any(pattern),
        None => false,
    }
}

/// Whether the text matches the pattern: `*` matches any run of characters, all other characters match themselves.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    let Some((middle, last)) = tail.rsplit_once('*') else {
        return rest.len() >= tail.len() && rest.ends_with(tail);
    };
    // Matching each middle piece as early as possible leaves the longest rest for the pieces after it.
    for piece in middle.split('*') {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraint_compares_whole_tags_with_a_glob() {
        for (constraint, tags, expected) in [
            ("tag==api", vec!["api"], true),
            ("tag==api", vec!["web", "api"], true),
            ("tag==api", vec!["API"], false),
            ("tag==*", vec![], false),
            ("tag==", vec![], false),
            ("tag==", vec!["api"], false),
            ("tag!=", vec!["api"], true),
            ("tag!=*", vec![], true),
            ("tag!=us-*", vec!["us-1"], false),
            ("tag!=us-*", vec!["eu-1"], true),
            ("tag==us-*-1", vec!["us-east-1"], true),
            ("tag==*a*b*", vec!["xxaxxbxx"], true),
            ("tag==*a*b", vec!["ab"], true),
            ("tag==*ab*ab", vec!["xab"], false),
            ("tag==a*a", vec!["a"], false),
            ("tag ==api", vec!["api"], false),
            ("label==api", vec!["api"], false),
            ("nonsense", vec!["api"], false),
        ] {
            assert_eq!(holds(constraint, &tags), expected, "{constraint} {tags:?}");
        }
    }

    #[test]
    fn check_skips_unhealthy_and_stopped_containers() {
        let settings = DockerSettings { domain: "d".into(), exposed_by_default: true, ..Default::default() };
        let mut container = ContainerFacts { name: "/x".into(), running: true, ..Default::default() };
        container.labels.insert("traefik.port".into(), "80".into());
        for (health, used) in
            [(None, true), (Some("healthy"), true), (Some("starting"), false), (Some("unhealthy"), false)]
        {
            container.health = health.map(str::to_owned);
            assert_eq!(check(&container, &settings).is_ok(), used, "{health:?}");
        }
        container.health = None;
        container.running = false;
        assert_eq!(check(&container, &settings), Err(SkipReason::NotRunning));
    }
}
