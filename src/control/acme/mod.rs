//! Certificates from an ACME authority: obtained for wanted names, renewed in time, kept in `acme.json`.
//!
//! What differs from Traefik on purpose: failures are retried with growing pauses (Traefik waits for the next event
//! or day), the account key is ECDSA P-256 beside Traefik's untouched RSA account, the file survives crashes, and what a
//! full disk did not take is saved later.

pub mod account;
pub mod atomic_file;
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

/// How many certificates are obtained at the same time: one name that hangs must not hold up the others.
const ORDERS_AT_ONCE: usize = 4;

/// The shortest sleep between two looks at what is due.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(50);

/// The `[acme]` table (docs/reference/acme.md#keys), as far as this room needs it.
#[derive(Debug, Clone)]
pub struct AcmeSettings {
    /// Contact for the account; may be empty.
    pub email: String,
    /// The file.
    pub storage: PathBuf,
    /// As written; empty means Let's Encrypt, retired addresses are rewritten.
    pub ca_server: String,
    /// For certificates.
    pub key_type: KeyType,
    /// Whom to trust when talking to the authority.
    pub trust: AcmeRoots,
    /// Pauses; tests shorten them.
    pub pacing: RetrySchedule,
}

/// What [`run`] tells its caller. The log already has it.
#[derive(Debug, Clone)]
pub enum AcmeEvent {
    /// All usable certificates of the file: publish them. Comes once at the start and after every change.
    Certificates(Vec<Arc<Certificate>>),
    /// A certificate was obtained or renewed.
    Obtained {
        /// Its names.
        names: Vec<String>,
    },
    /// One could not be obtained.
    Failed {
        /// Its names.
        names: Vec<String>,
        /// Why.
        reason: String,
        /// How many times in a row.
        failures: u32,
        /// Pause before the next try; `None` when trying again is pointless.
        retry_in: Option<Duration>,
    },
}

