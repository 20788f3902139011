//! What a provider hands to the merging side, and what each has said so far.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The receiving end; it takes everything at once and keeps only the newest document of each provider.
pub type Receiver = UnboundedReceiver<Update>;

/// One provider's complete document and what it could not use.
#[derive(Debug)]
pub struct Update {
    pub provider: &'static str,
    pub dynamic: crate::config::dynamic::Dynamic,
    pub rejected: Vec<crate::config::Rejected>,
}

/// Where providers send what they say; also from other threads.
#[derive(Clone)]
pub struct Sender {
    updates: UnboundedSender<Update>,
    words: Arc<FirstWords>,
}

/// The way from providers to the merging side.
pub fn channel() -> (Sender, Receiver) {
    let (updates, receiver) = unbounded_channel();
    (Sender { updates, words: Arc::default() }, receiver)
}

impl Sender {
    /// A new document, in place of the provider's last one.
    ///
    /// # Errors
    /// Nobody listens any more.
    pub fn send(&self, update: Update) -> Result<(), Closed> {
        self.words.said(update.provider);
        self.updates.send(update).map_err(|_| Closed)
    }

    /// The provider has nothing to say for now, and why: a start does not wait for it any longer.
    pub fn cannot(&self, provider: &'static str, reason: &str) {
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

    pub fn words(&self) -> &Arc<FirstWords> {
        &self.words
    }
}

/// The control plane has ended.
#[derive(Debug)]
pub struct Closed;

/// Which providers have been heard. Whoever starts to accept connections waits for that: what comes before the first routes would be
/// answered 404.
#[derive(Default)]
pub struct FirstWords {
    words: Mutex<BTreeMap<&'static str, Word>>,
    opened: Notify,
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Awaited,
    /// Its document is on the way.
    Said,
    Cannot(String),
    Applied,
}

impl FirstWords {
    /// A provider that will speak.
    pub fn awaits(&self, provider: &'static str) {
        self.with(|words| {
            words.entry(provider).or_insert(Word::Awaited);
        });
    }

    /// Its first document is in force.
    pub fn applied(&self, provider: &'static str) {
        self.with(|words| drop(words.insert(provider, Word::Applied)));
    }

    fn said(&self, provider: &'static str) {
        self.with(|words| match words.get_mut(provider) {
            Some(Word::Applied) | None => {}
            Some(word) => *word = Word::Said,
        });
    }

    fn cannot(&self, provider: &'static str, reason: &str) {
        self.with(|words| match words.get_mut(provider) {
            // What it has said stays in force, or will be.
            Some(Word::Said | Word::Applied) | None => {}
            Some(word) => *word = Word::Cannot(reason.to_owned()),
        });
    }

    /// One of them may speak any moment.
    pub fn are_awaited(&self) -> bool {
        self.with(|words| words.values().any(|word| matches!(word, Word::Awaited | Word::Said)))
    }

    /// Those that have said nothing that could be put into force, each with the reason.
    pub fn missing(&self) -> Vec<String> {
        let reason = |(provider, word): (&&'static str, &Word)| match word {
            Word::Applied => None,
            Word::Awaited | Word::Said => Some(format!("{provider}: nothing heard yet")),
            Word::Cannot(reason) => Some(format!("{provider}: {reason}")),
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

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<&'static str, Word>) -> T) -> T {
        work(&mut self.words.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_waits_for_those_that_may_still_speak() {
        let words = FirstWords::default();
        assert!(!words.are_awaited() && words.missing().is_empty(), "without providers there is nothing to wait for");
        words.awaits("docker");
        words.awaits("file");
        assert!(words.are_awaited());
        words.applied("file");
        words.cannot("file", "it is broken now");
        words.cannot("web", "nobody waits for it");
        assert_eq!(words.missing(), ["docker: nothing heard yet"]);
        words.cannot("docker", "no Engine");
        assert!(!words.are_awaited());
        assert_eq!(words.missing(), ["docker: no Engine"]);
        words.said("docker");
        words.cannot("docker", "the stream has ended");
        assert!(words.are_awaited(), "its document is on the way");
        words.applied("docker");
        assert!(!words.are_awaited() && words.missing().is_empty());
    }
}
