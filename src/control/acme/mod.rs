//! The ACME client: obtains certificates for the desired names from a certificate authority, renews them in time and stores them in
//! `acme.json`.
//!
//! Deliberate differences from Traefik: failures are retried with growing pauses (Traefik waits for the next event or day), the account
//! key is ECDSA P-256 and stored beside Traefik's untouched RSA account, the file survives crashes, and a save that failed, for example
//! because the disk was full, is retried.

pub mod account;
pub mod atomic_file;
pub mod dns;
pub mod keys;
pub mod order;
pub mod plan;
pub mod store;
mod save_retry;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use instant_acme::Account;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::tls::certificate::Certificate;
use crate::tls::challenge::ChallengeTable;

pub use account::{AcmeRoots, DEFAULT_CA_SERVER, system_roots};
pub use keys::KeyType;
pub use plan::{DesiredCertificates, DomainRequest, RetrySchedule};

use order::OrderError;
use plan::{CertificateOrder, FailureHistory, ManagedCertificate};
use save_retry::SaveRetry;
use store::{Store, Stored};

/// The maximum number of concurrent orders. More than one, because an order that hangs must not delay the others.
const CONCURRENT_ORDERS_MAX: usize = 4;

/// The minimum sleep between two checks of which orders are due.
const CHECK_PAUSE_MIN: Duration = Duration::from_millis(50);

/// The keys of the `[acme]` table that this module needs (docs/reference/acme.md#keys).
#[derive(Debug, Clone)]
pub struct AcmeSettings {
    /// The contact of the account; may be empty.
    pub email: String,
    /// The path of `acme.json`.
    pub storage: PathBuf,
    /// The directory URL as configured. Empty means Let's Encrypt; retired URLs of Let's Encrypt are replaced.
    pub ca_server: String,
    /// The type of the certificates' keys.
    pub key_type: KeyType,
    /// The root certificates that verify the authority's server.
    pub trust: AcmeRoots,
    /// The pauses and time-outs; tests shorten them.
    pub pacing: RetrySchedule,
}

/// An event that [`run`] reports to its caller. Events are in the log already.
#[derive(Debug, Clone)]
pub enum AcmeEvent {
    /// All usable certificates of the file, for the caller to publish. Sent once at the start and after every change.
    Certificates(Vec<Arc<Certificate>>),
    /// A certificate was obtained or renewed.
    #[cfg_attr(
        reachability,
        expect(dead_code, reason = "tests follow the manager by its events; an operator reads them in the log")
    )]
    Obtained {
        /// The names of the certificate.
        names: Vec<String>,
    },
    /// A certificate could not be obtained.
    #[cfg_attr(
        reachability,
        expect(dead_code, reason = "tests follow the manager by its events; an operator reads them in the log")
    )]
    Failed {
        /// The names of the certificate.
        names: Vec<String>,
        /// The reason, a sentence for the log.
        reason: String,
        /// The number of failures in a row.
        failures: u32,
        /// The pause before the next attempt; `None` if no attempt can succeed.
        retry_in: Option<Duration>,
    },
}

