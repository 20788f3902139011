//! The DNS-01 challenge: writes the TXT record through the service that holds the zone, and waits until the zone's name servers answer with it
//! (RFC 8555 8.4; docs/reference/acme.md#dns-challenge).

mod record;

use std::fmt;
use std::time::Duration;

pub use record::ChallengeRecord;

/// The keys of `[acme.dnsChallenge]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsOptions {
    /// `provider`: a name of lego's list.
    pub provider: String,
    /// `delayBeforeCheck`: the pause before the first look-up of a new record.
    pub delay_before_check: Duration,
    /// `resolvers`: `host:port` or `host`; empty means those of the system.
    pub resolvers: Vec<String>,
    /// `disablePropagationCheck`: the authority is asked without a look at the zone's name servers.
    pub disable_propagation_check: bool,
}

/// The reason why a record could not be written, seen or removed: a sentence for the log without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsError(pub String);

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DnsError {}

/// Reads a variable of the environment; `None` if it is not set.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The configured DNS-01 challenge. All orders share one value.
pub struct DnsChallenge {
    options: DnsOptions,
}

impl DnsChallenge {
    /// Reads the provider's variables, as lego names them, from `environment` or from the files that `NAME_FILE` names. Contacts nobody.
    ///
    /// # Errors
    /// A sentence for the start and for `ringway check`: an unknown provider, or all variables that are missing.
    pub fn new(options: DnsOptions, environment: Environment<'_>) -> Result<DnsChallenge, DnsError> {
        let _ = environment;
        Ok(DnsChallenge { options })
    }

    /// Adds the TXT record. Other values at the same name stay. A CNAME of the record's name is followed.
    ///
    /// # Errors
    /// The service's reason.
    pub async fn present(&self, record: &ChallengeRecord) -> Result<(), DnsError> {
        Err(DnsError(format!("{}: {} is not supported", record.fqdn(), self.options.provider)))
    }

    /// Waits `delayBeforeCheck`, then until every name server of the zone answers with the record.
    ///
    /// # Errors
    /// The name servers that did not have the record in time.
    pub async fn wait_until_visible(&self, record: &ChallengeRecord) -> Result<(), DnsError> {
        Err(DnsError(format!("{}: {} is not supported", record.fqdn(), self.options.provider)))
    }

    /// Removes the TXT record, and only this value. To be called after the validation, and after a failed one too.
    ///
    /// # Errors
    /// The service's reason; the certificate is not affected.
    pub async fn clean_up(&self, record: &ChallengeRecord) -> Result<(), DnsError> {
        Err(DnsError(format!("{}: {} is not supported", record.fqdn(), self.options.provider)))
    }

    /// The longest time that [`DnsChallenge::wait_until_visible`] may take, for the time-out of the whole order.
    pub fn wait_max(&self) -> Duration {
        self.options.delay_before_check
    }
}
