//! What all attempts share: settings, file, account. Makes one attempt to obtain one certificate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use instant_acme::{Account, CertificateIdentifier};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::tls::certificate::Certificate;
use crate::tls::challenge::ChallengeTable;

use super::account;
use super::challenge::ChallengeKind;
use super::failure::OrderError;
use super::http::{AuthorityClient, with_notes};
use super::names::Obtainable;
use super::order::{self, Answering, OrderRequest};
use super::pending::{PendingOrder, PendingOrders};
use super::plan::CertificateOrder;
use super::renewal::ManagedCertificate;
use super::renewal_info::{self, CertificateId, RenewalAnswer};
use super::settings::AcmeSettings;
use super::store::{Store, Stored};

/// The time for which the address of the renewal information is used before the directory is read again.
const ENDPOINT_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// The time for which a directory that could not be read is not read again for windows: there may be a thousand certificates.
const FAILURE_AGE_MAX: Duration = Duration::from_secs(600);

/// The address of the renewal information, `None` if the authority has none, or why the directory could not be read.
type Endpoint = Result<Option<String>, String>;

/// The state that all attempts share.
pub struct AcmeContext {
    pub settings: AcmeSettings,
    pub ca_server: String,
    challenges: Arc<ArcSwap<ChallengeTable>>,
    store: Mutex<Store>,
    /// Restored or registered for the first order, as in Traefik: a proxy that has all its certificates registers no account.
    account: tokio::sync::Mutex<Option<Account>>,
    /// Made for the first request.
    client: tokio::sync::Mutex<Option<AuthorityClient>>,
    /// The address of the renewal information, `None` if the authority has none, and when the directory was read. A directory that could
    /// not be read has the reason.
    endpoint: tokio::sync::Mutex<Option<(Instant, Endpoint)>>,
}

/// The orders with one authority in the store.
struct StoredOrders<'a> {
    store: &'a Mutex<Store>,
    directory: &'a str,
}

impl PendingOrders for StoredOrders<'_> {
    fn of(&self, names: &[String]) -> Option<PendingOrder> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).pending_order(self.directory, names)
    }

    fn remember(&self, order: &PendingOrder) {
        let saved = self.store.lock().unwrap_or_else(PoisonError::into_inner).set_pending_order(self.directory, order);
        if let Err(e) = saved {
            error!("a restart would order {} again: {e}", order.names.join(", "));
        }
    }

    fn forget(&self, names: &[String]) {
        let removed = self.store.lock().unwrap_or_else(PoisonError::into_inner).remove_pending_order(names);
        if let Err(e) = removed {
            error!("the failed order for {} stays in the file until a later save succeeds: {e}", names.join(", "));
        }
    }
}

impl AcmeContext {
    pub fn new(
        settings: AcmeSettings,
        ca_server: String,
        challenges: Arc<ArcSwap<ChallengeTable>>,
        store: Store,
    ) -> AcmeContext {
        AcmeContext {
            settings,
            ca_server,
            challenges,
            store: Mutex::new(store),
            account: Default::default(),
            client: Default::default(),
            endpoint: Default::default(),
        }
    }

    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kinds of names that challenge and profile allow to order.
    pub fn obtainable(&self) -> Obtainable {
        let is_dns = matches!(self.settings.challenge, ChallengeKind::Dns(_));
        Obtainable { wildcards: is_dns, addresses: !is_dns && self.settings.profile == "shortlived" }
    }

    async fn client(&self) -> Result<AuthorityClient, String> {
        let mut slot = self.client.lock().await;
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = AuthorityClient::new(&self.settings.trust)?;
        *slot = Some(client.clone());
        Ok(client)
    }

    async fn obtain(
        &self,
        order: &CertificateOrder,
        replaces: Option<CertificateIdentifier<'static>>,
    ) -> Result<ManagedCertificate, OrderError> {
        if let ChallengeKind::Unusable(reason) = &self.settings.challenge {
            return Err(OrderError::because(reason.clone()));
        }
        let account = self.account().await?;
        let settings = &self.settings;
        let pacing = settings.pacing;
        let request = OrderRequest {
            names: &order.names,
            key_type: settings.key_type,
            profile: &settings.profile,
            preferred_chain: &settings.preferred_chain,
            replaces,
            validation_max: if order.names.len() > 1 { pacing.validation_max } else { pacing.order_max },
        };
        let answering = Answering { kind: &settings.challenge, table: &self.challenges };
        let pending = StoredOrders { store: &self.store, directory: &self.ca_server };
        let obtained = order::obtain(&account, &request, &answering, &pending).await;
        if obtained.as_ref().is_err_and(|failure| failure.account_is_gone) {
            self.forget_account().await;
        }
        let new = parse_stored(obtained?);
        if new.certificate.is_none() {
            pending.forget(&order.names);
            return Err(OrderError::because("the authority sent a certificate that cannot be used"));
        }
        // The certificate is usable even if it cannot be saved.
        let saved = self.store().put(&new.stored);
        if let Err(e) = saved {
            let names = order.names.join(", ");
            error!(
                "the certificate for {names} was obtained but not saved: lost at restart unless a later save succeeds: {e}"
            );
        }
        Ok(new)
    }

