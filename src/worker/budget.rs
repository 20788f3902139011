//! How much of messages a worker may hold in memory: buffered bodies, error pages and the answers of authentication servers together.

use std::cell::Cell;

use crate::limits;

/// A worker's allowance.
#[derive(Debug, Default)]
pub struct Budget {
    pub(super) used: Cell<usize>,
}

/// A body in memory; its bytes count until it is dropped.
#[derive(Debug)]
pub struct Held<'w> {
    bytes: Vec<u8>,
    budget: &'w Budget,
}

impl Budget {
    pub fn hold(&self) -> Held<'_> {
        Held { bytes: Vec::new(), budget: self }
    }
}

impl Held<'_> {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes more in; false if the worker holds too much already, and then nothing is taken.
    pub fn push(&mut self, more: &[u8]) -> bool {
        let used = self.budget.used.get().saturating_add(more.len());
        if used > limits::HELD_BYTES_PER_WORKER_MAX {
            return false;
        }
        self.budget.used.set(used);
        self.bytes.extend_from_slice(more);
        true
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.budget.used.set(self.budget.used.get().saturating_sub(self.bytes.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_may_be_held_again() {
        let budget = Budget::default();
        let block = vec![0; limits::HELD_BYTES_PER_WORKER_MAX / 2 + 1];
        let mut first = budget.hold();
        assert!(first.push(&block));
        let mut second = budget.hold();
        assert!(!second.push(&block) && second.push(b"a little"));
        assert_eq!(second.bytes(), b"a little");
        drop(first);
        assert!(second.push(&block));
        drop(second);
        assert_eq!(budget.used.get(), 0);
    }
}
