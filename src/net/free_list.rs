//! Things kept for the next who needs one: last in, first out, and let go when nobody has needed them for a while.

use std::cell::{Cell, RefCell};

/// Spare things of one kind.
pub struct FreeList<T> {
    kept: RefCell<Vec<T>>,
    /// The fewest that were here since the last look: so many nobody has needed.
    low_watermark: Cell<usize>,
    max: usize,
}

impl<T> FreeList<T> {
    /// Keeps `max` at the most.
    pub const fn new(max: usize) -> Self {
        FreeList { kept: RefCell::new(Vec::new()), low_watermark: Cell::new(0), max }
    }

    /// The one that was put here last.
    pub fn take(&self) -> Option<T> {
        let mut kept = self.kept.borrow_mut();
        let taken = kept.pop();
        self.low_watermark.set(self.low_watermark.get().min(kept.len()));
        taken
    }

    /// Keeps it if there is room.
    pub fn put(&self, thing: T) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < self.max {
            kept.push(thing);
        }
    }

    /// Lets those go that nobody has needed since the last call; gives their number.
    pub fn trim(&self) -> usize {
        let mut kept = self.kept.borrow_mut();
        let unneeded = self.low_watermark.get();
        // The oldest are at the front. They are dropped after the borrow: what a thing does when it goes is its own affair.
        let gone: Vec<T> = kept.drain(..unneeded).collect();
        self.low_watermark.set(kept.len());
        drop(kept);
        gone.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::FreeList;

    #[test]
    fn what_nobody_needs_between_two_looks_goes() {
        let spare = FreeList::new(8);
        (0..6).for_each(|n| spare.put(n));
        assert_eq!(spare.trim(), 0, "all of them were in use a moment ago");
        let taken: Vec<_> = (0..4).filter_map(|_| spare.take()).collect();
        assert_eq!(taken, [5, 4, 3, 2]);
        taken.into_iter().for_each(|n| spare.put(n));
        assert_eq!(spare.trim(), 2, "four were needed");
        assert_eq!(spare.take(), Some(2), "the oldest went");
        assert_eq!((spare.trim(), spare.trim()), (3, 0));
        assert!(spare.is_empty());
    }

    #[test]
    fn one_beyond_the_bound_is_dropped() {
        let spare = FreeList::new(1);
        spare.put("kept");
        spare.put("dropped");
        assert_eq!((spare.take(), spare.take()), (Some("kept"), None));
    }
}
