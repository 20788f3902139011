//! Decodes header blocks (RFC 7541 3).

/// Decodes the header blocks of one connection, in the order in which they arrive.
#[derive(Debug, Default)]
pub struct Decoder {}

impl Decoder {
    /// A decoder with an empty dynamic table. `table_bytes_max` is our SETTINGS_HEADER_TABLE_SIZE.
    pub fn new(_table_bytes_max: usize) -> Self {
        todo!()
    }

    /// Bytes that the decoder holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        todo!()
    }

    /// Frees the memory of the dynamic table if it is empty.
    pub fn trim(&mut self) {
        todo!()
    }
}
