//! Obtains one certificate, from the order to the PEM text (RFC 8555 7.4). An order is remembered in the file, so that a restart continues it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, Error, Identifier, NewOrder, Order,
    OrderStatus,
};
use tokio::time::Instant;
use tracing::{error, warn};

use crate::tls::challenge::ChallengeTable;

use super::chain;
use super::challenge::{ChallengeKind, PendingAnswer, PublishedAnswers};
use super::failure::{OrderError, is_bad_nonce, is_refused_profile, is_refused_replacement};
use super::http::{is_refusal, notes};
use super::keys::{KeyType, NewKey};
use super::names;
use super::pending::{PendingOrder, PendingOrders};
use super::store::Stored;
use super::trust::explain;

/// The maximum number of attempts to send a request whose nonce is refused, each of which the library repeats itself.
const NONCE_TRIES: usize = 6;
/// The maximum number of attempts to download an issued certificate.
const DOWNLOADS_MAX: usize = 4;
/// The pause between two attempts to download a certificate.
const DOWNLOAD_PAUSE: Duration = Duration::from_secs(2);
/// The pauses between two looks at an order, unless the authority asks for longer ones.
const POLL_FIRST: Duration = Duration::from_millis(250);
const POLL_MAX: Duration = Duration::from_secs(5);

/// The certificate to order.
pub struct OrderRequest<'a> {
    /// The names; the first is the main one.
    pub names: &'a [String],
    pub key_type: KeyType,
    /// `acme.profile`; empty for the authority's default.
    pub profile: &'a str,
    /// `acme.preferredChain`; empty for the authority's default.
    pub preferred_chain: &'a str,
    /// The certificate that the new one replaces, if the authority gave a window for its renewal.
    pub replaces: Option<CertificateIdentifier<'static>>,
    /// The time for the validation of all names.
    pub validation_max: Duration,
}

/// How orders answer challenges.
pub struct Answering<'a> {
    pub kind: &'a ChallengeKind,
    pub table: &'a Arc<ArcSwap<ChallengeTable>>,
}

/// Obtains one certificate. Continues an order for the same names that `pending` remembers.
///
/// The challenge responses are published until the names are validated, and are removed if the future is dropped before.
///
/// # Errors
/// [`OrderError`], which has the names whose validation failed.
pub async fn obtain(
    account: &Account,
    request: &OrderRequest<'_>,
    answering: &Answering<'_>,
    pending: &impl PendingOrders,
) -> Result<Stored, OrderError> {
    let (mut order, mut remembered) = match resume(account, request, pending).await? {
        Some(resumed) => resumed,
        None => {
            let order = place(account, request).await?;
            let remembered = PendingOrder::new(request.names, order.url());
            pending.remember(&remembered);
            (order, remembered)
        }
    };
    let outcome = complete(account, &mut order, request, answering, &mut remembered, pending).await;
    if outcome.as_ref().is_err_and(|failure| !failure.is_resumable) {
        pending.forget(request.names);
    }
    outcome
}

async fn complete(
    account: &Account,
    order: &mut Order,
    request: &OrderRequest<'_>,
    answering: &Answering<'_>,
    remembered: &mut PendingOrder,
    pending: &impl PendingOrders,
) -> Result<Stored, OrderError> {
    let names = request.names;
    let status = match order.state().status {
        OrderStatus::Pending => validate(order, request, answering).await?,
        other => other,
    };
    match status {
        OrderStatus::Ready => {
            let key = new_key(request.key_type).await?;
            let signing_request = signing_request(names, &key.pair).map_err(OrderError::because)?;
            // The key is saved first: a crash after the next request would lose an issued certificate.
            remembered.key = Some(key.pem);
            pending.remember(remembered);
            retrying(async || order.finalize_csr(&signing_request).await)
                .await
                .map_err(|e| OrderError::of_request(&e, names))?;
        }
        OrderStatus::Processing | OrderStatus::Valid => {}
        OrderStatus::Pending | OrderStatus::Invalid => return Err(refused(order, names).await),
    }
    let Some(key) = remembered.key.clone() else {
        return Err(OrderError::because("the order's key was lost: a new order is needed"));
    };
    let downloaded = download(order, request.validation_max, DOWNLOAD_PAUSE).await;
    let chain = downloaded.map_err(|e| OrderError::of_request(&e, names))?;
    let chain = chain::preferred(account, chain, request.preferred_chain).await;
    let [main, sans @ ..] = names else { return Err(OrderError::because("no names to order")) };
    Ok(Stored { main: main.clone(), sans: sans.to_vec(), certificate: chain.into_bytes(), key: key.into_bytes() })
}

