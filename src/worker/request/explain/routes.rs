//! The route that wins, and those that are close: with each condition of their rules, and why they do not get the request.

use std::sync::Arc;

use super::Explainer;
use super::fields::text;
use super::near::is_near;
use crate::config::snapshot::Frontend;
use crate::observe::explanation::{ConditionFacts, Explanation, NearMiss, RouteFacts};
use crate::rule::{Condition, RouteOutcome, RouteRequest, RouteTrace, Scratch};

/// Routes that are listed besides the winner.
const NEAR_MISSES_MAX: usize = 8;

type Trace<'a> = RouteTrace<'a, Arc<Frontend>>;

impl Explainer<'_> {
    /// Shows the routes of a request that has passed its entry point's chain. `winner` is the frontend that the router has found.
    pub(super) fn routes(
        &self,
        request: &RouteRequest<'_>,
        entry: usize,
        winner: Option<&Frontend>,
        explanation: &mut Explanation,
    ) {
        let traces = self
            .snapshot
            .routers
            .get(entry)
            .and_then(|router| router.traces(request, self.flattened_host.as_bytes()))
            .unwrap_or_default();
        let is_winner = |trace: &Trace<'_>| winner.is_some_and(|winner| std::ptr::eq(&raw const **trace.value, winner));
        let matching = traces.iter().filter(|trace| trace.matches()).count();
        if let Some(trace) = traces.iter().find(|trace| is_winner(trace)) {
            explanation.route = Some(self.route_facts(trace, request, matching));
        }
        let mut near: Vec<(usize, NearMiss)> = Vec::new();
        for trace in traces.iter().filter(|trace| !is_winner(trace)) {
            if let Some(distance) = distance(trace, request) {
                let why = self.miss_why(trace, request, explanation.route.as_ref());
                near.push((distance, self.near_miss(trace, request, why)));
            }
        }
        near.extend(self.elsewhere(request, entry, winner).map(|miss| (ELSEWHERE, miss)));
        if winner.is_none() {
            near.extend(self.containers(request).map(|miss| (REJECTED, miss)));
        }
        near.extend(self.rejected(request).map(|miss| (REJECTED, miss)));
        near.sort_by_key(|(distance, miss)| (*distance, miss.rank));
        near.truncate(NEAR_MISSES_MAX);
        explanation.near_misses = near.into_iter().map(|(_, miss)| miss).collect();
    }

    fn route_facts(&self, trace: &Trace<'_>, request: &RouteRequest<'_>, matching: usize) -> RouteFacts {
        let (provider, frontend) = self.names(trace.value);
        RouteFacts {
            rules: self.rules(&provider, &frontend),
            priority: trace.priority,
            rank: trace.rank,
            why: match matching {
                0 | 1 => "the only route that matches".to_owned(),
                more => format!("the first of {more} routes that match: highest priority, then provider and name"),
            },
            conditions: conditions(trace, request),
            frontend,
            provider,
        }
    }

    fn near_miss(&self, trace: &Trace<'_>, request: &RouteRequest<'_>, why: String) -> NearMiss {
        let (provider, frontend) = self.names(trace.value);
        NearMiss {
            rules: self.rules(&provider, &frontend),
            priority: trace.priority,
            rank: Some(trace.rank),
            why,
            conditions: conditions(trace, request),
            frontend,
            provider,
        }
    }

    fn miss_why(&self, trace: &Trace<'_>, request: &RouteRequest<'_>, winner: Option<&RouteFacts>) -> String {
        let unmet = trace.conditions.iter().filter(|condition| !condition.is_met);
        let unmet: Vec<String> =
            unmet.map(|unmet| format!("{unmet} is not met: {}", unmet.difference(request))).collect();
        if !unmet.is_empty() {
            return unmet.join("; ");
        }
        match winner {
            Some(winner) if winner.priority == trace.priority => {
                format!(
                    "it matches too, but comes after {}: same priority, later by provider and name",
                    winner.frontend
                )
            }
            Some(winner) => format!(
                "it matches too, but its priority {} is below {} of {}",
                trace.priority, winner.priority, winner.frontend
            ),
            None => {
                "it matches, but the path is answered by a redirect or cannot be changed as the rule says".to_owned()
            }
        }
    }

    /// The routes of other entry points that would take the request.
    fn elsewhere<'s>(
        &'s self,
        request: &'s RouteRequest<'_>,
        entry: usize,
        winner: Option<&'s Frontend>,
    ) -> impl Iterator<Item = NearMiss> + 's {
        let others = self.entry_points.iter().zip(&self.snapshot.routers).enumerate();
        others.filter(move |(index, _)| *index != entry).filter_map(move |(_, (point, router))| {
            let RouteOutcome::Found { value, .. } =
                router.route_flattened(request, self.flattened_host.as_bytes(), &mut Scratch::default())
            else {
                return None;
            };
            if winner.is_some_and(|winner| winner.number == value.number) {
                return None;
            }
            let (provider, frontend) = self.names(value);
            let why = format!(
                "it would match, but stands on entry point {} and not here: add this one to its entryPoints",
                point.name
            );
            let rules = self.rules(&provider, &frontend);
            Some(NearMiss { rules, why, frontend, provider, ..NearMiss::default() })
        })
    }

    /// The frontends whose rule has the host of the request, and that are not applied.
    fn rejected<'s>(&'s self, request: &RouteRequest<'_>) -> impl Iterator<Item = NearMiss> + 's {
        let host = bare_host(request);
        let documents = self.snapshot.providers.iter();
        let frontends =
            documents.flat_map(|(provider, document)| document.frontends.keys().map(move |name| (provider, name)));
        frontends.filter_map(move |(provider, name)| {
            let rules = self.rules(provider, name);
            let names_host = !host.is_empty() && rules.iter().any(|rule| rule.to_ascii_lowercase().contains(&host));
            if !names_host || self.snapshot.frontends.iter().any(|(p, n)| p == provider && n == name) {
                return None;
            }
            let object = format!("frontend {name}");
            let rejected = self
                .snapshot
                .rejected
                .iter()
                .find(|rejected| rejected.provider == *provider && rejected.name == object)?;
            let why = format!("it is rejected: {}", rejected.reason);
            Some(NearMiss { frontend: name.clone(), provider: provider.clone(), rules, why, ..NearMiss::default() })
        })
    }

    /// The containers that are not routed, and whose name is the first label of the host: without a rule of its own a container has that name.
    fn containers<'s>(&'s self, request: &RouteRequest<'_>) -> impl Iterator<Item = NearMiss> + 's {
        let host = bare_host(request);
        let label = host.split('.').next().unwrap_or_default().to_owned();
        let named = self.unrouted_containers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(&label));
        named.map(|(name, reason)| NearMiss {
            frontend: format!("container {name}"),
            provider: "docker".to_owned(),
            why: format!("the container is not routed: {reason}"),
            ..NearMiss::default()
        })
    }

    /// The provider and the name of a frontend.
    fn names(&self, frontend: &Frontend) -> (String, String) {
        self.snapshot.frontends.get(frontend.number).cloned().unwrap_or_default()
    }

    /// The rules of a frontend as written.
    pub(super) fn rules(&self, provider: &str, frontend: &str) -> Vec<String> {
        let document = self.snapshot.providers.get(provider);
        let written = document.and_then(|document| document.frontends.get(frontend));
        written.map(|written| written.routes.iter().map(|(_, route)| route.rule.clone()).collect()).unwrap_or_default()
    }
}

