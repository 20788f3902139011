//! Stickiness by client address, for connections and sessions without cookies: each client has an order of the servers of its own, and gets
//! the first one that takes part (docs/reference/backends.md#sticky-sessions).

use std::net::IpAddr;

use super::balance::{Balancer, Choice, PickError, PickReason, Previewed, Taken, TriedServers, Turn};
use super::server::Lease;

impl Balancer {
    /// Picks a server for one connection or session of `client`. With stickiness, the choice depends on the client's address alone, as long
    /// as that server takes part: when a server goes, only its own clients get another one. Without stickiness the servers take turns.
    ///
    /// # Errors
    /// As [`pick`](Balancer::pick).
    pub fn pick_for_client(&self, client: IpAddr, tried: &TriedServers, now_nanos: u64) -> Result<Lease, PickError> {
        let Choice { index, set_cookie, is_probe, .. } = self.choose_for_client::<Taken>(client, tried, now_nanos)?;
        Ok(Lease::new(self.servers()[index].clone(), index, set_cookie, is_probe))
    }

    /// The server that [`pick_for_client`](Self::pick_for_client) would give the next connection, and why. Nothing changes.
    ///
    /// # Errors
    /// As [`pick`](Balancer::pick).
    pub fn preview_for_client(&self, client: IpAddr, now_nanos: u64) -> Result<Choice, PickError> {
        self.choose_for_client::<Previewed>(client, &TriedServers::default(), now_nanos)
    }

    fn choose_for_client<T: Turn>(
        &self,
        client: IpAddr,
        tried: &TriedServers,
        now_nanos: u64,
    ) -> Result<Choice, PickError> {
        if self.settings().sticky.is_none() {
            return self.choose::<T>(&mut std::iter::empty(), tried, now_nanos);
        }
        let choice =
            |index: usize, reason| Choice { index, set_cookie: false, is_probe: reason == PickReason::Probe, reason };
        let servers = self.servers();
        let state = |index: usize| &servers[index].state;
        let is_untried = |index: usize| state(index).is_up() && !tried.contains(index);
        let is_preferred = |index: usize| is_untried(index) && !state(index).is_ejected();
        if let Some(own) = self.first_for(client, is_untried)
            && state(own).is_ejected()
            && self.first_for(client, is_preferred).is_some()
            && T::claims_probe(state(own), now_nanos)
        {
            return Ok(choice(own, PickReason::Probe));
        }
        let chosen = self
            .first_for(client, is_preferred)
            .or_else(|| self.first_for(client, is_untried))
            .or_else(|| self.first_for(client, |index| state(index).is_up()));
        match chosen {
            Some(index) => Ok(choice(index, PickReason::Address)),
            None if servers.iter().any(|server| server.state.is_up()) => Err(PickError::AllWeightsZero),
            None => Err(PickError::NoneUp),
        }
    }

    /// The client's first server among those that take part: the highest score, in which each server has the share of its weight
    /// (rendezvous hashing).
    fn first_for(&self, client: IpAddr, takes_part: impl Fn(usize) -> bool) -> Option<usize> {
        let scored = (0..self.servers().len()).filter(|&index| self.weight(index) > 0 && takes_part(index));
        let scored = scored.map(|index| (index, score(client, &self.servers()[index].url.text, self.weight(index))));
        scored.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
    }
}

