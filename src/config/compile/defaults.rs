//! Fills defaults into a document, as Traefik's API shows them (docs/reference/api.md#configuration-json).

use std::sync::Arc;

use super::EntryPointInfo;
use super::layer4::{DefaultEntryPoints, default_entry_points};
use crate::config::dynamic::{Backend, DynamicConfig, LoadBalancer};

/// Returns the document with entry points and load balancers filled in. A document that has them is returned as it is; a document with
/// only one owner is changed without a copy. A TCP frontend gets the default entry points with TLS, and none at all if it would take every
/// connection, as does a UDP frontend.
pub fn with_defaults(
    mut document: Arc<DynamicConfig>,
    entry_points: &[EntryPointInfo],
    defaults: &[String],
) -> Arc<DynamicConfig> {
    let mut missing: Vec<(String, Vec<String>)> = Vec::new();
    for (name, frontend) in document.frontends.iter().filter(|(_, frontend)| frontend.entry_points.is_empty()) {
        let names = suitable(entry_points, defaults, default_entry_points(&document, frontend));
        if !names.is_empty() {
            missing.push((name.clone(), names));
        }
    }
    if !missing.is_empty() || !document.backends.values().all(has_method) {
        fill_in(Arc::make_mut(&mut document), missing);
    }
    document
}

/// The default entry points of this kind. A name that is unknown stays in the list: it is reported with the frontend.
fn suitable(entry_points: &[EntryPointInfo], defaults: &[String], kind: DefaultEntryPoints) -> Vec<String> {
    let info = |name: &String| entry_points.iter().find(|entry| entry.name == *name);
    let suits = |name: &&String| match kind {
        DefaultEntryPoints::Http => info(name).is_none_or(|entry| !entry.is_udp),
        DefaultEntryPoints::WithTls => info(name).is_some_and(|entry| entry.has_tls && !entry.is_udp),
        DefaultEntryPoints::None => false,
    };
    defaults.iter().filter(suits).cloned().collect()
}

fn fill_in(document: &mut DynamicConfig, missing: Vec<(String, Vec<String>)>) {
    for (name, entry_points) in missing {
        if let Some(frontend) = document.frontends.get_mut(&name) {
            frontend.entry_points = entry_points;
        }
    }
    for backend in document.backends.values_mut().filter(|backend| !has_method(backend)) {
        backend.load_balancer.get_or_insert_with(LoadBalancer::default).method = "wrr".to_owned();
    }
}

fn has_method(backend: &Backend) -> bool {
    let is_method = |method: &str| method.eq_ignore_ascii_case("wrr") || method.eq_ignore_ascii_case("drr");
    backend.load_balancer.as_ref().is_some_and(|balancer| is_method(&balancer.method))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dynamic::Frontend;

    #[test]
    fn defaults_fill_in_entry_points_and_wrr() {
        let mut dynamic = DynamicConfig::default();
        dynamic.backends.insert("b1".into(), Backend::default());
        dynamic.frontends.insert("f".into(), Frontend { backend: "b1".into(), ..Frontend::default() });
        let written = Arc::new(dynamic);
        let entry_points = ["http".to_owned()];
        let filled_in = with_defaults(Arc::clone(&written), &[], &entry_points);
        assert_eq!(written.frontends["f"].entry_points, [""; 0], "a shared document is not changed");
        assert!(
            Arc::ptr_eq(&filled_in, &with_defaults(Arc::clone(&filled_in), &[], &entry_points)),
            "a complete document is not copied"
        );
        let shown = serde_json::to_string(&*filled_in).unwrap();
        assert_eq!(
            shown,
            r#"{"backends":{"b1":{"loadBalancer":{"method":"wrr"}}},"frontends":{"f":{"entryPoints":["http"],"backend":"b1","priority":0,"basicAuth":null}}}"#
        );
    }
}
