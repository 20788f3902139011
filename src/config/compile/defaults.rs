//! Fills defaults into a document, as Traefik's API shows them (docs/reference/api.md#configuration-json).

use std::sync::Arc;

use crate::config::dynamic::{Backend, DynamicConfig, LoadBalancer};

/// Returns the document with entry points and load balancers filled in. A document that has them is returned as it is; a document with
/// only one owner is changed without a copy.
pub fn with_defaults(mut document: Arc<DynamicConfig>, default_entry_points: &[String]) -> Arc<DynamicConfig> {
    let is_complete = document.frontends.values().all(|frontend| !frontend.entry_points.is_empty())
        && document.backends.values().all(has_method);
    if !is_complete {
        fill_in(Arc::make_mut(&mut document), default_entry_points);
    }
    document
}

fn fill_in(document: &mut DynamicConfig, default_entry_points: &[String]) {
    for frontend in document.frontends.values_mut().filter(|frontend| frontend.entry_points.is_empty()) {
        frontend.entry_points = default_entry_points.to_vec();
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
        let filled_in = with_defaults(Arc::clone(&written), &entry_points);
        assert_eq!(written.frontends["f"].entry_points, [""; 0], "a shared document is not changed");
        assert!(
            Arc::ptr_eq(&filled_in, &with_defaults(Arc::clone(&filled_in), &entry_points)),
            "a complete document is not copied"
        );
        let shown = serde_json::to_string(&*filled_in).unwrap();
        assert_eq!(
            shown,
            r#"{"backends":{"b1":{"loadBalancer":{"method":"wrr"}}},"frontends":{"f":{"entryPoints":["http"],"backend":"b1","priority":0,"basicAuth":null}}}"#
        );
    }
}
