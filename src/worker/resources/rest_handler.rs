//! The REST provider's interface to the workers.

use std::sync::Arc;

/// Applies a document; returns the JSON that the client gets back.
pub type RestHandler = Arc<dyn Fn(&[u8]) -> Result<String, RestUpdateError> + Send + Sync>;

/// Why a document was not applied.
#[derive(Debug)]
pub enum RestUpdateError {
    /// The document is invalid, for this reason.
    Invalid(String),
    /// A hand-over is in progress: another process is about to take this one's place.
    Later,
}
