//! What a provider hands to the merging side.

/// One provider's complete document and what it could not use.
#[derive(Debug)]
pub struct Update {
    pub provider: &'static str,
    pub dynamic: crate::config::dynamic::Dynamic,
    pub rejected: Vec<crate::config::Rejected>,
}
