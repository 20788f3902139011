//! The settings of the ACME client.

use std::fmt;
use std::path::PathBuf;

use super::account::ExternalAccount;
use super::challenge::ChallengeKind;
use super::history::RetrySchedule;
use super::keys::KeyType;
use super::trust::AcmeRoots;

/// The keys of the `[acme]` table that this module needs (docs/reference/acme.md#keys).
#[derive(Clone)]
pub struct AcmeSettings {
    /// The contact of the account; may be empty.
    pub email: String,
    /// The path of `acme.json`.
    pub storage: PathBuf,
    /// The directory URL as configured. Empty means Let's Encrypt; retired URLs of Let's Encrypt are replaced.
    pub ca_server: String,
    /// The type of the certificates' keys.
    pub key_type: KeyType,
    /// The challenge by which names are validated.
    pub challenge: ChallengeKind,
    /// `acme.profile`; may be empty.
    pub profile: String,
    /// `acme.preferredChain`; may be empty.
    pub preferred_chain: String,
    /// `[acme.eab]`
    pub external_account: Option<ExternalAccount>,
    /// `acme.onIssued`; may be empty.
    pub on_issued: String,
    /// The root certificates that verify the authority's server.
    pub trust: AcmeRoots,
    /// The pauses and time-outs; tests shorten them.
    pub pacing: RetrySchedule,
}

impl fmt::Debug for AcmeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let challenge = self.challenge.name();
        f.debug_struct("AcmeSettings")
            .field("storage", &self.storage)
            .field("challenge", &challenge)
            .finish_non_exhaustive()
    }
}