/// The remembered order for these names; `None` if the authority does not know it any more, or it cannot be completed.
///
/// # Errors
/// The authority cannot be reached: the order stays remembered.
async fn resume(
    account: &Account,
    request: &OrderRequest<'_>,
    pending: &impl PendingOrders,
) -> Result<Option<(Order, PendingOrder)>, OrderError> {
    let Some(remembered) = pending.of(request.names) else { return Ok(None) };
    let mut order = match retrying(async || account.order(remembered.url.clone()).await).await {
        Ok(order) => order,
        Err(Error::Api(problem)) if problem.status.is_none_or(|status| status < 500) => return Ok(None),
        Err(Error::Json(_)) => return Ok(None),
        Err(e) if is_refusal(&e) => return Ok(None),
        Err(e) => return Err(OrderError::of_request(&e, request.names)),
    };
    let can_complete = match order.state().status {
        OrderStatus::Pending | OrderStatus::Ready => true,
        OrderStatus::Processing | OrderStatus::Valid => remembered.key.is_some(),
        OrderStatus::Invalid => false,
    };
    Ok(can_complete.then_some((order, remembered)))
}

/// Places the order. The wish for a profile, and the reference to the certificate that is replaced, are dropped if the authority refuses
/// them: a certificate of another kind is better than none.
async fn place(account: &Account, request: &OrderRequest<'_>) -> Result<Order, OrderError> {
    let identifiers: Vec<Identifier> = request.names.iter().map(|name| identifier(name)).collect();
    let (mut replaces, mut profile) = (request.replaces.clone(), request.profile);
    loop {
        let mut new = NewOrder::new(&identifiers);
        if let Some(replaced) = &replaces {
            new = new.replaces(replaced.clone());
        }
        if !profile.is_empty() {
            new = new.profile(profile);
        }
        match retrying(async || account.new_order(&new).await).await {
            Ok(order) => return Ok(order),
            Err(e) if replaces.is_some() && is_refused_replacement(&e) => replaces = None,
            Err(e) if !profile.is_empty() && is_refused_profile(&e) => {
                let offered: Vec<&str> = account.profiles().map(|offered| offered.name).collect();
                error!(
                    "acme.profile: the authority refuses {profile:?} and its default is used: choose one of {}: {}",
                    offered.join(", "),
                    explain(&e)
                );
                profile = "";
            }
            Err(e) => return Err(OrderError::of_request(&e, request.names)),
        }
    }
}

