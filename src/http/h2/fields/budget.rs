//! The size of a head, counted as RFC 9113 6.5.2 counts it: name, value and 32 bytes of each field, pseudo-header fields and cookie crumbs
//! included.

use crate::http::h2::hpack::Decoded;
use crate::http::violation::Violation;

const FIELD_OVERHEAD: usize = 32;

/// The bytes and the fields that a head may still have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    bytes: usize,
    fields: usize,
}

impl Budget {
    pub fn new(bytes: usize, fields: usize) -> Self {
        Budget { bytes, fields }
    }

    /// Bytes of name and value that the next field may have.
    #[inline]
    pub fn room(&self) -> usize {
        self.bytes.saturating_sub(FIELD_OVERHEAD)
    }

    /// Counts a field.
    #[inline]
    pub fn charge(&mut self, field: &Decoded) -> Result<(), Violation> {
        let size = field.name_len + field.value_len + FIELD_OVERHEAD;
        match (self.bytes.checked_sub(size), self.fields.checked_sub(1)) {
            (Some(bytes), Some(fields)) if field.is_whole => {
                *self = Budget { bytes, fields };
                Ok(())
            }
            (_, None) => Err(Violation::TooManyFields),
            _ => Err(Violation::HeadTooLong),
        }
    }
}
