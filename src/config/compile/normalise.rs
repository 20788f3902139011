//! Defaults filled in, as Traefik's API shows them (static.md 7.2).

use crate::config::dynamic::{Dynamic, LoadBalancer};

/// The document with entry points and load balancers filled in.
pub fn normalised(dynamic: &Dynamic, default_entry_points: &[String]) -> Dynamic {
    let mut dynamic = dynamic.clone();
    for frontend in dynamic.frontends.values_mut() {
        if frontend.entry_points.is_empty() {
            frontend.entry_points = default_entry_points.to_vec();
        }
    }
    for backend in dynamic.backends.values_mut() {
        let balancer = backend.load_balancer.get_or_insert_with(LoadBalancer::default);
        if !matches!(balancer.method.to_ascii_lowercase().as_str(), "wrr" | "drr") {
            balancer.method = "wrr".to_owned();
        }
    }
    dynamic
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dynamic::{Backend, Frontend};

    #[test]
    fn the_example_of_static_md_7_2() {
        let mut dynamic = Dynamic::default();
        dynamic.backends.insert("b1".into(), Backend::default());
        dynamic.frontends.insert("f".into(), Frontend { backend: "b1".into(), ..Frontend::default() });
        let shown = serde_json::to_string(&normalised(&dynamic, &["http".to_owned()])).unwrap();
        assert_eq!(
            shown,
            r#"{"backends":{"b1":{"loadBalancer":{"method":"wrr"}}},"frontends":{"f":{"entryPoints":["http"],"backend":"b1","priority":0,"basicAuth":null}}}"#
        );
    }
}
