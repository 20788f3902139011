//! Splits a container's labels into segments: several frontends on one container, by labels like `traefik.SEGMENT.port`
//! (docs/reference/labels.md#segments).

use std::collections::{BTreeMap, BTreeSet};

const PREFIX: &str = "traefik.";

/// Labels that a segment may set besides `frontend.*`.
const PROPERTIES: [&str; 6] = ["port", "portIndex", "portName", "weight", "protocol", "backend"];

/// The container's label sets by segment name, each with the container's own labels added. Without segment labels there is one unnamed set;
/// with segment labels there is no unnamed set.
pub fn split(labels: &BTreeMap<String, String>) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut common = BTreeMap::new();
    let mut segments: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (name, value) in labels.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        match segment_of(name) {
            Some((segment, property)) => {
                let own = segments.entry(segment.to_owned()).or_default();
                own.insert(format!("{PREFIX}{property}"), value.clone());
            }
            None => {
                common.insert(name.clone(), value.clone());
            }
        }
    }
    if segments.is_empty() {
        return BTreeMap::from([(String::new(), common)]);
    }
    for own in segments.values_mut() {
        fill_up(own, &common);
    }
    segments
}

/// The number of segments, and the bytes of the container's own labels, which every segment inherits.
pub fn inheritance(labels: &BTreeMap<String, String>) -> (usize, usize) {
    let (mut segments, mut shared) = (BTreeSet::new(), 0);
    for (name, value) in labels.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        match segment_of(name) {
            Some((segment, _)) => drop(segments.insert(segment)),
            None => shared += name.len() + value.len(),
        }
    }
    (segments.len(), shared)
}

/// Adds the labels of `common` that the segment does not set itself.
pub fn fill_up(own: &mut BTreeMap<String, String>, common: &BTreeMap<String, String>) {
    for (name, value) in common {
        own.entry(name.clone()).or_insert_with(|| value.clone());
    }
}

/// The segment's name and the property of a segment label; `None` for a label of the container itself.
///
/// The name may contain dots; if there are several ways to split the label, the shortest name counts.
pub fn segment_of(label: &str) -> Option<(&str, &str)> {
    let rest = label.strip_prefix(PREFIX)?;
    if rest.starts_with("frontend.") || rest.starts_with("backend.") {
        return None;
    }
    rest.match_indices('.').filter(|(at, _)| *at > 0).find_map(|(at, _)| {
        let property = &rest[at + 1..];
        let is_known =
            PROPERTIES.contains(&property) || property.strip_prefix("frontend.").is_some_and(|x| !x.is_empty());
        is_known.then_some((&rest[..at], property))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_of_recognises_segment_labels() {
        for (label, expected) in [
            ("traefik.web.port", Some(("web", "port"))),
            ("traefik.a.b.port", Some(("a.b", "port"))),
            ("traefik.web.frontend.rule", Some(("web", "frontend.rule"))),
            ("traefik.web.frontend.auth.basic.users", Some(("web", "frontend.auth.basic.users"))),
            ("traefik.port", None),
            ("traefik.web.enable", None),
            ("traefik.web.backend.maxconn.amount", None),
            ("traefik.frontend.errors.x.backend", None),
            ("traefik.backend.loadbalancer.weight", None),
            ("traefik.web.frontend.", None),
            ("traefik..port", None),
            ("other.web.port", None),
        ] {
            assert_eq!(segment_of(label), expected, "{label}");
        }
    }

    #[test]
    fn segment_inherits_labels_that_it_does_not_set() {
        let labels = BTreeMap::from(
            [("traefik.port", "1"), ("traefik.weight", "2"), ("traefik.a.port", "3"), ("x", "y")]
                .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        let split = split(&labels);
        assert_eq!(split.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(split["a"]["traefik.port"], "3");
        assert_eq!(split["a"]["traefik.weight"], "2");
        assert!(!split["a"].contains_key("x"));
    }
}
