//! A free list: objects kept for reuse, last in, first out. Objects that were not needed for a while are dropped.

use std::cell::{Cell, RefCell};

/// Objects of one type, kept for reuse.
pub struct FreeList<T> {
    free: RefCell<Vec<T>>,
    /// The smallest number of free objects since the last [`trim`](FreeList::trim): that many were not needed.
    low_watermark: Cell<usize>,
    max: usize,
}

impl<T> FreeList<T> {
    /// An empty list that keeps at most `max` objects.
    pub const fn new(max: usize) -> Self {
        FreeList { free: RefCell::new(Vec::new()), low_watermark: Cell::new(0), max }
    }

    /// Takes the object that was put back last.
    #[inline]
    pub fn take(&self) -> Option<T> {
        let mut free = self.free.borrow_mut();
        let taken = free.pop();
        self.low_watermark.set(self.low_watermark.get().min(free.len()));
        taken
    }

    /// Keeps `object` for reuse, unless the list is full: then drops it.
    #[inline]
    pub fn put(&self, object: T) {
        let mut free = self.free.borrow_mut();
        if free.len() < self.max {
            free.push(object);
        }
    }

    /// Drops the objects that were not needed since the last call; returns their number.
    pub fn trim(&self) -> usize {
        let mut free = self.free.borrow_mut();
        let unneeded = self.low_watermark.get();
        // The oldest are at the front. They are dropped after the borrow: an object's destructor may use this list.
        let dropped: Vec<T> = free.drain(..unneeded).collect();
        self.low_watermark.set(free.len());
        drop(free);
        dropped.len()
    }

    /// Whether the list keeps no object.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.free.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::FreeList;

    #[test]
    fn objects_not_needed_between_two_trims_are_dropped() {
        let list = FreeList::new(8);
        (0..6).for_each(|n| list.put(n));
        assert_eq!(list.trim(), 0, "all of them were in use a moment ago");
        let taken: Vec<_> = (0..4).filter_map(|_| list.take()).collect();
        assert_eq!(taken, [5, 4, 3, 2]);
        taken.into_iter().for_each(|n| list.put(n));
        assert_eq!(list.trim(), 2, "four were needed");
        assert_eq!(list.take(), Some(2), "the oldest went");
        assert_eq!((list.trim(), list.trim()), (3, 0));
        assert!(list.is_empty());
    }

    #[test]
    fn object_beyond_the_bound_is_dropped() {
        let list = FreeList::new(1);
        list.put("kept");
        list.put("dropped");
        assert_eq!((list.take(), list.take()), (Some("kept"), None));
    }
}