/// The score of a server for a client. It depends on nothing that a restart changes.
fn score(client: IpAddr, url: &str, weight: u32) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    match client.to_canonical() {
        IpAddr::V4(client) => client.octets().into_iter().for_each(&mut add),
        IpAddr::V6(client) => client.octets().into_iter().for_each(&mut add),
    }
    url.bytes().for_each(&mut add);
    // The last steps of SplitMix64: in the hash above, the last bytes change the high bits too little.
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    // Uniform in (0, 1): 53 bits are exact in a f64, and half a step keeps 0 and 1 out.
    let uniform = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    f64::from(weight) / -uniform.ln()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use super::super::{BalancerSettings, Server, ServerState, ServerUrl, StickyCookie};
    use super::*;

    fn balancer(weights: &[u32], is_sticky: bool) -> Balancer {
        let server = |(at, &weight): (usize, &u32)| Server {
            name: format!("s{at}"),
            url: ServerUrl::parse(&format!("http://10.0.0.{at}:53")).expect("a URL"),
            weight,
            state: Arc::new(ServerState::default()),
        };
        let sticky = is_sticky.then(StickyCookie::default);
        let settings = BalancerSettings { sticky, ..BalancerSettings::default() };
        Balancer::new(weights.iter().enumerate().map(server).collect(), settings)
    }

    fn client(number: u32) -> IpAddr {
        Ipv4Addr::from(0xc0a8_0000 + number).into()
    }

    fn own(balancer: &Balancer, number: u32) -> usize {
        balancer.pick_for_client(client(number), &TriedServers::default(), 1).expect("a server").index
    }

    #[test]
    fn sticky_client_keeps_its_server_and_others_are_spread_by_weight() {
        let balancer = balancer(&[1, 3], true);
        let mut counts = BTreeMap::new();
        for number in 0..4000 {
            let first = own(&balancer, number);
            assert_eq!(first, own(&balancer, number));
            *counts.entry(first).or_insert(0) += 1;
        }
        assert!((850..1150).contains(&counts[&0]), "{counts:?}");
        let mapped = IpAddr::V6(Ipv4Addr::new(192, 168, 0, 7).to_ipv6_mapped());
        let same = balancer.pick_for_client(mapped, &TriedServers::default(), 1).expect("a server").index;
        assert_eq!(same, own(&balancer, 7), "an IPv4 client of an IPv6 socket is the same client");
    }

    #[test]
    fn only_clients_of_a_server_that_is_down_get_another_one() {
        let balancer = balancer(&[1, 1, 1], true);
        let before: Vec<usize> = (0..300).map(|number| own(&balancer, number)).collect();
        balancer.servers()[1].state.set_up(false);
        for (number, &was) in (0..).zip(&before) {
            let now = own(&balancer, number);
            assert!(if was == 1 { now != 1 } else { now == was }, "client {number}: {was}, then {now}");
        }
        balancer.servers()[1].state.set_up(true);
        assert_eq!(before, (0..300).map(|number| own(&balancer, number)).collect::<Vec<_>>());
    }

    #[test]
    fn ejected_server_gets_one_probe_of_its_own_clients() {
        let balancer = balancer(&[1, 1], true);
        let of_first = (0..).find(|&number| own(&balancer, number) == 0).expect("a client");
        let of_second = (0..).find(|&number| own(&balancer, number) == 1).expect("a client");
        (0..3).for_each(|_| balancer.servers()[0].state.note_connect_failed(0));
        let pick = |number: u32, secs: u64| {
            let lease = balancer.pick_for_client(client(number), &TriedServers::default(), secs * 1_000_000_000);
            lease.map(|lease| (lease.index, lease.is_probe))
        };
        assert_eq!(pick(of_first, 1), Ok((1, false)), "too early for a probe");
        assert_eq!(pick(of_second, 60), Ok((1, false)));
        assert_eq!((pick(of_first, 60), pick(of_first, 60)), (Ok((0, true)), Ok((1, false))));
        let mut tried = TriedServers::default();
        tried.add(1);
        let left = balancer.pick_for_client(client(of_first), &tried, 61_000_000_000).map(|lease| lease.index);
        assert_eq!(left, Ok(0), "the only server that has not been tried");
        (0..2).for_each(|at| _ = balancer.servers()[at].state.set_up(false));
        assert_eq!(pick(of_first, 62), Err(PickError::NoneUp));
    }

    #[test]
    fn servers_take_turns_without_stickiness() {
        let balancer = balancer(&[1, 1], false);
        let turns: Vec<usize> = (0..4).map(|_| own(&balancer, 7)).collect();
        assert_eq!(turns, [0, 1, 0, 1]);
    }
}
