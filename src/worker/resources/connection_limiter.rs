//! Limits the client connections of the process: their number, and the number that come from one address. The workers share one table,
//! because a limit for each worker would depend on the number of workers. A connection locks the table twice and a request never; the table
//! is divided into parts with a lock each, so that workers rarely wait for each other.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts of the table; the hash of an address selects its part.
const PARTS: usize = 64;

/// Limits the client connections of the process, in total and per address.
#[derive(Debug)]
pub struct ConnectionLimiter {
    taken: AtomicUsize,
    by_address: [Mutex<HashMap<IpAddr, usize>>; PARTS],
    /// Keyed with random numbers, so that clients cannot choose addresses that share a part.
    hash: RandomState,
    max: usize,
    per_address_max: usize,
}

/// Permits one connection; returned on drop.
#[derive(Debug)]
pub struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    address: IpAddr,
}

/// The limit that denies a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionLimitError {
    Total { max: usize },
    PerAddress { max: usize },
}

impl std::fmt::Display for ConnectionLimitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConnectionLimitError::Total { max } => {
                write!(f, "limit of {max} connections reached: raise maxConnections")
            }
            ConnectionLimitError::PerAddress { max } => {
                write!(f, "limit of {max} per address reached: raise maxConnectionsPerAddress if it is a proxy or NAT")
            }
        }
    }
}

impl ConnectionLimiter {
    pub fn new(max: usize, per_address_max: usize) -> Arc<Self> {
        let by_address = std::array::from_fn(|_| Mutex::default());
        Arc::new(ConnectionLimiter {
            taken: AtomicUsize::new(0),
            by_address,
            hash: RandomState::new(),
            max,
            per_address_max,
        })
    }

    /// A permit for a connection from `address`.
    ///
    /// # Errors
    /// The limit in total or per address is reached.
    pub fn try_acquire(self: &Arc<Self>, address: IpAddr) -> Result<ConnectionPermit, ConnectionLimitError> {
        let address = network(address);
        if self.taken.fetch_add(1, Relaxed) >= self.max {
            self.taken.fetch_sub(1, Relaxed);
            return Err(ConnectionLimitError::Total { max: self.max });
        }
        let mut part = self.part(address);
        let of_address = part.entry(address).or_default();
        if *of_address >= self.per_address_max {
            self.taken.fetch_sub(1, Relaxed);
            return Err(ConnectionLimitError::PerAddress { max: self.per_address_max });
        }
        *of_address += 1;
        Ok(ConnectionPermit { limiter: Arc::clone(self), address })
    }

    fn part(&self, address: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let number = self.hash.hash_one(address) as usize % PARTS;
        self.by_address[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut part = self.limiter.part(self.address);
        if let Some(of_address) = part.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                part.remove(&self.address);
            }
        }
        self.limiter.taken.fetch_sub(1, Relaxed);
    }
}

/// The address that a client is counted under: for IPv6 its /64 network, because one host may use all addresses of a /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn address_at_its_limit_is_denied_others_are_not() {
        let limiter = ConnectionLimiter::new(5, 2);
        let held: Vec<ConnectionPermit> =
            ["192.0.2.1", "::ffff:192.0.2.1"].map(|text| limiter.try_acquire(ip(text)).expect(text)).into();
        let refused = limiter.try_acquire(ip("192.0.2.1")).expect_err("no third one");
        assert_eq!(refused, ConnectionLimitError::PerAddress { max: 2 });
        let other = limiter.try_acquire(ip("192.0.2.2")).expect("another address has its own limit");
        drop(held);
        assert!(limiter.try_acquire(ip("192.0.2.1")).is_ok());
        drop(other);
        assert_eq!(limiter.taken.load(Relaxed), 0);
        assert!(
            limiter.by_address.iter().all(|part| part.lock().unwrap().is_empty()),
            "addresses without connections have no entry"
        );
    }

    #[test]
    fn ipv6_addresses_of_one_64_share_a_limit() {
        let limiter = ConnectionLimiter::new(5, 2);
        let _held = ["2001:db8::1", "2001:db8::2"].map(|text| limiter.try_acquire(ip(text)).expect(text));
        assert!(limiter.try_acquire(ip("2001:db8::3")).is_err());
        assert!(limiter.try_acquire(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn total_limit_holds_over_all_addresses() {
        let limiter = ConnectionLimiter::new(2, 2);
        let _held = ["192.0.2.1", "192.0.2.2"].map(|text| limiter.try_acquire(ip(text)).expect(text));
        assert_eq!(
            limiter.try_acquire(ip("192.0.2.3")).expect_err("the total limit is reached"),
            ConnectionLimitError::Total { max: 2 }
        );
        let addresses: usize = limiter.by_address.iter().map(|part| part.lock().unwrap().len()).sum();
        assert_eq!(addresses, 2, "a denied address leaves no entry");
    }
}
