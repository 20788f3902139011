//! Byte ranges: the parsed parts of a head refer to its buffer instead of copying from it.

/// A range of bytes in the buffer of a head. Offsets count from the first byte of the head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    #[inline]
    pub fn new(start: usize, end: usize) -> Self {
        Span { start: start as u32, end: end as u32 }
    }

    /// The bytes of the range. `bytes` is the buffer of the head. Inlined everywhere: a request reads some thirty ranges.
    #[inline]
    pub fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start as usize..self.end as usize]
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}