fn identifier(name: &str) -> Identifier {
    names::address(name).map_or_else(|| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

/// Answers the challenges of all names that are not authorised yet, and waits until the authority has validated them.
async fn validate(
    order: &mut Order,
    request: &OrderRequest<'_>,
    answering: &Answering<'_>,
) -> Result<OrderStatus, OrderError> {
    let answers = challenges(order, answering.kind, request.names).await?;
    let mut rounds = answering.kind.rounds(answers);
    let last = rounds.pop().unwrap_or_default();
    for round in &rounds {
        validate_round(order, request, answering, round, false).await?;
    }
    validate_round(order, request, answering, &last, true).await
}

/// Answers some of the challenges and waits until the authority has checked these, or the whole order if they are the last.
async fn validate_round(
    order: &mut Order,
    request: &OrderRequest<'_>,
    answering: &Answering<'_>,
    answers: &[PendingAnswer],
    is_last: bool,
) -> Result<OrderStatus, OrderError> {
    let mut published = PublishedAnswers::new(answering.kind, answering.table);
    let failed = published.publish(answers).await;
    let outcome = match failed.is_empty() {
        false => Err(OrderError { is_resumable: true, ..OrderError::of_names(failed) }),
        true => match set_ready(order, answering.kind, request.names, answers).await {
            Ok(()) if is_last => wait_until_validated(order, request).await,
            Ok(()) => wait_until_checked(order, request, answers).await,
            Err(e) => Err(e),
        },
    };
    published.withdraw().await;
    outcome
}

/// Waits until the authority has checked these answers, while others of the order are still to be given.
async fn wait_until_checked(
    order: &mut Order,
    request: &OrderRequest<'_>,
    answers: &[PendingAnswer],
) -> Result<OrderStatus, OrderError> {
    let deadline = Instant::now() + request.validation_max;
    loop {
        tokio::time::sleep(POLL_FIRST * 2).await;
        let (mut pending, mut authorizations) = (0, order.authorizations());
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|e| OrderError::of_request(&e, request.names))?;
            if !answers.iter().any(|answer| answer.name == authorization.identifier().to_string()) {
                continue;
            }
            let state = retrying(async || authorization.refresh().await.map(|state| state.status)).await;
            match state.map_err(|e| OrderError::of_request(&e, request.names))? {
                AuthorizationStatus::Pending => pending += 1,
                AuthorizationStatus::Valid => {}
                _ => return Err(refused(order, request.names).await),
            }
        }
        if pending == 0 {
            return Ok(OrderStatus::Pending);
        }
        if Instant::now() >= deadline {
            return Err(unfinished(order, request).await);
        }
    }
}

/// The challenge of each name that is not authorised yet.
async fn challenges(
    order: &mut Order,
    kind: &ChallengeKind,
    names: &[String],
) -> Result<Vec<PendingAnswer>, OrderError> {
    let (mut answers, mut failed) = (Vec::new(), Vec::new());
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|e| OrderError::of_request(&e, names))?;
        let name = authorization.identifier().to_string();
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            _ => continue, // The order is invalid: `refused` collects the reasons.
        }
        match authorization.challenge(kind.challenge_type()) {
            Some(challenge) => answers.push(PendingAnswer {
                token: challenge.token.clone(),
                key_authorization: challenge.key_authorization(),
                name,
            }),
            None => failed.push((name, format!("the authority offers no {} challenge for this name", kind.name()))),
        }
    }
    if failed.is_empty() { Ok(answers) } else { Err(OrderError::of_names(failed)) }
}

/// Tells the authority for each of these names that the challenge is answered.
async fn set_ready(
    order: &mut Order,
    kind: &ChallengeKind,
    names: &[String],
    answers: &[PendingAnswer],
) -> Result<(), OrderError> {
    let mut failed = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|e| OrderError::of_request(&e, names))?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let name = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(kind.challenge_type()) else { continue };
        if !answers.iter().any(|answer| answer.token == challenge.token) {
            continue;
        }
        // The authority is at it already if the order is continued.
        if challenge.status != ChallengeStatus::Pending {
            continue;
        }
        match retrying(async || challenge.set_ready().await).await {
            Ok(()) => {}
            Err(Error::Api(problem)) if problem.status != Some(429) => {
                failed.push((name, problem.detail.clone().unwrap_or_else(|| problem.to_string())));
            }
            Err(e) => return Err(OrderError::of_request(&e, names)),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(OrderError::of_names(failed)) }
}

