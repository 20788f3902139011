//! What a provider hands to the merging side.

/// Where providers send what they say; also from other threads.
pub type Sender = tokio::sync::mpsc::UnboundedSender<Update>;
pub type Receiver = tokio::sync::mpsc::UnboundedReceiver<Update>;

/// The way from providers to the merging side, which takes everything at once and keeps only the newest document of each.
pub fn channel() -> (Sender, Receiver) {
    tokio::sync::mpsc::unbounded_channel()
}

/// One provider's complete document and what it could not use.
#[derive(Debug)]
pub struct Update {
    pub provider: &'static str,
    pub dynamic: crate::config::dynamic::Dynamic,
    pub rejected: Vec<crate::config::Rejected>,
}
