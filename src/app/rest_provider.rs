//! The REST provider's documents (docs/reference/providers.md#rest): from a request to the control thread, and from a process to its successor. They stand in
//! no file, and whoever put one would have to put it again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config;
use crate::control::update::{ProviderUpdate, UpdateSender};
use crate::worker::{RestHandler, RestUpdateError};

/// Its name among the providers (docs/reference/providers.md#rest, docs/reference/api.md#provider-names).
const PROVIDER: &str = "web";

/// The document that was taken last, as it was written: what the API shows of one leaves its passwords out.
#[derive(Clone, Default)]
pub struct RestProvider(Arc<Mutex<LastDocument>>);

#[derive(Default)]
struct LastDocument {
    document: Vec<u8>,
    /// A successor has it: what is put now would be lost.
    is_handed_over: bool,
}

impl RestProvider {
    /// Begins with the document that a predecessor had; the update is its news.
    ///
    /// # Errors
    /// It cannot be read, perhaps by an older version: the predecessor must go on.
    pub fn restore(document: Vec<u8>) -> Result<(RestProvider, Option<ProviderUpdate>), String> {
        let news = if document.is_empty() { None } else { Some(update(&document)?) };
        Ok((RestProvider(Arc::new(Mutex::new(LastDocument { document, is_handed_over: false }))), news))
    }

    /// The document for a successor, empty if there is none. From now on none is taken.
    pub fn hand_over(&self) -> Vec<u8> {
        let mut memory = self.last_document();
        memory.is_handed_over = true;
        memory.document.clone()
    }

    /// There is no successor: documents are taken again.
    pub fn resume(&self) {
        self.last_document().is_handed_over = false;
    }

    /// Takes the document of a request.
    pub fn handler(&self, sender: UpdateSender) -> RestHandler {
        let rest = self.clone();
        Arc::new(move |document| {
            let update = update(document).map_err(RestUpdateError::Invalid)?;
            let echo = serde_json::to_string(&update.dynamic).map_err(|e| RestUpdateError::Invalid(e.to_string()))?;
            // Under the lock, so that the last one remembered is the last one sent.
            let mut memory = rest.last_document();
            if memory.is_handed_over {
                return Err(RestUpdateError::Later);
            }
            sender.send(update).map_err(|_| RestUpdateError::Later)?;
            document.clone_into(&mut memory.document);
            Ok(echo)
        })
    }

    fn last_document(&self) -> MutexGuard<'_, LastDocument> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn update(document: &[u8]) -> Result<ProviderUpdate, String> {
    Ok(ProviderUpdate { provider: PROVIDER, dynamic: config::json::read(document)?, rejected: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::update::channel;

    #[test]
    fn a_successor_has_the_document_as_it_was_written() {
        let (sender, mut updates) = channel();
        let (rest, news) = RestProvider::restore(Vec::new()).expect("nothing");
        assert!(news.is_none());
        let take = rest.handler(sender);
        let document = br#"{"frontends":{"f":{"backend":"b","auth":{"basic":{"users":["ann:hash"]}}}}}"#;
        let echo = take(document).expect("taken");
        assert!(!echo.contains("ann"), "{echo}");
        assert!(matches!(take(b"{"), Err(RestUpdateError::Invalid(_))));
        let sent = updates.try_recv().expect("sent");
        let memory = rest.hand_over();
        assert_eq!(memory, document);
        let (again, news) = RestProvider::restore(memory).expect("a document");
        assert_eq!(news.expect("an update").dynamic, sent.dynamic);
        assert_eq!(again.hand_over(), document);
        assert!(matches!(take(b"{}"), Err(RestUpdateError::Later)), "the successor would not have it");
        rest.resume();
        assert!(take(b"{}").is_ok());
        assert_eq!(rest.hand_over(), b"{}");
        assert!(RestProvider::restore(b"{".to_vec()).is_err());
    }
}
