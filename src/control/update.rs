//! What a provider hands to the merging side, and what each has said so far.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The receiving end; it takes everything at once and keeps only the newest document of each provider.
pub type UpdateReceiver = UnboundedReceiver<ProviderUpdate>;

/// One provider's complete document and what it could not use.
#[derive(Debug)]
pub struct ProviderUpdate {
    pub provider: &'static str,
    pub dynamic: crate::config::dynamic::DynamicConfig,
    pub rejected: Vec<crate::config::Rejected>,
}

/// Where providers send what they say; also from other threads.
#[derive(Clone)]
pub struct UpdateSender {
    updates: UnboundedSender<ProviderUpdate>,
    words: Arc<ProviderReadiness>,
}

/// The way from providers to the merging side.
pub fn channel() -> (UpdateSender, UpdateReceiver) {
    let (updates, receiver) = unbounded_channel();
    (UpdateSender { updates, words: Arc::default() }, receiver)
}

impl UpdateSender {
    /// A new document, in place of the provider's last one.
    ///
    /// # Errors
    /// Nobody listens any more.
    pub fn send(&self, update: ProviderUpdate) -> Result<(), Closed> {
        self.words.received(update.provider);
        self.updates.send(update).map_err(|_| Closed)
    }

    /// The provider has nothing to say for now, and why: a start does not wait for it any longer.
    pub fn report_unavailable(&self, provider: &'static str, reason: &str) {
        self.words.cannot(provider, reason);
    }

    /// Nobody listens any more.
    pub fn is_closed(&self) -> bool {
        self.updates.is_closed()
    }

    /// Waits until nobody listens any more.
    pub async fn closed(&self) {
        self.updates.closed().await;
    }

    pub fn readiness(&self) -> &Arc<ProviderReadiness> {
        &self.words
    }
}

/// The control plane has ended.
#[derive(Debug)]
pub struct Closed;

/// Which providers have been heard. Whoever starts to accept connections waits for that: what comes before the first routes would be
/// answered 404.
#[derive(Default)]
pub struct ProviderReadiness {
    words: Mutex<BTreeMap<&'static str, ProviderState>>,
    opened: Notify,
}

#[derive(Debug, PartialEq, Eq)]
enum ProviderState {
    Pending,
    /// Its document is on the way.
    Received,
    Unavailable(String),
    Applied,
}

impl ProviderReadiness {
    /// A provider that will speak.
    pub fn expect(&self, provider: &'static str) {
        self.with(|words| {
            words.entry(provider).or_insert(ProviderState::Pending);
        });
    }

    /// Its first document is in force.
    pub fn applied(&self, provider: &'static str) {
        self.with(|words| drop(words.insert(provider, ProviderState::Applied)));
    }

    fn received(&self, provider: &'static str) {
        self.with(|words| match words.get_mut(provider) {
            Some(ProviderState::Applied) | None => {}
            Some(word) => *word = ProviderState::Received,
        });
    }

    fn cannot(&self, provider: &'static str, reason: &str) {
        self.with(|words| match words.get_mut(provider) {
            // What it has said stays in force, or will be.
            Some(ProviderState::Received | ProviderState::Applied) | None => {}
            Some(word) => *word = ProviderState::Unavailable(reason.to_owned()),
        });
    }

    /// One of them may speak any moment.
    pub fn has_pending(&self) -> bool {
        self.with(|words| words.values().any(|word| matches!(word, ProviderState::Pending | ProviderState::Received)))
    }

    /// Those that have said nothing that could be put into force, each with the reason.
    pub fn not_ready(&self) -> Vec<String> {
        let reason = |(provider, word): (&&'static str, &ProviderState)| match word {
            ProviderState::Applied => None,
            ProviderState::Pending | ProviderState::Received => Some(format!("{provider}: nothing heard yet")),
            ProviderState::Unavailable(reason) => Some(format!("{provider}: {reason}")),
        };
        self.with(|words| words.iter().filter_map(reason).collect())
    }

    /// Connections are accepted from now on.
    pub fn open(&self) {
        self.opened.notify_one();
    }

    /// Waits for [`FirstWords::open`]; the control plane alone does.
    pub async fn opened(&self) {
        self.opened.notified().await;
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<&'static str, ProviderState>) -> T) -> T {
        work(&mut self.words.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_waits_for_those_that_may_still_speak() {
        let words = ProviderReadiness::default();
        assert!(!words.has_pending() && words.not_ready().is_empty(), "without providers there is nothing to wait for");
        words.expect("docker");
        words.expect("file");
        assert!(words.has_pending());
        words.applied("file");
        words.cannot("file", "it is broken now");
        words.cannot("web", "nobody waits for it");
        assert_eq!(words.not_ready(), ["docker: nothing heard yet"]);
        words.cannot("docker", "no Engine");
        assert!(!words.has_pending());
        assert_eq!(words.not_ready(), ["docker: no Engine"]);
        words.received("docker");
        words.cannot("docker", "the stream has ended");
        assert!(words.has_pending(), "its document is on the way");
        words.applied("docker");
        assert!(!words.has_pending() && words.not_ready().is_empty());
    }
}
