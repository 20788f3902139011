//! Session resumption: ticket keys and session storage that spare clients a full handshake.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

use crate::limits::TLS_SESSIONS_MAX;

/// The ticket keys and session storage of one entry point, shared by all workers and kept across reloads.
///
/// Each entry point has its own, because rustls resumes a session without asking for the client certificate again: a ticket from an entry
/// point without `clientCA` must not be valid on one that has it.
#[derive(Debug, Clone)]
pub struct Resumption {
    /// Encrypts tickets. Keys are random, change every 6 hours and are discarded after 12.
    pub ticketer: Arc<dyn ProducesTickets>,
    /// Sessions of TLS 1.2 clients without ticket support.
    pub sessions: Arc<dyn StoresServerSessions + Send + Sync>,
}

impl Resumption {
    /// Creates a storage with new random keys.
    ///
    /// # Errors
    /// The system provides no random bytes.
    pub fn new() -> Result<Resumption, rustls::Error> {
        Ok(Resumption { ticketer: Ticketer::new()?, sessions: ServerSessionMemoryCache::new(TLS_SESSIONS_MAX) })
    }
}