/// Asks for the order's state until the authority has validated or refused the names. An authority that cannot be reached meanwhile is asked
/// again.
async fn wait_until_validated(order: &mut Order, request: &OrderRequest<'_>) -> Result<OrderStatus, OrderError> {
    let deadline = Instant::now() + request.validation_max;
    let mut pause = POLL_FIRST;
    loop {
        let asked = notes().ask_again_at.and_then(|at| at.duration_since(SystemTime::now()).ok()).unwrap_or_default();
        let wait = pause.max(asked).min(deadline.saturating_duration_since(Instant::now()));
        tokio::time::sleep(wait).await;
        pause = pause.mul_f64(1.5).min(POLL_MAX);
        let is_last = Instant::now() >= deadline;
        let state = retrying(async || order.refresh().await.map(|state| state.status)).await;
        match state {
            Ok(OrderStatus::Pending) if is_last => return Err(unfinished(order, request).await),
            Ok(OrderStatus::Pending) => {}
            Ok(OrderStatus::Invalid) => return Err(refused(order, request.names).await),
            Ok(status) => return Ok(status),
            Err(e) => {
                let failure = OrderError::of_request(&e, request.names);
                if is_last || !failure.is_resumable {
                    return Err(failure);
                }
            }
        }
    }
}

/// The error of an order that was not validated in time: the names that are still pending are to blame.
async fn unfinished(order: &mut Order, request: &OrderRequest<'_>) -> OrderError {
    let (mut pending, mut authorizations) = (Vec::new(), order.authorizations());
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = retrying(async || authorization.refresh().await.map(|state| state.status)).await else { break };
        if state == AuthorizationStatus::Pending {
            let reason =
                format!("the authority did not validate the name within {} s", request.validation_max.as_secs());
            pending.push((authorization.identifier().to_string(), reason));
        }
    }
    let failure = OrderError::of_names(pending);
    let reason = match failure.reason.is_empty() {
        true => format!("the authority did not finish within {} s", request.validation_max.as_secs()),
        false => failure.reason.clone(),
    };
    OrderError { reason, is_resumable: true, ..failure }
}

/// The error of an order that the authority refuses: the names whose authorisation failed, with the authority's reasons.
async fn refused(order: &mut Order, names: &[String]) -> OrderError {
    let problem = order.state().error.clone();
    let (mut failed, mut authorizations) = (Vec::new(), order.authorizations());
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        // The order's copy of the authorisation dates from before the validation.
        if retrying(async || authorization.refresh().await.map(drop)).await.is_err() {
            break;
        }
        let problem = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        let reason = match (problem, authorization.status) {
            (Some(problem), _) => problem.detail.clone().unwrap_or_else(|| problem.to_string()),
            (None, AuthorizationStatus::Valid | AuthorizationStatus::Pending) => continue,
            (None, status) => format!("the authorisation is {status:?}"),
        };
        failed.push((authorization.identifier().to_string(), reason));
    }
    match (failed.is_empty(), problem) {
        (false, _) => OrderError::of_names(failed),
        (true, Some(problem)) => {
            OrderError { is_resumable: false, ..OrderError::of_request(&Error::Api(problem), names) }
        }
        (true, None) => OrderError::because("the authority set the order to invalid, without a reason"),
    }
}

