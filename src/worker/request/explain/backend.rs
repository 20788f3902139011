//! The servers of a backend with their states, and the one that the balancer would pick.

use std::net::IpAddr;

use super::Explainer;
use crate::backend::{BalanceMethod, Choice, PickError, PickReason};
use crate::config::snapshot::{Backend, ServerEndpoint};
use crate::observe::explanation::{BackendFacts, ServerFacts};

impl Explainer<'_> {
    /// The backend's facts after the balancer's choice. `stickiness` names what a client is bound by.
    pub(super) fn backend_facts(
        &self,
        backend: &Backend,
        choice: Result<Choice, PickError>,
        stickiness: Option<String>,
    ) -> BackendFacts {
        let picked = choice.ok().and_then(|choice| backend.endpoints.get(choice.index));
        let why = match choice {
            Ok(choice) => picked_why(choice.reason).to_owned(),
            Err(error) => no_server_why(backend, error),
        };
        let servers = backend.endpoints.iter().enumerate().map(|(index, endpoint)| {
            let is_picked = choice.is_ok_and(|choice| choice.index == index);
            let why = if is_picked { why.clone() } else { passed_over_why(backend, index) };
            server_facts(backend, index, endpoint, is_picked, why)
        });
        BackendFacts {
            name: backend.name.clone(),
            provider: backend.provider.clone(),
            method: match backend.balancer.settings().method {
                BalanceMethod::Wrr => "wrr".to_owned(),
                BalanceMethod::Drr => "drr".to_owned(),
            },
            stickiness,
            picked: picked.map(|endpoint| endpoint.server.name.clone()),
            servers: servers.collect(),
            why,
        }
    }

    /// The choice for a connection or session of a client, and the facts.
    pub(super) fn backend_of_client(
        &self,
        backend: &Backend,
        client: IpAddr,
    ) -> (Result<Choice, PickError>, BackendFacts) {
        let choice = backend.balancer.preview_for_client(client, self.now.mono_nanos);
        let stickiness = backend.balancer.settings().sticky.as_ref().map(|_| "client address".to_owned());
        (choice, self.backend_facts(backend, choice, stickiness))
    }
}

/// Whether no address of a server is known, because its name has not been looked up or leads nowhere.
pub(super) fn is_unresolved(endpoint: &ServerEndpoint) -> bool {
    endpoint.addresses.load().is_empty()
}

fn server_facts(backend: &Backend, index: usize, endpoint: &ServerEndpoint, picked: bool, why: String) -> ServerFacts {
    let state = &endpoint.server.state;
    ServerFacts {
        name: endpoint.server.name.clone(),
        url: endpoint.url.clone(),
        weight: backend.balancer.weight(index),
        state: match (state.is_up(), state.is_ejected()) {
            (false, _) => "down".to_owned(),
            (true, true) => "ejected".to_owned(),
            (true, false) => "up".to_owned(),
        },
        active: state.active(),
        addresses: endpoint.addresses.load().iter().map(ToString::to_string).collect(),
        picked,
        why,
    }
}

fn picked_why(reason: PickReason) -> &'static str {
    match reason {
        PickReason::Cookie => "the client's cookie names it",
        PickReason::Turn => "it is its turn",
        PickReason::Probe => "it could not be connected to, and this request probes whether it is back",
        PickReason::Address => "the client's address leads to it",
    }
}

fn passed_over_why(backend: &Backend, index: usize) -> String {
    let Some(endpoint) = backend.endpoints.get(index) else { return String::new() };
    let state = &endpoint.server.state;
    let why = if !state.is_up() {
        "its health check fails"
    } else if backend.balancer.weight(index) == 0 {
        "its weight is 0"
    } else if state.is_ejected() {
        "it could not be connected to three times in a row"
    } else {
        "it is not its turn"
    };
    why.to_owned()
}

fn no_server_why(backend: &Backend, error: PickError) -> String {
    match error {
        PickError::NoneUp if backend.endpoints.is_empty() => "the backend has no server".to_owned(),
        PickError::NoneUp => "no server of the backend is up: their health checks fail".to_owned(),
        PickError::AllWeightsZero => "all servers that are up have weight 0".to_owned(),
    }
}
