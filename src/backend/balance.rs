//! The balancer: whose turn it is, and who stays with whom (docs/reference/backends.md#balancing).

use std::sync::Arc;

use super::drr::DynamicWeights;
use super::rotation::{Rotation, Scale};
use super::server::{Lease, Server};
use super::sticky::StickyCookie;
use super::url::ServerUrl;

/// How servers take turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BalanceMethod {
    /// By weight.
    #[default]
    Wrr,
    /// By weight, raised for those that fail less.
    Drr,
}

/// What of the balancing is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BalancerSettings {
    pub method: BalanceMethod,
    pub sticky: Option<StickyCookie>,
}

/// A backend's servers, ready to choose from.
#[derive(Debug)]
pub struct Balancer {
    servers: Box<[Arc<Server>]>,
    settings: BalancerSettings,
    rotation: Rotation,
    /// The scale of the configured weights, for the usual case that all servers take part.
    scale: Scale,
    dynamic: Option<DynamicWeights>,
}

/// Servers that a request has been to. Reused per connection.
#[derive(Debug, Clone, Default)]
pub struct TriedServers {
    indexes: Vec<usize>,
}

/// Why no server was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickError {
    /// There is none, or none is up: 503.
    NoneUp,
    /// All weights are 0: 500.
    AllWeightsZero,
}

impl BalanceMethod {
    /// `wrr` and `drr` in any case; anything else is no method, and wrr takes its place (Traefik warns).
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "wrr" => Some(BalanceMethod::Wrr),
            "drr" => Some(BalanceMethod::Drr),
            _ => None,
        }
    }
}

/// A configured weight in use: 0 acts as 1 unless `allow_zero` (allowMinWeightZero); a negative one is refused.
pub fn effective_weight(configured: i64, allow_zero: bool) -> Option<u32> {
    match configured {
        0 => Some(u32::from(!allow_zero)),
        weight => u32::try_from(weight).ok(),
    }
}

impl TriedServers {
    pub fn add(&mut self, index: usize) {
        self.indexes.push(index);
    }

    pub fn clear(&mut self) {
        self.indexes.clear();
    }

    pub fn contains(&self, index: usize) -> bool {
        self.indexes.contains(&index)
    }
}

impl Balancer {
    /// The order of turns follows the servers' names.
    pub fn new(mut servers: Vec<Server>, settings: BalancerSettings) -> Self {
        servers.sort_by(|a, b| a.name.cmp(&b.name));
        let weights = || servers.iter().map(|server| server.weight);
        let scale = Scale::of(weights());
        let dynamic = (settings.method == BalanceMethod::Drr).then(|| DynamicWeights::new(weights().collect()));
        let servers = servers.into_iter().map(Arc::new).collect();
        Balancer { servers, settings, rotation: Rotation::default(), scale, dynamic }
    }

    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    pub fn settings(&self) -> &BalancerSettings {
        &self.settings
    }

    /// A server for one try. `cookies`: the values of the request's Cookie fields; `now_nanos`: the monotonic clock.
    ///
    /// Servers already tried are avoided while others are left, and so are those set aside. A sticky client leaves its
    /// server only when that has been tried, and then gets a new cookie: Traefik v1 would send it to the same one again.
    pub fn pick<'a>(
        &self,
        mut cookies: impl Iterator<Item = &'a [u8]>,
        tried: &TriedServers,
        now_nanos: u64,
    ) -> Result<Lease, PickError> {
        if let Some(cookie) = &self.settings.sticky {
            let bound = cookies.find_map(|field| self.bound(cookie.value_in(field)?));
            if let Some(index) = bound.filter(|&index| !tried.contains(index)) {
                return Ok(Lease::new(self.servers[index].clone(), index, false));
            }
        }
        let index = self.turn(tried, now_nanos)?;
        Ok(Lease::new(self.servers[index].clone(), index, self.settings.sticky.is_some()))
    }

    /// The value of Set-Cookie for a lease that wants one.
    pub fn set_cookie(&self, lease: &Lease) -> Option<String> {
        let cookie = self.settings.sticky.as_ref().filter(|_| lease.set_cookie)?;
        Some(cookie.set_cookie(&lease.server.url))
    }

    /// Counts an answer towards the dynamic weights; does nothing under wrr.
    pub fn record(&self, lease: &Lease, status: u16, now_nanos: u64) {
        if let Some(dynamic) = &self.dynamic {
            dynamic.record(lease.index, status, now_nanos);
        }
    }

    /// The server in use that a cookie's value names.
    fn bound(&self, value: &str) -> Option<usize> {
        let parsed = ServerUrl::parse(value).ok()?;
        self.servers.iter().position(|server| server.state.is_up() && parsed.names_same_server(&server.url))
    }

    fn turn(&self, tried: &TriedServers, now_nanos: u64) -> Result<usize, PickError> {
        let up = |index: usize| self.servers[index].state.is_up();
        let fresh = |index: usize| up(index) && !tried.contains(index);
        let best = |index: usize| fresh(index) && !self.servers[index].state.is_ejected();
        let len = self.servers.len();
        if self.dynamic.is_none() && (0..len).all(best) {
            let chosen = self.rotation.next(len, self.scale, |index| self.servers[index].weight);
            return chosen.ok_or(if len == 0 { PickError::NoneUp } else { PickError::AllWeightsZero });
        }
        // Where no server takes new connections they are asked all the same: those that are kept may serve.
        let are_others = (0..len).any(best);
        let probes =
            |index: usize| are_others && self.weight(index) > 0 && self.servers[index].state.try_claim_probe(now_nanos);
        if let Some(index) = (0..len).find(|&index| fresh(index) && probes(index)) {
            return Ok(index);
        }
        let stages: [&dyn Fn(usize) -> bool; 3] = [&best, &fresh, &up];
        for takes_part in stages {
            // Read once: a server that goes down while turns are counted must not leave the count without an end.
            let weights = (0..len).map(|index| if takes_part(index) { self.weight(index) } else { 0 });
            let weights: Vec<u32> = weights.collect();
            let scale = Scale::of(weights.iter().copied());
            if let Some(index) = self.rotation.next(len, scale, |index| weights[index]) {
                return Ok(index);
            }
        }
        Err(if (0..len).any(up) { PickError::AllWeightsZero } else { PickError::NoneUp })
    }

    fn weight(&self, index: usize) -> u32 {
        self.dynamic.as_ref().map_or(self.servers[index].weight, |dynamic| dynamic.weight(index))
    }
}
