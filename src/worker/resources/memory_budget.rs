//! The memory budget: how many bytes of messages a worker may hold, in buffered bodies, error pages, responses of authentication servers
//! and long heads together.

use std::cell::Cell;

use crate::limits;

/// The bytes of messages that a worker holds; at most `HELD_BYTES_PER_WORKER_MAX`.
#[derive(Debug, Default)]
pub struct MemoryBudget {
    pub(in crate::worker) used: Cell<usize>,
    /// The part of `used` that long heads take.
    heads: Cell<usize>,
}

/// A reserved part of the budget; returned on drop.
#[derive(Debug)]
pub struct Reservation<'w> {
    bytes: usize,
    budget: &'w MemoryBudget,
}

/// A part of the budget reserved for a long head. Any client can send such a head without an end: heads get at most half of the budget, so
/// that the other half stays for bodies.
#[derive(Debug)]
pub struct HeadReservation<'w>(Reservation<'w>);

/// A body in memory; its bytes stay reserved until it is dropped.
#[derive(Debug)]
pub struct BufferedBody<'w> {
    bytes: Vec<u8>,
    reservation: Reservation<'w>,
}

impl MemoryBudget {
    pub fn buffer_body(&self) -> BufferedBody<'_> {
        BufferedBody { bytes: Vec::new(), reservation: self.reserve() }
    }

    /// Bytes that are reserved.
    #[cfg_attr(
        reachability,
        expect(dead_code, reason = "tests and fuzz targets see with it that each reservation is given back")
    )]
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// A reservation of 0 bytes.
    pub fn reserve(&self) -> Reservation<'_> {
        Reservation { bytes: 0, budget: self }
    }

    /// A reservation of 0 bytes for a head.
    pub fn reserve_head(&self) -> HeadReservation<'_> {
        HeadReservation(self.reserve())
    }
}

impl Reservation<'_> {
    /// Changes the reservation to `bytes`. Returns false, and changes nothing, if the budget would be exceeded.
    pub fn set(&mut self, bytes: usize) -> bool {
        let used = (self.budget.used.get() - self.bytes).saturating_add(bytes);
        let fits = bytes <= self.bytes || used <= limits::HELD_BYTES_PER_WORKER_MAX;
        if fits {
            self.budget.used.set(used);
            self.bytes = bytes;
        }
        fits
    }
}

impl HeadReservation<'_> {
    /// As [`Reservation::set`]; returns false also if heads would take more than half of the budget.
    pub fn set(&mut self, bytes: usize) -> bool {
        let Reservation { bytes: before, budget } = self.0;
        let heads = budget.heads.get() - before + bytes;
        let fits = heads <= limits::HELD_BYTES_PER_WORKER_MAX / 2 && self.0.set(bytes);
        if fits {
            budget.heads.set(heads);
        }
        fits
    }
}

impl Drop for HeadReservation<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl<'w> BufferedBody<'w> {
    /// The bytes and their reservation, which the caller keeps as long as the bytes.
    pub fn into_parts(self) -> (Vec<u8>, Reservation<'w>) {
        (self.bytes, self.reservation)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends `more`. Returns false, and appends nothing, if the budget would be exceeded.
    pub fn push(&mut self, more: &[u8]) -> bool {
        let fits = self.reservation.set(self.bytes.len().saturating_add(more.len()));
        if fits {
            self.bytes.extend_from_slice(more);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_reserve_at_most_half_of_the_budget() {
        let budget = MemoryBudget::default();
        let half = limits::HELD_BYTES_PER_WORKER_MAX / 2;
        let (mut first, mut second, mut body) = (budget.reserve_head(), budget.reserve_head(), budget.reserve());
        assert!(first.set(half) && !second.set(1) && body.set(half) && !body.set(half + 1));
        assert!(first.set(half - 1) && second.set(1), "bytes that one head returns, another may reserve");
        drop((first, second));
        let mut third = budget.reserve_head();
        assert!(body.set(half + 100) && third.set(half - 100) && !third.set(half - 99));
        drop((third, body));
        assert_eq!((budget.used(), budget.heads.get()), (0, 0));
    }

    #[test]
    fn dropped_body_returns_its_reservation() {
        let budget = MemoryBudget::default();
        let block = vec![0; limits::HELD_BYTES_PER_WORKER_MAX / 2 + 1];
        let mut first = budget.buffer_body();
        assert!(first.push(&block));
        let mut second = budget.buffer_body();
        assert!(!second.push(&block) && second.push(b"a little"));
        assert_eq!(second.bytes(), b"a little");
        drop(first);
        assert!(second.push(&block));
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
