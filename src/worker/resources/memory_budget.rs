//! How much of messages a worker may hold in memory: buffered bodies, error pages, the answers of authentication servers and long heads,
//! together.

use std::cell::Cell;

use crate::limits;

/// A worker's allowance.
#[derive(Debug, Default)]
pub struct MemoryBudget {
    pub(in crate::worker) used: Cell<usize>,
    /// What heads take of it.
    heads: Cell<usize>,
}

/// A part of it that is taken; it is free again when this is dropped.
#[derive(Debug)]
pub struct Reservation<'w> {
    bytes: usize,
    budget: &'w MemoryBudget,
}

/// What a long head takes of it, which anybody can send and keep: half of the allowance is left for what the proxy itself needs.
#[derive(Debug)]
pub struct HeadReservation<'w>(Reservation<'w>);

/// A body in memory; its bytes count until it is dropped.
#[derive(Debug)]
pub struct BufferedBody<'w> {
    bytes: Vec<u8>,
    share: Reservation<'w>,
}

impl MemoryBudget {
    pub fn buffer_body(&self) -> BufferedBody<'_> {
        BufferedBody { bytes: Vec::new(), share: self.reserve() }
    }

    /// Bytes that are taken.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// An empty share.
    pub fn reserve(&self) -> Reservation<'_> {
        Reservation { bytes: 0, budget: self }
    }

    /// An empty share for a head.
    pub fn reserve_head(&self) -> HeadReservation<'_> {
        HeadReservation(self.reserve())
    }
}

impl Reservation<'_> {
    /// Makes it `bytes` large; false if the worker holds too much already, and then it stays as it is.
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
    /// As [`Share::set`]; false also if heads take too much.
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
    /// The bytes, and what they count for as long as the share is kept.
    pub fn into_parts(self) -> (Vec<u8>, Reservation<'w>) {
        (self.bytes, self.share)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes more in; false if the worker holds too much already, and then nothing is taken.
    pub fn push(&mut self, more: &[u8]) -> bool {
        let fits = self.share.set(self.bytes.len().saturating_add(more.len()));
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
    fn heads_leave_half_to_others_and_bodies_leave_them_the_rest() {
        let budget = MemoryBudget::default();
        let half = limits::HELD_BYTES_PER_WORKER_MAX / 2;
        let (mut first, mut second, mut body) = (budget.reserve_head(), budget.reserve_head(), budget.reserve());
        assert!(first.set(half) && !second.set(1) && body.set(half) && !body.set(half + 1));
        assert!(first.set(half - 1) && second.set(1), "what one gives up another takes");
        drop((first, second));
        let mut third = budget.reserve_head();
        assert!(body.set(half + 100) && third.set(half - 100) && !third.set(half - 99));
        drop((third, body));
        assert_eq!((budget.used(), budget.heads.get()), (0, 0));
    }

    #[test]
    fn what_is_dropped_may_be_held_again() {
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
