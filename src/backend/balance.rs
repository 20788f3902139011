//! The balancer: picks the server of a request by weighted turns or by sticky cookie (docs/reference/backends.md#balancing).

use std::sync::Arc;

use super::drr::DynamicWeights;
use super::rotation::{Rotation, Scale};
use super::server::{Lease, Server};
use super::sticky::StickyCookie;
use super::url::ServerUrl;

/// The balancing method of a backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BalanceMethod {
    /// Weighted round robin.
    #[default]
    Wrr,
    /// Dynamic round robin: the weights of servers with fewer failures are raised.
    Drr,
}

/// The configured options of a balancer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BalancerSettings {
    pub method: BalanceMethod,
    pub sticky: Option<StickyCookie>,
}

/// The servers of a backend, from which each request gets one.
#[derive(Debug)]
pub struct Balancer {
    servers: Box<[Arc<Server>]>,
    settings: BalancerSettings,
    rotation: Rotation,
    /// The scale of the configured weights, for the usual case that all servers take part in the rotation.
    scale: Scale,
    /// The weights under [`BalanceMethod::Drr`].
    dynamic: Option<DynamicWeights>,
}

/// The servers that a request has been sent to, by their index in the balancer.
#[derive(Debug, Clone, Default)]
pub struct TriedServers {
    indexes: Vec<usize>,
}

/// Why no server was picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickError {
    /// The backend has no server, or none that is up: 503.
    NoneUp,
    /// All servers that are up have weight 0: 500.
    AllWeightsZero,
}

impl BalanceMethod {
    /// Parses `wrr` or `drr` in any letter case. Returns `None` for any other text; the caller then uses wrr, without a message.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "wrr" => Some(BalanceMethod::Wrr),
            "drr" => Some(BalanceMethod::Drr),
            _ => None,
        }
    }
}

/// The weight in use for a configured one: 0 becomes 1 unless `allow_zero` (`allowMinWeightZero`). `None` if the weight is negative or
/// above `u32::MAX`.
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

    pub fn contains(&self, index: usize) -> bool {
        self.indexes.contains(&index)
    }
}

impl Balancer {
    /// A balancer whose servers take turns in the order of their names.
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

    /// Picks a server for one attempt. `cookies` are the values of the request's Cookie fields, `now_nanos` is the monotonic clock.
    ///
    /// Tried and ejected servers are avoided as long as there are others. A client with a sticky cookie gets the server of its cookie,
    /// also an ejected one, unless that server has been tried; it then gets another server and a new cookie. Traefik v1 would send it to
    /// the same server again.
    pub fn pick<'a>(
        &self,
        mut cookies: impl Iterator<Item = &'a [u8]>,
        tried: &TriedServers,
        now_nanos: u64,
    ) -> Result<Lease, PickError> {
        if let Some(cookie) = &self.settings.sticky {
            let sticky = cookies.find_map(|field| self.sticky_server(cookie.value_in(field)?));
            if let Some(index) = sticky.filter(|&index| !tried.contains(index)) {
                return Ok(Lease::new(self.servers[index].clone(), index, false, false));
            }
        }
        let (index, is_probe) = self.next_turn(tried, now_nanos)?;
        let set_cookie = self.settings.sticky.is_some();
        Ok(Lease::new(self.servers[index].clone(), index, set_cookie, is_probe))
    }

    /// A lease of the server with this index, instead of the one whose turn it is: the client has a connection of its own to it. `None` if
    /// the server is down, has no weight, or has been tried.
    pub fn pick_server(&self, index: usize, tried: &TriedServers) -> Option<Lease> {
        let server = self.servers.get(index)?;
        let takes_part = server.state.is_up() && self.weight(index) > 0 && !tried.contains(index);
        takes_part.then(|| Lease::new(server.clone(), index, self.settings.sticky.is_some(), false))
    }

    /// The value of Set-Cookie for a lease with `set_cookie`.
    pub fn set_cookie(&self, lease: &Lease) -> Option<String> {
        let cookie = self.settings.sticky.as_ref().filter(|_| lease.set_cookie)?;
        Some(cookie.set_cookie(&lease.server.url))
    }

    /// Counts a response for the dynamic weights; does nothing under wrr.
    pub fn record(&self, lease: &Lease, status: u16, now_nanos: u64) {
        if let Some(dynamic) = &self.dynamic {
            dynamic.record(lease.index, status, now_nanos);
        }
    }

    /// The server that is up and that a cookie's value names.
    fn sticky_server(&self, value: &str) -> Option<usize> {
        let parsed = ServerUrl::parse(value).ok()?;
        self.servers.iter().position(|server| server.state.is_up() && parsed.names_same_server(&server.url))
    }

    /// The server whose turn it is, and whether the request probes it.
    fn next_turn(&self, tried: &TriedServers, now_nanos: u64) -> Result<(usize, bool), PickError> {
        let is_up = |index: usize| self.servers[index].state.is_up();
        let is_untried = |index: usize| is_up(index) && !tried.contains(index);
        let is_preferred = |index: usize| is_untried(index) && !self.servers[index].state.is_ejected();
        let len = self.servers.len();
        if self.dynamic.is_none() && (0..len).all(is_preferred) {
            let chosen = self.rotation.next(len, self.scale, |index| self.servers[index].weight);
            let chosen = chosen.map(|index| (index, false));
            return chosen.ok_or(if len == 0 { PickError::NoneUp } else { PickError::AllWeightsZero });
        }
        // If every server is ejected, the stages below use them all the same: their pooled connections may still work.
        let has_preferred = (0..len).any(is_preferred);
        let claims_probe = |index: usize| {
            has_preferred && self.weight(index) > 0 && self.servers[index].state.try_claim_probe(now_nanos)
        };
        if let Some(index) = (0..len).find(|&index| is_untried(index) && claims_probe(index)) {
            return Ok((index, true));
        }
        let stages: [&dyn Fn(usize) -> bool; 3] = [&is_preferred, &is_untried, &is_up];
        for takes_part in stages {
            // The weights are read once: if a server went down during the rotation, its loop might not end.
            let weights = (0..len).map(|index| if takes_part(index) { self.weight(index) } else { 0 });
            let weights: Vec<u32> = weights.collect();
            let scale = Scale::of(weights.iter().copied());
            if let Some(index) = self.rotation.next(len, scale, |index| weights[index]) {
                return Ok((index, false));
            }
        }
        Err(if (0..len).any(is_up) { PickError::AllWeightsZero } else { PickError::NoneUp })
    }

    pub(super) fn weight(&self, index: usize) -> u32 {
        self.dynamic.as_ref().map_or(self.servers[index].weight, |dynamic| dynamic.weight(index))
    }
}