/// Runs until the sender of `wanted` is dropped. Nothing is ordered before it is known what is wanted: of a certificate that is due some
/// names may have been given up.
///
/// # Errors
/// When the file cannot be used at all: a sentence that has been logged; the proxy goes on without ACME
/// (docs/reference/acme.md#when-acme-is-off, docs/reference/static-configuration.md#errors).
pub async fn run(
    settings: AcmeSettings,
    mut wanted: watch::Receiver<Option<DesiredCertificates>>,
    challenges: Arc<ArcSwap<ChallengeTable>>,
    notify: impl Fn(AcmeEvent),
) -> Result<(), String> {
    let mut agent = AcmeManager::open(settings, challenges).inspect_err(|e| error!("ACME is off: {e}"))?;
    notify(AcmeEvent::Certificates(agent.certificates()));
    let mut running = FuturesUnordered::new();
    let mut busy: HashSet<CertificateOrder> = HashSet::new();
    loop {
        let Some(now_wanted) = wanted.borrow_and_update().clone() else {
            match wanted.changed().await {
                Ok(()) => continue,
                Err(_) => return Ok(()),
            }
        };
        let (ready, pause) = agent.next_jobs(&now_wanted, &busy, &notify);
        let pause = agent.retry_save().map_or(pause, |due| pause.min(due.max(LOOK_AGAIN_MIN)));
        for job in ready {
            busy.insert(job.clone());
            running.push(attempt(agent.desk.clone(), job));
        }
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return Ok(()) },
            Some((job, outcome)) = running.next(), if !running.is_empty() => {
                busy.remove(&job);
                agent.settle(job, outcome, &notify);
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What all attempts share.
struct AcmeContext {
    settings: AcmeSettings,
    ca_server: String,
    challenges: Arc<ArcSwap<ChallengeTable>>,
    store: Mutex<Store>,
    /// Made at the first need, as in Traefik: a proxy with all its certificates talks to nobody.
    account: tokio::sync::Mutex<Option<Account>>,
}

struct AcmeManager {
    desk: Arc<AcmeContext>,
    held: Vec<ManagedCertificate>,
    attempts: FailureHistory,
    refused: HashSet<String>,
    unsaved: SaveRetry,
    started: Instant,
}

impl AcmeManager {
    fn open(settings: AcmeSettings, challenges: Arc<ArcSwap<ChallengeTable>>) -> Result<AcmeManager, String> {
        let store = Store::open(&settings.storage)?;
        let (ca_server, rewritten) = account::current_ca_server(&settings.ca_server);
        if rewritten {
            warn!("acme.caServer {} is retired, {ca_server} is used: change the configuration", settings.ca_server);
        }
        let held = plan::lasting_longest(store.certificates().into_iter().map(held).collect());
        let desk =
            AcmeContext { settings, ca_server, challenges, store: Mutex::new(store), account: Default::default() };
        let (attempts, refused) = (FailureHistory::default(), HashSet::new());
        let (unsaved, started) = (SaveRetry::default(), Instant::now());
        Ok(AcmeManager { desk: Arc::new(desk), held, attempts, refused, unsaved, started })
    }

    /// Those that last longest first: where several are for one name, handshakes get the first.
    fn certificates(&self) -> Vec<Arc<Certificate>> {
        let mut usable: Vec<Arc<Certificate>> = self.held.iter().filter_map(|held| held.certificate.clone()).collect();
        usable.sort_by_key(|certificate| Reverse(certificate.not_after_secs));
        usable
    }

    /// The jobs to start now, and how long to sleep when nothing happens.
    fn next_jobs(
        &mut self,
        wanted: &DesiredCertificates,
        busy: &HashSet<CertificateOrder>,
        notify: &impl Fn(AcmeEvent),
    ) -> (Vec<CertificateOrder>, Duration) {
        let now_secs = unix_secs();
        let plan = plan::plan_orders(wanted, &self.held, now_secs);
        self.attempts.keep_only(&plan.jobs, &self.held);
        self.report_refused(&plan.refused, notify);
        let now = self.started.elapsed();
        let mut ready = Vec::new();
        // The next one due is not waited for longer than that: the clock may be set meanwhile.
        let check_every = self.desk.settings.pacing.check_every;
        let mut pause = plan::next_due(&self.held, now_secs).map_or(check_every, |due| due.min(check_every));
        let pending: HashSet<&String> = busy.iter().flat_map(|job| &job.names).collect();
        for job in plan.jobs {
            let not_before = self.attempts.not_before(&job);
            // A name that is being obtained is not asked for a second time in another combination.
            if job.names.iter().any(|name| pending.contains(name)) {
                continue;
            }
            if not_before > now {
                pause = pause.min(not_before - now);
            } else if busy.len() + ready.len() < ORDERS_AT_ONCE {
                ready.push(job);
            }
        }
        (ready, pause.max(LOOK_AGAIN_MIN))
    }

    /// Saves again what could not be saved; gives the time until the next try.
    fn retry_save(&mut self) -> Option<Duration> {
        let mut store = self.desk.store.lock().unwrap_or_else(PoisonError::into_inner);
        self.unsaved.retry_if_due(&mut store, self.started.elapsed())
    }

    fn report_refused(&mut self, refused: &[(String, String)], notify: &impl Fn(AcmeEvent)) {
        self.refused.retain(|old| refused.iter().any(|(name, _)| name == old));
        for (name, reason) in refused {
            if self.refused.insert(name.clone()) {
                error!("no certificate will be requested for {name}: {reason}");
                let names = vec![name.clone()];
                notify(AcmeEvent::Failed { names, reason: reason.clone(), failures: 0, retry_in: None });
            }
        }
    }

    fn settle(
        &mut self,
        job: CertificateOrder,
        outcome: Result<ManagedCertificate, OrderError>,
        notify: &impl Fn(AcmeEvent),
    ) {
        match outcome {
            Ok(new) => {
                self.attempts.succeeded(&job, self.started.elapsed(), &self.desk.settings.pacing);
                match self.held.iter_mut().find(|old| old.stored.is_for_same_names(&new.stored)) {
                    Some(old) => *old = new,
                    None => self.held.push(new),
                }
                info!("certificate obtained for {}", job.names.join(", "));
                notify(AcmeEvent::Certificates(self.certificates()));
                notify(AcmeEvent::Obtained { names: job.names });
            }
            Err(failure) => {
                let pacing = self.desk.settings.pacing;
                let (failures, pause) = self.attempts.failed(&job, self.started.elapsed(), &pacing, random());
                let (names, reason) = (job.names.join(", "), &failure.reason);
                error!("no certificate for {names} (try {failures}): {reason}; next try in {} s", pause.as_secs());
                let (names, reason) = (job.names, failure.reason);
                notify(AcmeEvent::Failed { names, reason, failures, retry_in: Some(pause) });
            }
        }
    }
}

/// What could not be saved before gets its last chance: with this it is gone from memory too.
impl Drop for AcmeManager {
    fn drop(&mut self) {
        let mut store = self.desk.store.lock().unwrap_or_else(PoisonError::into_inner);
        if store.is_unsaved()
            && let Err(e) = store.save()
        {
            error!("certificates or an account that could not be saved are lost: {e}");
        }
    }
}

/// One try at one certificate, with all that belongs to it: account, order, check, file.
async fn attempt(
    desk: Arc<AcmeContext>,
    job: CertificateOrder,
) -> (CertificateOrder, Result<ManagedCertificate, OrderError>) {
    let limit = desk.settings.pacing.order_max;
    let outcome = match tokio::time::timeout(limit, desk.obtain(&job)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(OrderError::because(format!("the authority did not finish within {} s", limit.as_secs()))),
    };
    (job, outcome)
}

impl AcmeContext {
    async fn obtain(&self, job: &CertificateOrder) -> Result<ManagedCertificate, OrderError> {
        let account = self.account().await.map_err(OrderError::because)?;
        let (settings, challenges) = (&self.settings, &self.challenges);
        let patience = settings.pacing.order_max;
        let obtained = order::obtain(&account, &job.names, settings.key_type, challenges, patience).await;
        if obtained.as_ref().is_err_and(|failure| failure.account_is_gone) {
            self.forget_account().await;
        }
        let new = held(obtained?);
        if new.certificate.is_none() {
            return Err(OrderError::because("the authority sent a certificate that cannot be read"));
        }
        // The certificate works whether or not it could be saved, so it is used either way.
        let saved = self.store.lock().unwrap_or_else(PoisonError::into_inner).put(&new.stored);
        if let Err(e) = saved {
            let names = job.names.join(", ");
            error!("the certificate for {names} is in use but gone after a restart, unless it can be saved later: {e}");
        }
        Ok(new)
    }

    async fn account(&self) -> Result<Account, String> {
        let mut slot = self.account.lock().await;
        if let Some(account) = &*slot {
            return Ok(account.clone());
        }
        let trust = &self.settings.trust;
        let known = self.store.lock().unwrap_or_else(PoisonError::into_inner).account(&self.ca_server);
        let account = match known {
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
            error!("the account is registered anew after a restart, unless it can be saved later: {e}");
        }
        Ok(account)
    }

    async fn forget_account(&self) {
        warn!("{} does not know our account any more: a new one will be registered", self.ca_server);
        *self.account.lock().await = None;
        if let Err(e) = self.store.lock().unwrap_or_else(PoisonError::into_inner).set_account(None) {
            error!("the unknown account stays in the file until that can be saved: {e}");
        }
    }
}

fn held(stored: Stored) -> ManagedCertificate {
    let certificate = Certificate::from_pem(&stored.certificate, &stored.key);
    if let Err(e) = &certificate {
        error!("the stored certificate for {} is not used and will be renewed: {e}", stored.main);
    }
    ManagedCertificate { stored, certificate: certificate.ok().map(Arc::new) }
}

fn unix_secs() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness every pause is the shortest of its step, which does no harm.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}
