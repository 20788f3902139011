//! Who holds a worker's connections: how many there are, and how many of them come from one address.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

/// The places that a worker has for connections.
#[derive(Debug)]
pub struct Places {
    taken: RefCell<Taken>,
    max: usize,
    per_address_max: usize,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    places: Rc<Places>,
    address: IpAddr,
}

impl Places {
    pub fn new(max: usize, per_address_max: usize) -> Rc<Self> {
        Rc::new(Places { taken: RefCell::default(), max, per_address_max })
    }

    /// A place for a connection from `address`; `None` if all are taken, or all that one address may have.
    pub fn enter(self: &Rc<Self>, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut taken = self.taken.borrow_mut();
        if taken.count >= self.max {
            return None;
        }
        let of_address = taken.by_address.entry(address).or_default();
        if *of_address >= self.per_address_max {
            return None;
        }
        *of_address += 1;
        taken.count += 1;
        Some(Place { places: Rc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.borrow_mut();
        taken.count -= 1;
        if let Some(of_address) = taken.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&self.address);
            }
        }
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
        let places = Places::new(5, 2);
        let held: Vec<Place> = ["192.0.2.1", "::ffff:192.0.2.1"].map(|text| places.enter(ip(text)).expect(text)).into();
        assert!(places.enter(ip("192.0.2.1")).is_none());
        let other = places.enter(ip("192.0.2.2")).expect("another address has its own");
        drop(held);
        assert!(places.enter(ip("192.0.2.1")).is_some());
        drop(other);
        assert_eq!(places.taken.borrow().count, 0);
        assert!(places.taken.borrow().by_address.is_empty(), "addresses that have gone cost nothing");
    }

    #[test]
    fn a_host_cannot_multiply_itself_within_its_network() {
        let places = Places::new(5, 2);
        let _held = ["2001:db8::1", "2001:db8::2"].map(|text| places.enter(ip(text)).expect(text));
        assert!(places.enter(ip("2001:db8::3")).is_none());
        assert!(places.enter(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn all_addresses_together_take_no_more_than_there_is() {
        let places = Places::new(2, 2);
        let _held = ["192.0.2.1", "192.0.2.2"].map(|text| places.enter(ip(text)).expect(text));
        assert!(places.enter(ip("192.0.2.3")).is_none());
    }
}
