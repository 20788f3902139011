//! Collects the TCP and UDP frontends of the entry points and makes their tables. Routes that can never be reached are reported.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use super::EntryPointInfo;
use crate::config::snapshot::{Frontend, TcpFrontend, TcpRoutes, UdpFrontend};
use crate::config::{Rejected, Severity};
use crate::diagnostics::{Code, Diagnostic};
use crate::rule::sni::SniRoute;
use crate::rule::{PRIORITY_LAST, Route};

/// How many names a message lists.
const NAMES_SHOWN_MAX: usize = 5;

/// The layer 4 routes of all entry points, in the order of the static configuration.
pub struct Layer4Routes {
    tcp: Vec<Vec<SniRoute<Arc<TcpFrontend>>>>,
    udp: Vec<Vec<UdpRoute>>,
}

/// A UDP frontend on one entry point.
pub struct UdpRoute {
    pub priority: i64,
    pub provider: String,
    pub frontend: Arc<UdpFrontend>,
}

/// The tables of a snapshot.
pub struct Layer4Tables {
    pub tcp: Vec<TcpRoutes>,
    pub udp: Vec<Option<Arc<UdpFrontend>>>,
    pub rejected: Vec<Rejected>,
}

impl Layer4Routes {
    pub fn new(entry_points: usize) -> Self {
        Layer4Routes {
            tcp: (0..entry_points).map(|_| Vec::new()).collect(),
            udp: (0..entry_points).map(|_| Vec::new()).collect(),
        }
    }

    /// The number of routes so far.
    pub fn len(&self) -> usize {
        self.tcp.iter().map(Vec::len).sum::<usize>() + self.udp.iter().map(Vec::len).sum::<usize>()
    }

    pub fn add_tcp(&mut self, entry: usize, route: SniRoute<Arc<TcpFrontend>>) {
        self.tcp[entry].push(route);
    }

    pub fn add_udp(&mut self, entry: usize, route: UdpRoute) {
        self.udp[entry].push(route);
    }

    /// Makes the tables. `requests` are the routes of HTTP frontends, which get the connections that no TCP route takes.
    pub fn build(self, entry_points: &[EntryPointInfo], requests: &[Vec<Route<Arc<Frontend>>>]) -> Layer4Tables {
        let mut tables = Layer4Tables { tcp: Vec::new(), udp: Vec::new(), rejected: Vec::new() };
        for ((routes, entry), requests) in self.tcp.into_iter().zip(entry_points).zip(requests) {
            tables.add_tcp(routes, entry, requests);
        }
        for (routes, entry) in self.udp.into_iter().zip(entry_points) {
            tables.add_udp(routes, entry);
        }
        tables
    }
}

impl Layer4Tables {
    fn add_tcp(
        &mut self,
        routes: Vec<SniRoute<Arc<TcpFrontend>>>,
        entry: &EntryPointInfo,
        requests: &[Route<Arc<Frontend>>],
    ) {
        let catch_all = |routes: &TcpRoutes| routes.catch_all().map(|frontend| frontend.name.clone());
        let providers: Vec<(String, String)> =
            routes.iter().map(|route| (route.name.clone(), route.provider.clone())).collect();
        let (table, unreachable) = TcpRoutes::build(routes);
        for part in unreachable {
            let (severity, effect) = match part.is_complete {
                true => (Severity::Rejected, "gets no connection"),
                false => (Severity::Partial, "gets the connections of its other names"),
            };
            let reason = format!("{part} on entry point {}; this frontend {effect} there", entry.name);
            self.report(&part.provider, &part.name, severity, Code::UnreachableTcpRoute, "routes", reason);
        }
        if let Some(name) = catch_all(&table) {
            let provider = providers.iter().find(|(route, _)| *route == name).map_or("", |(_, provider)| provider);
            self.report_unreached(provider, &name, entry, requests);
        }
        self.report_shared_names(&table, entry, requests);
        self.tcp.push(table);
    }

    /// Reports HTTP frontends that get no request, because `HostSNI:*` takes every connection.
    fn report_unreached(
        &mut self,
        provider: &str,
        frontend: &str,
        entry: &EntryPointInfo,
        requests: &[Route<Arc<Frontend>>],
    ) {
        if requests.is_empty() {
            return;
        }
        let mut names: Vec<&str> = requests.iter().map(|route| route.name.as_str()).collect();
        names.sort_unstable();
        let more = match names.len().saturating_sub(NAMES_SHOWN_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        names.truncate(NAMES_SHOWN_MAX);
        let reason = format!(
            "HostSNI:* takes every connection of entry point {}, so that these HTTP frontends get no request there: {}{more}; \
             name another entry point",
            entry.name,
            names.join(", ")
        );
        self.report(provider, frontend, Severity::Partial, Code::TcpTakesRequests, "routes", reason);
    }

    /// Reports names that an HTTP and a TCP route share: the TCP route gets their connections.
    fn report_shared_names(&mut self, table: &TcpRoutes, entry: &EntryPointInfo, requests: &[Route<Arc<Frontend>>]) {
        if !table.needs_name() {
            return;
        }
        for route in requests.iter().filter(|route| route.priority != PRIORITY_LAST) {
            let shared: HashSet<&String> = route.rule.hosts().iter().filter(|host| table.has_name(host)).collect();
            for host in shared {
                let winner = table.find(Some(host)).map_or("", |frontend| &frontend.name);
                let reason = format!(
                    "Host `{host}` gets no request on entry point {}: TCP frontend {winner} takes the connections to this name; \
                     use another name or entry point for one of them",
                    entry.name
                );
                self.report(&route.provider, &route.name, Severity::Partial, Code::TcpTakesRequests, "routes", reason);
            }
        }
    }

    /// Gives the entry point the first of its UDP frontends, in the order of ranks.
    fn add_udp(&mut self, mut routes: Vec<UdpRoute>, entry: &EntryPointInfo) {
        routes.sort_by(|a, b| {
            let rank =
                |route: &UdpRoute| (Reverse(route.priority), route.provider.clone(), route.frontend.name.clone());
            rank(a).cmp(&rank(b))
        });
        let mut routes = routes.into_iter();
        let first = routes.next();
        // A frontend that comes last because its servers are unavailable is no mistake.
        for other in routes.filter(|route| route.priority != PRIORITY_LAST) {
            let Some(first) = &first else { break };
            let reason = format!(
                "UDP frontend {} ({}) has entry point {} already, and there can be one only: name another entry point",
                first.frontend.name, first.provider, entry.name
            );
            let (code, key) = (Code::SecondUdpFrontend, "entryPoints");
            self.report(&other.provider, &other.frontend.name, Severity::Rejected, code, key, reason);
        }
        self.udp.push(first.map(|route| route.frontend));
    }

    fn report(&mut self, provider: &str, frontend: &str, severity: Severity, code: Code, key: &str, reason: String) {
        let diagnostic = Diagnostic::new(code, key, reason);
        self.rejected.push(Rejected::new(provider, format!("frontend {frontend}"), severity, diagnostic));
    }
}
