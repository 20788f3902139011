//! What steps remember, kept from one snapshot to the next: a reload for the sake of one container must not open every circuit
//! breaker's eyes anew or fill every rate limit's buckets.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::dynamic::{Backend, Frontend};
use crate::middleware::breaker::BreakerState;
use crate::middleware::digest_auth::DigestState;
use crate::middleware::rate_limit::{InvalidRate, Rate, RateState};
use crate::middleware::request_permit::ConnState;

/// The states of one frontend on one entry point, each with the settings that it was made for.
#[derive(Debug, Clone, Default)]
pub struct FrontendStates {
    rate: Option<(String, Arc<RateState>)>,
    conn: Option<(String, Arc<ConnState>)>,
    breaker: Option<Arc<BreakerState>>,
    digest: Option<Arc<DigestState>>,
}

/// All states of a snapshot.
///
/// Frontends of a provider that differ only in entry points and routes share theirs on an entry point (docs/reference/providers.md#state-across-reloads). Unlike
/// Traefik, which forgets everything at each reload, a state lives on while its step's settings stay the same.
#[derive(Debug, Default)]
pub struct MiddlewareStates {
    shared: HashMap<Key, SharedStates>,
    /// Where a frontend's states are, by provider, entry point and name.
    places: HashMap<(String, String, String), Key>,
}

type Key = [u8; 32];

#[derive(Debug, Default)]
struct SharedStates {
    states: FrontendStates,
    frontends: usize,
}

/// A frontend on an entry point, as far as its states are concerned.
#[derive(Clone, Copy)]
pub struct StateOwner<'a> {
    pub provider: &'a str,
    pub entry_point: &'a str,
    pub name: &'a str,
    pub frontend: &'a Frontend,
    pub backend: &'a Backend,
}

impl StateOwner<'_> {
    /// A digest: the settings hold password hashes, which need not lie around a second time.
    fn key(&self) -> Key {
        let settings = Frontend { entry_points: Vec::new(), routes: Default::default(), ..self.frontend.clone() };
        let Backend { max_conn, circuit_breaker, .. } = self.backend;
        let text = format!("{:?}", (self.provider, self.entry_point, settings, max_conn, circuit_breaker));
        let mut key = Key::default();
        key.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        key
    }

    fn place(&self) -> (String, String, String) {
        (self.provider.to_owned(), self.entry_point.to_owned(), self.name.to_owned())
    }
}

impl MiddlewareStates {
    /// What is known already for this frontend: from an equal one of this snapshot, else from the one before.
    pub fn carry_over(&self, previous: &MiddlewareStates, owner: &StateOwner<'_>) -> FrontendStates {
        let key = owner.key();
        if let Some(equal) = self.shared.get(&key).or_else(|| previous.shared.get(&key)) {
            return equal.states.clone();
        }
        let before = previous.places.get(&owner.place()).and_then(|key| previous.shared.get(key));
        // States that several frontends shared stay with those whose settings did not change.
        before.filter(|shared| shared.frontends == 1).map(|shared| shared.states.clone()).unwrap_or_default()
    }

    /// Keeps a frontend's states for its equals and for the next snapshot.
    pub fn store(&mut self, owner: &StateOwner<'_>, states: FrontendStates) {
        let key = owner.key();
        let shared = self.shared.entry(key).or_default();
        shared.states = states;
        shared.frontends += 1;
        self.places.insert(owner.place(), key);
    }
}

impl FrontendStates {
    /// Buckets for these rates, counted per `source`.
    ///
    /// # Errors
    /// No rates.
    pub fn rate(&mut self, source: &str, rates: &[Rate]) -> Result<Arc<RateState>, InvalidRate> {
        if let Some((known, state)) = &self.rate
            && known == source
            && state.serves(rates)
        {
            return Ok(Arc::clone(state));
        }
        let state = Arc::new(RateState::new(rates)?);
        self.rate = Some((source.to_owned(), Arc::clone(&state)));
        Ok(state)
    }

    /// The count of requests under way per `source`.
    pub fn conn(&mut self, source: &str) -> Arc<ConnState> {
        match &self.conn {
            Some((known, state)) if known == source => Arc::clone(state),
            _ => Arc::clone(&self.conn.insert((source.to_owned(), Arc::default())).1),
        }
    }

    /// The breaker of this expression.
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

    /// The nonces of digest authentication; they stand for no particular users.
    pub fn digest(&mut self, random: fn(&mut [u8])) -> Arc<DigestState> {
        let fresh = || {
            let mut bytes = [0; 12];
            random(&mut bytes);
            Arc::new(DigestState::new(bytes))
        };
        Arc::clone(self.digest.get_or_insert_with(fresh))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dynamic::Route;

    fn owner<'a>(name: &'a str, frontend: &'a Frontend, backend: &'a Backend) -> StateOwner<'a> {
        StateOwner { provider: "file", entry_point: "http", name, frontend, backend }
    }

    fn made(states: &mut MiddlewareStates, previous: &MiddlewareStates, owner: &StateOwner<'_>) -> Arc<ConnState> {
        let mut known = states.carry_over(previous, owner);
        let conn = known.conn("client.ip");
        states.store(owner, known);
        conn
    }

    #[test]
    fn equals_share_and_a_reload_keeps() {
        let backend = Backend::default();
        let plain = Frontend { backend: "b".into(), ..Frontend::default() };
        let routed = Frontend { routes: [("r".to_owned(), Route { rule: "Host:x".into() })].into(), ..plain.clone() };
        let changed = Frontend { priority: 7, ..plain.clone() };
        let mut first = MiddlewareStates::default();
        let a = made(&mut first, &MiddlewareStates::default(), &owner("a", &plain, &backend));
        let b = made(&mut first, &MiddlewareStates::default(), &owner("b", &routed, &backend));
        let c = made(&mut first, &MiddlewareStates::default(), &owner("c", &changed, &backend));
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &c));
        let mut second = MiddlewareStates::default();
        let renamed = made(&mut second, &first, &owner("d", &plain, &backend));
        assert!(Arc::ptr_eq(&a, &renamed), "names of containers' frontends change with the others that come and go");
        let other = Frontend { priority: 9, ..plain.clone() };
        assert!(Arc::ptr_eq(&c, &made(&mut second, &first, &owner("c", &other, &backend))), "same name, other option");
        assert!(!Arc::ptr_eq(
            &a,
            &made(&mut second, &first, &owner("a", &Frontend { priority: 3, ..plain.clone() }, &backend))
        ));
    }

    #[test]
    fn other_settings_of_a_step_make_a_new_state() {
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
