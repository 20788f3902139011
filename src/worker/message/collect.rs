//! Reads a whole body into memory: of a request that is buffered, or of a response that the proxy itself needs.

use super::stream::{BodyReader, BodySink, Delivered, RelayError};
use crate::net::TimeLimit;
use crate::worker::resources::memory_budget::{BufferedBody, MemoryBudget};

/// Why a body is not in memory.
#[derive(Debug)]
pub enum CollectError {
    /// The sender broke off, stalled, or sent bytes that are no body.
    Failed(RelayError),
    /// The body is longer than `bytes_max`.
    TooLarge,
    /// The worker's memory budget would be exceeded.
    OutOfMemory,
}

/// Reads the rest of a body, of at most `bytes_max` bytes; waits for each piece for at most `limit`.
///
/// # Errors
/// See [`CollectError`]. The rest of the body is still on the connection.
pub async fn collect<'w, R: BodyReader>(
    source: &mut R,
    budget: &'w MemoryBudget,
    bytes_max: usize,
    limit: TimeLimit<'_>,
) -> Result<BufferedBody<'w>, CollectError> {
    let mut sink = Collector { body: budget.buffer_body(), bytes_max, error: CollectError::TooLarge };
    if source.remaining().is_some_and(|length| length > bytes_max as u64) {
        return Err(CollectError::TooLarge);
    }
    loop {
        match source.read_into(&mut sink).map_err(CollectError::Failed)? {
            Delivered::All => return Ok(sink.body),
            Delivered::Refused => return Err(sink.error),
            Delivered::Part | Delivered::Full => source.fill(limit).await.map_err(CollectError::Failed)?,
        }
    }
}

struct Collector<'w> {
    body: BufferedBody<'w>,
    bytes_max: usize,
    /// Why a piece was refused; only meaningful after that.
    error: CollectError,
}

impl BodySink for Collector<'_> {
    fn push(&mut self, payload: &[u8]) -> bool {
        if self.body.bytes().len() + payload.len() > self.bytes_max {
            self.error = CollectError::TooLarge;
            return false;
        }
        let fits = self.body.push(payload);
        if !fits {
            self.error = CollectError::OutOfMemory;
        }
        fits
    }
}
