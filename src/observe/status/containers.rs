//! The JSON of `/api/containers` (docs/reference/api.md#containers): the provider's report on each container, with what became of its routes.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::config::dynamic::{Documents, DynamicConfig};
use crate::config::labels::{ContainerReport, ContainerRoute, PROVIDER, Verdict};
use crate::config::{Rejected, Severity};
use crate::observe::go_json::to_json;

/// The state of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    /// Each of its routes is in use.
    Routed,
    /// Some of its routes are in use.
    Partial,
    /// The control plane has not applied its routes yet.
    Pending,
    /// Not routed, because it does not run or because its owner or the configuration says so.
    Unused,
    /// Not routed, because something is wrong.
    Failed,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Container<'a> {
    name: &'a str,
    id: &'a str,
    state: State,
    /// Why it is not routed; empty if it is.
    reason: String,
    running: bool,
    health: &'a str,
    routes: Vec<Route<'a>>,
    /// Parts of its labels that are ignored, and why.
    notes: &'a [String],
    networks: &'a BTreeMap<String, String>,
    ports: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Route<'a> {
    frontend: &'a str,
    rules: Vec<&'a str>,
    entry_points: &'a [String],
    backend: &'a str,
    server: &'a str,
    /// Why the route is not in use; empty if it is.
    problem: String,
}

/// The published configuration, as far as containers are concerned.
struct Published<'a> {
    document: Option<&'a DynamicConfig>,
    /// The reasons of rejected frontends, by name.
    rejected: HashMap<&'a str, &'a str>,
}

pub(super) fn body(reports: &[ContainerReport], providers: &Documents, rejected: &[Rejected]) -> Vec<u8> {
    let of_docker = rejected.iter().filter(|item| item.provider == PROVIDER && item.severity == Severity::Rejected);
    let frontends = of_docker.filter_map(|item| Some((item.name.strip_prefix("frontend ")?, item.reason.as_str())));
    let published = Published { document: providers.get(PROVIDER).map(|d| &**d), rejected: frontends.collect() };
    to_json(&reports.iter().map(|report| container(report, &published)).collect::<Vec<_>>())
}

fn container<'a>(report: &'a ContainerReport, published: &Published<'a>) -> Container<'a> {
    let mut routes = Vec::new();
    let (state, reason) = match &report.verdict {
        Verdict::Unused(reason) => (State::Unused, reason.clone()),
        Verdict::Failed(reason) => (State::Failed, reason.clone()),
        Verdict::Routed(of_container) => {
            let mut is_pending = false;
            for one in of_container {
                let (shown, is_published) = route(one, report, published);
                is_pending |= !is_published;
                routes.push(shown);
            }
            state_of(&routes, is_pending, report)
        }
    };
    Container {
        name: &report.name,
        id: report.id.get(..12).unwrap_or(&report.id),
        state,
        reason,
        running: report.running,
        health: report.health.as_deref().unwrap_or_default(),
        routes,
        notes: &report.notes,
        networks: &report.networks,
        ports: &report.ports,
    }
}

fn state_of(routes: &[Route<'_>], is_pending: bool, report: &ContainerReport) -> (State, String) {
    let mut problems = routes.iter().map(|route| &route.problem).filter(|problem| !problem.is_empty());
    let (count, first) = (problems.clone().count(), problems.next().cloned());
    match first {
        _ if routes.is_empty() => (State::Failed, report.notes.join("; ")),
        _ if is_pending => (State::Pending, "its routes are being applied".to_owned()),
        None => (State::Routed, String::new()),
        Some(problem) if count == routes.len() => (State::Failed, problem),
        Some(problem) => (State::Partial, problem),
    }
}

/// A route of a container, and whether the published configuration has its frontend.
fn route<'a>(route: &'a ContainerRoute, report: &ContainerReport, published: &Published<'a>) -> (Route<'a>, bool) {
    let frontend = published.document.and_then(|document| document.frontends.get(&route.frontend));
    let is_other = frontend.is_some_and(|frontend| frontend.backend != route.backend);
    let rejected = published.rejected.get(route.frontend.as_str());
    let problem = match (rejected, route.server.is_empty(), is_other) {
        (Some(reason), ..) => (*reason).to_owned(),
        (None, true, _) => {
            let found = report.notes.iter().find(|note| note.contains("no server created"));
            found.cloned().unwrap_or_else(|| "no server created: the container has no address".to_owned())
        }
        (None, false, true) => {
            format!("the frontend {} belongs to the container of another service: give it another rule", route.frontend)
        }
        (None, false, false) => String::new(),
    };
    let shown = Route {
        frontend: &route.frontend,
        rules: frontend.iter().flat_map(|found| found.routes.values()).map(|route| route.rule.as_str()).collect(),
        entry_points: frontend.map_or(&[], |found| &found.entry_points),
        backend: &route.backend,
        server: &route.server,
        problem,
    };
    (shown, frontend.is_some() || rejected.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dynamic::{self, Frontend};
    use crate::diagnostics::{Code, Diagnostic};

    fn report(verdict: Verdict) -> ContainerReport {
        ContainerReport { id: "0123456789abcdef".into(), name: "shop".into(), verdict, ..Default::default() }
    }

    fn routed(frontend: &str, server: &str) -> Verdict {
        let route = ContainerRoute { frontend: frontend.into(), backend: "backend-shop".into(), server: server.into() };
        Verdict::Routed(vec![route])
    }

    fn states(reports: &[ContainerReport], rejected: &[Rejected]) -> Vec<(String, String)> {
        let frontend = Frontend {
            backend: "backend-shop".into(),
            routes: [("r".to_owned(), dynamic::Route { rule: "Host:shop.test".into() })].into(),
            ..Frontend::default()
        };
        let mut document = DynamicConfig::default();
        document.frontends.insert("f".into(), frontend);
        let providers = Documents::from([(PROVIDER.to_owned(), document.into())]);
        let read: serde_json::Value = serde_json::from_slice(&body(reports, &providers, rejected)).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let rows = read.as_array().into_iter().flatten();
        rows.map(|row| (text(&row["state"]), text(&row["reason"]))).collect()
    }

    #[test]
    fn containers_have_the_state_of_their_published_routes() {
        let reports = [
            report(routed("f", "http://10.0.0.1")),
            report(routed("f", "")),
            report(routed("later", "http://10.0.0.1")),
            report(Verdict::Unused("its label traefik.enable is false".into())),
            report(Verdict::Failed("no port".into())),
            report(Verdict::Routed(Vec::new())),
        ];
        let found = states(&reports, &[]);
        let names: Vec<&str> = found.iter().map(|(state, _)| state.as_str()).collect();
        assert_eq!(names, ["routed", "failed", "pending", "unused", "failed", "failed"]);
        assert_eq!(found[1].1, "no server created: the container has no address");
    }

    #[test]
    fn container_of_a_rejected_frontend_shows_its_reason() {
        let diagnostic = Diagnostic::new(Code::InvalidRule, "routes", "rule Hots:a: unknown matcher");
        let rejected = Rejected::new(PROVIDER, "frontend f".into(), Severity::Rejected, diagnostic);
        let found = states(&[report(routed("f", "http://10.0.0.1"))], &[rejected]);
        assert_eq!(found, [("failed".to_owned(), "rule Hots:a: unknown matcher".to_owned())]);
    }
}
