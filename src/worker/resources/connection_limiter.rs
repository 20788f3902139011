//! Who holds the process's connections: how many there are, and how many of them come from one address. The workers share the table,
//! because a bound that each kept by itself would depend on how many there are; it is touched twice in a connection, by no request, and in
//! parts, so that they seldom wait for each other.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts of the table, each with addresses of its own.
const PARTS: usize = 64;

/// The places that the process has for connections.
#[derive(Debug)]
pub struct ConnectionLimiter {
    taken: AtomicUsize,
    by_address: [Mutex<HashMap<IpAddr, usize>>; PARTS],
    /// Nobody can choose addresses that share a part.
    hash: RandomState,
    max: usize,
    per_address_max: usize,
}

/// One connection's place; dropping it gives it back.
#[derive(Debug)]
pub struct ConnectionPermit {
    places: Arc<ConnectionLimiter>,
    address: IpAddr,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionLimitError {
    Total { max: usize },
    PerAddress { max: usize },
}

impl std::fmt::Display for ConnectionLimitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConnectionLimitError::Total { max } => {
                write!(f, "all {max} places are taken: raise maxConnections if that is too few")
            }
            ConnectionLimitError::PerAddress { max } => write!(
                f,
                "its address holds {max} places already: raise maxConnectionsPerAddress if it stands for many clients"
            ),
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

    /// A place for a connection from `address`.
    ///
    /// # Errors
    /// All are taken, or all that one address may have.
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
        Ok(ConnectionPermit { places: Arc::clone(self), address })
    }

    fn part(&self, address: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let number = self.hash.hash_one(address) as usize % PARTS;
        self.by_address[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut part = self.places.part(self.address);
        if let Some(of_address) = part.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                part.remove(&self.address);
            }
        }
        self.places.taken.fetch_sub(1, Relaxed);
    }
}

/// What counts as one client: an IPv6 host has a whole /64 to take addresses from.
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
    fn one_address_does_not_take_all_places() {
        let places = ConnectionLimiter::new(5, 2);
        let held: Vec<ConnectionPermit> =
            ["192.0.2.1", "::ffff:192.0.2.1"].map(|text| places.try_acquire(ip(text)).expect(text)).into();
        let refused = places.try_acquire(ip("192.0.2.1")).expect_err("no third one");
        assert_eq!(refused, ConnectionLimitError::PerAddress { max: 2 });
        let other = places.try_acquire(ip("192.0.2.2")).expect("another address has its own");
        drop(held);
        assert!(places.try_acquire(ip("192.0.2.1")).is_ok());
        drop(other);
        assert_eq!(places.taken.load(Relaxed), 0);
        assert!(
            places.by_address.iter().all(|part| part.lock().unwrap().is_empty()),
            "addresses that have gone cost nothing"
        );
    }

    #[test]
    fn a_host_cannot_multiply_itself_within_its_network() {
        let places = ConnectionLimiter::new(5, 2);
        let _held = ["2001:db8::1", "2001:db8::2"].map(|text| places.try_acquire(ip(text)).expect(text));
        assert!(places.try_acquire(ip("2001:db8::3")).is_err());
        assert!(places.try_acquire(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn all_addresses_together_take_no_more_than_there_is() {
        let places = ConnectionLimiter::new(2, 2);
        let _held = ["192.0.2.1", "192.0.2.2"].map(|text| places.try_acquire(ip(text)).expect(text));
        assert_eq!(
            places.try_acquire(ip("192.0.2.3")).expect_err("both are taken"),
            ConnectionLimitError::Total { max: 2 }
        );
        let addresses: usize = places.by_address.iter().map(|part| part.lock().unwrap().len()).sum();
        assert_eq!(addresses, 2, "one that is refused leaves nothing behind");
    }
}