/// Runs the ACME client until the sender of `desired` is dropped. Orders nothing while `desired` is `None`: some names of a certificate
/// that is due may not be in use any more.
///
/// # Errors
/// A sentence that has been logged, if the file cannot be used at all; the proxy keeps serving without ACME
/// (docs/reference/acme.md#when-acme-is-off).
pub async fn run(
    settings: AcmeSettings,
    mut desired: watch::Receiver<Option<DesiredCertificates>>,
    challenges: Arc<ArcSwap<ChallengeTable>>,
    notify: impl Fn(AcmeEvent),
) -> Result<(), String> {
    let mut manager = AcmeManager::open(settings, challenges).inspect_err(|e| error!("ACME is off: {e}"))?;
    notify(AcmeEvent::Certificates(manager.usable_certificates()));
    let mut running = FuturesUnordered::new();
    let mut busy: HashSet<CertificateOrder> = HashSet::new();
    loop {
        let Some(now_desired) = desired.borrow_and_update().clone() else {
            match desired.changed().await {
                Ok(()) => continue,
                Err(_) => return Ok(()),
            }
        };
        let (ready, pause) = manager.next_orders(&now_desired, &busy, &notify);
        let pause = manager.retry_save().map_or(pause, |due| pause.min(due.max(CHECK_PAUSE_MIN)));
        for order in ready {
            busy.insert(order.clone());
            running.push(attempt(manager.context.clone(), order));
        }
        tokio::select! {
            changed = desired.changed() => if changed.is_err() { return Ok(()) },
            Some((order, outcome)) = running.next(), if !running.is_empty() => {
                busy.remove(&order);
                manager.finish_order(order, outcome, &notify);
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The state that all attempts share.
struct AcmeContext {
    settings: AcmeSettings,
    ca_server: String,
    challenges: Arc<ArcSwap<ChallengeTable>>,
    store: Mutex<Store>,
    /// Restored or registered for the first order, as in Traefik: a proxy that has all its certificates does not contact the authority.
    account: tokio::sync::Mutex<Option<Account>>,
}

/// Decides when to order and when to save, and processes the results.
struct AcmeManager {
    context: Arc<AcmeContext>,
    certificates: Vec<ManagedCertificate>,
    failures: FailureHistory,
    /// Names that cannot be obtained and whose reason has been logged.
    logged_refusals: HashSet<String>,
    save_retry: SaveRetry,
    started_at: Instant,
}

impl AcmeManager {
    fn open(settings: AcmeSettings, challenges: Arc<ArcSwap<ChallengeTable>>) -> Result<AcmeManager, String> {
        let store = Store::open(&settings.storage)?;
        let (ca_server, rewritten) = account::current_ca_server(&settings.ca_server);
        if rewritten {
            warn!(
                "acme.caServer {} is retired, {ca_server} is used instead: change the configuration",
                settings.ca_server
            );
        }
        let certificates = plan::lasting_longest(store.certificates().into_iter().map(parse_stored).collect());
        let context =
            AcmeContext { settings, ca_server, challenges, store: Mutex::new(store), account: Default::default() };
        Ok(AcmeManager {
            context: Arc::new(context),
            certificates,
            failures: FailureHistory::default(),
            logged_refusals: HashSet::new(),
            save_retry: SaveRetry::default(),
            started_at: Instant::now(),
        })
    }

    /// The readable certificates, ordered by expiry with the latest first: of several for one name, handshakes use the first.
    fn usable_certificates(&self) -> Vec<Arc<Certificate>> {
        let mut usable: Vec<Arc<Certificate>> =
            self.certificates.iter().filter_map(|c| c.certificate.clone()).collect();
        usable.sort_by_key(|certificate| Reverse(certificate.not_after_secs));
        usable
    }

    /// The orders to start now, and the time until the next check if no event comes before.
    fn next_orders(
        &mut self,
        desired: &DesiredCertificates,
        busy: &HashSet<CertificateOrder>,
        notify: &impl Fn(AcmeEvent),
    ) -> (Vec<CertificateOrder>, Duration) {
        let now_secs = unix_secs();
        // The server of a local authority signs local names too.
        let is_public = self.context.ca_server.contains(".letsencrypt.org/");
        let (public, mut refused) =
            if is_public { plan::without_local_names(desired) } else { (desired.clone(), Vec::new()) };
        let plan = plan::plan_orders(&public, &self.certificates, now_secs);
        self.failures.keep_only(&plan.jobs, &self.certificates);
        refused.extend(plan.refused);
        self.report_refused(&refused, notify);
        let now = self.started_at.elapsed();
        let mut ready = Vec::new();
        // Sleeps for `check_every` at most, even if the next certificate becomes due later: the clock may be set meanwhile.
        let check_every = self.context.settings.pacing.check_every;
        let mut pause = plan::next_due(&self.certificates, now_secs).map_or(check_every, |due| due.min(check_every));
        let pending: HashSet<&String> = busy.iter().flat_map(|order| &order.names).collect();
        for order in plan.jobs {
            let not_before = self.failures.not_before(&order);
            // A name of a running order is not ordered a second time in another combination.
            if order.names.iter().any(|name| pending.contains(name)) {
                continue;
            }
            if not_before > now {
                pause = pause.min(not_before - now);
            } else if busy.len() + ready.len() < CONCURRENT_ORDERS_MAX {
                ready.push(order);
            }
        }
        (ready, pause.max(CHECK_PAUSE_MIN))
    }

    /// Retries a failed save if it is due. Returns the time until the next attempt, or `None` if nothing is unsaved.
    fn retry_save(&mut self) -> Option<Duration> {
        let mut store = self.context.store.lock().unwrap_or_else(PoisonError::into_inner);
        self.save_retry.retry_if_due(&mut store, self.started_at.elapsed())
    }

    /// Logs and reports each name that cannot be obtained once, and again only after a plan without that name.
    fn report_refused(&mut self, refused: &[(String, String)], notify: &impl Fn(AcmeEvent)) {
        self.logged_refusals.retain(|old| refused.iter().any(|(name, _)| name == old));
        for (name, reason) in refused {
            if self.logged_refusals.insert(name.clone()) {
                error!("no certificate will be requested for {name}: {reason}");
                let names = vec![name.clone()];
                notify(AcmeEvent::Failed { names, reason: reason.clone(), failures: 0, retry_in: None });
            }
        }
    }

    fn finish_order(
        &mut self,
        order: CertificateOrder,
        outcome: Result<ManagedCertificate, OrderError>,
        notify: &impl Fn(AcmeEvent),
    ) {
        match outcome {
            Ok(new) => {
                self.failures.succeeded(&order, self.started_at.elapsed(), &self.context.settings.pacing);
                match self.certificates.iter_mut().find(|old| old.stored.is_for_same_names(&new.stored)) {
                    Some(old) => *old = new,
                    None => self.certificates.push(new),
                }
                info!("certificate obtained for {}", order.names.join(", "));
                notify(AcmeEvent::Certificates(self.usable_certificates()));
                notify(AcmeEvent::Obtained { names: order.names });
            }
            Err(failure) => {
                let schedule = self.context.settings.pacing;
                let (failures, pause) = self.failures.failed(&order, self.started_at.elapsed(), &schedule, random());
                let (names, reason) = (order.names.join(", "), &failure.reason);
                error!("no certificate for {names} (try {failures}): {reason}; next try in {} s", pause.as_secs());
                let (names, reason) = (order.names, failure.reason);
                notify(AcmeEvent::Failed { names, reason, failures, retry_in: Some(pause) });
            }
        }
    }
}

/// Makes a last attempt to save: unsaved certificates and an unsaved account exist only in the memory that is freed here.
impl Drop for AcmeManager {
    fn drop(&mut self) {
        let mut store = self.context.store.lock().unwrap_or_else(PoisonError::into_inner);
        if store.is_unsaved()
            && let Err(e) = store.save()
        {
            error!("certificates or an account could not be saved and are lost: {e}");
        }
    }
}

/// Makes one attempt to obtain one certificate, within `order_max`: account, order, validation, saving.
async fn attempt(
    context: Arc<AcmeContext>,
    order: CertificateOrder,
) -> (CertificateOrder, Result<ManagedCertificate, OrderError>) {
    let limit = context.settings.pacing.order_max;
    let outcome = match tokio::time::timeout(limit, context.obtain(&order)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(OrderError::because(format!("the authority did not finish within {} s", limit.as_secs()))),
    };
    (order, outcome)
}

impl AcmeContext {
    async fn obtain(&self, order: &CertificateOrder) -> Result<ManagedCertificate, OrderError> {
        let account = self.account().await.map_err(OrderError::because)?;
        let (settings, challenges) = (&self.settings, &self.challenges);
        let timeout = settings.pacing.order_max;
        let obtained = order::obtain(&account, &order.names, settings.key_type, challenges, timeout).await;
        if obtained.as_ref().is_err_and(|failure| failure.account_is_gone) {
            self.forget_account().await;
        }
        let new = parse_stored(obtained?);
        if new.certificate.is_none() {
            return Err(OrderError::because("the authority sent a certificate that cannot be read"));
        }
        // The certificate is usable even if it cannot be saved.
        let saved = self.store.lock().unwrap_or_else(PoisonError::into_inner).put(&new.stored);
        if let Err(e) = saved {
            let names = order.names.join(", ");
            error!(
                "the certificate for {names} was obtained but not saved: lost at restart unless a later save succeeds: {e}"
            );
        }
        Ok(new)
    }

    async fn account(&self) -> Result<Account, String> {
        let mut slot = self.account.lock().await;
        if let Some(account) = &*slot {
            return Ok(account.clone());
        }
        let trust = &self.settings.trust;
        let credentials = self.store.lock().unwrap_or_else(PoisonError::into_inner).account(&self.ca_server);
        let account = match credentials {
            Some(credentials) => account::restore(trust, credentials).await?,
            None => self.register().await?,
        };
        *slot = Some(account.clone());
        Ok(account)
    }

    async fn register(&self) -> Result<Account, String> {
        let (account, credentials) =
            account::register(&self.settings.trust, &self.ca_server, &self.settings.email).await?;
        info!("registered an account with {}: {}", self.ca_server, account.id());
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if store.has_traefik_account() {
            warn!(
                "{}: Traefik's account has an RSA key that this proxy cannot use, so it registered its own and kept \
                 Traefik's in the file; a CAA record with accounturi must also name {}",
                self.settings.storage.display(),
                account.id()
            );
        }
        if let Err(e) = store.set_account(Some(&credentials)) {
            error!("the account was registered but not saved: lost at restart unless a later save succeeds: {e}");
        }
        Ok(account)
    }

    async fn forget_account(&self) {
        warn!("{} does not know Ringway's account any more: registering a new one for the next order", self.ca_server);
        *self.account.lock().await = None;
        if let Err(e) = self.store.lock().unwrap_or_else(PoisonError::into_inner).set_account(None) {
            error!("the account that the authority does not know stays in the file until a later save succeeds: {e}");
        }
    }
}

fn parse_stored(stored: Stored) -> ManagedCertificate {
    let certificate = Certificate::from_pem(&stored.certificate, &stored.key);
    if let Err(e) = &certificate {
        error!(
            "the certificate for {} in the file of acme.storage cannot be used and a new one will be requested: {e}",
            stored.names().join(", ")
        );
    }
    ManagedCertificate { stored, certificate: certificate.ok().map(Arc::new) }
}

fn unix_secs() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // If the system has no random bytes, the pauses are not lengthened, which does no harm.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}
