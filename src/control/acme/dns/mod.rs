//! The DNS-01 challenge: writes the TXT record through the service that holds the zone, and waits until the zone's name servers answer with it
//! (RFC 8555 8.4; docs/reference/acme.md#dns-challenge).

pub mod api;
mod error;
pub mod message;
mod propagation;
mod providers;
mod record;
pub mod resolver;
mod tsig;
mod turns;
mod variables;
mod zone;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use providers::{Provider, Task};
use resolver::Resolver;
use turns::Turns;
use variables::{Timing, Variables};

pub use error::{DnsError, Environment};
pub use providers::NAMES as PROVIDERS;
pub use record::ChallengeRecord;
pub use turns::Turn;

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

/// The configured DNS-01 challenge. All orders share one value.
pub struct DnsChallenge {
    provider: Provider,
    timing: Timing,
    options: DnsOptions,
    resolver: Resolver,
    follows_cnames: bool,
    turns: Arc<Turns>,
}

impl DnsChallenge {
    /// Reads the provider's variables, as lego names them, from `environment` or from the files that `NAME_FILE` names. Sends nothing.
    ///
    /// # Errors
    /// A sentence for the start and for `ringway check`: an unknown provider, or all variables that are missing.
    pub fn new(options: DnsOptions, environment: Environment<'_>) -> Result<DnsChallenge, DnsError> {
        let mut variables = Variables::new(environment);
        let follows_cnames = !variables.flag("LEGO_DISABLE_CNAME_SUPPORT", false);
        let (provider, timing) = Provider::new(&options.provider, variables)?;
        let resolver = Resolver::new(&options.resolvers);
        let turns = Turns::new(provider.is_sequential().then_some(timing.sequence_interval));
        Ok(DnsChallenge { provider, timing, options, resolver, follows_cnames, turns })
    }

    /// Waits until no other challenge of the same name is under way, if the provider's names hold one value only. The value is to be held from
    /// before [`DnsChallenge::present`] until after [`DnsChallenge::clean_up`]; other providers do not wait.
    pub async fn turn(&self, record: &ChallengeRecord) -> Turn {
        self.turns.turn(self.provider.holder(&record.fqdn()).to_owned()).await
    }

    /// The rounds in which the challenges of one order have to be answered, by the position of each name: names that cannot have their
    /// values at the same time are in different rounds. Most providers need one round.
    pub fn rounds<'a>(&self, names: impl Iterator<Item = &'a String>) -> Vec<usize> {
        let mut earlier: HashMap<String, usize> = HashMap::new();
        names
            .map(|name| {
                let fqdn = ChallengeRecord::new(name, "", "").fqdn();
                let count = earlier.entry(self.provider.holder(&fqdn).to_owned()).or_default();
                *count += 1;
                if self.provider.is_sequential() { *count - 1 } else { 0 }
            })
            .collect()
    }

    /// Adds the TXT record. Other values at the same name stay. A CNAME of the record's name is followed.
    ///
    /// # Errors
    /// The service's reason.
    pub async fn present(&self, record: &ChallengeRecord) -> Result<(), DnsError> {
        let (fqdn, value) = (self.target(record).await?, record.value());
        let task = Task { record, fqdn: &fqdn, value: &value, resolver: &self.resolver };
        self.provider.present(&task).await
    }

    /// Waits `delayBeforeCheck`, then until every name server of the zone answers with the record.
    ///
    /// # Errors
    /// The name servers that did not have the record in time.
    pub async fn wait_until_visible(&self, record: &ChallengeRecord) -> Result<(), DnsError> {
        tokio::time::sleep(self.options.delay_before_check).await;
        let (limit, interval) = (self.timing.propagation_timeout, self.timing.polling_interval);
        let start = Instant::now();
        let (target, value) = (self.target(record).await?, record.value());
        let task = Task { record, fqdn: &target, value: &value, resolver: &self.resolver };
        let settled = tokio::time::timeout(limit, self.provider.settle(&task)).await;
        settled.unwrap_or_else(|_| {
            let provider = &self.options.provider;
            Err(DnsError(format!("{provider}: the record {target} is not in effect after {} s", limit.as_secs())))
        })?;
        if self.options.disable_propagation_check {
            return Ok(());
        }
        // The authority follows CNAMEs, whatever the provider does.
        let fqdn = zone::follow_cnames(&self.resolver, &record.fqdn()).await?;
        propagation::wait(&self.resolver, &fqdn, &value, start, limit, interval).await
    }

    /// Removes the TXT record, and only this value. To be called after the validation, and after a failed one too.
    ///
    /// # Errors
    /// The service's reason; the certificate is not affected.
    pub async fn clean_up(&self, record: &ChallengeRecord) -> Result<(), DnsError> {
        let (fqdn, value) = (self.target(record).await?, record.value());
        let task = Task { record, fqdn: &fqdn, value: &value, resolver: &self.resolver };
        self.provider.clean_up(&task).await
    }

    /// The longest time that the records of these names may take, for the time-out of the whole order.
    pub fn wait_max(&self, names: &[String]) -> Duration {
        let rounds = self.rounds(names.iter()).into_iter().max().map_or(1, |last| last + 1);
        let pause = if self.provider.is_sequential() { self.timing.sequence_interval } else { Duration::ZERO };
        let round =
            self.options.delay_before_check.saturating_add(self.timing.propagation_timeout).saturating_add(pause);
        round.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }

    /// The name at which the record is written.
    async fn target(&self, record: &ChallengeRecord) -> Result<String, DnsError> {
        let fqdn = record.fqdn();
        if !self.follows_cnames || self.provider.is_raw() {
            return Ok(fqdn);
        }
        zone::follow_cnames(&self.resolver, &fqdn).await
    }
}
