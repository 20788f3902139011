//! The REST provider's documents (static.md 7.4): from a request to the control thread, and from a process to its successor. They stand in
//! no file, and whoever put one would have to put it again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config;
use crate::control::update::{Sender, Update};
use crate::worker::{NotTaken, TakeDocument};

/// Its name among the providers (static.md 5).
const PROVIDER: &str = "web";

/// The document that was taken last, as it was written: what the API shows of one leaves its passwords out.
#[derive(Clone, Default)]
pub struct Rest(Arc<Mutex<Memory>>);

#[derive(Default)]
struct Memory {
    document: Vec<u8>,
    /// A successor has it: what is put now would be lost.
    is_handed_over: bool,
}

impl Rest {
    /// Begins with the document that a predecessor had; the update is its news.
    ///
    /// # Errors
    /// It cannot be read, perhaps by an older version: the predecessor must go on.
    pub fn recall(document: Vec<u8>) -> Result<(Rest, Option<Update>), String> {
        let news = if document.is_empty() { None } else { Some(update(&document)?) };
        Ok((Rest(Arc::new(Mutex::new(Memory { document, is_handed_over: false }))), news))
    }

    /// The document for a successor, empty if there is none. From now on none is taken.
    pub fn hand_over(&self) -> Vec<u8> {
        let mut memory = self.memory();
        memory.is_handed_over = true;
        memory.document.clone()
    }

    /// There is no successor: documents are taken again.
    pub fn resume(&self) {
        self.memory().is_handed_over = false;
    }

    /// Takes the document of a request.
    pub fn taker(&self, sender: Sender) -> TakeDocument {
        let rest = self.clone();
        Arc::new(move |document| {
            let update = update(document).map_err(NotTaken::Invalid)?;
            let echo = serde_json::to_string(&update.dynamic).map_err(|e| NotTaken::Invalid(e.to_string()))?;
            // Under the lock, so that the last one remembered is the last one sent.
            let mut memory = rest.memory();
            if memory.is_handed_over {
                return Err(NotTaken::Later);
            }
            sender.send(update).map_err(|_| NotTaken::Later)?;
            document.clone_into(&mut memory.document);
            Ok(echo)
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (rest, news) = Rest::recall(Vec::new()).expect("nothing");
        assert!(news.is_none());
        let take = rest.taker(sender);
        let document = br#"{"frontends":{"f":{"backend":"b","auth":{"basic":{"users":["ann:hash"]}}}}}"#;
        let echo = take(document).expect("taken");
        assert!(!echo.contains("ann"), "{echo}");
        assert!(matches!(take(b"{"), Err(NotTaken::Invalid(_))));
        let sent = updates.try_recv().expect("sent");
        let memory = rest.hand_over();
        assert_eq!(memory, document);
        let (again, news) = Rest::recall(memory).expect("a document");
        assert_eq!(news.expect("an update").dynamic, sent.dynamic);
        assert_eq!(again.hand_over(), document);
        assert!(matches!(take(b"{}"), Err(NotTaken::Later)), "the successor would not have it");
        rest.resume();
        assert!(take(b"{}").is_ok());
        assert_eq!(rest.hand_over(), b"{}");
        assert!(Rest::recall(b"{".to_vec()).is_err());
    }
}
