//! The balancer: picks the server of a request by weighted turns or by sticky cookie (docs/reference/backends.md#balancing).

use std::sync::Arc;

use super::drr::DynamicWeights;
use super::rotation::{Rotation, Scale};
use super::server::{Lease, Server, ServerState};
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

/// The server for an attempt, by its index in the balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    pub index: usize,
    /// The response gets the sticky cookie.
    pub set_cookie: bool,
    /// The request probes an ejected server.
    pub is_probe: bool,
    pub reason: PickReason,
}

/// Why a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickReason {
    /// The client's sticky cookie names the server.
    Cookie,
    /// The server's turn has come.
    Turn,
    /// The server is ejected, and one request probes whether it is back.
    Probe,
    /// The client's address leads to the server.
    Address,
}

/// The effects of a choice on the state that requests share: a request has them, a preview has none.
pub(super) trait Turn {
    fn of(rotation: &Rotation, len: usize, scale: Scale, weight: impl Fn(usize) -> u32) -> Option<usize>;
    fn claims_probe(state: &ServerState, now_nanos: u64) -> bool;
}

/// The turn of a request: the rotation moves on.
pub(super) struct Taken;

/// The turn that a request would have now.
pub(super) struct Previewed;

impl Turn for Taken {
    #[inline]
    fn of(rotation: &Rotation, len: usize, scale: Scale, weight: impl Fn(usize) -> u32) -> Option<usize> {
        rotation.next(len, scale, weight)
    }

    #[inline]
    fn claims_probe(state: &ServerState, now_nanos: u64) -> bool {
        state.try_claim_probe(now_nanos)
    }
}

impl Turn for Previewed {
    fn of(rotation: &Rotation, len: usize, scale: Scale, weight: impl Fn(usize) -> u32) -> Option<usize> {
        rotation.peek(len, scale, weight)
    }

