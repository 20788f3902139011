//! Decides when to order and when to save, and processes the results.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use instant_acme::CertificateIdentifier;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::observe::certificates::CertificateState;
use crate::tls::certificate::Certificate;
use crate::tls::challenge::ChallengeTable;

use super::account;
use super::context::{AcmeContext, parse_stored};
use super::desired::DesiredCertificates;
use super::event::AcmeEvent;
use super::failure::OrderError;
use super::history::FailureHistory;
use super::names;
use super::on_issued;
use super::plan::{self, CertificateOrder, PlanRules};
use super::renewal::{ManagedCertificate, lasting_longest, next_due};
use super::renewal_info::{CertificateId, RenewalAnswer};
use super::save_retry::SaveRetry;
use super::settings::AcmeSettings;
use super::states::{StateInputs, describe};
use super::store::{OpenError, Store};
use super::windows::RenewalWindows;

/// The maximum number of concurrent orders. More than one, because an order that hangs must not delay the others.
const CONCURRENT_ORDERS_MAX: usize = 8;
/// The minimum sleep between two checks of which orders are due.
pub const CHECK_PAUSE_MIN: Duration = Duration::from_millis(50);

/// The work to start now, and the time of the next look.
pub struct Due {
    pub orders: Vec<(CertificateOrder, Option<CertificateIdentifier<'static>>)>,
    /// The certificates whose renewal window is to be asked for.
    pub windows: Vec<CertificateId>,
    /// The time until the next look if no event comes before.
    pub pause: Duration,
}

/// The certificates of the file, their plan and their failures.
pub struct AcmeManager {
    pub context: Arc<AcmeContext>,
    certificates: Vec<ManagedCertificate>,
    failures: FailureHistory,
    windows: RenewalWindows,
    /// Names that cannot be obtained and whose reason has been logged.
    logged_refusals: HashSet<String>,
    states: Vec<CertificateState>,
    save_retry: SaveRetry,
    started_at: Instant,
}

impl AcmeManager {
    /// Opens the file.
    ///
    /// # Errors
    /// [`OpenError`]; certificates of a file that another process uses can still be read.
    pub fn open(settings: AcmeSettings, challenges: Arc<ArcSwap<ChallengeTable>>) -> Result<AcmeManager, OpenError> {
        let store = Store::open(&settings.storage)?;
        let (ca_server, rewritten) = account::current_ca_server(&settings.ca_server);
        if rewritten {
            warn!(
                "acme.caServer {} is retired, {ca_server} is used instead: change the configuration",
                settings.ca_server
            );
        }
        let certificates = lasting_longest(store.certificates().into_iter().map(parse_stored).collect());
        Ok(AcmeManager {
            context: Arc::new(AcmeContext::new(settings, ca_server, challenges, store)),
            certificates,
            failures: FailureHistory::default(),
            windows: RenewalWindows::default(),
            logged_refusals: HashSet::new(),
            states: Vec::new(),
            save_retry: SaveRetry::default(),
            started_at: Instant::now(),
        })
    }

    /// The readable certificates, ordered by expiry with the latest first: of several for one name, handshakes use the first.
    pub fn usable_certificates(&self) -> Vec<Arc<Certificate>> {
        usable(&self.certificates)
    }

    /// The work to start now. `busy` are the orders that are running.
    pub fn due(
        &mut self,
        desired: &DesiredCertificates,
        busy: &HashSet<CertificateOrder>,
        notify: &impl Fn(AcmeEvent),
    ) -> Due {
        let now_secs = unix_secs();
        // The server of a local authority signs local names too.
        let is_public = self.context.ca_server.contains(".letsencrypt.org/");
        let (public, mut refused) =
            if is_public { names::without_local_names(desired) } else { (desired.clone(), Vec::new()) };
        let rules = PlanRules { obtainable: self.context.obtainable(), left_out: self.failures.left_out() };
        let plan = plan::plan_orders(&public, &self.certificates, now_secs, &rules);
        let certificates = &self.certificates;
        let renews = |order: &CertificateOrder| certificates.iter().any(|old| old.stored.names() == order.names);
        self.failures.keep_only(&plan.jobs, renews);
        refused.extend(plan.refused);
        self.report_refused(&refused, notify);
        let (orders, pause) = self.ready(&plan.jobs, busy, now_secs);
        let (windows, ask_pause) = self.windows.next(&self.certificates, self.started_at.elapsed());
        let running: HashSet<CertificateOrder> =
            busy.iter().cloned().chain(orders.iter().map(|(order, _)| order.clone())).collect();
        self.report_states(&plan.jobs, &running, &refused, now_secs, notify);
        let save = self.retry_save();
        let pause = [ask_pause, save].into_iter().flatten().fold(pause, Duration::min);
        Due { orders, windows, pause: pause.max(CHECK_PAUSE_MIN) }
    }

    /// The planned orders to start now, and the time until the next one.
    fn ready(
        &self,
        planned: &[CertificateOrder],
        busy: &HashSet<CertificateOrder>,
        now_secs: i64,
    ) -> (Vec<(CertificateOrder, Option<CertificateIdentifier<'static>>)>, Duration) {
        let now = self.started_at.elapsed();
        // Sleeps for `check_every` at most, even if the next certificate becomes due later: the clock may be set meanwhile.
        let check_every = self.context.settings.pacing.check_every;
        let mut pause = next_due(&self.certificates, now_secs).map_or(check_every, |due| due.min(check_every));
        let pending: HashSet<&String> = busy.iter().flat_map(|order| &order.names).collect();
        let mut ready = Vec::new();
        for order in planned {
            let not_before = self.failures.not_before(order);
            // A name of a running order is not ordered a second time in another combination.
            if order.names.iter().any(|name| pending.contains(name)) {
                continue;
            }
            if not_before > now {
                pause = pause.min(not_before - now);
            } else if busy.len() + ready.len() < CONCURRENT_ORDERS_MAX {
                ready.push((order.clone(), self.replaced_by(order)));
            }
        }
        (ready, pause)
    }

    /// The certificate that an order renews, if the authority has given a window for it.
    fn replaced_by(&self, order: &CertificateOrder) -> Option<CertificateIdentifier<'static>> {
        let mut names = order.names.clone();
        names.sort_unstable();
        let replaced = self.certificates.iter().find(|managed| managed.stored.sorted_names() == names)?;
        self.windows.replaced_id(replaced).map(|id| id.to_replaced())
    }

