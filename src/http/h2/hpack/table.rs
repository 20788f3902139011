//! The dynamic table (RFC 7541 2.3.2, 4): lines in one ring of bytes, which is allocated with the first entry and grows with the entries:
//! most clients fill a small part of the 4 KiB that they may use, and there may be tens of thousands of idle connections.

use super::integer::Fault;
use super::name::Name;
use crate::http::violation::Violation;

/// Bytes that each entry counts beside its name and its value (RFC 7541 4.1). The ring needs four of them, for colon, space and CRLF.
pub(super) const ENTRY_OVERHEAD: usize = 32;

/// The sizes of the rings of a table with few entries.
const FIRST_BYTES: usize = 512;
const FIRST_ENTRIES: usize = 16;

/// Largest bound of a table: the entries refer to the ring by 16 bits.
const BOUND_MAX: usize = u16::MAX as usize;

/// An entry: where its line stands in the ring, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    start: u16,
    pub name_len: u16,
    pub value_len: u16,
    pub name: Name,
    /// The rule that the value violates.
    pub value_fault: Option<Violation>,
}

impl Entry {
    pub fn line_len(&self) -> usize {
        usize::from(self.name_len) + usize::from(self.value_len) + 4
    }

    fn size(&self) -> usize {
        usize::from(self.name_len) + usize::from(self.value_len) + ENTRY_OVERHEAD
    }
}

#[derive(Debug)]
pub(super) struct Table {
    /// Our SETTINGS_HEADER_TABLE_SIZE.
    bound: usize,
    /// The size that the peer has chosen, at most `bound`.
    size_max: usize,
    /// The sizes of all entries together.
    size: usize,
    /// Ring of the lines, at most `bound` bytes.
    bytes: Vec<u8>,
    /// Ring of the entries.
    entries: Vec<Entry>,
    /// Position of the oldest entry, and how many there are.
    oldest: usize,
    count: usize,
}

impl Table {
    pub fn new(bound: usize) -> Self {
        let bound = bound.min(BOUND_MAX);
        Table { bound, size_max: bound, size: 0, bytes: Vec::new(), entries: Vec::new(), oldest: 0, count: 0 }
    }

    pub fn size_max(&self) -> usize {
        self.size_max
    }

    /// Changes the size that the table may have.
    pub fn resize(&mut self, size_max: usize) -> Result<(), Fault> {
        if size_max > self.bound {
            return Err("a table size update exceeds SETTINGS_HEADER_TABLE_SIZE");
        }
        self.size_max = size_max;
        self.evict(size_max);
        Ok(())
    }