    fn claims_probe(state: &ServerState, now_nanos: u64) -> bool {
        state.is_probe_due(now_nanos)
    }
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
        let Choice { index, set_cookie, is_probe, .. } = self.choose::<Taken>(&mut cookies, tried, now_nanos)?;
        Ok(Lease::new(self.servers[index].clone(), index, set_cookie, is_probe))
    }

    /// The server that [`pick`](Self::pick) would give the next request, and why. Nothing changes.
    ///
    /// # Errors
    /// As [`pick`](Self::pick).
    pub fn preview<'a>(
        &self,
        mut cookies: impl Iterator<Item = &'a [u8]>,
        now_nanos: u64,
    ) -> Result<Choice, PickError> {
        self.choose::<Previewed>(&mut cookies, &TriedServers::default(), now_nanos)
    }

    /// Chooses the server of one attempt.
    #[inline]
    pub(super) fn choose<'a, T: Turn>(
        &self,
        cookies: &mut impl Iterator<Item = &'a [u8]>,
        tried: &TriedServers,
        now_nanos: u64,
    ) -> Result<Choice, PickError> {
        if let Some(cookie) = &self.settings.sticky {
            let sticky = cookies.find_map(|field| self.sticky_server(cookie.value_in(field)?));
            if let Some(index) = sticky.filter(|&index| !tried.contains(index)) {
                return Ok(Choice { index, set_cookie: false, is_probe: false, reason: PickReason::Cookie });
            }
        }
        let (index, reason) = self.next_turn::<T>(tried, now_nanos)?;
        let (set_cookie, is_probe) = (self.settings.sticky.is_some(), reason == PickReason::Probe);
        Ok(Choice { index, set_cookie, is_probe, reason })
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

    /// The server whose turn it is, and why.
    #[inline]
    fn next_turn<T: Turn>(&self, tried: &TriedServers, now_nanos: u64) -> Result<(usize, PickReason), PickError> {
        let is_up = |index: usize| self.servers[index].state.is_up();
        let is_untried = |index: usize| is_up(index) && !tried.contains(index);
        let is_preferred = |index: usize| is_untried(index) && !self.servers[index].state.is_ejected();
        let len = self.servers.len();
        if self.dynamic.is_none() && (0..len).all(is_preferred) {
            let chosen = T::of(&self.rotation, len, self.scale, |index| self.servers[index].weight);
            let chosen = chosen.map(|index| (index, PickReason::Turn));
            return chosen.ok_or(if len == 0 { PickError::NoneUp } else { PickError::AllWeightsZero });
        }
        // If every server is ejected, the stages below use them all the same: their pooled connections may still work.
        let has_preferred = (0..len).any(is_preferred);
        let claims_probe = |index: usize| {
            has_preferred && self.weight(index) > 0 && T::claims_probe(&self.servers[index].state, now_nanos)
        };
        if let Some(index) = (0..len).find(|&index| is_untried(index) && claims_probe(index)) {
            return Ok((index, PickReason::Probe));
        }
        let stages: [&dyn Fn(usize) -> bool; 3] = [&is_preferred, &is_untried, &is_up];
        for takes_part in stages {
            // The weights are read once: if a server went down during the rotation, its loop might not end.
            let weights = (0..len).map(|index| if takes_part(index) { self.weight(index) } else { 0 });
            let weights: Vec<u32> = weights.collect();
            let scale = Scale::of(weights.iter().copied());
            if let Some(index) = T::of(&self.rotation, len, scale, |index| weights[index]) {
                return Ok((index, PickReason::Turn));
            }
        }
        Err(if (0..len).any(is_up) { PickError::AllWeightsZero } else { PickError::NoneUp })
    }

    /// The weight in use: the configured one, or the dynamic one.
    pub fn weight(&self, index: usize) -> u32 {
        self.dynamic.as_ref().map_or(self.servers[index].weight, |dynamic| dynamic.weight(index))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A preview says what the next request gets, however often it is asked, and does not change that.
        #[test]
        fn preview_names_the_server_of_the_next_request(
            weights in prop::collection::vec(0u32..4, 0..5),
            is_sticky in any::<bool>(),
            is_drr in any::<bool>(),
            steps in prop::collection::vec((0usize..5, 0u8..6, 0u64..12_000_000_000, 0usize..6), 1..60),
        ) {
            let server = |(at, &weight): (usize, &u32)| Server {
                name: format!("s{at}"),
                url: ServerUrl::parse(&format!("http://10.0.0.{at}:80")).expect("a URL"),
                weight,
                state: Arc::default(),
            };
            let sticky = is_sticky.then(|| StickyCookie { name: "srv".to_owned(), ..StickyCookie::default() });
            let method = if is_drr { BalanceMethod::Drr } else { BalanceMethod::Wrr };
            let balancer = Balancer::new(weights.iter().enumerate().map(server).collect(), BalancerSettings { method, sticky });
            let mut now = 0;
            for (at, event, gap, named) in steps {
                now += gap;
                if let Some(server) = balancer.servers().get(at) {
                    match event {
                        0 => _ = server.state.set_up(false),
                        1 => _ = server.state.set_up(true),
                        2 | 3 => (0..3).for_each(|_| server.state.note_connect_failed(now)),
                        4 => server.state.note_connected(),
                        _ => {}
                    }
                }
                let cookie = format!("srv=http://10.0.0.{named}:80").into_bytes();
                let cookies = || std::iter::once(&*cookie);
                let shown = |picked: Result<Lease, PickError>| picked.map(|lease| (lease.index, lease.set_cookie, lease.is_probe));
                let previewed = [(); 2].map(|()| balancer.preview(cookies(), now));
                let expected = previewed[0].map(|choice| (choice.index, choice.set_cookie, choice.is_probe));
                prop_assert_eq!(previewed[0], previewed[1]);
                prop_assert_eq!(shown(balancer.pick(cookies(), &TriedServers::default(), now)), expected);
                let client = std::net::IpAddr::from([192, 0, 2, named as u8]);
                let expected = balancer.preview_for_client(client, now).map(|choice| (choice.index, choice.set_cookie, choice.is_probe));
                prop_assert_eq!(shown(balancer.pick_for_client(client, &TriedServers::default(), now)), expected);
            }
        }
    }
}