    /// Takes the authority's window for a certificate.
    pub fn window_answered(&mut self, id: &CertificateId, answer: &Result<RenewalAnswer, String>) {
        if let Err(reason) = answer {
            debug!("no renewal window, the certificate is renewed by its lifetime: {reason}");
        }
        let pacing = self.context.settings.pacing;
        self.windows.answered(id, answer, self.started_at.elapsed(), &pacing, random());
        for managed in &mut self.certificates {
            managed.suggested_secs = self.windows.chosen_secs(managed);
        }
    }

    /// Retries a failed save if it is due. Returns the time until the next attempt, or `None` if nothing is unsaved.
    fn retry_save(&mut self) -> Option<Duration> {
        let mut store = self.context.store();
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

    fn report_states(
        &mut self,
        planned: &[CertificateOrder],
        busy: &HashSet<CertificateOrder>,
        refused: &[(String, String)],
        now_secs: i64,
        notify: &impl Fn(AcmeEvent),
    ) {
        let mut states = describe(&StateInputs {
            certificates: &self.certificates,
            planned,
            busy,
            refused,
            history: &self.failures,
            challenge: &self.context.settings.challenge,
            now_secs,
            now: self.started_at.elapsed(),
        });
        // The time of a waiting order is rounded: a state is no new one because a second has passed.
        for (old, new) in self.states.iter().zip(&mut states) {
            if let (Some(before), Some(after)) = (old.next_step_secs, new.next_step_secs)
                && before.abs_diff(after) <= 2
                && old.next_step == new.next_step
            {
                new.next_step_secs = old.next_step_secs;
            }
        }
        if states != self.states {
            self.states = states;
            notify(AcmeEvent::States(self.states.clone()));
        }
    }

    /// Processes the outcome of an order.
    pub fn finish_order(
        &mut self,
        order: CertificateOrder,
        outcome: Result<ManagedCertificate, OrderError>,
        notify: &impl Fn(AcmeEvent),
    ) {
        match outcome {
            Ok(new) => self.obtained(order, new, notify),
            Err(failure) => self.failed(order, failure, notify),
        }
    }

    fn obtained(&mut self, order: CertificateOrder, new: ManagedCertificate, notify: &impl Fn(AcmeEvent)) {
        let lifetime = new.certificate.as_ref().map_or(0, |new| new.not_after_secs.saturating_sub(new.not_before_secs));
        // A certificate that lives for an hour is due again before the longest pause is over.
        let pause = Duration::from_secs(u64::try_from(lifetime / 6).unwrap_or_default());
        let pause = pause.min(self.context.settings.pacing.retry_max);
        self.failures.succeeded(&order, self.started_at.elapsed(), pause);
        match self.certificates.iter_mut().find(|old| old.stored.is_for_same_names(&new.stored)) {
            Some(old) => *old = new,
            None => self.certificates.push(new),
        }
        info!("certificate obtained for {}", order.names.join(", "));
        let settings = &self.context.settings;
        if !settings.on_issued.is_empty() {
            on_issued::spawn(&settings.on_issued, &order.names, &settings.storage);
        }
        notify(AcmeEvent::Certificates(self.usable_certificates()));
        notify(AcmeEvent::Obtained { names: order.names });
    }

    fn failed(&mut self, order: CertificateOrder, failure: OrderError, notify: &impl Fn(AcmeEvent)) {
        let schedule = self.context.settings.pacing;
        let (failures, pause) = self.failures.failed(&order, &failure, self.started_at.elapsed(), &schedule, random());
        let (names, reason) = (order.names.join(", "), failure.reason);
        error!("no certificate for {names} (try {failures}): {reason}; next try in {} s", pause.as_secs());
        if order.names.len() > 1 {
            let left_out = self.failures.left_out();
            let out: Vec<&str> =
                order.names.iter().filter(|name| left_out.contains(*name)).map(String::as_str).collect();
            if !out.is_empty() {
                error!(
                    "{} left out of the certificate, so that its other names have theirs: tried on its own",
                    out.join(", ")
                );
            }
        }
        notify(AcmeEvent::Failed { names: order.names, reason, failures, retry_in: Some(pause) });
    }
}

/// Makes a last attempt to save: unsaved certificates and an unsaved account exist only in the memory that is freed here.
impl Drop for AcmeManager {
    fn drop(&mut self) {
        let mut store = self.context.store();
        if store.is_unsaved()
            && let Err(e) = store.save()
        {
            error!("certificates or an account could not be saved and are lost: {e}");
        }
    }
}

/// The readable certificates, ordered by expiry with the latest first.
pub fn usable(certificates: &[ManagedCertificate]) -> Vec<Arc<Certificate>> {
    let mut usable: Vec<Arc<Certificate>> = certificates.iter().filter_map(|c| c.certificate.clone()).collect();
    usable.sort_by_key(|certificate| Reverse(certificate.not_after_secs));
    usable
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
