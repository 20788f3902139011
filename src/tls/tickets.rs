//! What lets clients resume a session instead of doing a full handshake.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

use crate::limits::TLS_SESSIONS_MAX;

/// The ticket keys and session memory of one entry point, shared by all workers and kept across reloads.
///
/// One per entry point and not one for all: rustls resumes a session without asking for the client certificate again,
/// so a ticket from an entry point without `clientCA` must not open one that has it.
#[derive(Debug, Clone)]
pub struct Resumption {
    /// Encrypts tickets. Keys are random, change every 6 hours and are forgotten after 12.
    pub ticketer: Arc<dyn ProducesTickets>,
    /// Sessions of TLS 1.2 clients without ticket support.
    pub sessions: Arc<dyn StoresServerSessions + Send + Sync>,
}

impl Resumption {
    /// New random keys.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new() -> Result<Resumption, rustls::Error> {
        Ok(Resumption { ticketer: Ticketer::new()?, sessions: ServerSessionMemoryCache::new(TLS_SESSIONS_MAX) })
    }
}
