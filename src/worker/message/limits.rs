//! The time limits of a body that is relayed, and the permits that its end releases.

use crate::middleware::ChainState;
use crate::net::TimeLimit;

/// How a body is relayed from its reader to its writer.
pub struct RelayLimits<'a> {
    /// How long the receiver may take nothing.
    pub stall: TimeLimit<'a>,
    /// How long the sender may send nothing. `Duration::MAX` for a response, which may be a stream of rare events (Traefik has no such
    /// limit either).
    pub read_timeout: TimeLimit<'a>,
    /// The chain state of the request whose response this body is; its permits are released just before the last bytes are sent.
    pub permits: Option<&'a mut ChainState>,
    /// The receiver's connection is shut down as soon as the body has been sent.
    pub closes: bool,
}

impl RelayLimits<'_> {
    /// Releases the request's permits; called just before the last bytes are sent.
    pub fn release_permits(&mut self) {
        if let Some(state) = &mut self.permits {
            state.release_permits();
        }
    }
}
