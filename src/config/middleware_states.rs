//! The state of middlewares, carried over from one snapshot to the next: a reload because of one container must not reset all circuit
//! breakers or refill all rate-limit buckets.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::dynamic::{Backend, Frontend};
use crate::middleware::breaker::BreakerState;
use crate::middleware::digest_auth::DigestState;
use crate::middleware::rate_limit::{InvalidRate, Rate, RateState};
use crate::middleware::request_permit::ConnState;

/// The middleware states of one frontend on one entry point, each with the settings that it was made for.
#[derive(Debug, Clone, Default)]
pub struct FrontendStates {
    /// The digest of the settings of the frontend that has these states.
    settings: SettingsDigest,
    rate: Option<(String, Arc<RateState>)>,
    conn: Option<(String, Arc<ConnState>)>,
    breaker: Option<Arc<BreakerState>>,
    digest: Option<Arc<DigestState>>,
}

/// All middleware states of a snapshot.
///
/// Frontends of a provider that differ only in entry points and routes share their states on an entry point
/// (docs/reference/providers.md#state-across-reloads). A state is kept while the settings of its middleware stay the same; Traefik drops
/// all states at each reload.
#[derive(Debug, Default)]
pub struct MiddlewareStates {
    shared: HashMap<SettingsDigest, SharedStates>,
    /// The settings of each frontend, by provider, entry point and name: the key of its states in `shared`.
    settings: HashMap<(String, String, String), SettingsDigest>,
}

type SettingsDigest = [u8; 32];

#[derive(Debug, Default)]
struct SharedStates {
    states: FrontendStates,
    frontends: usize,
}

/// A frontend on an entry point: the facts that decide which states it gets.
#[derive(Clone, Copy)]
pub struct StateOwner<'a> {
    pub provider: &'a str,
    pub entry_point: &'a str,
    pub name: &'a str,
    pub frontend: &'a Frontend,
    pub backend: &'a Backend,
}

impl StateOwner<'_> {
    /// A digest of the settings. The settings hold password hashes, so they are not stored a second time.
    fn settings_digest(&self) -> SettingsDigest {
        let settings = Frontend { entry_points: Vec::new(), routes: Default::default(), ..self.frontend.clone() };
        let Backend { max_conn, circuit_breaker, .. } = self.backend;
        let text = format!("{:?}", (self.provider, self.entry_point, settings, max_conn, circuit_breaker));
        let mut bytes = SettingsDigest::default();
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        bytes
    }

    fn qualified_name(&self) -> (String, String, String) {
        (self.provider.to_owned(), self.entry_point.to_owned(), self.name.to_owned())
    }
}

impl MiddlewareStates {
    /// The states that exist already for this frontend: those of a frontend with equal settings in this snapshot or in the previous one,
    /// else those of the frontend with the same name in the previous one.
    pub fn carry_over(&self, previous: &MiddlewareStates, owner: &StateOwner<'_>) -> FrontendStates {
        let digest = owner.settings_digest();
        if let Some(equal) = self.shared.get(&digest).or_else(|| previous.shared.get(&digest)) {
            return FrontendStates { settings: digest, ..equal.states.clone() };
        }
        let same_name = previous.settings.get(&owner.qualified_name()).and_then(|digest| previous.shared.get(digest));
        // States that several frontends shared stay with the frontends whose settings did not change.
        let kept = same_name.filter(|shared| shared.frontends == 1).map(|shared| shared.states.clone());
        FrontendStates { settings: digest, ..kept.unwrap_or_default() }
    }

    /// Keeps the states of a frontend that is taken over from the previous snapshot as it is.
    pub fn keep(&mut self, previous: &MiddlewareStates, provider: &str, entry_point: &str, name: &str) {
        let qualified_name = (provider.to_owned(), entry_point.to_owned(), name.to_owned());
        let Some(digest) = previous.settings.get(&qualified_name) else { return };
        let Some(before) = previous.shared.get(digest) else { return };
        let kept = || SharedStates { states: before.states.clone(), frontends: 0 };
        self.shared.entry(*digest).or_insert_with(kept).frontends += 1;
        self.settings.insert(qualified_name, *digest);
    }

    /// Stores the states that [`MiddlewareStates::carry_over`] gave, for frontends with equal settings and for the next snapshot.
    pub fn store(&mut self, owner: &StateOwner<'_>, states: FrontendStates) {
        let digest = states.settings;
        let shared = self.shared.entry(digest).or_default();
        shared.states = states;
        shared.frontends += 1;
        self.settings.insert(owner.qualified_name(), digest);
    }
}

impl FrontendStates {
    /// The rate limit's buckets for `rates`, one set per `source`.
    ///
    /// # Errors
    /// `rates` is empty.
    pub fn rate(&mut self, source: &str, rates: &[Rate]) -> Result<Arc<RateState>, InvalidRate> {
        if let Some((state_source, state)) = &self.rate
            && state_source == source
            && state.serves(rates)
        {
            return Ok(Arc::clone(state));
        }
        let state = Arc::new(RateState::new(rates)?);
        self.rate = Some((source.to_owned(), Arc::clone(&state)));
        Ok(state)
    }