    /// The entry with an index, from zero for the newest.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Entry> {
        let place = self.count.checked_sub(index)?.checked_sub(1)?;
        self.entries.get(self.slot(place)).copied()
    }

    /// The slot of the entry that is `place` entries younger than the oldest one.
    #[inline]
    fn slot(&self, place: usize) -> usize {
        let (slot, slots) = (self.oldest + place, self.entries.len());
        if slot < slots { slot } else { slot - slots }
    }

    /// Appends the first `len` bytes of an entry's line.
    #[inline]
    pub fn copy_line(&self, entry: &Entry, len: usize, out: &mut Vec<u8>) {
        let start = usize::from(entry.start);
        let first_len = len.min(self.bytes.len().saturating_sub(start));
        let parts = [self.bytes.get(start..start + first_len), self.bytes.get(..len - first_len)];
        parts.into_iter().flatten().for_each(|part| out.extend_from_slice(part));
    }

    /// Adds an entry, for which the oldest ones are evicted. `line` is its whole line. An entry that is larger than the table empties it.
    pub fn insert(&mut self, line: &[u8], name_len: usize, name: Name, value_fault: Option<Violation>) {
        let Some(value_len) = line.len().checked_sub(name_len + 4) else { return };
        let size = name_len + value_len + ENTRY_OVERHEAD;
        let Some(left) = self.size_max.checked_sub(size) else { return self.clear() };
        self.evict(left);
        self.make_space(line.len());
        let space = self.bytes.len();
        let start = self.get(0).map_or(0, |newest| usize::from(newest.start) + newest.line_len()) % space.max(1);
        let (first, second) = line.split_at(line.len().min(space - start));
        let slot = self.slot(self.count);
        let entry =
            Entry { start: start as u16, name_len: name_len as u16, value_len: value_len as u16, name, value_fault };
        if let Some(slot) = self.entries.get_mut(slot) {
            *slot = entry;
            self.bytes[start..start + first.len()].copy_from_slice(first);
            self.bytes[..second.len()].copy_from_slice(second);
            self.count += 1;
            self.size += size;
        }
    }

    /// The bytes of all lines.
    fn used_bytes(&self) -> usize {
        // A line has four bytes beside its name and its value.
        self.size - self.count * (ENTRY_OVERHEAD - 4)
    }

    /// Makes space for another entry, which fits into the table's bound.
    #[inline]
    fn make_space(&mut self, line_len: usize) {
        let needed = self.used_bytes() + line_len;
        if needed > self.bytes.len() {
            self.grow_bytes(needed);
        }
        if self.count == self.entries.len() {
            self.grow_entries();
        }
    }

    #[cold]
    fn grow_bytes(&mut self, needed: usize) {
        let space = needed.max(FIRST_BYTES).max(self.bytes.len() * 2).min(self.bound);
        let mut grown = Vec::with_capacity(space);
        for place in 0..self.count {
            let slot = self.slot(place);
            let Some(entry) = self.entries.get(slot).copied() else { continue };
            let start = grown.len() as u16;
            self.copy_line(&entry, entry.line_len(), &mut grown);
            if let Some(entry) = self.entries.get_mut(slot) {
                entry.start = start;
            }
        }
        grown.resize(space, 0);
        self.bytes = grown;
    }

    #[cold]
    fn grow_entries(&mut self) {
        let unused = Entry { start: 0, name_len: 0, value_len: 0, name: Name::UnknownPseudo, value_fault: None };
        let slots = (self.count * 2).max(FIRST_ENTRIES).min(self.bound / ENTRY_OVERHEAD);
        self.entries.rotate_left(self.oldest);
        self.oldest = 0;
        self.entries.reserve_exact(slots.saturating_sub(self.count));
        self.entries.resize(slots, unused);
    }

    /// Evicts all entries.
    pub fn clear(&mut self) {
        self.evict(0);
    }

    /// Evicts the oldest entries until the others take `size` at most.
    fn evict(&mut self, size: usize) {
        while self.size > size {
            let Some(entry) = self.count.checked_sub(1).and_then(|oldest| self.get(oldest)) else { return };
            self.size = self.size.saturating_sub(entry.size());
            self.count -= 1;
            self.oldest = self.slot(1);
        }
    }

    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Frees the memory if there is no entry.
    pub fn trim(&mut self) {
        if self.count == 0 {
            *self = Table { size_max: self.size_max, ..Table::new(self.bound) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::known::KnownField;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn insert(table: &mut Table, name: &str, value: &str) {
        let line = format!("{name}: {value}\r\n");
        table.insert(line.as_bytes(), name.len(), Name::Field(KnownField::Other), None);
    }

    fn lines(table: &Table) -> Vec<String> {
        let line = |entry: Entry| {
            let mut out = Vec::new();
            table.copy_line(&entry, entry.line_len(), &mut out);
            String::from_utf8(out).expect("text")
        };
        (0..).map_while(|index| table.get(index)).map(line).collect()
    }

    #[test]
    fn memory_is_allocated_with_the_first_entry_and_freed_when_empty() {
        let mut table = Table::new(4096);
        assert_eq!(table.heap_bytes(), 0);
        insert(&mut table, "a", "b");
        let few = table.heap_bytes();
        assert!((512..=512 + 16 * 12).contains(&few), "{few}");
        (0..1000).for_each(|number| insert(&mut table, "name", &number.to_string()));
        let held = table.heap_bytes();
        assert!((1024..=4096 + 128 * 12).contains(&held), "{held}");
        (0..1000).for_each(|number| insert(&mut table, "name", &"v".repeat(number)));
        let most = table.heap_bytes();
        assert!(most <= 4096 + 128 * 12, "{most}");
        table.trim();
        assert_eq!(lines(&table).len(), 3, "no entry is lost");
        assert_eq!(table.resize(0), Ok(()));
        table.trim();
        assert_eq!((table.heap_bytes(), table.size_max()), (0, 0));
        assert!(table.resize(4097).is_err() && table.resize(4096).is_ok());
    }

    #[test]
    fn entry_of_exactly_the_size_stays_and_a_larger_one_empties_the_table() {
        let mut table = Table::new(64);
        insert(&mut table, "a", &"v".repeat(31));
        assert_eq!(lines(&table).len(), 1);
        insert(&mut table, "b", &"v".repeat(32));
        assert_eq!((lines(&table).len(), table.size), (0, 0));
        let mut none = Table::new(0);
        insert(&mut none, "", "");
        assert_eq!((lines(&none).len(), none.heap_bytes()), (0, 0));
    }

    proptest! {
        #[test]
        fn ring_holds_what_a_list_of_strings_holds(
            bound in 32usize..1500,
            steps in proptest::collection::vec(("[a-z]{0,20}", "[a-z]{0,90}", 0usize..4000, 0u8..8), 1..80),
        ) {
            let mut table = Table::new(bound);
            let (mut model, mut size_max) = (VecDeque::new(), bound);
            for (name, value, size, kind) in steps {
                if kind == 0 {
                    prop_assert_eq!(table.resize(size).is_ok(), size <= bound);
                    size_max = if size <= bound { size } else { size_max };
                } else {
                    insert(&mut table, &name, &value);
                    model.push_front(format!("{name}: {value}\r\n"));
                }
                while model.iter().map(|line| line.len() - 4 + ENTRY_OVERHEAD).sum::<usize>() > size_max {
                    model.pop_back();
                }
                prop_assert_eq!(lines(&table), model.iter().cloned().collect::<Vec<_>>());
            }
        }
    }
}
