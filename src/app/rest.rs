//! The REST provider's documents (static.md 7.4): from a request to the control thread, and from a process to its successor. They stand in
//! no file, and whoever put one would have to put it again.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config;
use crate::control::update::{Sender, Update};
use crate::worker::TakeDocument;

/// Its name among the providers (static.md 5).
const PROVIDER: &str = "web";

/// The document that was taken last, as it was written: what the API shows of one leaves its passwords out.
#[derive(Clone, Default)]
pub struct Rest(Arc<Mutex<Vec<u8>>>);

impl Rest {
    /// Begins with the document that a predecessor had; the update is its news.
    pub fn recall(memory: Vec<u8>) -> (Rest, Option<Update>) {
        if memory.is_empty() {
            return (Rest::default(), None);
        }
        match update(&memory) {
            Ok(update) => (Rest(Arc::new(Mutex::new(memory))), Some(update)),
            Err(e) => {
                tracing::error!("the document of the REST provider is lost, put it again: {e}");
                (Rest::default(), None)
            }
        }
    }

    /// For a successor; empty if there is none.
    pub fn memory(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the document of a request.
    pub fn taker(&self, sender: Sender) -> TakeDocument {
        let rest = self.clone();
        Arc::new(move |document| {
            let update = update(document)?;
            let echo = serde_json::to_string(&update.dynamic).map_err(|e| e.to_string())?;
            // Under the lock, so that the last one remembered is the last one sent.
            let mut memory = rest.0.lock().unwrap_or_else(PoisonError::into_inner);
            sender.send(update).map_err(|_| "the control thread has ended: restart Ringway".to_owned())?;
            document.clone_into(&mut memory);
            Ok(echo)
        })
    }
}

fn update(document: &[u8]) -> Result<Update, String> {
    Ok(Update { provider: PROVIDER, dynamic: config::json::read(document)?, rejected: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::update::channel;

    #[test]
    fn a_successor_has_the_document_as_it_was_written() {
        let (sender, mut updates) = channel();
        let (rest, news) = Rest::recall(Vec::new());
        assert!(news.is_none() && rest.memory().is_empty());
        let take = rest.taker(sender);
        let document = br#"{"frontends":{"f":{"backend":"b","auth":{"basic":{"users":["ann:hash"]}}}}}"#;
        let echo = take(document).expect("taken");
        assert!(!echo.contains("ann"), "{echo}");
        assert!(take(b"{").is_err());
        let sent = updates.try_recv().expect("sent");
        let (again, news) = Rest::recall(rest.memory());
        assert_eq!(news.expect("an update").dynamic, sent.dynamic);
        assert_eq!(again.memory(), document);
        let (lost, news) = Rest::recall(b"{".to_vec());
        assert!(news.is_none() && lost.memory().is_empty());
    }
}
