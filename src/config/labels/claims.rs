//! Finds containers that claim one rule for different backends: only the frontend of the first one gets requests. Containers of one backend
//! share its requests, whichever frontend leads there.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{FrontendSource, PROVIDER, Translation};
use crate::config::dynamic::Frontend;
use crate::config::{Rejected, Severity};
use crate::diagnostics::{Code, Diagnostic};

/// The rules and the entry points of a frontend, in a form in which equal ones of two containers are equal texts.
pub fn rule_key(frontend: &Frontend) -> (String, Vec<String>) {
    let rules = frontend.routes.values().map(|route| route.rule.to_lowercase()).collect::<Vec<_>>().join("\n");
    let mut entry_points = frontend.entry_points.clone();
    entry_points.sort();
    (rules, entry_points)
}

/// Rank, name and backend of a frontend, and its container.
type Claimant<'a> = (Reverse<i64>, &'a str, &'a str, &'a FrontendSource);

/// Adds a message for each container whose rule another container has too and whose frontend ranks behind.
pub(super) fn report(output: &mut Translation) {
    let mut claims: BTreeMap<(String, Vec<String>), Vec<Claimant<'_>>> = BTreeMap::new();
    for (name, frontend) in &output.dynamic.frontends {
        let Some(source) = output.sources.get(name) else { continue };
        claims.entry(rule_key(frontend)).or_default().push((
            Reverse(frontend.priority),
            name,
            &frontend.backend,
            source,
        ));
    }
    let mut rejected = Vec::new();
    for claimants in claims.values_mut().filter(|claimants| claimants.len() > 1) {
        claimants.sort_by_key(|(priority, name, ..)| (*priority, *name));
        let Some(((_, _, first_backend, first), others)) = claimants.split_first() else { continue };
        let others = others
            .iter()
            .filter(|(_, _, backend, other)| backend != first_backend && other.container != first.container);
        rejected.extend(others.map(|(.., other)| claim(other, first)));
    }
    output.rejected.extend(rejected);
}

fn claim(other: &FrontendSource, first: &FrontendSource) -> Rejected {
    let text = format!(
        "gets no request: container {} has the same rule and comes first; give one of them another rule, or both the same \
         traefik.backend",
        first.container
    );
    let diagnostic = Diagnostic::new(Code::DuplicateRule, "traefik.frontend.rule", text);
    Rejected::new(PROVIDER, format!("container {}", other.container), Severity::Partial, diagnostic)
}
