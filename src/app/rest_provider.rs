//! The REST provider (docs/reference/providers.md#rest): passes documents from requests to the control thread, and the last one to the
//! successor of a hand-over. No file stores a document: without that, its client would have to send it again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config;
use crate::control::update::{ProviderUpdate, UpdateSender};
use crate::worker::{RestHandler, RestUpdateError};

/// The provider's name in the API (docs/reference/api.md#provider-names).
const PROVIDER: &str = "web";

/// The last accepted document, byte for byte: the API's view of a document omits its passwords.
#[derive(Clone, Default)]
pub struct RestProvider(Arc<Mutex<LastDocument>>);

#[derive(Default)]
struct LastDocument {
    document: Vec<u8>,
    /// A successor has the document: a newer one would be lost, so none is accepted.
    is_handed_over: bool,
}

impl RestProvider {
    /// Starts with the document of the predecessor, empty if it had none; the update carries that document to the control thread.
    ///
    /// # Errors
    /// The document cannot be read, perhaps because this version is older: the predecessor must keep serving.
    pub fn restore(document: Vec<u8>) -> Result<(RestProvider, Option<ProviderUpdate>), String> {
        let restored = if document.is_empty() { None } else { Some(update(&document)?) };
        Ok((RestProvider(Arc::new(Mutex::new(LastDocument { document, is_handed_over: false }))), restored))
    }

    /// The document for a successor, empty if there is none. From now on no document is accepted, until [`RestProvider::resume`].
    pub fn hand_over(&self) -> Vec<u8> {
        let mut last_document = self.last_document();
        last_document.is_handed_over = true;
        last_document.document.clone()
    }

    /// Accepts documents again after a failed hand-over.
    pub fn resume(&self) {
        self.last_document().is_handed_over = false;
    }

    /// The function by which workers submit the document of a request.
    pub fn handler(&self, sender: UpdateSender) -> RestHandler {
        let provider = self.clone();
        Arc::new(move |document| {
            let update = update(document).map_err(|e| {
                sender.count_failure();
                RestUpdateError::Invalid(e)
            })?;
            let echo = serde_json::to_string(&update.dynamic).map_err(|e| RestUpdateError::Invalid(e.to_string()))?;
            // Under the lock, so that the stored document is the last one that was sent.
            let mut last_document = provider.last_document();
            if last_document.is_handed_over {
                return Err(RestUpdateError::Later);
            }
            sender.send(update).map_err(|_| RestUpdateError::Later)?;
            document.clone_into(&mut last_document.document);
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
    fn successor_gets_the_document_byte_for_byte() {
        let (sender, mut updates) = channel();
        let (provider, restored) = RestProvider::restore(Vec::new()).expect("nothing");
        assert!(restored.is_none());
        let submit = provider.handler(sender);
        let document = br#"{"frontends":{"f":{"backend":"b","auth":{"basic":{"users":["ann:hash"]}}}}}"#;
        let echo = submit(document).expect("accepted");
        assert!(!echo.contains("ann"), "{echo}");
        assert!(matches!(submit(b"{"), Err(RestUpdateError::Invalid(_))));
        let sent = updates.try_recv().expect("sent");
        let carried = provider.hand_over();
        assert_eq!(carried, document);
        let (successor, restored) = RestProvider::restore(carried).expect("a document");
        assert_eq!(restored.expect("an update").dynamic, sent.dynamic);
        assert_eq!(successor.hand_over(), document);
        assert!(matches!(submit(b"{}"), Err(RestUpdateError::Later)), "the successor would not have it");
        provider.resume();
        assert!(submit(b"{}").is_ok());
        assert_eq!(provider.hand_over(), b"{}");
        assert!(RestProvider::restore(b"{".to_vec()).is_err());
    }
}
