//! The ACME client: obtains certificates for the desired names from a certificate authority, renews them in time and stores them in
//! `acme.json`.
//!
//! Deliberate differences from Traefik: failures are retried with growing pauses (Traefik waits for the next event or day), the account
//! key is ECDSA P-256 and stored beside Traefik's untouched RSA account, the file survives crashes, and a save that failed, for example
//! because the disk was full, is retried.

pub mod account;
pub mod atomic_file;
mod chain;
pub mod challenge;
mod context;
pub mod desired;
pub mod dns;
mod event;
mod failure;
mod history;
mod http;
pub mod keys;
mod manager;
mod names;
mod old_format;
mod on_issued;
mod order;
mod pending;
pub mod plan;
mod renewal;
mod renewal_info;
mod save_retry;
mod settings;
mod states;
pub mod store;
mod store_object;
mod time_text;
mod trust;
mod windows;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tracing::{error, info};

use crate::tls::challenge::ChallengeTable;

pub use account::{DEFAULT_CA_SERVER, ExternalAccount};
pub use challenge::ChallengeKind;
pub use desired::{DesiredCertificates, DomainRequest};
pub use event::AcmeEvent;
pub use history::RetrySchedule;
pub use keys::KeyType;
pub use settings::AcmeSettings;
pub use store_object::stored_account;
pub use trust::{AcmeRoots, system_roots};

use context::{ask_for_window, attempt, parse_stored};
use manager::AcmeManager;
use plan::CertificateOrder;
use store::{OpenError, Store};

/// The pause between two attempts to open a file that another process uses.
const IN_USE_PAUSE: Duration = Duration::from_secs(3);

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
    let Some(mut manager) = open(&settings, &challenges, &mut desired, &notify).await? else { return Ok(()) };
    notify(AcmeEvent::Certificates(manager.usable_certificates()));
    let (mut running, mut asking) = (FuturesUnordered::new(), FuturesUnordered::new());
    let mut busy: HashSet<CertificateOrder> = HashSet::new();
    loop {
        let Some(now_desired) = desired.borrow_and_update().clone() else {
            match desired.changed().await {
                Ok(()) => continue,
                Err(_) => return Ok(()),
            }
        };
        let due = manager.due(&now_desired, &busy, &notify);
        for (order, replaces) in due.orders {
            busy.insert(order.clone());
            running.push(attempt(Arc::clone(&manager.context), order, replaces));
        }
        asking.extend(due.windows.into_iter().map(|id| ask_for_window(Arc::clone(&manager.context), id)));
        tokio::select! {
            changed = desired.changed() => if changed.is_err() { return Ok(()) },
            Some((order, outcome)) = running.next(), if !running.is_empty() => {
                busy.remove(&order);
                manager.finish_order(order, outcome, &notify);
            }
            Some((id, answer)) = asking.next(), if !asking.is_empty() => manager.window_answered(&id, &answer),
            () = tokio::time::sleep(due.pause) => {}
        }
    }
}

/// Opens the file. While another process uses the file, its certificates are served and nothing is ordered. `None` if the sender of
/// `desired` is dropped meanwhile.
async fn open(
    settings: &AcmeSettings,
    challenges: &Arc<ArcSwap<ChallengeTable>>,
    desired: &mut watch::Receiver<Option<DesiredCertificates>>,
    notify: &impl Fn(AcmeEvent),
) -> Result<Option<AcmeManager>, String> {
    let mut is_logged = false;
    loop {
        match AcmeManager::open(settings.clone(), Arc::clone(challenges)) {
            Ok(manager) => {
                if is_logged {
                    info!("acme: {} is free now", settings.storage.display());
                }
                return Ok(Some(manager));
            }
            Err(OpenError::Unusable(reason)) => {
                error!("ACME is off: {reason}");
                return Err(reason);
            }
            Err(OpenError::InUse(reason)) => {
                if !std::mem::replace(&mut is_logged, true) {
                    error!("ACME waits: {reason}; until then its certificates are served and none is ordered");
                    let stored = Store::read_certificates(&settings.storage).unwrap_or_default();
                    let certificates: Vec<_> = stored.into_iter().map(parse_stored).collect();
                    notify(AcmeEvent::Certificates(manager::usable(&certificates)));
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(IN_USE_PAUSE) => {}
            () = is_dropped(desired) => return Ok(None),
        }
    }
}

/// Waits until the sender is dropped.
async fn is_dropped(desired: &mut watch::Receiver<Option<DesiredCertificates>>) {
    while desired.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests;
