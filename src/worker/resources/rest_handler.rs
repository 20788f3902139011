//! The REST provider as a worker sees it.

use std::sync::Arc;

/// Takes a document: the JSON that the client gets back, or why it was refused.
pub type RestHandler = Arc<dyn Fn(&[u8]) -> Result<String, RestUpdateError> + Send + Sync>;

/// Why a document was not taken.
#[derive(Debug)]
pub enum RestUpdateError {
    /// What is wrong with it.
    Invalid(String),
    /// Another process is about to serve in this one's place.
    Later,
}