/// Downloads the issued certificate with its chain. A failed download is retried, because a new order would count against the authority's
/// limits.
async fn download(order: &mut Order, max: Duration, pause: Duration) -> Result<String, Error> {
    let deadline = Instant::now() + max;
    let (mut failures, mut poll) = (0, POLL_FIRST);
    loop {
        match retrying(async || order.certificate().await).await {
            Ok(Some(chain)) => return Ok(chain),
            Ok(None) if Instant::now() < deadline => {
                tokio::time::sleep(poll).await;
                poll = poll.mul_f64(1.5).min(POLL_MAX);
            }
            Ok(None) => return Err(Error::Timeout(None)),
            Err(error) if order.state().status == OrderStatus::Valid && failures + 1 < DOWNLOADS_MAX => {
                failures += 1;
                warn!("the certificate is issued but cannot be downloaded yet, trying again: {}", explain(&error));
                tokio::time::sleep(pause).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Sends a request again whose nonce the authority refuses: it was not processed (RFC 8555 6.5).
async fn retrying<T>(mut send: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 1..NONCE_TRIES {
        match send().await {
            Err(e) if is_bad_nonce(&e) => {}
            outcome => return outcome,
        }
    }
    send().await
}

/// Generates the key on a blocking thread, because RSA4096, the default, takes seconds and this thread runs all providers.
async fn new_key(key_type: KeyType) -> Result<NewKey, OrderError> {
    let generated = tokio::task::spawn_blocking(move || key_type.generate()).await;
    generated.map_err(|e| OrderError::because(e.to_string()))?.map_err(OrderError::because)
}

fn signing_request(names: &[String], pair: &rcgen::KeyPair) -> Result<Vec<u8>, String> {
    let mut params = rcgen::CertificateParams::new(names.to_vec()).map_err(|e| e.to_string())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.serialize_request(pair).map_err(|e| e.to_string())?.der().to_vec())
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use hyper::body::Bytes;
    use hyper::{Request, Response};
    use instant_acme::{BodyWrapper, BytesResponse, HttpClient, NewAccount};

    use super::*;

    #[tokio::test]
    async fn key_generation_does_not_block_the_thread() {
        let mut key = std::pin::pin!(new_key(KeyType::Rsa2048));
        let mut other_polls = 0_u32;
        loop {
            tokio::select! {
                biased;
                generated = &mut key => {
                    assert!(generated.is_ok_and(|key| key.pem.starts_with("-----BEGIN RSA PRIVATE KEY-----")));
                    break;
                }
                () = tokio::task::yield_now() => other_polls += 1,
            }
        }
        assert!(other_polls > 0, "the key was generated on the waiting thread");
    }

    const CHAIN: &str = "-----BEGIN CERTIFICATE-----";

    /// An authority that has issued a certificate and serves it after the given number of failed downloads.
    #[derive(Clone)]
    struct Authority {
        failures: usize,
        downloads: Arc<AtomicUsize>,
    }

    impl Authority {
        fn respond(&self, path: &str) -> (u16, String) {
            match path {
                "/directory" => {
                    let urls = ["newNonce", "newAccount", "newOrder"].map(|name| format!(r#""{name}":"https://ca.test/{name}""#));
                    (200, format!("{{{}}}", urls.join(",")))
                }
                "/newNonce" => (200, String::new()),
                "/newAccount" => (201, r#"{"status":"valid"}"#.into()),
                "/order" => (
                    200,
                    r#"{"status":"valid","authorizations":[],"finalize":"https://ca.test/none","certificate":"https://ca.test/chain"}"#
                        .into(),
                ),
                "/chain" if self.downloads.fetch_add(1, Relaxed) >= self.failures => (200, CHAIN.into()),
                "/chain" => (503, r#"{"detail":"try later"}"#.into()),
                other => (404, format!(r#"{{"detail":"{other}"}}"#)),
            }
        }
    }

    impl HttpClient for Authority {
        fn request(
            &self,
            request: Request<BodyWrapper<Bytes>>,
        ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
            let (status, text) = self.respond(request.uri().path());
            let response = Response::builder()
                .status(status)
                .header("Replay-Nonce", "nonce")
                .header("Location", "https://ca.test/account")
                .body(BodyWrapper::from(text.into_bytes()));
            Box::pin(async { response.map(BytesResponse::from).map_err(|e| Error::Other(Box::new(e))) })
        }
    }

    #[tokio::test]
    async fn failed_download_of_issued_certificate_is_retried() {
        for (failures, is_downloaded, downloads) in [(0, true, 1), (3, true, 4), (4, false, 4)] {
            let authority = Authority { failures, downloads: Arc::default() };
            let counted = Arc::clone(&authority.downloads);
            let new = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
            let builder = Account::builder_with_http(Box::new(authority));
            let (account, _) =
                builder.create(&new, "https://ca.test/directory".into(), None).await.expect("an account");
            let mut order = account.order("https://ca.test/order".into()).await.expect("an order");
            let outcome = download(&mut order, Duration::from_secs(5), Duration::ZERO).await;
            assert_eq!(outcome.is_ok_and(|chain| chain == CHAIN), is_downloaded, "{failures} failures");
            assert_eq!(counted.load(Relaxed), downloads, "{failures} failures");
        }
    }
}