    async fn account(&self) -> Result<Account, OrderError> {
        let mut slot = self.account.lock().await;
        if let Some(account) = &*slot {
            return Ok(account.clone());
        }
        let client = self.client().await.map_err(OrderError::because)?;
        let credentials = self.store().account(&self.ca_server);
        let account = match credentials {
            Some(credentials) => account::restore(&client, credentials).await.map_err(OrderError::because)?,
            None => self.register(&client).await?,
        };
        *slot = Some(account.clone());
        Ok(account)
    }

    async fn register(&self, client: &AuthorityClient) -> Result<Account, OrderError> {
        let settings = &self.settings;
        let registered =
            account::register(client, &self.ca_server, &settings.email, settings.external_account.as_ref()).await;
        let (account, credentials) = registered?;
        info!("registered an account with {}: {}", self.ca_server, account.id());
        let mut store = self.store();
        if store.has_traefik_account() {
            warn!(
                "{}: Traefik's account has an RSA key that this proxy cannot use, so it registered its own and kept \
                 Traefik's in the file; a CAA record with accounturi must also name {}",
                settings.storage.display(),
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
        if let Err(e) = self.store().set_account(None) {
            error!("the account that the authority does not know stays in the file until a later save succeeds: {e}");
        }
    }

    async fn renewal_window(&self, id: &CertificateId) -> Result<RenewalAnswer, String> {
        let client = self.client().await?;
        let mut slot = self.endpoint.lock().await;
        let is_current = |known: &&(Instant, Endpoint)| {
            known.0.elapsed() < if known.1.is_ok() { ENDPOINT_AGE_MAX } else { FAILURE_AGE_MAX }
        };
        let known = slot.as_ref().filter(is_current).map(|(_, url)| url.clone());
        let endpoint = match known {
            Some(endpoint) => endpoint,
            None => {
                let endpoint = renewal_info::endpoint(&client, &self.ca_server).await;
                *slot = Some((Instant::now(), endpoint.clone()));
                endpoint
            }
        }?;
        drop(slot);
        match endpoint {
            Some(endpoint) => renewal_info::ask(&client, &endpoint, id).await,
            None => Ok(RenewalAnswer { window: None, pause: ENDPOINT_AGE_MAX }),
        }
    }
}

/// Makes one attempt to obtain one certificate, within `order_max` and the time that DNS records take: account, order, validation, saving.
pub async fn attempt(
    context: Arc<AcmeContext>,
    order: CertificateOrder,
    replaces: Option<CertificateIdentifier<'static>>,
) -> (CertificateOrder, Result<ManagedCertificate, OrderError>) {
    let propagation = match &context.settings.challenge {
        ChallengeKind::Dns(dns) => dns.wait_max(&order.names),
        _ => Duration::ZERO,
    };
    let limit = context.settings.pacing.order_max + propagation;
    let outcome = match tokio::time::timeout(limit, with_notes(context.obtain(&order, replaces))).await {
        Ok(outcome) => outcome,
        Err(_) => Err(OrderError::because(format!("the authority did not finish within {} s", limit.as_secs()))),
    };
    (order, outcome)
}

/// Asks for the renewal window of one certificate.
pub async fn ask_for_window(
    context: Arc<AcmeContext>,
    id: CertificateId,
) -> (CertificateId, Result<RenewalAnswer, String>) {
    let answer = context.renewal_window(&id).await;
    (id, answer)
}

/// Parses an entry of the file. One that cannot be parsed is logged and requested again.
pub fn parse_stored(stored: Stored) -> ManagedCertificate {
    let certificate = Certificate::from_pem(&stored.certificate, &stored.key);
    if let Err(e) = &certificate {
        error!(
            "the certificate for {} in the file of acme.storage cannot be used and a new one will be requested: {e}",
            stored.names().join(", ")
        );
    }
    if let Some(warning) = certificate.as_ref().ok().and_then(Certificate::staple_warning) {
        warn!("{warning}");
    }
    let id = certificate.as_ref().ok().and_then(CertificateId::of);
    ManagedCertificate { stored, certificate: certificate.ok().map(Arc::new), suggested_secs: None, id }
}