/// The distances of routes that are not tested condition by condition: after those that miss one, before those that miss more.
const ELSEWHERE: usize = 1;
const REJECTED: usize = 2;

/// How far a route is from the request; `None` if it is none that was meant. A route with a condition on the host is close if the host is
/// the right one, or nearly; any other route if at least one of its conditions is met.
fn distance(trace: &Trace<'_>, request: &RouteRequest<'_>) -> Option<usize> {
    let on_host = || trace.conditions.iter().filter(|condition| condition.is_on_host());
    let host = bare_host(request);
    let is_meant = if on_host().next().is_some() {
        on_host().all(|condition| condition.is_met || condition.hosts().iter().any(|name| is_near(name, &host)))
    } else {
        trace.conditions.iter().any(|condition| condition.is_met) || trace.conditions.is_empty()
    };
    is_meant.then(|| 2 * trace.unmet())
}

/// The host in lower case, without port.
fn bare_host(request: &RouteRequest<'_>) -> String {
    let host = crate::http::host_name::split_port(request.host).0;
    text(crate::http::host_name::without_trailing_dot(host)).to_ascii_lowercase()
}

fn conditions(trace: &Trace<'_>, request: &RouteRequest<'_>) -> Vec<ConditionFacts> {
    let facts = |condition: &Condition<'_>| ConditionFacts {
        text: condition.to_string(),
        met: condition.is_met,
        why: if condition.is_met { String::new() } else { condition.difference(request) },
    };
    trace.conditions.iter().map(facts).collect()
}
