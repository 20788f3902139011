//! What a provider is asked to do, and what it remembers of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::control::acme::dns::error::DnsError;
use crate::control::acme::dns::record::ChallengeRecord;
use crate::control::acme::dns::resolver::Resolver;
use crate::control::acme::dns::zone;

/// A record to write or to remove.
pub struct Task<'a> {
    /// The challenge, for providers that work with the token itself.
    pub record: &'a ChallengeRecord,
    /// The name of the TXT record, behind all CNAMEs.
    pub fqdn: &'a str,
    /// The content of the TXT record.
    pub value: &'a str,
    /// Whom to ask for the record's zone.
    pub resolver: &'a Resolver,
}

impl Task<'_> {
    /// The zone of the record and the record's name in it, both without a trailing dot.
    ///
    /// # Errors
    /// No zone is found.
    pub async fn zone(&self) -> Result<(String, String), DnsError> {
        let zone = zone::find_zone(self.resolver, self.fqdn).await?;
        let name = zone::name_in_zone(self.fqdn, &zone).unwrap_or(self.fqdn).to_owned();
        Ok((zone.trim_end_matches('.').to_owned(), name))
    }

    /// The name of the record without a trailing dot.
    pub fn name(&self) -> &str {
        self.fqdn.trim_end_matches('.')
    }
}

/// The identifiers of the records that the proxy has made, by name and value.
#[derive(Default)]
pub struct RecordIds(Mutex<HashMap<(String, String), String>>);

impl RecordIds {
    /// Remembers the identifier of the task's record.
    pub fn remember(&self, task: &Task<'_>, id: String) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.insert((task.fqdn.to_owned(), task.value.to_owned()), id);
    }

    /// Returns the identifier and forgets it; `None` if the proxy has not made the record.
    pub fn take(&self, task: &Task<'_>) -> Option<String> {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.remove(&(task.fqdn.to_owned(), task.value.to_owned()))
    }
}
