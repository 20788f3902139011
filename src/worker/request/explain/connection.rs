//! Explains TCP connections and UDP sessions (docs/reference/layer4.md).

use std::net::IpAddr;

use super::asked::{Asked, Scheme};
use super::near::is_near;
use super::{Explainer, closed};
use crate::backend::{Choice, PickError};
use crate::config::snapshot::{Backend, TcpFrontend, TcpRoutes};
use crate::detect::client_hello::ClientHelloInfo;
use crate::middleware::white_list::WhiteList;
use crate::observe::explanation::{BackendFacts, Explanation, NearMiss, Outcome, RouteFacts, Step};
use crate::worker::resources::entry_point::EntryPoint;
use crate::worker::tcp_choice::{Beginning, Choice as RouteChoice, choose};

/// TCP routes that are listed besides the one that takes the connection.
const NEAR_MISSES_MAX: usize = 8;

impl Explainer<'_> {
    /// Explains a connection that a TCP route takes, or that no HTTP route can take. Returns false for one that goes on to HTTP.
    pub(super) fn connection(
        &self,
        asked: &Asked,
        index: usize,
        entry: &EntryPoint,
        explanation: &mut Explanation,
    ) -> bool {
        let none = TcpRoutes::default();
        let routes = self.snapshot.tcp.get(index).unwrap_or(&none);
        match choose(routes, beginning(asked), entry.tls.is_some()) {
            RouteChoice::Route { frontend, terminates, .. } => {
                self.tcp(asked, entry, &frontend, terminates, routes, explanation);
                true
            }
            _ if asked.scheme.is_request() => false,
            _ => {
                explanation.near_misses = self.near_tcp(asked, routes, None);
                explanation.outcome = closed(match routes.is_empty() {
                    true => "the entry point has no TCP route: the connection is read as HTTP",
                    false => "no TCP route takes the connection: it is read as HTTP",
                });
                true
            }
        }
    }

    fn tcp(
        &self,
        asked: &Asked,
        entry: &EntryPoint,
        frontend: &TcpFrontend,
        terminates: bool,
        routes: &TcpRoutes,
        explanation: &mut Explanation,
    ) {
        let provider = frontend.backend.provider.clone();
        explanation.route = Some(RouteFacts {
            rules: self.rules(&provider, &frontend.name),
            why: match (frontend.passthrough, terminates) {
                (true, _) => "a TCP route takes the connection; TLS goes on to the server".to_owned(),
                (false, true) => "a TCP route takes the connection; TLS ends here".to_owned(),
                (false, false) => "a TCP route takes the connection".to_owned(),
            },
            frontend: frontend.name.clone(),
            provider,
            ..RouteFacts::default()
        });
        explanation.near_misses = self.near_tcp(asked, routes, Some(frontend));
        let client = asked.from.ip();
        if let Some(list) = &frontend.white_list
            && !shows_white_list(list, client, explanation)
        {
            explanation.outcome = closed("the white list of the frontend does not have the client");
            return;
        }
        if let Some(limit) = &frontend.max_conn {
            let has_room = limit.has_room(client);
            let why = if has_room { "the limit is not reached" } else { "the limit is reached" };
            explanation.steps.push(step("maxConn", has_room, why.to_owned()));
            if !has_room {
                explanation.outcome = closed("the connection limit of the frontend is reached");
                return;
            }
        }
        if terminates && !self.certificate(asked, entry, explanation) {
            return;
        }
        self.connected(&frontend.backend, client, explanation);
    }

    /// Explains a session of a UDP entry point.
    pub(super) fn datagrams(&self, asked: &Asked, index: usize, explanation: &mut Explanation) {
        let Some(frontend) = self.snapshot.udp.get(index).and_then(Option::as_ref) else {
            explanation.outcome = closed("the entry point has no UDP frontend: datagrams are dropped");
            return;
        };
        let provider = frontend.backend.provider.clone();
        explanation.route = Some(RouteFacts {
            rules: self.rules(&provider, &frontend.name),
            why: "the UDP frontend of the entry point".to_owned(),
            frontend: frontend.name.clone(),
            provider,
            ..RouteFacts::default()
        });
        let client = asked.from.ip();
        if let Some(list) = &frontend.white_list
            && !shows_white_list(list, client, explanation)
        {
            explanation.outcome = closed("the white list of the frontend does not have the client");
            return;
        }
        self.connected(&frontend.backend, client, explanation);
    }

    fn connected(&self, backend: &Backend, client: IpAddr, explanation: &mut Explanation) {
        let (choice, facts): (Result<Choice, PickError>, BackendFacts) = self.backend_of_client(backend, client);
        let why = facts.why.clone();
        explanation.backend = Some(facts);
        let endpoint = choice.ok().and_then(|choice| backend.endpoints.get(choice.index));
        explanation.outcome = match endpoint {
            Some(endpoint) => Outcome {
                kind: "connected".to_owned(),
                server: Some(endpoint.url.clone()),
                why: format!("to server {} of backend {}: {why}", endpoint.server.name, backend.name),
                ..Outcome::default()
            },
            None => closed(why),
        };
    }

    /// The TCP routes whose name is close to the one that the client asks for, and `*`.
    fn near_tcp(&self, asked: &Asked, routes: &TcpRoutes, winner: Option<&TcpFrontend>) -> Vec<NearMiss> {
        let name = asked.sni.clone().unwrap_or_else(|| asked.host.clone());
        let others = routes
            .entries()
            .into_iter()
            .filter(|(_, frontend)| winner.is_none_or(|winner| !std::ptr::eq(&raw const ***frontend, winner)));
        let near = others
            .filter(|(rule, _)| rule.strip_prefix("HostSNI:").is_none_or(|own| own == "*" || is_near(own, &name)));
        let miss = |(rule, frontend): (String, &std::sync::Arc<TcpFrontend>)| NearMiss {
            frontend: frontend.name.clone(),
            provider: frontend.backend.provider.clone(),
            why: match (asked.scheme, winner.is_some()) {
                (Scheme::Tcp, false) => {
                    "without TLS a connection has no name, and on an entry point with TLS no route without passthrough"
                        .to_owned()
                }
                (_, true) => "another route has the name, or comes first".to_owned(),
                _ => format!("the name is {name}"),
            },
            rules: vec![rule],
            ..NearMiss::default()
        };
        near.take(NEAR_MISSES_MAX).map(miss).collect()
    }
}

/// The beginning of the connection that the client would open.
fn beginning(asked: &Asked) -> Beginning {
    if !asked.scheme.has_tls() {
        return Beginning::Opaque;
    }
    let alpn = if asked.scheme.is_request() { vec![b"http/1.1".to_vec()] } else { Vec::new() };
    Beginning::Hello(ClientHelloInfo { server_name: asked.sni.clone(), alpn })
}

/// Shows what the white list decides; returns whether it has the client.
fn shows_white_list(list: &WhiteList, client: IpAddr, explanation: &mut Explanation) -> bool {
    let allows = list.allows_address(client);
    let why = if allows { format!("{client} is in the list") } else { format!("{client} is not in the list") };
    explanation.steps.push(step("whiteList", allows, why));
    allows
}

fn step(middleware: &str, passes: bool, why: String) -> Step {
    Step {
        chain: "frontend".to_owned(),
        middleware: middleware.to_owned(),
        verdict: if passes { "passes" } else { "closes" }.to_owned(),
        why,
        ..Step::default()
    }
}