    /// The number of requests in progress per `source`.
    pub fn conn(&mut self, source: &str) -> Arc<ConnState> {
        match &self.conn {
            Some((state_source, state)) if state_source == source => Arc::clone(state),
            _ => Arc::clone(&self.conn.insert((source.to_owned(), Arc::default())).1),
        }
    }

    /// The state of a circuit breaker with this expression.
    ///
    /// # Errors
    /// The expression cannot be read.
    pub fn breaker(&mut self, expression: &str) -> Result<Arc<BreakerState>, String> {
        if let Some(state) = self.breaker.as_ref().filter(|state| state.expression() == expression) {
            return Ok(Arc::clone(state));
        }
        let state = Arc::new(BreakerState::new(expression).map_err(|e| e.to_string())?);
        Ok(Arc::clone(self.breaker.insert(state)))
    }

    /// The nonces of digest authentication; they do not depend on the users.
    pub fn digest(&mut self, random: fn(&mut [u8])) -> Arc<DigestState> {
        let new_state = || {
            let mut bytes = [0; 12];
            random(&mut bytes);
            Arc::new(DigestState::new(bytes))
        };
        Arc::clone(self.digest.get_or_insert_with(new_state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dynamic::Route;

    fn owner<'a>(name: &'a str, frontend: &'a Frontend, backend: &'a Backend) -> StateOwner<'a> {
        StateOwner { provider: "file", entry_point: "http", name, frontend, backend }
    }

    fn conn_state(
        states: &mut MiddlewareStates,
        previous: &MiddlewareStates,
        owner: &StateOwner<'_>,
    ) -> Arc<ConnState> {
        let mut carried = states.carry_over(previous, owner);
        let conn = carried.conn("client.ip");
        states.store(owner, carried);
        conn
    }

    #[test]
    fn equal_frontends_share_states_and_reload_keeps_them() {
        let backend = Backend::default();
        let plain = Frontend { backend: "b".into(), ..Frontend::default() };
        let routed = Frontend { routes: [("r".to_owned(), Route { rule: "Host:x".into() })].into(), ..plain.clone() };
        let changed = Frontend { priority: 7, ..plain.clone() };
        let mut first = MiddlewareStates::default();
        let a = conn_state(&mut first, &MiddlewareStates::default(), &owner("a", &plain, &backend));
        let b = conn_state(&mut first, &MiddlewareStates::default(), &owner("b", &routed, &backend));
        let c = conn_state(&mut first, &MiddlewareStates::default(), &owner("c", &changed, &backend));
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &c));
        let mut second = MiddlewareStates::default();
        let renamed = conn_state(&mut second, &first, &owner("d", &plain, &backend));
        assert!(
            Arc::ptr_eq(&a, &renamed),
            "a container's frontend gets another index in its name when others start or stop"
        );
        let other = Frontend { priority: 9, ..plain.clone() };
        assert!(
            Arc::ptr_eq(&c, &conn_state(&mut second, &first, &owner("c", &other, &backend))),
            "same name, other option"
        );
        assert!(!Arc::ptr_eq(
            &a,
            &conn_state(&mut second, &first, &owner("a", &Frontend { priority: 3, ..plain.clone() }, &backend))
        ));
    }

    #[test]
    fn unchanged_frontend_keeps_its_states_without_being_compiled() {
        let backend = Backend::default();
        let plain = Frontend { backend: "b".into(), ..Frontend::default() };
        let mut first = MiddlewareStates::default();
        let a = conn_state(&mut first, &MiddlewareStates::default(), &owner("a", &plain, &backend));
        let mut second = MiddlewareStates::default();
        second.keep(&first, "file", "http", "a");
        second.keep(&first, "file", "http", "unknown");
        let mut third = MiddlewareStates::default();
        let other = Frontend { priority: 9, ..plain.clone() };
        assert!(Arc::ptr_eq(&a, &conn_state(&mut third, &second, &owner("a", &other, &backend))), "by its name");
        assert!(Arc::ptr_eq(&a, &conn_state(&mut third, &second, &owner("z", &plain, &backend))), "by its settings");
        assert_eq!((second.shared.len(), second.settings.len()), (1, 1));
    }

    #[test]
    fn changed_middleware_settings_make_a_new_state() {
        let mut states = FrontendStates::default();
        let rate = |average| Rate::new(1_000_000_000, average, 1).unwrap();
        let first = states.rate("client.ip", &[rate(1)]).unwrap();
        assert!(Arc::ptr_eq(&first, &states.rate("client.ip", &[rate(1)]).unwrap()));
        assert!(!Arc::ptr_eq(&first, &states.rate("request.host", &[rate(1)]).unwrap()));
        let breaker = states.breaker("NetworkErrorRatio() > 0.5").unwrap();
        assert!(Arc::ptr_eq(&breaker, &states.breaker("NetworkErrorRatio() > 0.5").unwrap()));
        assert!(!Arc::ptr_eq(&breaker, &states.breaker("NetworkErrorRatio() > 0.6").unwrap()));
        assert!(states.breaker("Nonsense() > 1").is_err());
    }
}
