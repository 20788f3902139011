//! Reports HTTP frontends that get no request, because another frontend comes first and takes all of theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::EntryPointInfo;
use crate::config::dynamic::DynamicConfig;
use crate::config::{Rejected, Severity, labels};
use crate::diagnostics::{Code, Diagnostic};
use crate::rule::{Route, Shadow, shadowed};

/// Lists the frontends of an entry point that get no request there.
pub fn report<T>(
    routes: &[Route<T>],
    entry: &EntryPointInfo,
    documents: &BTreeMap<String, Arc<DynamicConfig>>,
) -> Vec<Rejected> {
    let reported = shadowed(routes).into_iter().filter(|shadow| !is_of_containers(shadow, routes, documents));
    reported.map(|shadow| rejected(&shadow, routes, entry)).collect()
}

fn rejected<T>(shadow: &Shadow, routes: &[Route<T>], entry: &EntryPointInfo) -> Rejected {
    let (loser, winner) = (&routes[shadow.loser], &routes[shadow.winner]);
    let (code, text) = match shadow.is_equal {
        true => (
            Code::DuplicateRule,
            format!(
                "gets no request on entry point {}: frontend {} ({}) has the same rule and comes first; remove one of the two",
                entry.name, winner.name, winner.provider
            ),
        ),
        false => (
            Code::ShadowedRoute,
            format!(
                "gets no request on entry point {}: frontend {} ({}) comes first and takes all of them; change one of the rules, or \
                 raise this frontend's priority",
                entry.name, winner.name, winner.provider
            ),
        ),
    };
    let diagnostic = Diagnostic::new(code, "routes", text);
    Rejected::new(&loser.provider, format!("frontend {}", loser.name), Severity::Partial, diagnostic)
}

/// Whether the labels of two containers have one rule: the Docker provider has named both containers.
fn is_of_containers<T>(shadow: &Shadow, routes: &[Route<T>], documents: &BTreeMap<String, Arc<DynamicConfig>>) -> bool {
    let rule_of = |route: &Route<T>| {
        let document = documents.get(&route.provider).filter(|_| route.provider == labels::PROVIDER)?;
        document.frontends.get(&route.name).map(labels::rule_key)
    };
    let (loser, winner) = (rule_of(&routes[shadow.loser]), rule_of(&routes[shadow.winner]));
    loser.is_some() && loser == winner
}
