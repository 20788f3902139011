//! Where a connection gets the memory for heads and payload.

/// Lends buffers for heads and payload.
pub trait Buffers {
    fn lend(&self) -> Vec<u8>;
    fn give_back(&self, buffer: Vec<u8>);
}
